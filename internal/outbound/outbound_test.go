package outbound_test

import (
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/outcrop/outcrop/internal/outbound"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server listens on a loopback address of its own, and counts connections.
type server struct {
	*httptest.Server
	connections atomic.Int32
}

func serve(t *testing.T, ip string, secure bool, h http.HandlerFunc) *server {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Skipf("%s cannot be listened on: %v", ip, err)
	}
	s := &server{Server: httptest.NewUnstartedServer(h)}
	s.Listener.Close()
	s.Listener = l
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.connections.Add(1)
		}
	}
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

func (s *server) port() string {
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	return port
}

func client(t *testing.T, cfg outbound.Config, private ...string) *http.Client {
	t.Helper()
	p, err := outbound.ParsePrivate(private)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Private = p
	c := outbound.New(cfg)
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func get(t *testing.T, c *http.Client, target string) (string, error) {
	t.Helper()
	answer, err := c.Get(target)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return string(body), err
}

func hello(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }

// TestRefused: no form of a private address gets a connection, and the refusal
// names what the operator can do.
func TestRefused(t *testing.T) {
	s := serve(t, "127.0.0.1", false, hello)
	c := client(t, outbound.Config{})
	for target, want := range map[string]string{
		"http://127.0.0.1:PORT":                  "a loopback address; have the operator open it: outcrop serve --allow-private 127.0.0.1",
		"https://127.0.0.1:PORT":                 "a loopback address",
		"https://localhost:PORT":                 "a loopback address",
		"https://127.9.9.9:PORT":                 "a loopback address",
		"https://0.0.0.0:PORT":                   "no single machine",
		"https://[::]:PORT":                      "no single machine",
		"https://[::1]:PORT":                     "a loopback address",
		"https://[::ffff:127.0.0.1]:PORT":        "a loopback address",
		"https://[::ffff:7f00:1]:PORT":           "a loopback address",
		"https://[64:ff9b::7f00:1]:PORT":         "a loopback address",
		"https://[2002:7f00:1::]:PORT":           "a loopback address",
		"https://10.0.0.1":                       "private",
		"https://172.16.0.1":                     "private",
		"https://192.168.0.1":                    "private",
		"https://100.64.0.1":                     "shared",
		"https://[fd00::1]":                      "private",
		"https://[fe80::1]":                      "link-local",
		"https://224.0.0.1":                      "no single machine",
		"https://[ff02::1]":                      "no single machine",
		"http://169.254.169.254/latest":          "metadata",
		"https://[fd00:ec2::254]":                "metadata",
		"https://[::ffff:169.254.169.254]":       "metadata",
		"http://8.8.8.8":                         "without TLS",
		"https://user:pass@127.0.0.1:PORT":       "user name or password",
		"https://":                               "no host",
		"https://:PORT":                          "no host",
		"ftp://127.0.0.1:PORT":                   "scheme is not https",
		"file:///etc/passwd":                     "no host",
		"gopher://127.0.0.1:PORT/_GET%20/x":      "scheme is not https",
		"https://127.0.0.1:PORT@169.254.169.254": "user name or password",
	} {
		_, err := get(t, c, strings.Replace(target, "PORT", s.port(), 1))
		if refused := (*outbound.Refused)(nil); !errors.As(err, &refused) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", target, err, want)
		}
	}
	if n := s.connections.Load(); n > 0 {
		t.Errorf("there were %d connections", n)
	}
}

// TestNever: metadata services and link-local addresses stay closed whatever is opened.
func TestNever(t *testing.T) {
	c := client(t, outbound.Config{Timeout: time.Second}, "0.0.0.0/0", "::/0", "100.64.0.0/10", "fd00::/8")
	for target, want := range map[string]string{
		"http://169.254.169.254/": "metadata", "https://[fd00:ec2::254]/": "metadata", "http://[::ffff:a9fe:a9fe]/": "metadata", "http://[64:ff9b::a9fe:a9fe]/": "metadata",
		"https://[2002:a9fe:a9fe::]/": "metadata", "http://100.100.100.200": "metadata", "http://169.254.1.1/": "link-local", "http://[fe80::1%25lo]/": "link-local",
	} {
		if _, err := get(t, c, target); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", target, err)
		}
	}
}

