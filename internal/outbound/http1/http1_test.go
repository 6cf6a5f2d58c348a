package http1_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/outcrop/outcrop/internal/outbound/http1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open makes a transport that counts what it dials, and one of net/http behind it that
// counts what it is left.
func open(t testing.TB) (direct *http1.Transport, dialled, left *atomic.Int64) {
	dialled, left = new(atomic.Int64), new(atomic.Int64)
	next := &http.Transport{MaxResponseHeaderBytes: 4 << 10, DisableCompression: true}
	direct = http1.New(http1.Config{
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			dialled.Add(1)
			return new(net.Dialer).DialContext(ctx, network, address)
		},
		Next: counted{next, left}, MaxIdle: 8, IdleTimeout: time.Minute, MaxHeader: 4 << 10,
	})
	t.Cleanup(func() {
		direct.CloseIdleConnections()
		next.CloseIdleConnections()
	})
	return direct, dialled, left
}

type counted struct {
	http.RoundTripper
	n *atomic.Int64
}

func (c counted) RoundTrip(r *http.Request) (*http.Response, error) {
	c.n.Add(1)
	return c.RoundTripper.RoundTrip(r)
}

func request(t testing.TB, method, url, body string) *http.Request {
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// say sends a request and returns the status and the body.
func say(t testing.TB, rt http.RoundTripper, r *http.Request) (int, string, error) {
	a, err := rt.RoundTrip(r)
	if err != nil {
		return 0, "", err
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	return a.StatusCode, string(b), err
}

// TestKept: requests one after another share a connection, and what is sent is what
// net/http's own transport sends.
func TestKept(t *testing.T) {
	var seen []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		head := new(bytes.Buffer)
		if err := r.Header.Write(head); err != nil {
			t.Error(err)
		}
		seen = append(seen, r.Method+" "+r.Host+" "+r.RequestURI+" "+string(b)+"\n"+head.String())
		switch r.URL.Path {
		case "/chunked":
			_, _ = io.WriteString(w, "a")
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, "b")
		case "/none":
			w.WriteHeader(http.StatusNoContent)
		default:
			_, _ = io.WriteString(w, "answer")
		}
	}))
	defer s.Close()
	direct, dialled, left := open(t)
	plain := &http.Transport{DisableCompression: true}
	defer plain.CloseIdleConnections()
	for _, rt := range []http.RoundTripper{plain, direct} {
		for _, c := range []struct{ method, path, body, want string }{
			{"POST", "/x?q=1%2F", "hello", "answer"}, {"GET", "/chunked", "", "ab"}, {"DELETE", "/none", "", ""}, {"HEAD", "/", "", ""}, {"POST", "/", strings.Repeat("x", 20<<10), "answer"},
		} {
			r := request(t, c.method, s.URL+c.path, c.body)
			r.Header["X-One"] = []string{"1", "2"}
			if _, got, err := say(t, rt, r); got != c.want || err != nil {
				t.Errorf("%s %s: %q, %v", c.method, c.path, got, err)
			}
		}
	}
	half := len(seen) / 2
	for i := range half {
		if seen[i] != seen[half+i] {
			t.Errorf("net/http sends %s, and this %s", seen[i], seen[half+i])
		}
	}
	if dialled.Load() != 1 || left.Load() != 0 {
		t.Errorf("%d connections, %d requests left to the next", dialled.Load(), left.Load())
	}
}

// TestLeft: what is not for this transport goes to the next, as it is.
func TestLeft(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	defer s.Close()
	direct, dialled, left := open(t)
	for name, change := range map[string]func(*http.Request){
		"large": func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(strings.Repeat("x", 65<<10))), 65<<10
		},
		"unknown length":   func(r *http.Request) { r.ContentLength = -1 },
		"still sent":       func(r *http.Request) { r.GetBody = nil },
		"upgrade":          func(r *http.Request) { r.Header.Set("Connection", "upgrade") },
		"a bad value":      func(r *http.Request) { r.Header.Set("X-Bad", "a\nb") },
		"a bad name":       func(r *http.Request) { r.Header["a b"] = []string{"x"} },
		"another method":   func(r *http.Request) { r.Method = "A B" },
		"to be closed":     func(r *http.Request) { r.Close = true },
		"with a trailer":   func(r *http.Request) { r.Trailer = http.Header{"X": nil} },
		"another scheme":   func(r *http.Request) { r.URL.Scheme = "https" },
		"a spelt-out name": func(r *http.Request) { r.URL.Host = "bücher.invalid" },
	} {
		before := left.Load()
		r := request(t, "POST", s.URL, "hello")
		change(r)
		_, _, _ = say(t, direct, r)
		if left.Load() != before+1 || dialled.Load() != 0 {
			t.Errorf("%s: it is taken", name)
		}
	}
}

// script is a server that answers each request of a connection with the next of its
// texts, and then closes the connection.
func script(t testing.TB, answers ...string) (url string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				in := bufio.NewReader(c)
				for _, text := range answers {
					r, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, r.Body)
					_, _ = io.WriteString(c, text)
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		all.Wait()
	})
	return "http://" + l.Addr().String()
}

// TestAnswers holds what is made of answers, good and bad, against net/http's transport.
func TestAnswers(t *testing.T) {
	for name, text := range map[string]string{
		"whole":             "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"chunked":           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
		"until it ends":     "HTTP/1.1 200 OK\r\n\r\nok",
		"1.0":               "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"to be closed":      "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
		"interim":           "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"interim for ever":  strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 20),
		"no content":        "HTTP/1.1 204 No Content\r\n\r\n",
		"more than it says": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n",
		"cut off":           "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
		"a cut chunk":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok",
		"a cut head":        "HTTP/1.1 200 OK\r\nContent-",
		"nothing":           "",
		"another protocol":  "SSH-2.0-x\r\n",
		"a long head":       "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 8<<10) + "\r\n\r\nok",
		"two lengths":       "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
	} {
		t.Run(name, func(t *testing.T) { compare(t, text) })
	}
}

