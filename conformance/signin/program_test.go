package signin

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"testing"
)

// word is a line of what a program says.
type word struct {
	// Open is the link at which somebody is to sign in.
	Open string
	// Tools are those that are listed, Called what the one said that was called.
	Tools  []string
	Called string
	// Refreshed tells whether there is another token after the first has expired.
	Refreshed *bool
	// Failed is why the program gave up.
	Failed string
}

// talk runs a client, and returns what it says. Whoever it asks to sign in does what visit
// says with the link.
func talk(t *testing.T, dir string, env []string, visit func(link string), name string, args ...string) (said []word) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	var complaints bytes.Buffer
	cmd.Dir, cmd.Stderr, cmd.Env = dir, &complaints, append(os.Environ(), env...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var w word
		if err := json.Unmarshal(lines.Bytes(), &w); err != nil {
			t.Errorf("%s says %s", name, lines.Text())
			continue
		}
		said = append(said, w)
		if w.Open != "" {
			visit(w.Open)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%s: %v\n%.4000s", name, err, complaints.String())
	}
	return said
}

// calls wants the tool to be listed and called.
func calls(t *testing.T, said []word) {
	t.Helper()
	if len(said) < 2 || !slices.Equal(said[0].Tools, []string{tool}) || said[1].Called != found {
		t.Errorf("it says %+v", said)
	}
}
