package sigv4_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/auth/sigv4"
	"github.com/outcrop/outcrop/internal/fault"
)

// stalled is a body of which the rest never comes, until it is let go.
type stalled struct {
	first   io.Reader
	reached chan struct{} // closed when the first part was read
	release chan struct{}
	rest    io.Reader
}

func newStalled(body string, n int) *stalled {
	return &stalled{
		first: strings.NewReader(body[:n]), rest: strings.NewReader(body[n:]),
		reached: make(chan struct{}), release: make(chan struct{}),
	}
}

func (s *stalled) Read(p []byte) (int, error) {
	if n, err := s.first.Read(p); err == nil {
		return n, nil
	}
	select {
	case <-s.reached:
	default:
		close(s.reached)
	}
	<-s.release
	return s.rest.Read(p)
}

func (*stalled) Close() error { return nil }

// TestUnprovenIsBounded has callers who send half a body and wait: what they
// hold is bounded for their key and for all, in memory and on disk, it stops
// nobody who is proven by his headers, and it is given back.
func TestUnprovenIsBounded(t *testing.T) {
	const half = 3 << 20
	for name, c := range map[string]struct {
		bound sigv4.Unproven
		other bool // another key has room left
		size  int
	}{
		"disk of a key":    {bound: sigv4.Unproven{KeyMemory: 1 << 30, Memory: 1 << 30, KeyDisk: 2*half + half/2, Disk: 1 << 30}, other: true, size: 2 * half},
		"disk of all":      {bound: sigv4.Unproven{KeyMemory: 1 << 30, Memory: 1 << 30, KeyDisk: 1 << 30, Disk: 2*half + half/2}, size: 2 * half},
		"memory of a key":  {bound: sigv4.Unproven{KeyMemory: 1300 << 10, Memory: 1 << 30, KeyDisk: 1 << 30, Disk: 1 << 30}, other: true, size: 1 << 20},
		"memory of all":    {bound: sigv4.Unproven{KeyMemory: 1 << 30, Memory: 1300 << 10, KeyDisk: 1 << 30, Disk: 1 << 30}, size: 1 << 20},
		"announced memory": {bound: sigv4.Unproven{KeyMemory: 100 << 10, Memory: 1 << 30, KeyDisk: 1 << 30, Disk: 1 << 30}, other: true, size: 60 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			v := sigv4.New(sigv4.Config{Keys: keys{}, Now: signTime, SpoolDir: t.TempDir(), Unproven: c.bound})
			body := strings.Repeat("x", c.size)
			verify := func(id, hash string, rd io.ReadCloser) error {
				call := post()
				call.keyID, call.hash, call.body = id, hash, body
				r := signed(t, call)
				if rd != nil {
					r.Body = rd
				}
				claim, err := sigv4.Parse(r)
				if err != nil {
					t.Fatal(err)
				}
				who, err := v.Verify(t.Context(), r, claim, sigv4.Expect{})
				if err == nil {
					defer who.Close()
					_, err = who.Body()
				}
				return err
			}
			slow := newStalled(body, c.size/2)
			done := make(chan error)
			go func() { done <- verify(keyID, "", slow) }()
			<-slow.reached

			if f := fault.From(verify(keyID, "", nil)); f.Code != "ThrottlingException" || f.Status != http.StatusTooManyRequests {
				t.Errorf("beyond the bound the answer is %v", f)
			}
			// Of another key it is the signature that is wrong: it was looked at.
			want := "ThrottlingException"
			if c.other {
				want = "InvalidSignatureException"
			}
			if err := verify(otherID, "", nil); !fault.Is(err, want) {
				t.Errorf("another key is told %v, want %s", err, want)
			}
			if err := verify(keyID, "sum", nil); err != nil {
				t.Errorf("a caller who is proven is told %v", err)
			}
			close(slow.release)
			if err := <-done; err != nil {
				t.Errorf("the slow one is told %v", err)
			}
			if err := verify(keyID, "", nil); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// TestStrangers have one place together.
func TestStrangers(t *testing.T) {
	v := sigv4.New(sigv4.Config{Keys: keys{}, Unproven: sigv4.Unproven{KeyMemory: 100, Memory: 1000, KeyDisk: 1, Disk: 1}})
	body := func(n int) io.ReadCloser {
		return v.Stranger(sigv4.Query, io.NopCloser(bytes.NewReader(make([]byte, n))))
	}
	first := body(60)
	if _, err := io.ReadAll(first); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(body(41)); !fault.Is(err, "Throttling") {
		t.Errorf("the second is told %v", err)
	}
	for range 2 {
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.ReadAll(body(100)); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
