package hostline_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/outcrop/outcrop/internal/gate"
	"github.com/outcrop/outcrop/internal/hostline"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// told answers what a server knows of a request.
var told = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	name := "none"
	if r.TLS != nil {
		name = r.TLS.ServerName + "," + r.TLS.NegotiatedProtocol
	}
	_, _ = fmt.Fprintf(w, "%s %s host=%s tls=%s body=%d", r.Proto, r.Method, r.Host, name, len(body))
})

// certificate is httptest's, which is for example.com.
func certificate(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return s.TLS.Certificates[0], roots
}

type kit struct {
	address string
	client  *tls.Config // nil for one in the clear
	log     *bytes.Buffer
}

// serve runs a server behind a gate, under TLS or not.
func serve(t testing.TB, secure bool) *kit {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k := &kit{address: l.Addr().String(), log: &bytes.Buffer{}}
	door := gate.New(gate.Config{})
	below := door.Listen(l)
	if secure {
		cert, roots := certificate(t)
		below = tls.NewListener(below, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1"}})
		k.client = &tls.Config{RootCAs: roots, ServerName: "example.com"}
	}
	s := &http.Server{
		Handler: gate.Handler(told), ConnContext: gate.Context, ReadHeaderTimeout: 10 * time.Second,
		ErrorLog: slog.NewLogLogger(slog.NewTextHandler(k.log, nil), slog.LevelInfo),
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(hostline.Listen(below)) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return k
}

// dial opens a connection for HTTP/1.1.
func (k *kit) dial(t testing.TB) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", k.address)
	if err != nil {
		t.Fatal(err)
	}
	if k.client != nil {
		c = tls.Client(c, k.client)
	}
	t.Cleanup(func() { _ = c.Close() }) // it may be closed
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c, bufio.NewReader(c)
}

// send writes and reads one answer.
func send(t testing.TB, c io.Writer, r *bufio.Reader, request string) (status int, text string) {
	t.Helper()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

const (
	shake  = "GET /ws HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nHost: example.com\r\n\r\n"
	differ = "GET /ws HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nHost: example.org\r\n\r\n"
)

// post has a body that looks like heads.
var post = fmt.Sprintf("POST /invocations HTTP/1.1\r\nHost: example.com\r\nContent-Length: %d\r\n\r\n%s", len(shake+shake), shake+shake)

func TestServer(t *testing.T) {
	for name, secure := range map[string]bool{"clear": false, "tls": true} {
		t.Run(name, func(t *testing.T) {
			k := serve(t, secure)
			at := map[bool]string{false: "none", true: "example.com,"}[secure]
			c, r := k.dial(t)
			want := "HTTP/1.1 GET host=example.com tls=" + at + " body=0"
			if status, text := send(t, c, r, shake); status != 200 || text != want {
				t.Errorf("a handshake with two Hosts: %d %s, want %s", status, text, want)
			}
			// What follows on that connection is net/http's alone.
			want = fmt.Sprintf("HTTP/1.1 POST host=example.com tls=%s body=%d", at, len(shake+shake))
			if status, text := send(t, c, r, post); status != 200 || text != want {
				t.Errorf("the request behind it: %d %s, want %s", status, text, want)
			}
			if status, text := send(t, c, r, shake); status != 400 || text != "400 Bad Request" {
				t.Errorf("a later handshake with two Hosts: %d %s", status, text)
			}
			// Two requests at once.
			c, r = k.dial(t)
			if status, _ := send(t, c, r, shake+post); status != 200 {
				t.Errorf("the first of two: %d", status)
			}
			if status, text := send(t, c, r, ""); status != 200 || text != want {
				t.Errorf("the second of two: %d %s", status, text)
			}
			c, r = k.dial(t)
			if status, text := send(t, c, r, differ); status != 400 || text != "400 Bad Request" {
				t.Errorf("two Hosts that differ: %d %s", status, text)
			}
			c, r = k.dial(t)
			if status, text := send(t, c, r, post); status != 200 || text != want {
				t.Errorf("a body of heads: %d %s", status, text)
			}
		})
	}
}

// TestHTTP2 is that of http.Server.
func TestHTTP2(t *testing.T) {
	k := serve(t, true)
	tr := &http.Transport{TLSClientConfig: k.client, ForceAttemptHTTP2: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", k.address)
	}}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Get("https://example.com/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, _ := io.ReadAll(resp.Body); string(b) != "HTTP/2.0 GET host=example.com tls=example.com,h2 body=0" {
		t.Errorf("%s", b)
	}
}

// TestNoTLS: http.Server learns of handshakes that fail.
func TestNoTLS(t *testing.T) {
	k := serve(t, true)
	k.client = nil
	c, r := k.dial(t)
	if status, text := send(t, c, r, shake); status != 400 || !strings.Contains(text, "HTTP request to an HTTPS server") {
		t.Errorf("%d %s", status, text)
	}
}

// TestSilent: who says nothing holds up nobody, the end of the server least of all.
func TestSilent(t *testing.T) {
	for _, secure := range []bool{false, true} {
		k := serve(t, secure)
		for range 3 {
			c, err := net.Dial("tcp", k.address)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
		}
		c, r := k.dial(t)
		if status, _ := send(t, c, r, shake); status != 200 {
			t.Error(status)
		}
	}
}

// BenchmarkServer is a small request on a kept connection, with and without.
func BenchmarkServer(b *testing.B) {
	for name, wrap := range map[string]func(net.Listener) net.Listener{"with": hostline.Listen, "without": func(l net.Listener) net.Listener { return l }} {
		b.Run(name, func(b *testing.B) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			s := &http.Server{Handler: told}
			ended := make(chan error, 1)
			go func() { ended <- s.Serve(wrap(l)) }()
			defer func() {
				_ = s.Close()
				<-ended
			}()
			k := &kit{address: l.Addr().String()}
			c, err := net.Dial("tcp", k.address)
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			r := bufio.NewReader(c)
			b.ReportAllocs()
			for b.Loop() {
				if status, _ := send(b, c, r, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"); status != 200 {
					b.Fatal(status)
				}
			}
		})
	}
}

// TestFilesAreSent: a connection of the kernel's stays one by which it sends files.
func TestFilesAreSent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	in := hostline.Listen(gate.New(gate.Config{}).Listen(l))
	defer in.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got, err := in.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	if _, ok := got.(io.ReaderFrom); !ok {
		t.Errorf("%T", got)
	}
	if _, ok := got.(interface{ CloseWrite() error }); !ok {
		t.Errorf("%T", got)
	}
}