// compare asks a server that answers with a text, by this transport and by net/http's.
func compare(t *testing.T, text string) {
	url := script(t, text)
	direct, _, left := open(t)
	plain := &http.Transport{MaxResponseHeaderBytes: 4 << 10, DisableCompression: true}
	defer plain.CloseIdleConnections()
	status, body, err := say(t, direct, request(t, "POST", url, "hello"))
	wantStatus, wantBody, wantErr := say(t, plain, request(t, "POST", url, "hello"))
	if status != wantStatus || body != wantBody || (err == nil) != (wantErr == nil) {
		t.Errorf("%d %q %v, and by net/http %d %q %v", status, body, err, wantStatus, wantBody, wantErr)
	}
	if left.Load() != 0 {
		t.Error("it is left to the next")
	}
}

// FuzzAnswers holds that nothing a server says is taken for more than net/http takes it.
func FuzzAnswers(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n")
	f.Add("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.0 404 No\r\n\r\nx")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, " 101") || len(text) > 4<<10 {
			return // net/http hands the connection over, and nobody here has asked for that
		}
		compare(t, text)
	})
}

// TestSwitch: nobody asks for another protocol here.
func TestSwitch(t *testing.T) {
	direct, _, _ := open(t)
	if _, _, err := say(t, direct, request(t, "GET", script(t, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"), "")); err == nil || !strings.Contains(err.Error(), "malformed HTTP") {
		t.Error(err)
	}
}

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// TestClosedMeanwhile: a kept connection that its server has closed, or written to, is
// not used, and no request is lost by it.
func TestClosedMeanwhile(t *testing.T) {
	for name, tt := range map[string]struct {
		answers []string
		want    int64
	}{
		"used again": {[]string{ok, ok, ok, ok, ok}, 1},
		"closed":     {[]string{ok}, 5},
		"written to": {[]string{ok + ok, ok, ok, ok, ok}, 5},
	} {
		t.Run(name, func(t *testing.T) {
			url := script(t, tt.answers...)
			direct, dialled, _ := open(t)
			for range 5 {
				a, err := direct.RoundTrip(request(t, "POST", url, "hello"))
				if err != nil {
					t.Fatal(err)
				}
				if got, err := io.ReadAll(a.Body); string(got) != "ok" || err != nil {
					t.Errorf("%q, %v", got, err)
				}
				if tt.want > 1 {
					direct.AwaitNoise()
				}
			}
			if n := dialled.Load(); n != tt.want {
				t.Errorf("%d connections", n)
			}
		})
	}
}

// TestEnded: whoever no longer waits takes the connection along, wherever the answer is.
func TestEnded(t *testing.T) {
	for name, before := range map[string]string{"head": "", "body": "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			gone := make(chan error, 1)
			ctx, cancel := context.WithCancelCause(t.Context())
			go func() {
				c, err := l.Accept()
				if err != nil {
					gone <- err
					return
				}
				defer c.Close()
				in := bufio.NewReader(c)
				if _, err := http.ReadRequest(in); err != nil {
					gone <- err
					return
				}
				_, _ = io.WriteString(c, before)
				if before == "" {
					cancel(errors.New("enough"))
				}
				_, err = in.ReadByte()
				gone <- err
			}()
			direct, _, _ := open(t)
			a, err := direct.RoundTrip(request(t, "GET", "http://"+l.Addr().String(), "").WithContext(ctx))
			if err == nil {
				if _, err = io.ReadFull(a.Body, make([]byte, 4)); err != nil {
					t.Error(err)
				}
				cancel(errors.New("enough"))
				_, err = io.ReadAll(a.Body)
				a.Body.Close()
			}
			if err == nil || err.Error() != "enough" {
				t.Errorf("%v", err)
			}
			if err := <-gone; err != io.EOF && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
				t.Errorf("the server meets %v", err)
			}
		})
	}
}

// TestClosedWhileRead: closing a body ends another goroutine's Read.
func TestClosedWhileRead(t *testing.T) {
	hold := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		<-hold
	}))
	defer s.Close()
	defer close(hold)
	direct, _, _ := open(t)
	a, err := direct.RoundTrip(request(t, "GET", s.URL, ""))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() {
		_, err := io.ReadAll(a.Body)
		ended <- err
	}()
	a.Body.Close()
	if err := <-ended; err == nil {
		t.Error("what was cut off was taken for the whole")
	}
}

// TestManyAtOnce: no answer goes to another's request.
func TestManyAtOnce(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(b)
	}))
	defer s.Close()
	direct, dialled, _ := open(t)
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			for j := range 200 {
				want := strings.Repeat(string(rune('a'+i)), 1+j*7)
				if _, got, err := say(t, direct, request(t, "POST", s.URL, want)); got != want || err != nil {
					t.Errorf("%q, %v", got, err)
					return
				}
			}
		})
	}
	all.Wait()
	t.Logf("%d connections for 3200 requests", dialled.Load())
}

// BenchmarkRoundTrip is a small message there and back, beside net/http's transport. Both
// have the server's part within.
func BenchmarkRoundTrip(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{}}`)
	}))
	defer s.Close()
	direct, _, _ := open(b)
	plain := &http.Transport{DisableCompression: true}
	defer plain.CloseIdleConnections()
	for name, rt := range map[string]http.RoundTripper{"direct": direct, "net/http": plain} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := say(b, rt, request(b, "POST", s.URL, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}}`)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
