package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/gateway/target"
)

type answers = map[string]func(http.ResponseWriter, *http.Request, envelope)

func streamed(t *testing.T, f func(http.ResponseWriter, *http.Request, envelope)) (*server, *script) {
	t.Helper()
	sc := &script{t: t, answers: answers{"tools/call": f}}
	return unopened(t, Config{}, source(serve(t, sc).URL)), sc
}

func done(m envelope) string {
	return `data: {"jsonrpc":"2.0","id":` + string(m.ID) + `,"result":{"content":[{"type":"text","text":"done"}]}}`
}

func TestNotificationsReachTheCaller(t *testing.T) {
	s, _ := streamed(t, func(w http.ResponseWriter, _ *http.Request, m envelope) {
		sse(w, "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\r\ndata: \"params\":{\"progressToken\":\"t\",\"progress\":1}}")
		sse(w, ": comment\nevent: ping\ndata: what")
		sse(w, `data: {"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`)
		sse(w, `data: {"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}`)
		sse(w, done(m))
	})
	c := &client{}
	got, err := s.Call(t.Context(), target.Call{Tool: "t", Client: c})
	if err != nil || text(t, got.Body) != "done" {
		t.Fatalf("%s, %v", got.Body, err)
	}
	want := []string{"notifications/progress {\"progressToken\":\"t\",\"progress\":1}", `notifications/message {"level":"info","data":"x"}`}
	if !slices.Equal(c.told, want) {
		t.Errorf("told %q", c.told)
	}
	if _, err := s.Call(t.Context(), target.Call{Tool: "t"}); err != nil {
		t.Errorf("with nobody to tell: %v", err)
	}
}

// TestServerAsks lets a server ask while a call runs, as those before 2026-07-28 do.
func TestServerAsks(t *testing.T) {
	for name, c := range map[string]struct {
		client target.Client
		want   string
	}{
		"answered": {&client{reply: func(string, json.RawMessage) (json.RawMessage, error) {
			return json.RawMessage(`{"action":"accept","content":{"name":"Ann"}}`), nil
		}}, `{"action":"accept","content":{"name":"Ann"}}`},
		"refused": {&client{reply: func(string, json.RawMessage) (json.RawMessage, error) {
			return nil, &target.Error{Code: -1, Message: "User rejected"}
		}}, "-1 User rejected"},
		"failed": {&client{reply: func(string, json.RawMessage) (json.RawMessage, error) {
			return nil, errors.New("secret")
		}}, "-32603 The client did not answer."},
		"no object": {&client{reply: func(string, json.RawMessage) (json.RawMessage, error) {
			return json.RawMessage("7"), nil
		}}, "-32603 The client's answer is no JSON object."},
		"nobody": {nil, "-32601 The client cannot be asked for elicitation/create."},
	} {
		t.Run(name, func(t *testing.T) {
			answered := make(chan envelope, 2)
			var sc *script
			s, sc := streamed(t, func(w http.ResponseWriter, r *http.Request, m envelope) {
				sse(w, `data: {"jsonrpc":"2.0","id":"q-1","method":"elicitation/create","params":{"message":"who?"}}`)
				sse(w, `data: {"jsonrpc":"2.0","id":5,"method":"ping"}`)
				for range 2 {
					if a := <-answered; string(a.ID) == `"q-1"` {
						said := string(a.Result)
						if a.Error != nil {
							said = fmt.Sprint(a.Error.Code, " ", a.Error.Message)
						}
						if said != c.want {
							t.Errorf("server reads %s, want %s", said, c.want)
						}
					}
				}
				sse(w, done(m))
			})
			sc.answers["answer"] = func(w http.ResponseWriter, r *http.Request, m envelope) {
				w.WriteHeader(http.StatusAccepted)
				answered <- m
			}
			if got, err := s.Call(t.Context(), target.Call{Tool: "t", Version: legacy, Client: c.client}); err != nil || text(t, got.Body) != "done" {
				t.Errorf("%s, %v", got.Body, err)
			}
		})
	}
}

