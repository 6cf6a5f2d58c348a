package upstream

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/outcrop/outcrop/internal/gateway/target"
)

// TestNoCallIsLost sends many calls at once, and holds that each arrives once.
func TestNoCallIsLost(t *testing.T) {
	const calls, at = 10_000, 32
	for name, stream := range map[string]bool{"JSON": false, "stream": true} {
		t.Run(name, func(t *testing.T) {
			var arrived atomic.Int64
			s := unopened(t, Config{}, source(quick(t, stream, &arrived)))
			var wg sync.WaitGroup
			var next atomic.Int64
			for range at {
				wg.Go(func() {
					for next.Add(1) <= calls {
						if _, err := s.Call(t.Context(), target.Call{Tool: "echo", Arguments: json.RawMessage(`{"a":1}`)}); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			if n := arrived.Load(); n != calls {
				t.Errorf("%d requests for %d calls", n, calls)
			}
		})
	}
}

// quick is a server that answers with 1 KiB at once. It counts calls.
func quick(t testing.TB, stream bool, arrived *atomic.Int64) string {
	result := `{"content":[{"type":"text","text":"` + strings.Repeat("x", 1<<10) + `"}]}`
	return serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		m := envelope{ID: []byte("0")}
		if at := bytes.Index(raw, []byte(`"id":`)); at >= 0 {
			m.ID = raw[at+5 : at+5+bytes.IndexByte(raw[at+5:], ',')]
		}
		switch {
		case bytes.Contains(raw, []byte(`"tools/call"`)):
			arrived.Add(1)
			if stream {
				w.Header().Set("Content-Type", "text/event-stream")
				_, _ = io.WriteString(w, "event: message\ndata: "+`{"jsonrpc":"2.0","id":`+string(m.ID)+`,"result":`+result+"}\n\n")
				return
			}
			reply(w, m, result)
		case bytes.Contains(raw, []byte(`"initialize"`)):
			reply(w, m, `{"protocolVersion":"2025-11-25","capabilities":{"tools":{}}}`)
		case bytes.Contains(raw, []byte(`"server/discover"`)):
			w.WriteHeader(http.StatusBadRequest)
		default:
			w.WriteHeader(http.StatusAccepted)
		}
	})).URL
}

// BenchmarkCall compares a call with the same request by an HTTP client alone, and with
// one through a reverse proxy that reads the body first (DESIGN.md 10). The proxy's figure
// has the client's request to it within, as a gateway's has its caller's.
func BenchmarkCall(b *testing.B) {
	var arrived atomic.Int64
	arguments := json.RawMessage(`{"text":"` + strings.Repeat("y", 256) + `"}`)
	for name, stream := range map[string]bool{"json": false, "stream": true} {
		addr := quick(b, stream, &arrived)
		b.Run(name+"/call", func(b *testing.B) {
			s := unopened(b, Config{}, source(addr))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Call(b.Context(), target.Call{Tool: "echo", Version: legacy, Arguments: arguments}); err != nil {
					b.Fatal(err)
				}
			}
		})
		body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":` + string(arguments) + `}}`
		b.Run(name+"/client", func(b *testing.B) { post(b, addr, body) })
		b.Run(name+"/proxy", func(b *testing.B) {
			to, err := url.Parse(addr)
			if err != nil {
				b.Fatal(err)
			}
			proxy := httputil.NewSingleHostReverseProxy(to)
			front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				raw, err := io.ReadAll(r.Body)
				if err != nil {
					return
				}
				r.Body = io.NopCloser(bytes.NewReader(raw))
				proxy.ServeHTTP(w, r)
			}))
			defer front.Close()
			defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
			post(b, front.URL, body)
		})
	}
}

func post(b *testing.B, addr, body string) {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	b.ReportAllocs()
	for b.Loop() {
		a, err := client.Post(addr, "application/json", strings.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadAll(a.Body); err != nil {
			b.Fatal(err)
		}
		a.Body.Close()
	}
}

// BenchmarkOfficialServer is a call of the SDK's server, both in one process.
func BenchmarkOfficialServer(b *testing.B) {
	for _, m := range sdkModes() {
		b.Run(m.name, func(b *testing.B) {
			addr, _ := sdkServer(b, m.versions, mcp.StreamableHTTPOptions{Stateless: m.opts.Stateless, JSONResponse: m.opts.JSONResponse})
			s := unopened(b, Config{}, source(addr))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Call(b.Context(), target.Call{Tool: "echo1", Arguments: json.RawMessage(`{"text":"x"}`)}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkMessages(b *testing.B) {
	raw := []byte(`{"jsonrpc":"2.0","id":12,"result":{"content":[{"type":"text","text":"` + strings.Repeat("x", 1<<10) + `"}]}}`)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		list, err := messages(raw)
		if err != nil {
			b.Fatal(err)
		}
		for _, err := range list {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}