func TestAllowed(t *testing.T) {
	s := serve(t, "127.0.0.1", false, hello)
	for _, tt := range []struct {
		private, host string
		ok            bool
	}{
		{"127.0.0.0/8", "127.0.0.1", true},
		{"127.0.0.0/8", "localhost", true},
		{"127.0.0.1", "127.0.0.1", true},
		{"::ffff:127.0.0.1", "127.0.0.1", true},
		{"127.0.0.2", "127.0.0.1", false},
		{"localhost", "localhost", true},
		{"LocalHost.", "LOCALHOST", true},
		{"localhost", "127.0.0.1", false}, // it was opened under its name alone
		{"10.0.0.0/8", "127.0.0.1", false},
	} {
		body, err := get(t, client(t, outbound.Config{}, tt.private), "http://"+tt.host+":"+s.port())
		if tt.ok != (err == nil && body == "hello") {
			t.Errorf("%s with %s open: %q, %v", tt.host, tt.private, body, err)
		}
	}
}

// TestMachine: another address of this very machine is no way around its firewall,
// not even within a range that is open.
func TestMachine(t *testing.T) {
	for _, mine := range []string{"203.0.112.7", "10.1.2.3"} {
		cfg := outbound.Config{Timeout: 100 * time.Millisecond, Machine: func(a netip.Addr) bool { return a == netip.MustParseAddr(mine) }}
		want := "the address is this machine's; have the operator open it: outcrop serve --allow-private " + mine
		for _, target := range []string{"https://" + mine, "http://" + mine, "https://[::ffff:" + mine + "]", "https://[64:ff9b::" + mine + "]"} {
			if _, err := get(t, client(t, cfg, "10.0.0.0/8", "203.0.0.0/8"), target); !errors.As(err, new(*outbound.Refused)) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", target, err)
			}
		}
	}
	s := serve(t, "127.0.0.1", false, hello)
	all := outbound.Config{Machine: func(netip.Addr) bool { return true }}
	if body, err := get(t, client(t, all, "127.0.0.0/8"), s.URL); body != "hello" {
		t.Errorf("loopback in a range: %v", err)
	}
}

// TestMachineOpened: an address of this machine that is named alone is called.
func TestMachineOpened(t *testing.T) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil || !prefix.Addr().Is4() || !prefix.Addr().IsGlobalUnicast() {
			continue
		}
		s := serve(t, prefix.Addr().String(), false, hello)
		all := outbound.Config{Machine: func(netip.Addr) bool { return true }}
		if body, err := get(t, client(t, all, prefix.Addr().String()), s.URL); body != "hello" {
			t.Errorf("%s: %v", prefix, err)
		}
		if prefix.IsSingleIP() {
			return
		}
		if _, err := get(t, client(t, all, prefix.Masked().String()), s.URL); !errors.As(err, new(*outbound.Refused)) || s.connections.Load() > 1 {
			t.Errorf("%s in its range: %v, connections: %d", prefix, err, s.connections.Load())
		}
		return
	}
	t.Skip("this machine has no address but its loopback")
}

func TestRoots(t *testing.T) {
	s := serve(t, "127.0.0.1", true, hello)
	if _, err := get(t, client(t, outbound.Config{}, "127.0.0.1"), s.URL); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown authority: %v", err)
	}
	if body, err := get(t, client(t, outbound.Config{Roots: trust(s)}, "127.0.0.1"), s.URL); body != "hello" {
		t.Errorf("a trusted one: %v", err)
	}
	if _, err := outbound.RootsWith([]byte("nothing")); err == nil {
		t.Error("nothing was taken for certificates")
	}
}

func trust(servers ...*server) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, s := range servers {
		pool.AddCert(s.Certificate())
	}
	return pool
}

