package ca

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/outcrop/outcrop/internal/awshost"
)

// Target is what a connection may know of where its client wanted to go: a proxy
// was told. The name in the client's TLS handshake must be that one.
type Target interface{ Target() string }

// TLS returns the configuration of a listener that shows each client the
// certificate of the name it asks for: of AWS's names and those in the scope the
// authority's own leaf, and of others the operator's, which may be nil.
//
// Go leaves the order of curves and ciphers to itself, and so do we.
func (a *Authority) TLS(operator *Pair) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		// Asked of every handshake: a resumed one asks for no certificate.
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) { return nil, sameTarget(hello) },
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			cert, err := a.choose(asked(hello), operator)
			if foreign := (*ScopeError)(nil); errors.As(err, &foreign) {
				return nil, nil // which Go answers with unrecognized_name (RFC 8446, 6.2); an error of ours would be ours
			}
			return cert, err
		},
	}
}

// sameTarget refuses a handshake for another name than the proxy was asked for.
func sameTarget(hello *tls.ClientHelloInfo) error {
	if c, ok := hello.Conn.(Target); ok && hello.ServerName != "" && !strings.EqualFold(hello.ServerName, c.Target()) {
		return fmt.Errorf("the proxy was asked for %q, and the handshake for %q", c.Target(), hello.ServerName)
	}
	return nil
}

// asked is the name that a client wants the certificate of. One that names none
// went to an address.
func asked(hello *tls.ClientHelloInfo) string {
	if hello.ServerName != "" {
		return hello.ServerName
	}
	if c, ok := hello.Conn.(Target); ok {
		return c.Target()
	}
	host, _, err := net.SplitHostPort(hello.Conn.LocalAddr().String())
	if err != nil {
		return ""
	}
	return host
}

// choose finds the certificate for a name. The operator's goes first where it is
// good for the name, and last where nothing else is.
func (a *Authority) choose(name string, operator *Pair) (*tls.Certificate, error) {
	if operator == nil || awshost.Is(name) {
		return a.Leaf(name)
	}
	cert := operator.Certificate()
	if cert.Leaf.VerifyHostname(name) == nil || a.covers(name) != nil {
		return cert, nil
	}
	return a.Leaf(name)
}
