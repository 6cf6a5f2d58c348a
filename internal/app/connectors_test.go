package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReadConnectors: a file of the data directory counts if it is there, one that was
// named must be, and neither may be wrong. Mistakes are told all at once.
func TestReadConnectors(t *testing.T) {
	const good = `{"webSearch":{"type":"searxng","url":"http://127.0.0.1:8888"},"connectors":{"jira":{"type":"mcp","url":"https://jira.test/mcp"}}}`
	for name, tt := range map[string]struct {
		own, named string // contents
		found      bool
		want       string
	}{
		"none":    {},
		"own":     {own: good, found: true},
		"named":   {own: `{`, named: good, found: true},
		"missing": {named: "-", want: "no such file"},
		"wrong":   {own: `{"webSearch":{},"connectors":{"a":{"type":"x"}}}`, want: "webSearch.type is missing|connectors.a.type is 'x'|connectors.json: "},
		"unknown": {own: `{"search":{}}`, want: `it has a member "search", which is unknown`},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{DataDir: t.TempDir()}
			if tt.own != "" {
				write(t, filepath.Join(cfg.DataDir, connectorsName), tt.own)
			}
			if tt.named != "" {
				cfg.Connectors = filepath.Join(cfg.DataDir, "named.json")
			}
			if len(tt.named) > 1 {
				write(t, cfg.Connectors, tt.named)
			}
			got, err := readConnectors(cfg)
			for _, part := range strings.Split(tt.want, "|") {
				if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), part)) {
					t.Errorf("%v, want %s", err, part)
				}
			}
			if found := got.WebSearch != nil && got.Connectors["jira"].Type == "mcp"; err == nil && found != tt.found {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestDocumentedConnectors: the example of the documentation is one.
func TestDocumentedConnectors(t *testing.T) {
	page, err := os.ReadFile("../../docs/targets.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "## Web search and other connectors")
	_, rest, _ = strings.Cut(rest, "```json\n")
	example, _, _ := strings.Cut(rest, "```")
	cfg := Config{DataDir: t.TempDir()}
	write(t, filepath.Join(cfg.DataDir, connectorsName), example)
	if c, err := readConnectors(cfg); err != nil || c.WebSearch == nil || len(c.Connectors) != 3 {
		t.Errorf("%+v %v", c, err)
	}
}

// TestOpenSearch: a key that is not there keeps the server from starting, and is not told.
func TestOpenSearch(t *testing.T) {
	t.Setenv("OUTCROP_TEST_KEY", "")
	cfg := Config{DataDir: t.TempDir()}
	write(t, filepath.Join(cfg.DataDir, connectorsName), `{"webSearch":{"type":"brave","apiKeyEnv":"OUTCROP_TEST_KEY"}}`)
	c, err := readConnectors(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{cfg: cfg}
	if _, err := s.openSearch(c); err == nil || !strings.Contains(err.Error(), "webSearch.apiKeyEnv: the variable OUTCROP_TEST_KEY is not set") {
		t.Error(err)
	}
	t.Setenv("OUTCROP_TEST_KEY", "k")
	if found, err := s.openSearch(c); err != nil || found == nil {
		t.Error(err)
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
}
