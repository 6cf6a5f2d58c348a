package gate_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/outcrop/outcrop/internal/gate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs a server behind a gate. A request to /known is by somebody known.
func serve(t *testing.T, cfg gate.Config) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := gate.New(cfg)
	s := &http.Server{
		Handler: gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/known" {
				gate.Known(r.Context())
			}
			_, _ = io.WriteString(w, "served")
		})),
		ConnContext: gate.Context, ReadHeaderTimeout: 10 * time.Second,
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(g.Listen(l)) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// caller is a connection.
type caller struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

func dial(t *testing.T, address string) *caller {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // it may be closed
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &caller{c, t, bufio.NewReader(c)}
}

func (c *caller) get(path string) error {
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path); err != nil {
		return err
	}
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return err
	}
	b, err := io.ReadAll(resp.Body)
	if err == nil && string(b) != "served" {
		err = fmt.Errorf("answer %q", b)
	}
	return err
}

// gone wants the server to have closed it.
func (c *caller) gone() {
	c.t.Helper()
	if b, err := c.r.ReadByte(); err == nil {
		c.t.Errorf("a connection that was to be closed has %q", b)
	} else if e := net.Error(nil); errors.As(err, &e) && e.Timeout() {
		c.t.Error("a connection that was to be closed is open")
	}
}

func TestTheLongestSilentGoes(t *testing.T) {
	shut := make(chan int64, 10)
	address := serve(t, gate.Config{Strangers: 3, Patience: time.Millisecond, Shut: func(_ net.Addr, total int64) { shut <- total }})
	known := dial(t, address)
	if err := known.get("/known"); err != nil {
		t.Fatal(err)
	}
	first := dial(t, address)
	if err := first.get("/"); err != nil { // served, and still a stranger
		t.Fatal(err)
	}
	var silent []*caller
	for range 3 {
		silent = append(silent, dial(t, address))
	}
	first.gone()
	if n := <-shut; n != 1 {
		t.Errorf("shut out %d", n)
	}
	late := dial(t, address)
	silent[0].gone()
	for _, c := range []*caller{late, silent[1], silent[2], known} {
		if err := c.get("/"); err != nil {
			t.Error(err)
		}
	}
}

// TestOtherKinds: what is no TCP goes through the gate like it, as what agents open
// does.
func TestOtherKinds(t *testing.T) {
	l, err := net.Listen("unix", t.TempDir()+"/socket")
	if err != nil {
		t.Fatal(err)
	}
	g := gate.New(gate.Config{Strangers: 2, Patience: time.Millisecond})
	s := &http.Server{Handler: gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		gate.Known(r.Context())
		_, _ = io.WriteString(w, "served")
	})), ConnContext: gate.Context, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(g.Listen(l)) }()
	defer func() {
		_ = s.Close()
		<-ended
	}()
	open := func() *caller {
		c, err := net.Dial("unix", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() }) // it may be closed
		return &caller{c, t, bufio.NewReader(c)}
	}
	known := open()
	if err := known.get("/"); err != nil {
		t.Fatal(err)
	}
	first := open()
	for range 2 {
		open()
	}
	first.gone()
	if err := known.get("/"); err != nil {
		t.Error(err)
	}
}

// TestFlood: while strangers hold four times as many connections as there is room
// for, each with a header that does not end, and open another for each that is
// closed, who has something to say is served.
func TestFlood(t *testing.T) {
	// Who calls has sent all of it long before that, on a busy machine too.
	address := serve(t, gate.Config{Strangers: 50, Patience: 500 * time.Millisecond})
	var mu sync.Mutex
	open, over := map[net.Conn]bool{}, false
	var flood sync.WaitGroup
	for range 200 {
		flood.Go(func() {
			for {
				c, err := net.Dial("tcp", address)
				if err != nil {
					return
				}
				mu.Lock()
				open[c] = true
				end := over
				mu.Unlock()
				if !end {
					_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nX-Slow: ") // and no more
					_, _ = io.Copy(io.Discard, c)                          // until it is closed
				}
				_ = c.Close()
				mu.Lock()
				delete(open, c)
				end = over
				mu.Unlock()
				if end {
					return
				}
			}
		})
	}
	var longest time.Duration
	for range 4 {
		begun := time.Now()
		c := dial(t, address)
		if err := c.get("/"); err != nil {
			t.Error(err)
		}
		_ = c.Close()
		longest = max(longest, time.Since(begun))
	}
	t.Logf("the slowest of 4 calls took %v", longest)
	mu.Lock()
	over = true
	for c := range open {
		_ = c.Close()
	}
	mu.Unlock()
	flood.Wait()
}

// TestCrowd: many clients that connect at once are no flood, and nobody is lost.
func TestCrowd(t *testing.T) {
	address := serve(t, gate.Config{Strangers: 8, Patience: 10 * time.Second, Shut: func(net.Addr, int64) { t.Error("a client was shut out") }})
	var crowd sync.WaitGroup
	for range 200 {
		crowd.Go(func() {
			c, err := net.Dial("tcp", address)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			one := &caller{c, t, bufio.NewReader(c)}
			if err := one.get("/known"); err != nil {
				t.Error(err)
			}
		})
	}
	crowd.Wait()
}
