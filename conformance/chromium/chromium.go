// Package chromium drives a real browser without a screen, for tests in which people sign
// in.
package chromium

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/conformance/pinned"
)

// Browser holds pages to their own policies, keeps cookies as people's browsers do, and
// presses keys. Its T is that of the test that runs.
type Browser struct {
	*testing.T
	in  io.Writer
	out *bufio.Scanner
}

// Step leads from one page to the next: fields are filled in and something is clicked,
// both by selector, or keys are pressed and texts typed. With Until it stays on its page,
// until something shows there.
type Step struct {
	Fill  map[string]string `json:"fill,omitempty"`
	Click string            `json:"click,omitempty"`
	Until string            `json:"until,omitempty"`
	Keys  []string          `json:"keys,omitempty"`
}

// Visit is where a person begins and what they do.
type Visit struct {
	Link string `json:"link"`
	// Plain browsers run no scripts.
	Plain bool   `json:"plain,omitempty"`
	Steps []Step `json:"steps"`
}

// Page is one as Chromium has it.
type Page struct {
	URL         string
	Status      int
	Title, Text string
}

// Start starts the pinned one, until the test ends.
func Start(t *testing.T) *Browser {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Skip("not run: Chromium is pinned for amd64 alone")
	}
	_, here, _, _ := runtime.Caller(0)
	data := filepath.Join(filepath.Dir(here), "testdata")
	node, dir := pinned.Node(t, data, filepath.Join(data, "browse.mjs"))
	cmd := exec.CommandContext(t.Context(), node, "browse.mjs")
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir()) // where it is unpacked
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // it closes the browser at the end of its input
		_ = in.Close()
		_ = cmd.Wait()
	})
	b := &Browser{t, in, bufio.NewScanner(out)}
	b.out.Buffer(nil, 1<<20)
	return b
}

// Walk does what a person does, and returns the pages that they saw. The browser may
// complain of nothing but the statuses of pages, and fonts and the like from elsewhere.
func (b *Browser) Walk(v Visit) []Page {
	b.Helper()
	line, err := json.Marshal(v)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := b.in.Write(append(line, '\n')); err != nil {
		b.Fatal(err)
	}
	if !b.out.Scan() {
		b.Fatalf("Chromium has ended: %v", b.out.Err())
	}
	var saw struct {
		Pages      []Page
		Complaints []string
	}
	if err := json.Unmarshal(b.out.Bytes(), &saw); err != nil {
		b.Fatalf("%v: %s", err, b.out.Text())
	}
	for _, text := range saw.Complaints {
		switch {
		case strings.HasPrefix(text, "Failed to load resource: "): // the request itself is in the list, if it was to this machine
		case strings.HasPrefix(text, "Autofocus processing was blocked"): // somebody was typing already
		default:
			b.Errorf("Chromium says: %s", text)
		}
	}
	if len(saw.Pages) != len(v.Steps)+1 {
		b.Fatalf("from %s Chromium came to %+v", v.Link, saw.Pages)
	}
	return saw.Pages
}
