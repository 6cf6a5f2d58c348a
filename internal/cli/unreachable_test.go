package cli

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/outcrop/outcrop/internal/client"
)

// TestWhatAnswersIsNoOutcrop wants a line or two that name the endpoint, and the
// error as it came for --verbose alone.
func TestWhatAnswersIsNoOutcrop(t *testing.T) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotImplemented)
		fmt.Fprint(w, "<html>")
	}))
	defer page.Close()
	secret := httptest.NewUnstartedServer(http.NotFoundHandler())
	secret.Config.ErrorLog = log.New(io.Discard, "", 0)
	secret.StartTLS()
	defer secret.Close()
	closing, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = closing.Close() }()
	go func() {
		for c, err := closing.Accept(); err == nil; c, err = closing.Accept() {
			_, _ = c.Read(make([]byte, 64<<10))
			_ = c.Close()
		}
	}()
	for name, endpoint := range map[string]string{
		"page": page.URL, "tls": strings.Replace(secret.URL, "https", "http", 1), "no-tls": strings.Replace(page.URL, "http", "https", 1),
		"untrusted": secret.URL, "closes": "http://" + closing.Addr().String(),
	} {
		t.Run(name, func(t *testing.T) {
			u := newUser(t)
			u.environ = append(u.environ, "AWS_ACCESS_KEY_ID="+testKey, "AWS_SECRET_ACCESS_KEY="+testSecret)
			u.golden("connect/foreign-"+name, u.run("ls", "--endpoint", endpoint))
			for _, args := range [][]string{{"invoke", "hello"}, {"stop", "hello", "-s", strings.Repeat("s", 33)}, {"delete", "hello"}, {"sessions"}, {"deploy", u.home}} {
				r := u.run(append(args, "--endpoint", endpoint)...)
				if r.code != exitFailure || !strings.Contains(r.stderr, "what answers at "+endpoint+" is no Outcrop server") || strings.Contains(r.stderr, "operation error") {
					t.Errorf("%v: %s", args, r)
				}
			}
			u.environ = append(u.environ, "AWS_ENDPOINT_URL="+endpoint)
			if r := u.run("ls", "--verbose"); !strings.Contains(r.stderr, "The address is from AWS_ENDPOINT_URL.") || !strings.Contains(r.stderr, "  In full: operation error Bedrock AgentCore Control: ListAgentRuntimes, ") {
				t.Errorf("%s", r)
			}
		})
	}
}

// TestStartAgain wants the command that starts a server where it was asked for.
func TestStartAgain(t *testing.T) {
	u := newUser(t)
	p := u.program()
	p.address = "127.0.0.1:8642"
	for endpoint, want := range map[string]string{
		"http://127.0.0.1:8642":  "outcrop serve",
		"http://localhost:8642":  "outcrop serve",
		"http://127.0.0.1:9000":  "outcrop serve --listen 127.0.0.1:9000",
		"http://localhost:9000":  "outcrop serve --listen localhost:9000",
		"http://[::1]:9000/":     "outcrop serve --listen '[::1]:9000'",
		"http://outcrop.example": "outcrop serve --listen outcrop.example:80",
		"https://example.org":    "outcrop serve",
	} {
		if got := p.startAgain(endpoint); got != want {
			t.Errorf("startAgain(%s) = %q, want %q", endpoint, got, want)
		}
	}
	r := u.knows("http://127.0.0.1:9001", u.home+"/my data")
	if got, want := p.startAgain(r.URL), "outcrop serve --listen 127.0.0.1:9001 --data '"+u.home+"/my data'"; got != want {
		t.Errorf("startAgain of one that was known = %q, want %q", got, want)
	}
}

func TestTheServerEndsInTheMiddle(t *testing.T) {
	for name, invoke := range map[string]func(*fake) http.HandlerFunc{
		"before": func(f *fake) http.HandlerFunc { return func(http.ResponseWriter, *http.Request) { _ = f.closeAll() } },
		"within": func(f *fake) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				answer("text/event-stream", "data: \"so far\"\n\n")(w, r)
				_ = f.closeAll()
			}
		},
	} {
		u, f := withServer(t)
		f.add("hello")
		f.invoke = invoke(f)
		u.golden("invoke/server-ends-"+name, u.run("invoke", "hello"))
	}
}

