package cli

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const busySession = `{"sessionId":"0123456789012345678901234567890123","agentRuntimeName":"hello","status":"ACTIVE","activeRequests":2}`

func TestStoppingIsTold(t *testing.T) {
	u, f := withServer(t)
	f.add("hello")
	f.sessions = []string{busySession, `{"sessionId":"other","status":"IDLE","activeRequests":0}`}
	u.golden("stop/busy", u.run("stop", "hello", "-s", "0123456789012345678901234567890123"))
	u.golden("delete/busy", u.run("delete", "hello"))
}

func TestStoppingInterrupted(t *testing.T) {
	for _, args := range [][]string{{"stop", "hello", "-s", "0123456789012345678901234567890123"}, {"delete", "hello"}} {
		u, f := withServer(t)
		f.add("hello")
		f.sessions = []string{busySession}
		ctx, interrupt := context.WithCancel(t.Context())
		f.before = func(r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/stopruntimesession") || r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/runtimes/") {
				interrupt()
				unanswered(r)
			}
		}
		r := u.runContext(ctx, args...)
		u.golden(args[0]+"/interrupted", r)
		if r.code != exitInterrupted {
			t.Errorf("%v: exit code %d", args, r.code)
		}
	}
}

// On a terminal the time goes on, and nothing of it stays.
func TestStoppingCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		p := &Program{Stderr: &out, StderrTerminal: true, Now: time.Now}
		done := p.showStopping(busyness{sessions: 1}, "deleting hello: stopping "+busyness{sessions: 1}.String())
		time.Sleep(2500 * time.Millisecond)
		done()
		done() // as often as one likes
		const line = "deleting hello: stopping 1 session, up to 15 s"
		if want := clearLine + line + clearLine + "[1s] " + line + clearLine + "[2s] " + line + clearLine; out.String() != want {
			t.Errorf("shown %q, want %q", out.String(), want)
		}
		p.showStopping(busyness{}, "nothing")()
	})
}
