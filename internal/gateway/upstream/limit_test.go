package upstream

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outcrop/outcrop/internal/gateway/target"
)

// lasting is the way to a server that does what it should, but for one method.
type lasting struct {
	http.Handler
	method string
	kind   string // of an answer whose body is a byte a second; empty is no answer at all
}

// RoundTrip implements http.RoundTripper.
func (l lasting) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if !bytes.Contains(body, []byte(`"`+l.method+`"`)) {
		in, out := httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.String(), bytes.NewReader(body)), httptest.NewRecorder()
		in.Header = r.Header
		l.ServeHTTP(out, in)
		return out.Result(), nil
	}
	if l.kind == "" {
		<-r.Context().Done()
		return nil, context.Cause(r.Context())
	}
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {l.kind}}, Body: drip{r.Context()}, ContentLength: -1, Request: r}, nil
}

// drip is a body without end, a byte a second.
type drip struct{ ctx context.Context }

func (d drip) Read(p []byte) (int, error) {
	select {
	case <-time.After(time.Second):
		p[0] = 'x'
		return 1, nil
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	}
}

func (drip) Close() error { return nil }

// TestLimitsOfTime: what never ends, ends when the limits say so, to the second.
func TestLimitsOfTime(t *testing.T) {
	for name, c := range map[string]struct {
		method, kind string
		want         time.Duration
	}{
		"no answer":     {"tools/call", "", 15 * time.Minute},
		"slow answer":   {"tools/call", "application/json", 15 * time.Minute},
		"slow event":    {"tools/call", "text/event-stream", 15 * time.Minute},
		"slow refusal":  {"tools/call", "text/html", 0},
		"no greeting":   {"initialize", "", 20 * time.Second},
		"slow greeting": {"initialize", "text/event-stream", 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := unopened(t, Config{Client: func(target.Source) (*http.Client, error) {
					return &http.Client{Transport: lasting{&script{t: t}, c.method, c.kind}}, nil
				}}, source("http://server.test/mcp"))
				begun := time.Now()
				_, err := s.Call(t.Context(), target.Call{Tool: "echo"})
				want := typeTimeout
				if c.want == 0 {
					want = typeMalformed
				}
				if took := time.Since(begun); took != c.want || kindOf(err) != want {
					t.Errorf("after %v: %v, want %s after %v", took, err, want, c.want)
				}
			})
		})
	}
}
