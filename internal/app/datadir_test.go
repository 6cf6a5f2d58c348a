package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCheckData: what a first start leaves behind when it is killed is gone on with;
// what has lost its store or its key is not.
func TestCheckData(t *testing.T) {
	for _, tt := range []struct {
		files string // an empty one has a 0 behind its name
		lost  string
	}{
		{"", ""},
		{"key.json", ""},
		{"key.json outcrop.db", ""},
		{"key.json outcrop.db credentials.json", ""},
		{"key.json credentials.json", "outcrop.db"},
		{"key.json outcrop.db0 credentials.json", "outcrop.db"},
		{"outcrop.db credentials.json", "key.json"},
		{"outcrop.db key.json0", "key.json"},
	} {
		dir := t.TempDir()
		for _, name := range strings.Fields(tt.files) {
			text := "x"
			if empty, ok := strings.CutSuffix(name, "0"); ok {
				name, text = empty, ""
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		err := checkData(dir)
		if tt.lost == "" && err != nil || tt.lost != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.lost+" of the data directory "+dir+" is missing or empty")) {
			t.Errorf("%q: %v, want lost %q", tt.files, err, tt.lost)
		}
	}
	if err := checkData(filepath.Join(t.TempDir(), "none")); err != nil {
		t.Errorf("a directory that is not there yet: %v", err)
	}
}
