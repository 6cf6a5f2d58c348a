package upstream

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/outcrop/outcrop/internal/gateway/target"
)

// client is a caller for a test.
type client struct {
	mu    sync.Mutex
	told  []string
	asked []string
	reply func(method string, params json.RawMessage) (json.RawMessage, error)
}

func (c *client) Notify(method string, params json.RawMessage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told = append(c.told, method+" "+string(params))
}

func (c *client) Ask(_ context.Context, method string, params json.RawMessage) (json.RawMessage, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, method)
	return c.reply(method, params)
}

// sdkServer is a server of the official SDK.
func sdkServer(t testing.TB, versions []string, opts mcp.StreamableHTTPOptions) (url string, posts *atomic.Int64) {
	t.Helper()
	s := mcp.NewServer(&mcp.Implementation{Name: "sdk", Version: "1"}, &mcp.ServerOptions{SupportedProtocolVersions: versions, PageSize: 2})
	type args struct {
		Text string `json:"text"`
	}
	for i := range 5 {
		mcp.AddTool(s, &mcp.Tool{Name: fmt.Sprintf("echo%d", i)}, func(ctx context.Context, r *mcp.CallToolRequest, in args) (*mcp.CallToolResult, any, error) {
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: in.Text}}}, nil, nil
		})
	}
	mcp.AddTool(s, &mcp.Tool{Name: "slow"}, func(ctx context.Context, r *mcp.CallToolRequest, in args) (*mcp.CallToolResult, any, error) {
		if token := r.Params.GetProgressToken(); token != nil {
			for i := range 3 {
				if err := r.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: token, Progress: float64(i)}); err != nil {
					return nil, nil, err
				}
			}
		}
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "done"}}}, nil, nil
	})
	mcp.AddTool(s, &mcp.Tool{Name: "ask"}, func(ctx context.Context, r *mcp.CallToolRequest, in args) (*mcp.CallToolResult, any, error) {
		if a, ok := r.Params.InputResponses["who"]; ok {
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: fmt.Sprint("hello ", a.(*mcp.ElicitResult).Content["name"], " ", r.Params.RequestState)}}}, nil, nil
		}
		return &mcp.CallToolResult{RequestState: "state-1", InputRequests: mcp.InputRequestMap{"who": &mcp.ElicitParams{Message: "who?", RequestedSchema: json.RawMessage(`{"type":"object","properties":{"name":{"type":"string"}}}`)}}}, nil, nil
	})
	s.AddPrompt(&mcp.Prompt{Name: "greet"}, func(ctx context.Context, r *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		return &mcp.GetPromptResult{Messages: []*mcp.PromptMessage{{Role: "user", Content: &mcp.TextContent{Text: "hello " + r.Params.Arguments["name"]}}}}, nil
	})
	s.AddResource(&mcp.Resource{Name: "r", URI: "test://r"}, func(ctx context.Context, r *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
		return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: r.Params.URI, Text: "content"}}}, nil
	})
	s.AddResourceTemplate(&mcp.ResourceTemplate{Name: "t", URITemplate: "test://t/{x}"}, func(ctx context.Context, r *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
		return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: r.Params.URI, Text: "template"}}}, nil
	})
	posts = &atomic.Int64{}
	h := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s }, &opts)
	srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		posts.Add(1)
		h.ServeHTTP(w, r)
	}))
	return srv.URL + "/mcp", posts
}

var oldRevisions = []string{"2025-11-25", "2025-06-18", "2025-03-26"}

type sdkMode struct {
	name     string
	versions []string
	opts     mcp.StreamableHTTPOptions
	modern   bool
	session  bool
}

func sdkModes() []sdkMode {
	var out []sdkMode
	for _, stateless := range []bool{true, false} {
		for _, json := range []bool{true, false} {
			for _, versions := range [][]string{nil, oldRevisions} {
				m := sdkMode{versions: versions, opts: mcp.StreamableHTTPOptions{Stateless: stateless, JSONResponse: json}, modern: versions == nil && stateless, session: !stateless}
				m.name = fmt.Sprintf("stateless=%v,json=%v,modern=%v", stateless, json, m.modern)
				out = append(out, m)
			}
		}
	}
	return out
}

func TestOfficialServer(t *testing.T) {
	for _, m := range sdkModes() {
		t.Run(m.name, func(t *testing.T) {
			url, posts := sdkServer(t, m.versions, m.opts)
			s, c := open(t, Config{Version: "1"}, source(url))
			if len(c.Tools) != 7 || len(c.Prompts) != 1 || len(c.Resources) != 1 || len(c.ResourceTemplates) != 1 || len(c.Warnings) > 0 {
				t.Fatalf("catalogue: %d tools, %d prompts, %d resources, %d templates, %q", len(c.Tools), len(c.Prompts), len(c.Resources), len(c.ResourceTemplates), c.Warnings)
			}
			for _, version := range []string{"2025-06-18", "2026-07-28"} {
				got, err := s.Call(t.Context(), target.Call{Tool: "echo3", Version: version, Arguments: json.RawMessage(`{"text":"é\u0000"}`)})
				if err != nil || text(t, got.Body) != "é\x00" {
					t.Fatalf("call: %s, %v", got.Body, err)
				}
			}
			before := posts.Load()
			const calls, at = 400, 8
			var wg sync.WaitGroup
			for range at {
				wg.Go(func() {
					for i := range calls / at {
						want := fmt.Sprint(i)
						got, err := s.Call(t.Context(), target.Call{Tool: "echo1", Version: legacy, Arguments: json.RawMessage(`{"text":"` + want + `"}`)})
						if err != nil || text(t, got.Body) != want {
							t.Errorf("call: %s, %v", got.Body, err)
							return
						}
					}
				})
			}
			wg.Wait()
			if n := posts.Load() - before; n != calls {
				t.Errorf("%d requests for %d calls", n, calls)
			}
			if plain := s.plain.Load(); (plain != nil && plain.modern) != m.modern {
				t.Errorf("agreed on %+v", plain)
			}
			p, err := s.Request(t.Context(), "prompts/get", json.RawMessage(`{"name":"greet","arguments":{"name":"you"}}`), target.Call{Version: legacy})
			if err != nil || !strings.Contains(string(p), "hello you") {
				t.Errorf("prompt %s, %v", p, err)
			}
			p, err = s.Request(t.Context(), "resources/read", json.RawMessage(`{"uri":"test://t/7"}`), target.Call{Version: modern})
			if err != nil || !strings.Contains(string(p), "template") {
				t.Errorf("resource %s, %v", p, err)
			}
			if _, err := s.Call(t.Context(), target.Call{Tool: "nothing"}); err == nil || !strings.Contains(err.Error(), "-32602") {
				t.Errorf("unknown tool: %v", err)
			}
		})
	}
}
