package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"time"
)

// Sighting is what a server shows to somebody without a key.
type Sighting struct {
	// Outcrop reports whether it refuses as an Outcrop server does.
	Outcrop bool
	// Clock is the server's time, to the second, or zero.
	Clock time.Time
}

// probeTime is how long an answer may take: what listens there may be anything.
const probeTime = 3 * time.Second

// Probe asks endpoint for something that needs a key, without one. Over TLS, roots are
// trusted in place of the system's unless they are nil. An error means that nothing
// speaks HTTP there, or not soon; Explain explains it.
func Probe(ctx context.Context, endpoint string, roots *x509.CertPool) (Sighting, error) {
	base, err := ParseEndpoint(endpoint)
	if err != nil {
		return Sighting{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	t := transport(nil)
	t.TLSClientConfig = tlsConfig(roots)
	t.DisableKeepAlives = true
	base.Path = "/_outcrop/v1/server"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base.String(), nil)
	if err != nil {
		return Sighting{}, err
	}
	res, err := t.RoundTrip(req)
	if err != nil {
		return Sighting{}, err
	}
	defer func() { _ = res.Body.Close() }()
	var s Sighting
	s.Outcrop = (res.StatusCode == http.StatusForbidden || res.StatusCode == http.StatusUnauthorized) &&
		res.Header.Get("x-amzn-RequestId") != ""
	if at, err := http.ParseTime(res.Header.Get("Date")); err == nil {
		s.Clock = at
	}
	return s, nil
}

// SpeaksTLS reports whether the port of endpoint takes a TLS handshake, whatever
// certificate it shows: nothing is sent on the connection.
func SpeaksTLS(ctx context.Context, endpoint string) bool {
	base, err := ParseEndpoint(endpoint)
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}
	c, err := d.DialContext(ctx, "tcp", base.Host)
	if err != nil {
		return false
	}
	_ = c.Close() // a failure changes nothing about the answer
	return true
}