// A server that was killed may take the next call, too, and not answer it.
func TestServerEnded(t *testing.T) {
	_, f := withServer(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := "http://" + l.Addr().String()
	_ = l.Close()
	lost := &client.LostError{Err: io.EOF}
	for name, test := range map[string]struct {
		endpoint string
		err      error
		want     bool
	}{
		"lost, nobody there":  {gone, lost, true},
		"lost, still there":   {f.url, lost, false},
		"refused connection":  {gone, &client.UnreachableError{Err: syscall.ECONNREFUSED}, true},
		"nothing came":        {gone, &client.LostError{Err: context.DeadlineExceeded}, false},
		"refused by a server": {gone, &client.Error{Code: "ResourceNotFoundException"}, false},
		"no error":            {gone, nil, false},
	} {
		if got := newUser(t).program().serverEnded(t.Context(), test.endpoint, test.err); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A call that is broken off by a server that is still there is told apart.
func TestTheServerBreaksOff(t *testing.T) {
	u, f := withServer(t)
	f.add("hello")
	f.invoke = func(w http.ResponseWriter, _ *http.Request) {
		if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_ = c.Close()
		}
	}
	u.golden("invoke/server-breaks-off", u.run("invoke", "hello"))
}

// TestInvokeLosesItsSession wants the one whose agent is deleted or session is
// stopped to read so.
func TestInvokeLosesItsSession(t *testing.T) {
	const session = "0123456789012345678901234567890123"
	live := fmt.Sprintf(`{"sessionId":%q,"agentRuntimeName":"hello","status":"ACTIVE"}`, session)
	stopped := func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusFailedDependency, "RuntimeClientError", "The session was stopped before the agent answered")
	}
	cut := func(w http.ResponseWriter, r *http.Request) {
		answer("text/event-stream", "data: \"so far\"\n\n")(w, r)
		if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_ = c.Close()
		}
	}
	missing := func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusNotFound, "ResourceNotFoundException", "No endpoint or agent found with qualifier 'DEFAULT' for agent 'arn:x'")
	}
	for name, test := range map[string]struct {
		invoke            http.HandlerFunc
		deleting, deleted bool
		sessions          []string
	}{
		"stopped-before": {invoke: stopped},
		"stopped-within": {invoke: cut},
		"deleted-before": {invoke: stopped, deleting: true},
		"deleted-within": {invoke: cut, deleted: true},
		"deleted-midway": {invoke: missing, deleted: true},
		"no-endpoint":    {invoke: missing},
		"agent-breaks":   {invoke: cut, sessions: []string{live}},
	} {
		t.Run(name, func(t *testing.T) {
			u, f := withServer(t)
			id := f.add("hello")
			f.sessions = test.sessions
			f.invoke = func(w http.ResponseWriter, r *http.Request) {
				f.mu.Lock()
				if test.deleting {
					f.runtimes[id]["status"] = "DELETING"
				}
				if test.deleted {
					delete(f.runtimes, id)
				}
				f.mu.Unlock()
				test.invoke(w, r)
			}
			u.golden("invoke/"+name, u.run("invoke", "hello", "-s", session))
		})
	}
	u, f := withServer(t)
	f.invoke = missing
	u.golden("invoke/unknown", u.run("invoke", "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/hello-0123456789"))
}

func TestSeveralServersAreTold(t *testing.T) {
	u, f := withServer(t)
	f.add("hello")
	old := u.knows("http://127.0.0.1:1", u.home+"/my other data")
	old.StartedAt = old.StartedAt.Add(-1e12)
	if err := u.program().state().Add(old); err != nil {
		t.Fatal(err)
	}
	u.golden("connect/several", u.run("ls"))
	for _, args := range [][]string{{"ls", "--endpoint", f.url}, {"ls", "--data", u.data()}} {
		if r := u.run(args...); r.code != 0 || r.stderr != "" {
			t.Errorf("%v: %s", args, r)
		}
	}
}

// A pipe that nobody reads ends a command in silence; a connection that breaks in
// the same way is told.
func TestOutputGone(t *testing.T) {
	broken := &os.SyscallError{Syscall: "write", Err: syscall.EPIPE}
	if !outputGone(fmt.Errorf("print answer: %w", &os.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.EPIPE})) {
		t.Error("head does not end a command in silence")
	}
	if outputGone(fmt.Errorf("upload: %w", &net.OpError{Op: "write", Net: "tcp", Err: broken})) || outputGone(io.EOF) {
		t.Error("a lost server is not told")
	}
}