// TestRedirects: within a host they are followed, with what was sent; out of it to
// public addresses alone.
func TestRedirects(t *testing.T) {
	var seen http.Header
	inner := serve(t, "127.0.0.2", true, hello)
	other := serve(t, "127.0.0.1", false, func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header
		hello(w, r)
	})
	var location string
	from := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, location, http.StatusTemporaryRedirect)
	}
	plain, secure := serve(t, "127.0.0.1", false, from), serve(t, "127.0.0.1", true, from)
	c := client(t, outbound.Config{Roots: trust(inner, secure)}, "127.0.0.0/8", "localhost")
	for _, tt := range []struct {
		start, location, want string
	}{
		{plain.URL, other.URL, ""},
		{secure.URL, other.URL, "from https to http"},
		{plain.URL, "http://localhost:" + other.port(), "another host without TLS"},
		{plain.URL, inner.URL, "a loopback address"},
		{plain.URL, "https://169.254.169.254/", "metadata"},
		{plain.URL, "https://10.0.0.1/", "private"},
		{plain.URL, "http://u:p@127.0.0.1:1/", "user name"},
		{plain.URL, "file:///etc/passwd", "no host"},
		{plain.URL, plain.URL, "more than 3 redirects"},
	} {
		location, seen = tt.location, nil
		r, _ := http.NewRequest(http.MethodGet, tt.start, nil)
		r.Header = http.Header{"Authorization": {"Bearer x"}, "X-Api-Key": {"x"}, "Cookie": {"x=y"}, "Accept": {"text/plain"}}
		answer, err := c.Do(r)
		if err == nil {
			answer.Body.Close()
		}
		if (tt.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s to %s: %v, want %q", tt.start, tt.location, err, tt.want)
		}
		for name := range seen {
			if name == "Authorization" || name == "X-Api-Key" || name == "Cookie" {
				t.Errorf("%s to %s: %s was sent on", tt.start, tt.location, name)
			}
		}
		if tt.want == "" && seen.Get("Accept") != "text/plain" {
			t.Errorf("%s to %s: sent %v", tt.start, tt.location, seen)
		}
	}
	if n := inner.connections.Load(); n > 0 {
		t.Errorf("a redirect made %d connections", n)
	}
}

// TestNoRepeat: what has a body is not sent again elsewhere.
func TestNoRepeat(t *testing.T) {
	other := serve(t, "127.0.0.1", false, hello)
	s := serve(t, "127.0.0.1", false, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusPermanentRedirect)
	})
	answer, err := client(t, outbound.Config{}, "127.0.0.1").Post(s.URL, "text/plain", strings.NewReader("client_secret=x"))
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusPermanentRedirect || other.connections.Load() > 0 {
		t.Errorf("status %d, connections there: %d", answer.StatusCode, other.connections.Load())
	}
}

func TestBody(t *testing.T) {
	var size int
	var chunked bool
	s := serve(t, "127.0.0.1", false, func(w http.ResponseWriter, _ *http.Request) {
		if chunked {
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
		}
		io.WriteString(w, strings.Repeat("x", size))
	})
	c := client(t, outbound.Config{MaxBody: 1000}, "127.0.0.1")
	for _, chunked = range []bool{true, false} {
		for size = range 1003 {
			if size > 1 && size < 999 {
				continue
			}
			body, err := get(t, c, s.URL)
			var tooLarge *outbound.TooLarge
			if over := size > 1000; over != errors.As(err, &tooLarge) || !over && len(body) != size || len(body) > 1000 {
				t.Errorf("%d bytes, chunked %t: read %d, %v", size, chunked, len(body), err)
			}
		}
	}
	size = 2 << 20
	if _, err := get(t, client(t, outbound.Config{}, "127.0.0.1"), s.URL); !errors.As(err, new(*outbound.TooLarge)) {
		t.Errorf("2 MiB by default: %v", err)
	}
	if body, err := get(t, client(t, outbound.Config{MaxBody: -1}, "127.0.0.1"), s.URL); len(body) != size {
		t.Errorf("unbounded: %d, %v", len(body), err)
	}
}

// TestSlow: neither a server that says nothing nor one that never ends holds a
// client.
func TestSlow(t *testing.T) {
	held := make(chan struct{})
	s := serve(t, "127.0.0.1", false, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			io.WriteString(w, "a")
			w.(http.Flusher).Flush()
		}
		<-held
	})
	defer close(held)
	c := client(t, outbound.Config{Timeout: 100 * time.Millisecond}, "127.0.0.1")
	for _, path := range []string{"/", "/body"} {
		var timeout net.Error
		if _, err := get(t, c, s.URL+path); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestProxy: the environment's is not used; one that is configured is, but not to
// reach what a URL plainly names.
func TestProxy(t *testing.T) {
	var asked []string
	proxy := serve(t, "127.0.0.1", false, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.String()+r.Host)
		hello(w, r)
	})
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("HTTPS_PROXY", proxy.URL)
	if _, err := get(t, client(t, outbound.Config{Timeout: time.Second}), "http://8.8.8.8/"); err == nil || len(asked) > 0 {
		t.Errorf("the environment's proxy was asked: %q, %v", asked, err)
	}
	at, _ := url.Parse(proxy.URL)
	through := outbound.Config{Proxy: http.ProxyURL(at)}
	for _, target := range []string{"http://127.0.0.1:1", "https://localhost", "https://a.localhost", "https://169.254.169.254", "https://[::1]", "http://idp.example"} {
		if _, err := get(t, client(t, through), target); !errors.As(err, new(*outbound.Refused)) || len(asked) > 0 {
			t.Errorf("%s: %q, %v", target, asked, err)
		}
	}
	if body, err := get(t, client(t, through, "idp.corp.example"), "http://idp.corp.example/x"); body != "hello" || len(asked) != 1 {
		t.Errorf("an opened name: %q, %v", asked, err)
	}
}