// TestQuestionIsWithdrawn holds that neither a question that its server takes back nor one
// that the answer overtakes holds up a call.
func TestQuestionIsWithdrawn(t *testing.T) {
	for _, takenBack := range []bool{true, false} {
		ended := make(chan struct{})
		s, _ := streamed(t, func(w http.ResponseWriter, _ *http.Request, m envelope) {
			sse(w, `data: {"jsonrpc":"2.0","id":1,"method":"roots/list"}`)
			if takenBack {
				sse(w, `data: {"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`)
				<-ended
			}
			sse(w, done(m))
		})
		c := waiting{ended}
		if _, err := s.Call(t.Context(), target.Call{Tool: "t", Client: c}); err != nil {
			t.Error(err)
		}
		<-ended
	}
}

// TestQuestionsOfOneID holds that a server cannot have more asked at once than it may by
// giving all of it one id.
func TestQuestionsOfOneID(t *testing.T) {
	var answers atomic.Int64
	s, sc := streamed(t, func(w http.ResponseWriter, r *http.Request, m envelope) {
		for range 10 * maxAsked {
			sse(w, `data: {"jsonrpc":"2.0","id":1,"method":"ping"}`)
		}
		<-r.Context().Done()
	})
	sc.answers["answer"] = func(_ http.ResponseWriter, r *http.Request, _ envelope) {
		answers.Add(1)
		<-r.Context().Done() // it takes none
	}
	_, err := s.Call(t.Context(), target.Call{Tool: "t"})
	if kindOf(err) != typeMalformed {
		t.Errorf("%v, want %s", err, typeMalformed)
	}
	if n := answers.Load(); n > maxAsked {
		t.Errorf("%d answers are on their way at once, want %d at most", n, maxAsked)
	}
}

// waiting is a caller who never answers.
type waiting struct{ ended chan struct{} }

func (waiting) Notify(string, json.RawMessage) {}

func (w waiting) Ask(ctx context.Context, _ string, _ json.RawMessage) (json.RawMessage, error) {
	<-ctx.Done()
	close(w.ended)
	return nil, ctx.Err()
}

func TestStreamIsResumed(t *testing.T) {
	var id atomic.Value
	s, sc := streamed(t, func(w http.ResponseWriter, _ *http.Request, m envelope) {
		id.Store(string(m.ID))
		sse(w, "id: e-1\nretry: 1\ndata:")
	})
	var rounds atomic.Int64
	sc.answers["GET"] = func(w http.ResponseWriter, r *http.Request, _ envelope) {
		if n, last := rounds.Add(1), r.Header.Get("Last-Event-Id"); last != fmt.Sprintf("e-%d", n) {
			t.Errorf("round %d asks after %s", n, last)
		} else if n < 5 {
			sse(w, fmt.Sprintf("id: e-%d\nretry: 1\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{}}", n+1))
			return
		}
		sse(w, done(envelope{ID: json.RawMessage(id.Load().(string))}))
	}
	c := &client{}
	got, err := s.Call(t.Context(), target.Call{Tool: "t", Client: c})
	if err != nil || text(t, got.Body) != "done" || len(c.told) != 4 {
		t.Errorf("%s, %v; told %d times", got.Body, err, len(c.told))
	}
}

func TestStreamIsNotResumedForever(t *testing.T) {
	s, sc := streamed(t, func(w http.ResponseWriter, _ *http.Request, m envelope) { sse(w, "id: e\nretry: 1\ndata:") })
	sc.answers["GET"] = func(w http.ResponseWriter, r *http.Request, _ envelope) { sse(w, "retry: 1\ndata:") }
	_, err := s.Call(t.Context(), target.Call{Tool: "t"})
	if n := len(sc.sent("GET")); err == nil || n != maxResumes {
		t.Errorf("%v after %d", err, n)
	}
}

