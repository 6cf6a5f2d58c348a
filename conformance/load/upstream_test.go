package load

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/outcrop/outcrop/conformance/server"
)

// ledger counts what arrives, by number.
type ledger struct {
	next    atomic.Int64
	arrived []atomic.Uint32
}

func newLedger(most int) *ledger { return &ledger{arrived: make([]atomic.Uint32, most+1)} }

func (l *ledger) arrive(n int) {
	if n > 0 && n < len(l.arrived) {
		l.arrived[n].Add(1)
		return
	}
	l.arrived[0].Add(1) // nobody sent that
}

// exact wants each number that was sent to have arrived once, and no other.
func (l *ledger) exact(t *testing.T, what string) {
	t.Helper()
	sent, wrong := int(l.next.Load()), 0
	for n := range l.arrived {
		want := uint32(1)
		if n == 0 || n > sent {
			want = 0
		}
		if got := l.arrived[n].Load(); got != want && wrong < 10 {
			wrong++
			t.Errorf("%s: number %d of %d arrived %d times, want %d", what, n, sent, got, want)
		}
	}
	t.Logf("figure: %d %s arrived, each once", sent, what)
}

// upstream is what the gateway calls: an MCP server of the protocol's own SDK, without
// sessions at /mcp and with them at /kept, an HTTP API at /items/N, and the issuer of the
// callers' tokens.
type upstream struct {
	*httptest.Server
	issuer *server.Issuer
	kept   *mcp.Server

	calls, items *ledger
	posts        atomic.Int64 // requests that call the tool number
	other        atomic.Int64 // that are neither calls nor said about those that hang up
	// stuck has a channel for each call of the tool stuck, by its number, which is closed
	// when the call arrives; left counts those that ended.
	stuck              sync.Map
	tried, begun, left atomic.Int64
}

func newUpstream(t *testing.T, most int) *upstream {
	t.Helper()
	u := &upstream{calls: newLedger(most), items: newLedger(most)}
	mux := http.NewServeMux()
	u.Server = httptest.NewServer(mux)
	t.Cleanup(u.Close)
	var err error
	if u.issuer, err = server.NewIssuer(u.URL); err != nil {
		t.Fatal(err)
	}
	mux.Handle("/", u.issuer)
	u.kept = u.tools()
	once := u.tools()
	mux.Handle("/mcp", u.count(mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return once }, &mcp.StreamableHTTPOptions{Stateless: true, JSONResponse: true})))
	mux.Handle("/kept", mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return u.kept }, nil))
	mux.HandleFunc("GET /items/{number}", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.PathValue("number")) // 0 is counted as such
		u.items.arrive(n)
		fmt.Fprintf(w, "item %d", n)
	})
	return u
}

type number struct {
	Number int `json:"number"`
}

// numberIn is the argument of a call.
func numberIn(body []byte) int64 {
	var call struct {
		Params struct{ Arguments struct{ Number int64 } }
	}
	_ = json.Unmarshal(body, &call) // 0 is nobody's
	return call.Params.Arguments.Number
}

func (u *upstream) tools() *mcp.Server {
	s := mcp.NewServer(&mcp.Implementation{Name: "upstream", Version: "1"}, nil)
	said := func(text string) *mcp.CallToolResult {
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}
	}
	mcp.AddTool(s, &mcp.Tool{Name: "number", Description: "Counts a number"}, func(_ context.Context, _ *mcp.CallToolRequest, in number) (*mcp.CallToolResult, any, error) {
		u.calls.arrive(in.Number)
		return said(fmt.Sprintf("number %d", in.Number)), nil, nil
	})
	mcp.AddTool(s, &mcp.Tool{Name: "hello", Description: "Greets"}, func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, any, error) {
		return said("hello"), nil, nil
	})
	mcp.AddTool(s, &mcp.Tool{Name: "stuck", Description: "Never answers"}, func(context.Context, *mcp.CallToolRequest, number) (*mcp.CallToolResult, any, error) {
		return said("it was to be stuck"), nil, nil // count keeps calls of it
	})
	return s
}

// count counts requests, and keeps those that get stuck until their connections end.
func (u *upstream) count(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		switch {
		case bytes.Contains(body, []byte(`"name":"number"`)):
			u.posts.Add(1)
		case bytes.Contains(body, []byte(`"name":"stuck"`)):
			u.begun.Add(1)
			if arrived, ok := u.stuck.LoadAndDelete(numberIn(body)); ok {
				close(arrived.(chan struct{}))
			}
			<-r.Context().Done()
			u.left.Add(1)
			return
		case r.Method == http.MethodPost && !bytes.Contains(body, []byte("notifications/cancelled")):
			u.other.Add(1)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		h.ServeHTTP(w, r)
	})
}

// document describes the HTTP API.
func (u *upstream) document() string {
	return `{"openapi":"3.1.0","info":{"title":"items","version":"1"},"servers":[{"url":"` + u.URL + `"}],"paths":{"/items/{number}":{"get":{"operationId":"item",
	"parameters":[{"name":"number","in":"path","required":true,"schema":{"type":"integer"}}],"responses":{"200":{"description":"it"}}}}}}`
}

// sessions are how many the server with sessions keeps.
func (u *upstream) sessions() (n int) {
	for range u.kept.Sessions() {
		n++
	}
	return n
}
