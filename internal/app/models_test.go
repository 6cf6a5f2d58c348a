package app

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOpenModels: a file of the data directory counts if it is there, one that was
// named must be, and neither may be wrong.
func TestOpenModels(t *testing.T) {
	const good = `{"providers":{"local":{"type":"openai","url":"http://127.0.0.1:11434/v1"}},"models":[{"pattern":"*","provider":"local"}]}`
	for name, tt := range map[string]struct {
		own, named string // contents
		missing    bool   // what is named is not there
		found      bool
		want       string
	}{
		"none":      {},
		"own":       {own: good, found: true},
		"named":     {own: `{`, named: good, found: true},
		"missing":   {own: good, missing: true, want: "no such file"},
		"own wrong": {own: `{"models":[{"pattern":"*","provider":"x"}]}`, want: "models.json: models[0].provider is 'x'"},
		"no key":    {named: `{"providers":{"c":{"type":"anthropic","apiKeyFile":"/nonexistent/key"}}}`, want: "providers.c.apiKeyFile"},
		"too long":  {own: good + strings.Repeat(" ", 2<<20), want: "longer than"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			cfg := Config{DataDir: dir}
			if tt.own != "" {
				write(t, filepath.Join(dir, modelsName), tt.own)
			}
			if tt.named != "" || tt.missing {
				cfg.Models = filepath.Join(dir, "named.json")
			}
			if tt.named != "" {
				write(t, cfg.Models, tt.named)
			}
			s := &Server{cfg: cfg}
			models, err := s.openModels(cfg)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) || tt.missing != errors.Is(err, fs.ErrNotExist) && name != "no key" {
					t.Errorf("%v, want %s", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := models.Find("x"); (err == nil) != tt.found {
				t.Errorf("find: %v", err)
			}
			if err := s.close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
