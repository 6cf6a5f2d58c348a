//go:build linux

package firstminutes

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/conformance/server"
)

// sdkWords are how the AWS SDK begins what no person should have to read.
const sdkWords = "operation error"

// busy starts an invocation that takes a minute, and returns how it ended once it
// has; the agent has it when busy returns.
func (p *person) busy(name string) <-chan result {
	p.t.Helper()
	ended := make(chan result, 1)
	go func() {
		ended <- p.run("/", "invoke", name, `{"eval": "__import__('time').sleep(60)"}`)
	}()
	for deadline := time.Now().Add(server.Wait); ; time.Sleep(20 * time.Millisecond) {
		if r := p.run("/", "sessions", name, "--json"); strings.Contains(r.stdout, `"activeRequests": 1`) {
			return ended
		}
		if time.Now().After(deadline) {
			p.t.Fatal("no session answers anything")
		}
	}
}

// TestTroubleIsToldInWords ends what a command is using, in the ways that happen.
func TestTroubleIsToldInWords(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	s := p.serve()
	python(t, s)
	folder := p.agent("mine", nil)
	p.must("/", "deploy", folder)

	ended := p.busy("mine")
	r := p.must("/", "delete", "mine")
	wants(t, r.stderr, "deleting mine: stopping 1 session (1 running request), up to 15 s\n", "mine is deleted.\n")
	if r := <-ended; r.code != 1 {
		t.Errorf("%s", r)
	} else {
		wants(t, r.stderr, "outcrop: the agent was deleted before it answered\n", "Deploy it again: ")
	}

	p.must("/", "deploy", folder)
	ended = p.busy("mine")
	s.Kill()
	if r := <-ended; r.code != 1 {
		t.Errorf("%s", r)
	} else {
		wants(t, r.stderr, "outcrop: the server at "+s.URL+" ended before it had answered\n", "Start it again: ")
		avoids(t, r.stderr, sdkWords)
	}

	page := httptest.NewServer(http.NotFoundHandler())
	defer page.Close()
	p.env = append(p.env, "AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b")
	for _, args := range [][]string{{"ls"}, {"sessions"}, {"deploy", folder}, {"delete", "mine"}} {
		r := p.run("/", append(args, "--endpoint", page.URL)...)
		wants(t, r.stderr, "what answers at "+page.URL+" is no Outcrop server (HTTP 404 Not Found)\n")
		avoids(t, r.stderr, sdkWords)
	}
	wants(t, p.run("/", "ls", "--endpoint", page.URL, "--verbose").stderr, "  In full: "+sdkWords)
}

// TestDeployAgain deploys the same, then with other settings, then beside a
// second server.
func TestDeployAgain(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	s := p.serve()
	target := python(t, s)
	folder := p.agent("mine", map[string]string{"a file.txt": "x"})
	first := p.must("/", "deploy", folder, "--json")
	wants(t, first.stdout, `"agentRuntimeVersion": "1"`, `"changed": true`)
	avoids(t, first.stdout, "versionId")

	r := p.must("/", "deploy", folder, "--runtime", "python"+minor(target.Runtime))
	wants(t, r.stderr, "mine is unchanged and READY, version 1, on "+target.Runtime+"\n")
	avoids(t, r.stderr, "upload")

	r = p.must("/", "deploy", folder, "--env", "A=1")
	wants(t, r.stderr, "the same code is at s3://", "mine is READY, version 2")
	avoids(t, r.stderr, "uploaded")

	second := p.serveOn(filepath.Join(p.home, "other data"))
	r = p.must("/", "ls")
	wants(t, r.stderr, "2 servers of yours run; this is the newest: "+second.URL+" with data in ", "another: --endpoint "+s.URL+" or --data "+p.data()+"\n")
	r = p.must("/", "ls", "--data", p.data())
	wants(t, r.stdout, "mine")
	avoids(t, r.stderr, "servers of yours")
}