// TestVia: connections go elsewhere, names stay; what is elsewhere is judged as if the
// URL had named it, unless the operator has.
func TestVia(t *testing.T) {
	s := serve(t, "127.0.0.1", true, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/away" {
			http.Redirect(w, r, "https://localhost:"+r.URL.RawQuery+"/", http.StatusFound)
			return
		}
		io.WriteString(w, r.Host+" "+r.TLS.ServerName)
	})
	here := &outbound.Via{Host: "127.0.0.1", Port: s.port()}
	opened := &outbound.Via{Host: "127.0.0.1", Port: s.port(), Opened: true}
	roots := trust(s)
	for name, tt := range map[string]struct {
		cfg     outbound.Config
		private []string
		target  string
		want    string // of the body, or of the error
	}{
		"opened by address":     {outbound.Config{Via: here, Roots: roots}, []string{"127.0.0.1"}, "https://example.com/", "example.com example.com"},
		"with a port":           {outbound.Config{Via: &outbound.Via{Host: "127.0.0.1"}, Roots: roots}, []string{"127.0.0.1"}, "https://example.com:" + s.port() + "/", "example.com:" + s.port() + " example.com"},
		"opened by name":        {outbound.Config{Via: &outbound.Via{Host: "localhost", Port: s.port(), Network: "tcp4"}, Roots: roots}, []string{"localhost"}, "https://example.com/", "example.com example.com"},
		"not opened":            {outbound.Config{Via: here, Roots: roots}, nil, "https://example.com/", "the address is a loopback address"},
		"the URL's name opened": {outbound.Config{Via: here, Roots: roots}, []string{"example.com"}, "https://example.com/", "the address is a loopback address"},
		"the operator's":        {outbound.Config{Via: opened, Roots: roots}, nil, "https://example.com/", "example.com example.com"},
		"another certificate":   {outbound.Config{Via: opened, Roots: roots}, nil, "https://tools.example.net/", "certificate is valid for"},
		"metadata":              {outbound.Config{Via: &outbound.Via{Host: "169.254.169.254", Opened: true}}, nil, "https://example.com/", "metadata"},
		"link-local":            {outbound.Config{Via: &outbound.Via{Host: "169.254.1.1", Opened: true}}, nil, "https://example.com/", "link-local"},
		"of another family":     {outbound.Config{Via: &outbound.Via{Host: "127.0.0.1", Port: s.port(), Network: "tcp6"}}, []string{"127.0.0.1"}, "https://example.com/", "no suitable address"},
		"redirected away":       {outbound.Config{Via: &outbound.Via{Host: "127.0.0.1", Port: s.port(), Opened: true}, Roots: roots}, nil, "https://example.com/away?" + s.port(), "the address is a loopback address"},
		"past a proxy":          {outbound.Config{Via: opened, Roots: roots, Proxy: func(*http.Request) (*url.URL, error) { return url.Parse("http://127.0.0.1:1") }}, nil, "https://example.com/", "example.com example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			body, err := get(t, client(t, tt.cfg, tt.private...), tt.target)
			if err != nil && !strings.Contains(err.Error(), tt.want) || err == nil && body != tt.want {
				t.Errorf("%q, %v, want %q", body, err, tt.want)
			}
		})
	}
}

func TestParsePrivate(t *testing.T) {
	p, err := outbound.ParsePrivate([]string{"10.0.0.0/8", "192.168.1.1", "fd00::/8", "Idp.Corp.Example."})
	if err != nil || len(p.Ranges) != 3 || p.Ranges[1] != netip.MustParsePrefix("192.168.1.1/32") || p.Hosts[0] != "idp.corp.example" {
		t.Errorf("%+v, %v", p, err)
	}
	for _, bad := range []string{"169.254.0.0/16", "169.254.1.1", "169.254.169.254", "fe80::/64", "fe80::1", "fd00:ec2::254", "::ffff:169.254.169.254", "", "10.0.0.1/8", "https://a", "a:80", "*.example", "a b", "10.0.0.0/33", "::ffff:10.0.0.0/104"} {
		if _, err := outbound.ParsePrivate([]string{bad}); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
