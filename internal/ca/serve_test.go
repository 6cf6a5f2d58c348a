package ca_test

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/ca"
)

// towards is a connection whose proxy was asked for a name.
type towards struct {
	net.Conn
	name string
}

func (c towards) Target() string { return c.name }

// shake makes a handshake and returns the client's state.
func shake(t testing.TB, server *tls.Config, wrap func(net.Conn) net.Conn, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	served := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			served <- err
			return
		}
		s := tls.Server(wrap(c), server)
		err = s.Handshake()
		if err == nil { // so that the client gets its session ticket
			_, err = s.Write([]byte("x"))
		}
		served <- errors.Join(err, c.Close())
	}()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	_ = raw.SetDeadline(time.Now().Add(10 * time.Second))
	c := tls.Client(raw, client)
	err = c.Handshake()
	if err == nil {
		_, err = c.Read(make([]byte, 1))
	}
	<-served
	return c.ConnectionState(), err
}

func direct(c net.Conn) net.Conn { return c }

func TestListenerShowsWhatIsAskedFor(t *testing.T) {
	k := newKit(t, "agents.example.com")
	dir := t.TempDir()
	certFile, keyFile := writePair(t, dir, k.forge(t, "agents.example.com"))
	pair, err := ca.OpenPair(certFile, keyFile, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	theirs := pair.Certificate().Leaf
	for _, c := range []struct {
		ask      string
		pair     *ca.Pair
		operator bool
		fails    bool
	}{
		{ask: "sts.amazonaws.com"},
		{ask: "sts.amazonaws.com", pair: pair},
		{ask: "agents.example.com"},
		{ask: "agents.example.com", pair: pair, operator: true},
		{ask: "localhost", pair: pair},
		{ask: "127.0.0.1"}, // which a client does not send
		{ask: "127.0.0.1", pair: pair},
		{ask: "example.com", fails: true},
	} {
		state, err := shake(t, k.TLS(c.pair), direct, &tls.Config{ServerName: c.ask, RootCAs: k.roots()})
		if (err != nil) != c.fails || c.fails && !strings.Contains(err.Error(), "unrecognized name") {
			t.Errorf("%s: %v", c.ask, err)
		}
		if err == nil && state.PeerCertificates[0].Equal(theirs) != c.operator {
			t.Errorf("%s: shown the certificate for %v", c.ask, state.PeerCertificates[0].DNSNames)
		}
	}
	if _, err := shake(t, k.TLS(nil), direct, &tls.Config{ServerName: "localhost", RootCAs: k.roots(), MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	state, err := shake(t, k.TLS(nil), direct, &tls.Config{ServerName: "localhost", RootCAs: k.roots(), NextProtos: []string{"http/1.1"}})
	if err != nil || state.NegotiatedProtocol != "http/1.1" {
		t.Errorf("a client of HTTP/1.1 gets %q, %v", state.NegotiatedProtocol, err)
	}
}

// TestTargetIsTheName: through a proxy, the name of the handshake is the one that
// the proxy was asked for, in a resumed session too.
func TestTargetIsTheName(t *testing.T) {
	k := newKit(t)
	server := k.TLS(nil)
	to := func(name string) func(net.Conn) net.Conn {
		return func(c net.Conn) net.Conn { return towards{c, name} }
	}
	client := &tls.Config{ServerName: "sts.amazonaws.com", RootCAs: k.roots(), ClientSessionCache: tls.NewLRUClientSessionCache(4)}
	if _, err := shake(t, server, to("sts.amazonaws.com"), client); err != nil {
		t.Fatal(err)
	}
	if state, err := shake(t, server, to("sts.amazonaws.com"), client); err != nil || !state.DidResume {
		t.Errorf("resumed %v, %v", state.DidResume, err)
	}
	if _, err := shake(t, server, to("iam.amazonaws.com"), client); err == nil {
		t.Error("a resumed session reached another target")
	}
	if _, err := shake(t, server, to("iam.amazonaws.com"), &tls.Config{ServerName: "sts.amazonaws.com", RootCAs: k.roots()}); err == nil {
		t.Error("a new session reached another target")
	}
	state, err := shake(t, server, to("iam.amazonaws.com"), &tls.Config{InsecureSkipVerify: true}) // sends no name
	if err != nil || state.PeerCertificates[0].VerifyHostname("iam.amazonaws.com") != nil {
		t.Errorf("without a name: %v", err)
	}
}

func BenchmarkHandshake(b *testing.B) {
	k := newKit(b)
	server, client := k.TLS(nil), &tls.Config{ServerName: "bedrock-agentcore.us-east-1.amazonaws.com", RootCAs: k.roots()}
	run := func(b *testing.B, client *tls.Config) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := shake(b, server, direct, client); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("full", func(b *testing.B) { run(b, client) })
	resuming := client.Clone()
	resuming.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	b.Run("resumed", func(b *testing.B) { run(b, resuming) })
}

func BenchmarkLeaf(b *testing.B) {
	k := newKit(b)
	for b.Loop() {
		if _, err := k.Leaf("bedrock-agentcore.us-east-1.amazonaws.com"); err != nil {
			b.Fatal(err)
		}
	}
}
