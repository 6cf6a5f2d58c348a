package cli

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
)

const aSession = "0123456789012345678901234567890123"

// chunk sends one event of a command's stream.
func chunk(t *testing.T, w http.ResponseWriter, kind, event, payload string) {
	message := eventstream.Message{Payload: []byte(payload)}
	message.Headers.Set(":message-type", eventstream.StringValue(kind))
	message.Headers.Set(":"+kind+"-type", eventstream.StringValue(event))
	message.Headers.Set(":content-type", eventstream.StringValue("application/json"))
	if err := eventstream.NewEncoder().Encode(w, message); err != nil {
		t.Error(err)
	}
	_ = http.NewResponseController(w).Flush()
}

// commandAnswer answers with chunks.
func commandAnswer(t *testing.T, payloads ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.amazon.eventstream")
		for _, payload := range payloads {
			if name, rest, failed := strings.Cut(payload, " "); failed && !strings.HasPrefix(payload, "{") {
				chunk(t, w, "exception", name, rest)
				continue
			}
			chunk(t, w, "event", "chunk", payload)
		}
	}
}

func TestExecPrints(t *testing.T) {
	const begin = `{"contentStart":{}}`
	out, errs := `{"contentDelta":{"stdout":"one\u001b[2J\n"}}`, `{"contentDelta":{"stderr":"two\n"}}`
	tests := map[string]struct {
		answer   http.HandlerFunc
		args     []string
		terminal bool
	}{
		"works":    {answer: commandAnswer(t, begin, out, errs, `{"contentStop":{"exitCode":0,"status":"COMPLETED"}}`)},
		"terminal": {answer: commandAnswer(t, begin, out, errs, `{"contentStop":{"exitCode":0,"status":"COMPLETED"}}`), args: []string{"-s", aSession}, terminal: true},
		"fails":    {answer: commandAnswer(t, begin, errs, `{"contentStop":{"exitCode":3,"status":"COMPLETED"}}`), args: []string{"-s", aSession}},
		"late":     {answer: commandAnswer(t, begin, out, `{"contentStop":{"exitCode":137,"status":"TIMED_OUT"}}`), args: []string{"--timeout", "90s"}},
		"platform": {answer: commandAnswer(t, begin, `{"contentStop":{"exitCode":-1,"status":"COMPLETED"}}`)},
		"endless":  {answer: commandAnswer(t, begin, out), args: []string{"-s", aSession}},
		"gone":     {answer: commandAnswer(t, begin, out)},
		"endpoint": {answer: commandAnswer(t, begin, `{"contentStop":{"exitCode":0,"status":"COMPLETED"}}`), args: []string{"--qualifier", "prod"}},
		"stopped":  {answer: commandAnswer(t, begin, out, `runtimeClientError {"message":"The session ended before the command did."}`)},
		"no-bash": {answer: func(w http.ResponseWriter, _ *http.Request) {
			refuse(w, http.StatusFailedDependency, "RuntimeClientError", "The command cannot be run: no such file. The agent's image must have bash.")
		}},
		"unknown": {answer: func(w http.ResponseWriter, _ *http.Request) {
			refuse(w, http.StatusNotFound, "ResourceNotFoundException", "No endpoint or agent found")
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			u, f := withServer(t)
			f.add("hello")
			f.command, u.terminal = test.answer, test.terminal
			f.sessions = []string{`{"sessionId":"` + aSession + `","status":"ACTIVE"}`}
			u.golden("exec/"+name, u.run(append(append([]string{"exec", "hello"}, test.args...), "--", "ls", "/x y")...))
		})
	}
	u, _ := withServer(t)
	u.golden("exec/nobody", u.run("exec", "nobody", "--", "ls"))
}

// TestExecLosesItsServer: a server that is killed ends its streams in good order.
func TestExecLosesItsServer(t *testing.T) {
	u, f := withServer(t)
	f.add("hello")
	f.command = func(w http.ResponseWriter, r *http.Request) {
		commandAnswer(t, `{"contentStart":{}}`, `{"contentDelta":{"stdout":"so far\n"}}`)(w, r)
		f.leave()
	}
	u.golden("exec/server-ends", u.run("exec", "hello", "--", "sleep", "60"))
}

func TestExecSends(t *testing.T) {
	u, f := withServer(t)
	id := f.add("hello")
	var got struct {
		Command string
		Timeout int
	}
	var where string
	f.command = func(w http.ResponseWriter, r *http.Request) {
		where = r.URL.Query().Get("qualifier") + " " + r.Header.Get("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id")
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		commandAnswer(t, `{"contentStop":{"exitCode":0,"status":"COMPLETED"}}`)(w, r)
	}
	for want, args := range map[string][]string{
		"ls -l | wc -l":    {"ls -l | wc -l"},
		"ls -l 'a b' ''":   {"ls", "-l", "a b", ""},
		`echo 'it'\''s' -`: {"echo", "it's", "-"},
	} {
		r := u.run(append([]string{"exec", id, "-s", aSession, "--qualifier", "prod", "--timeout", "1500ms", "--"}, args...)...)
		if r.code != 0 || got.Command != want || got.Timeout != 2 || where != "prod "+aSession {
			t.Errorf("%v sends %+v to %s\n%s", args, got, where, r)
		}
	}
}

// TestExecInterrupted: Ctrl-C ends the call, and so the command, at the server.
func TestExecInterrupted(t *testing.T) {
	u, f := withServer(t)
	f.add("hello")
	ctx, interrupt := context.WithCancel(t.Context())
	gone := make(chan struct{})
	f.command = func(w http.ResponseWriter, r *http.Request) {
		commandAnswer(t, `{"contentStart":{}}`, `{"contentDelta":{"stdout":"one\n"}}`)(w, r)
		interrupt()
		<-r.Context().Done()
		close(gone)
	}
	r := u.runContext(ctx, "exec", "hello", "--", "sleep", "1000")
	r.stdout = "" // it may come just before, or not
	if u.golden("exec/interrupted", r); r.code != exitInterrupted {
		t.Errorf("%s", r)
	}
	select {
	case <-gone:
	case <-time.After(10 * time.Second):
		t.Error("the server was not told")
	}
}