func TestCallerGoesAway(t *testing.T) {
	for _, kind := range []string{"text/event-stream", "application/json"} {
		t.Run(kind, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			told, free := make(chan string, 1), make(chan struct{})
			s, sc := streamed(t, func(w http.ResponseWriter, r *http.Request, m envelope) {
				w.Header().Set("Content-Type", kind)
				w.WriteHeader(http.StatusOK)
				w.(http.Flusher).Flush()
				cancel()
				<-r.Context().Done()
				close(free)
			})
			sc.answers["notifications/cancelled"] = func(w http.ResponseWriter, _ *http.Request, m envelope) {
				w.WriteHeader(http.StatusAccepted)
				told <- string(m.Params)
			}
			if _, err := s.Call(ctx, target.Call{Tool: "t"}); !errors.Is(err, context.Canceled) {
				t.Errorf("%v", err)
			}
			<-free
			call := sc.sent("tools/call")[0]
			if got := <-told; !strings.Contains(got, `"requestId":`+string(call.ID)) {
				t.Errorf("told %s of %s", got, call.ID)
			}
		})
	}
}

// TestConnectionsAreKept holds that a stream's connection serves the next call.
func TestConnectionsAreKept(t *testing.T) {
	url, _ := sdkServer(t, nil, mcp.StreamableHTTPOptions{Stateless: true})
	s := unopened(t, Config{}, source(url))
	remote := map[string]bool{}
	s.client.Transport = transport{s.client.Transport, remote}
	for range 20 {
		if _, err := s.Call(t.Context(), target.Call{Tool: "echo1", Arguments: json.RawMessage(`{"text":"x"}`)}); err != nil {
			t.Fatal(err)
		}
		s.loose.Wait()
	}
	if len(remote) > 2 {
		t.Errorf("%d connections for 20 calls", len(remote))
	}
}

// TestSlowCallEnds is a server that begins to answer and goes on forever.
func TestSlowCallEnds(t *testing.T) {
	sc := &script{t: t, answers: answers{"tools/call": func(w http.ResponseWriter, r *http.Request, _ envelope) {
		for tick := time.NewTicker(time.Millisecond); r.Context().Err() == nil; <-tick.C {
			sse(w, ": still here")
		}
	}}}
	s := unopened(t, Config{Limits: Limits{Call: time.Second}}, source(serve(t, sc).URL))
	if _, err := s.Call(t.Context(), target.Call{Tool: "t"}); kindOf(err) != typeTimeout {
		t.Errorf("%v", err)
	}
	s.loose.Wait()
	if len(sc.sent("notifications/cancelled")) != 1 {
		t.Error("the server was not told")
	}
}

// transport notes connections.
type transport struct {
	http.RoundTripper
	local map[string]bool
}

// RoundTrip implements http.RoundTripper.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	trace := &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { t.local[i.Conn.LocalAddr().String()] = true }}
	return t.RoundTripper.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
}

// kindOf is the type of a failure.
func kindOf(err error) string {
	var failed *target.Failure
	if errors.As(err, &failed) {
		return failed.Type
	}
	return fmt.Sprintf("%T", err)
}

// TestAnswerIsNotTaken is a server that asks and then refuses the answer: its call ends.
func TestAnswerIsNotTaken(t *testing.T) {
	s, sc := streamed(t, func(w http.ResponseWriter, r *http.Request, _ envelope) {
		sse(w, `data: {"jsonrpc":"2.0","id":1,"method":"ping"}`)
		<-r.Context().Done()
	})
	sc.answers["answer"] = func(w http.ResponseWriter, _ *http.Request, _ envelope) {
		http.Error(w, "out of memory", http.StatusInternalServerError)
	}
	if _, err := s.Call(t.Context(), target.Call{Tool: "t"}); kindOf(err) != typeFailed || !strings.Contains(err.Error(), "out of memory") {
		t.Errorf("%v", err)
	}
}

