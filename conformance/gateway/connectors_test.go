package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/outcrop/outcrop/conformance/leak"
	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/conformance/server"
)

// TestConnectors goes the way of the AgentCore SDK's helper for web search, and of an
// operator's own connector. OUTCROP_SEARXNG is the URL of a SearXNG to search with; there
// is a server of its documented JSON API where it is not set.
func TestConnectors(t *testing.T) {
	const key = "key-of-the-library"
	search := os.Getenv("OUTCROP_SEARXNG")
	if search == "" {
		search = serve(t, searxng).URL
	}
	library := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Library-Key") != key {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"asked":%q}`, r.URL.RequestURI())
	})
	desk := mcp.NewServer(&mcp.Implementation{Name: "desk", Version: "1"}, nil)
	mcp.AddTool(desk, &mcp.Tool{Name: "ring"}, func(context.Context, *mcp.CallToolRequest, any) (*mcp.CallToolResult, any, error) {
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "rung"}}}, nil, nil
	})
	desks := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return desk }, nil)
	behind := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+key {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		desks.ServeHTTP(w, r)
	})
	dir := t.TempDir()
	write(t, filepath.Join(dir, "key"), key+"\n")
	write(t, filepath.Join(dir, "library.yaml"), strings.ReplaceAll(libraryDocument, "URL", library.URL))
	write(t, filepath.Join(dir, "connectors.json"), fmt.Sprintf(`{
		"webSearch": {"type": "searxng", "url": %[1]q, "searchesPerSecond": 100},
		"connectors": {
			"library": {"type": "openapi", "document": "library.yaml", "header": "X-Library-Key", "apiKeyFile": %[2]q},
			"desk": {"type": "mcp", "url": %[3]q, "apiKeyFile": %[2]q},
			"crm": {"type": "http", "url": %[4]q, "header": "X-Library-Key", "apiKeyFile": %[2]q}
		}
	}`, search, filepath.Join(dir, "key"), behind.URL, library.URL+"/crm/{tenant}"))
	s := server.Start(t, server.Options{Args: []string{"--connectors", filepath.Join(dir, "connectors.json"), "--allow-private", "127.0.0.1"}})
	url := s.Run(t, []string{"ACCOUNT=" + s.Account}, pinned.Program(t, "python"), "testdata/connectors.py")
	const want = `web___WebSearch [filters query] Ask the web
books___find [title] Words of the title
desk___ring [] 
found 1, structured
Parameter validation failed: the argument maxResults is not the caller's to set; leave it out
Parameter validation failed: query has 201 characters; it may have at most 200
{"asked":"/geology/books?title=Granite"}
rung
Parameter validation failed: the argument shelf is not the caller's to set; leave it out
`
	if got := talk(t, url); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	audit, _, err := s.CLI(t.Context(), "audit")
	if err != nil || !strings.Contains(audit, "InvokeWebSearch") {
		t.Errorf("the audit has no search: %v\n%s", err, audit)
	}
	leak.Check(t, s.DataDir, leak.Secrets{"the library's key": key, "the account's key": s.SecretAccessKey}, map[string]string{"the server's log": s.Log(), "the audit": audit}, "credentials.json")
}

// talk lists the tools of a gateway and calls them, with the official MCP client.
func talk(t *testing.T, url string) string {
	ctx := t.Context()
	session, err := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil).Connect(ctx, &mcp.StreamableClientTransport{Endpoint: url}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	var out strings.Builder
	for tool, err := range session.Tools(ctx, nil) {
		if err != nil {
			t.Fatal(err)
		}
		schema, _ := tool.InputSchema.(map[string]any)["properties"].(map[string]any)
		said := tool.Description
		if title, ok := schema["title"].(map[string]any); ok {
			said = title["description"].(string)
		}
		fmt.Fprintln(&out, tool.Name, slices.Sorted(maps.Keys(schema)), said)
	}
	call := func(name string, arguments map[string]any) *mcp.CallToolResult {
		answer, err := session.CallTool(ctx, &mcp.CallToolParams{Name: name, Arguments: arguments})
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	text := func(r *mcp.CallToolResult) string { return r.Content[0].(*mcp.TextContent).Text }
	found := call("web___WebSearch", map[string]any{"query": "granite"})
	var said struct{ Results []any }
	if err := json.Unmarshal([]byte(text(found)), &said); err != nil {
		t.Error(text(found), err)
	}
	if structured, err := json.Marshal(found.StructuredContent); err != nil || !strings.Contains(string(structured), `"results":[{`) {
		t.Errorf("structuredContent %s %v", structured, err)
	}
	fmt.Fprintf(&out, "found %d, structured\n", len(said.Results))
	fmt.Fprintln(&out, text(call("web___WebSearch", map[string]any{"query": "granite", "maxResults": 25})))
	fmt.Fprintln(&out, text(call("web___WebSearch", map[string]any{"query": strings.Repeat("x", 201)})))
	fmt.Fprintln(&out, text(call("books___find", map[string]any{"title": "Granite"})))
	fmt.Fprintln(&out, text(call("desk___ring", nil)))
	fmt.Fprintln(&out, text(call("books___find", map[string]any{"title": "Granite", "shelf": "secret"})))
	return out.String()
}

// searxng answers as SearXNG documents it: three pages of three results.
func searxng(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if r.URL.Path != "/search" || q.Get("format") != "json" {
		http.Error(w, "403 Forbidden", http.StatusForbidden)
		return
	}
	results := []map[string]any{}
	for _, host := range []string{"docs.example.com", "blog.example.org", "spam.example.net"} {
		if page := q.Get("pageno"); page < "4" {
			results = append(results, map[string]any{
				"url": "https://" + host + "/" + page, "title": q.Get("q") + " at " + host, "content": "About " + q.Get("q"), "publishedDate": nil, "engine": "pages", "score": 1.0,
			})
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"query": q.Get("q"), "results": results, "answers": []any{}, "unresponsive_engines": []any{}})
}

const libraryDocument = `openapi: 3.0.3
info: {title: Library, version: "1"}
servers: [{url: URL}]
paths:
  /{shelf}/books:
    get:
      operationId: find
      parameters:
        - {name: shelf, in: path, required: true, schema: {type: string}}
        - {name: title, in: query, required: true, schema: {type: string}}
      responses: {"200": {description: OK}}
    delete:
      operationId: burn
      parameters: [{name: shelf, in: path, required: true, schema: {type: string}}]
      responses: {"204": {description: gone}}
`

func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
