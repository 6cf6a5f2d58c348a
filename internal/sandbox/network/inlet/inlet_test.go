package inlet_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/outcrop/outcrop/internal/sandbox/network/inlet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	server = netip.MustParseAddrPort("192.0.0.1:8642")
	guest  = netip.MustParseAddrPort("192.0.0.2:40000")
)

// TestServe: an http.Server answers on it, many connections at once, and knows
// the guest by its address.
func TestServe(t *testing.T) {
	l := inlet.New(server)
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		_, _ = io.WriteString(w, r.RemoteAddr+" "+local.String()+" "+r.Host)
	})}
	served := make(chan error)
	go func() { served <- s.Serve(l) }()
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return l.Connect(ctx, guest)
	}}}
	answers := make(chan string)
	for range 20 {
		go func() {
			r, err := http.NewRequestWithContext(t.Context(), "GET", "http://192.0.0.1:8642/", nil)
			if err != nil {
				answers <- err.Error()
				return
			}
			resp, err := client.Do(r)
			if err != nil {
				answers <- err.Error()
				return
			}
			b, err := io.ReadAll(resp.Body)
			answers <- string(b)
			if err := errors.Join(err, resp.Body.Close()); err != nil {
				t.Error(err)
			}
		}()
	}
	for range 20 {
		if got := <-answers; got != "192.0.0.2:40000 192.0.0.1:8642 192.0.0.1:8642" {
			t.Error(got)
		}
	}
	client.CloseIdleConnections()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
	if _, err := l.Connect(t.Context(), guest); !errors.Is(err, net.ErrClosed) {
		t.Errorf("connected after the end: %v", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accepted after the end: %v", err)
	}
}

// TestNobodyAccepts: an attempt ends with its context and leaves nothing.
func TestNobodyAccepts(t *testing.T) {
	l := inlet.New(server)
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Connect(ctx, guest); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestDescriptor: the guest's end can be given to another process, and ends
// halfway when one side has said all.
func TestDescriptor(t *testing.T) {
	l := inlet.New(server)
	defer l.Close()
	accepted := make(chan net.Conn)
	go func() {
		c, err := l.Accept()
		if err != nil {
			t.Error(err)
		}
		accepted <- c
	}()
	theirs, err := l.Connect(t.Context(), guest)
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	ours := <-accepted
	defer ours.Close()
	if _, ok := theirs.(syscall.Conn); !ok {
		t.Error("it has no descriptor")
	}
	half, ok := theirs.(interface{ CloseWrite() error })
	if !ok {
		t.Fatal("it cannot be closed in one direction")
	}
	if _, err := io.WriteString(theirs, "all"); err != nil {
		t.Fatal(err)
	}
	if err := half.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(ours); string(b) != "all" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := io.WriteString(ours, "answer"); err != nil {
		t.Fatal(err)
	}
	ours.Close()
	if b, err := io.ReadAll(theirs); string(b) != "answer" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
}