func TestStreamCannotBeResumed(t *testing.T) {
	s, sc := streamed(t, func(w http.ResponseWriter, _ *http.Request, _ envelope) { sse(w, "id: e\nretry: 1\ndata:") })
	if _, err := s.Call(t.Context(), target.Call{Tool: "t"}); kindOf(err) != typeUnreachable || len(sc.sent("GET")) != 1 {
		t.Errorf("%v after %d", err, len(sc.sent("GET")))
	}
}

func TestTooManyQuestions(t *testing.T) {
	s, _ := streamed(t, func(w http.ResponseWriter, r *http.Request, _ envelope) {
		for i := range maxAsked + 1 {
			sse(w, fmt.Sprintf(`data: {"jsonrpc":"2.0","id":%d,"method":"roots/list"}`, i))
		}
		<-r.Context().Done()
	})
	c := &patient{}
	if _, err := s.Call(t.Context(), target.Call{Tool: "t", Client: c}); kindOf(err) != typeMalformed || c.asked.Load() != maxAsked {
		t.Errorf("%v after %d questions", err, c.asked.Load())
	}
}

// patient is a caller who thinks for as long as it may.
type patient struct{ asked atomic.Int64 }

func (*patient) Notify(string, json.RawMessage) {}

func (p *patient) Ask(ctx context.Context, _ string, _ json.RawMessage) (json.RawMessage, error) {
	p.asked.Add(1)
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestLogs: what a server logs during a call reaches callers as their revision has it: older
// ones get all, and newer ones what they ask for.
func TestLogs(t *testing.T) {
	say := func(w http.ResponseWriter, levels ...string) {
		for _, level := range levels {
			sse(w, `data: {"jsonrpc":"2.0","method":"notifications/message","params":{"level":"`+level+`","data":"x"}}`)
		}
	}
	asked := make(chan string, 1)
	now := modernServer(t, answers{"tools/call": func(w http.ResponseWriter, _ *http.Request, m envelope) {
		var params struct {
			Meta json.RawMessage `json:"_meta"`
		}
		if err := json.Unmarshal(m.Params, &params); err != nil {
			t.Error(err)
		}
		asked <- memberText(params.Meta, metaLogLevel)
		reply(w, m, `{"resultType":"complete","content":[]}`)
	}})
	older := unopened(t, Config{}, source(serve(t, &script{t: t, answers: answers{"tools/call": func(w http.ResponseWriter, _ *http.Request, m envelope) {
		say(w, "debug", "info", "error", "odd")
		sse(w, done(m))
	}}}).URL))
	for _, tt := range []struct {
		version, meta string
		events        bool
		asks          string
		told          int
	}{
		{legacy, "", true, "debug", 4}, {legacy, "", false, "", 4}, {modern, "", true, "", 0}, {modern, "info", true, "info", 2}, {modern, "loud", true, "loud", 0},
	} {
		c := &client{}
		call := target.Call{Tool: "x", Version: tt.version, Client: c, Events: tt.events, Meta: json.RawMessage(`{"io.modelcontextprotocol/logLevel":"` + tt.meta + `"}`)}
		if tt.meta == "" {
			call.Meta = nil
		}
		for _, s := range []*server{now, older} {
			if _, err := s.Call(t.Context(), call); err != nil {
				t.Fatal(err)
			}
		}
		if got := <-asked; got != tt.asks || len(c.told) != tt.told {
			t.Errorf("%+v: asks for %q, and is told %q", tt, got, c.told)
		}
	}
	// A log that begins the stream would cost the caller the headers of the answer.
	of := source(now.endpoint.String())
	of.Metadata = &agentcorecontrol.MetadataConfiguration{AllowedResponseHeaders: []string{"X-Cost"}}
	if _, err := unopened(t, Config{}, of).Call(t.Context(), target.Call{Tool: "x", Version: legacy, Events: true}); err != nil {
		t.Fatal(err)
	}
	if got := <-asked; got != "" {
		t.Errorf("with headers of answers: asks for %q", got)
	}
}
