package cli

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// pruner is a fake server that has some garbage; asked are the bodies it got.
func pruner(t *testing.T, failed string) (u *account, asked *[]string) {
	t.Helper()
	u, f := withServer(t)
	asked = new([]string)
	f.prune = func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		*asked = append(*asked, string(body))
		_, _ = io.WriteString(w, `{"results":[
			{"kind":"CODE","removed":3,"removedBytes":42991616,"left":2,"leftBytes":26214400},
			{"kind":"STORAGE","removed":0,"removedBytes":0,"left":1,"leftBytes":1024`+failed+`}]}`)
	}
	return u, asked
}

func TestPrune(t *testing.T) {
	for name, test := range map[string]struct {
		args     string
		terminal bool
		stdin    string
		code     int
		asked    []string
	}{
		"dry-run": {"prune --dry-run", false, "", 0, []string{`{"all":false,"dryRun":true}`}},
		"force":   {"prune code storage --force --all --older-than 7d", false, "", 0, []string{`{"kinds":["CODE","STORAGE"],"all":true,"unusedSeconds":604800,"dryRun":false}`}},
		"yes":     {"prune", true, "Yes\n", 0, []string{`{"all":false,"dryRun":true}`, `{"all":false,"dryRun":false}`}},
		"no":      {"prune --older-than 1500ms", true, "\n", exitFailure, []string{`{"all":false,"unusedSeconds":2,"dryRun":true}`}},
		"nobody":  {"prune", true, "", exitFailure, []string{`{"all":false,"dryRun":true}`}},
		"json":    {"prune --dry-run --json", false, "", 0, []string{`{"all":false,"dryRun":true}`}},
	} {
		t.Run(name, func(t *testing.T) {
			u, asked := pruner(t, "")
			u.terminal, u.stdin = test.terminal, test.stdin
			r := u.run(strings.Fields(test.args)...)
			u.golden("prune/"+name, r)
			if r.code != test.code || strings.Join(*asked, "\n") != strings.Join(test.asked, "\n") {
				t.Errorf("exit %d, asked %q; want %d and %q", r.code, *asked, test.code, test.asked)
			}
			if name == "json" && !json.Valid([]byte(r.stdout)) {
				t.Error("no JSON")
			}
		})
	}
}

// TestPruneFails in part: what was removed is told all the same.
func TestPruneFails(t *testing.T) {
	u, _ := pruner(t, `,"failed":true`)
	r := u.run("prune", "--force")
	u.golden("prune/failed", r)
	if r.code != exitFailure {
		t.Errorf("exit %d", r.code)
	}
}

// TestPruneNothing asks nothing, and says what else there is.
func TestPruneNothing(t *testing.T) {
	u, f := withServer(t)
	u.terminal = true
	f.prune = func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"results":[{"kind":"CODE","removed":0,"removedBytes":0,"left":2,"leftBytes":2000}]}`)
	}
	u.golden("prune/nothing", u.run("prune"))
}

// TestPruneInterrupted at the question removes nothing.
func TestPruneInterrupted(t *testing.T) {
	u, asked := pruner(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	person := silent{asked: make(chan struct{}), leaves: make(chan struct{})}
	defer close(person.leaves)
	p := Program{Args: []string{"prune"}, Stdin: person, Stdout: io.Discard, Stderr: io.Discard, Environ: u.environ, StdinTerminal: true, StderrTerminal: true}
	done := make(chan int)
	go func() { done <- p.Run(ctx) }()
	<-person.asked
	cancel()
	if code := <-done; code != exitInterrupted || len(*asked) != 1 {
		t.Errorf("exit %d, asked %q", code, *asked)
	}
}

// silent is a person who does not answer.
type silent struct{ asked, leaves chan struct{} }

func (s silent) Read([]byte) (int, error) {
	close(s.asked)
	<-s.leaves
	return 0, io.EOF
}

func TestAge(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"7d": 7 * 24 * time.Hour, "36h": 36 * time.Hour, "90m": 90 * time.Minute, "1s": time.Second, "36500d": maxAge,
		"": 0, "d": 0, "0d": 0, "-7d": 0, "0s": 0, "-1h": 0, "7": 0, "1.5d": 0, "36501d": 0, "99999999999d": 0, "week": 0, "900000h": 0,
	} {
		var a age
		if err := a.Set(text); (err == nil) != (want > 0) || time.Duration(a) != want {
			t.Errorf("%q is %v, %v; want %v", text, time.Duration(a), err, want)
		}
	}
}
