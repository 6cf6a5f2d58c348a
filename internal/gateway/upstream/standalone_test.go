package upstream

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/gateway/target"
)

// aside is a server that asks on the standalone streams of its sessions.
type aside struct {
	*keeper
	mu      sync.Mutex
	streams map[string]chan string // what is sent, by session; closing one ends its stream
	ended   chan string            // sessions whose stream has ended
	answers chan envelope
}

func newAside(t testing.TB) *aside {
	a := &aside{keeper: newKeeper(t), streams: map[string]chan string{}, ended: make(chan string, 100), answers: make(chan envelope, 100)}
	a.script.answers["GET"] = func(w http.ResponseWriter, r *http.Request, _ envelope) {
		id, out := r.Header.Get("Mcp-Session-Id"), make(chan string, 100)
		a.mu.Lock()
		_, twice := a.streams[id]
		if !twice {
			a.streams[id] = out
		}
		a.mu.Unlock()
		if twice {
			w.WriteHeader(http.StatusConflict)
			return
		}
		defer func() {
			a.mu.Lock()
			delete(a.streams, id)
			a.mu.Unlock()
			a.ended <- id
		}()
		sse(w, ": here")
		for {
			select {
			case text, ok := <-out:
				if !ok {
					return
				}
				sse(w, text)
			case <-r.Context().Done():
				return
			}
		}
	}
	a.script.answers["answer"] = func(w http.ResponseWriter, _ *http.Request, m envelope) {
		w.WriteHeader(http.StatusAccepted)
		a.answers <- m
	}
	return a
}

// send sends on the stream of a session.
func (a *aside) send(session, text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	out, ok := a.streams[session]
	if !ok {
		a.t.Errorf("no stream of session %s: what is sent is lost", session)
		return
	}
	out <- text
}

// cut ends the stream of a session.
func (a *aside) cut(session string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	close(a.streams[session])
}

const whichRoots = `data: {"jsonrpc":"2.0","id":"q","method":"roots/list"}`

// asking has the tool ask for roots on its session's stream and answer with what it reads.
func (a *aside) asking() {
	a.script.answers["tools/call"] = func(w http.ResponseWriter, r *http.Request, m envelope) {
		a.send(r.Header.Get("Mcp-Session-Id"), `data: {"jsonrpc":"2.0","method":"notifications/message","params":{"data":"x"}}`)
		a.send(r.Header.Get("Mcp-Session-Id"), whichRoots)
		reply(w, m, `{"content":[{"type":"text","text":`+fmt.Sprintf("%q", (<-a.answers).Result)+`}]}`)
	}
}

// able is a call of somebody who can be asked for roots.
func able(session string, c target.Client) target.Call {
	return target.Call{Tool: "t", Session: session, Version: legacy, Capabilities: json.RawMessage(`{"roots":{}}`), Client: c}
}

func rooted() *client {
	return &client{reply: func(string, json.RawMessage) (json.RawMessage, error) { return json.RawMessage(`{"roots":[]}`), nil }}
}

// TestStandalone: what a server says on the stream of a session reaches whoever calls in
// it, one stream serves the calls of a session, and ends with it.
func TestStandalone(t *testing.T) {
	a := newAside(t)
	a.asking()
	s := unopened(t, Config{}, source(serve(t, a).URL))
	for _, session := range []string{"a", "b", "a", "b", "a"} {
		c := rooted()
		got, err := s.Call(t.Context(), able(session, c))
		if err != nil || text(t, got.Body) != `{"roots":[]}` || !slices.Equal(c.asked, []string{"roots/list"}) || !slices.Equal(c.told, []string{`notifications/message {"data":"x"}`}) {
			t.Errorf("%s, %v; asked %q, told %q", got.Body, err, c.asked, c.told)
		}
	}
	if n := len(a.sent("GET")); n != 2 {
		t.Errorf("%d streams for 2 sessions", n)
	}
	a.send("s-1", whichRoots)
	if m := <-a.answers; m.Error == nil || m.Error.Code != -32601 {
		t.Errorf("while nobody calls, the server reads %+v", m)
	}
	s.End(t.Context(), "a")
	if got := <-a.ended; got != "s-1" {
		t.Errorf("the stream of %s ends", got)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if got := <-a.ended; got != "s-2" {
		t.Errorf("the stream of %s ends", got)
	}
}

// TestStandaloneChanged: a server may tell there that it offers something else.
func TestStandaloneChanged(t *testing.T) {
	a := newAside(t)
	heard := make(chan string, 1)
	s := unopened(t, Config{Listening: Listening{
		Wanted:  func(context.Context, *url.URL) bool { return false },
		Changed: func(_ context.Context, of target.Source) { heard <- of.ID },
	}}, source(serve(t, a).URL))
	if _, err := s.Call(t.Context(), able("a", rooted())); err != nil {
		t.Fatal(err)
	}
	a.send("s-1", `data: {"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`)
	if got := <-heard; got != "TARGET0001" {
		t.Error(got)
	}
}

// TestStandaloneOfMany: the newest call carries a question, which stays when that call
// ends as long as others run, and goes with the last.
func TestStandaloneOfMany(t *testing.T) {
	a := newAside(t)
	run, end := make(chan string, 10), map[string]chan bool{"old": make(chan bool), "new": make(chan bool)}
	a.script.answers["tools/call"] = func(w http.ResponseWriter, r *http.Request, m envelope) {
		var p struct{ Name string }
		if err := json.Unmarshal(m.Params, &p); err != nil {
			t.Error(err)
		}
		run <- p.Name
		<-end[p.Name]
		reply(w, m, `{"content":[]}`)
	}
	s := unopened(t, Config{}, source(serve(t, a).URL))
	type question struct {
		of     string
		ctx    context.Context
		answer chan bool
	}
	asked := make(chan question)
	var calls sync.WaitGroup
	call := func(name string, over chan bool) {
		c := able("a", asker(func(ctx context.Context) {
			q := question{name, ctx, make(chan bool)}
			asked <- q
			select {
			case <-q.answer:
			case <-ctx.Done():
			}
		}))
		c.Tool = name
		calls.Go(func() {
			defer close(over)
			if _, err := s.Call(t.Context(), c); err != nil {
				t.Error(err)
			}
		})
		<-run
	}
	call("old", make(chan bool))
	over := make(chan bool)
	call("new", over)
	a.send("s-1", whichRoots)
	q := <-asked
	if q.of != "new" {
		t.Errorf("the %s call is asked", q.of)
	}
	end["new"] <- true
	<-over
	close(q.answer)
	if m := <-a.answers; string(m.Result) != `{"roots":[]}` {
		t.Errorf("the server reads %s", m.Result)
	}
	a.send("s-1", whichRoots)
	if q = <-asked; q.of != "old" {
		t.Errorf("the %s call is asked", q.of)
	}
	end["old"] <- true
	<-q.ctx.Done()
	calls.Wait()
}

// asker is a caller who answers when the function returns.
type asker func(context.Context)

func (asker) Notify(string, json.RawMessage) {}

func (f asker) Ask(ctx context.Context, _ string, _ json.RawMessage) (json.RawMessage, error) {
	f(ctx)
	return json.RawMessage(`{"roots":[]}`), ctx.Err()
}

// TestStandaloneIsCut: a stream that ends while a call runs is asked for again, from where
// it ended.
func TestStandaloneIsCut(t *testing.T) {
	a := newAside(t)
	get, again := a.script.answers["GET"], make(chan string, 10)
	a.script.answers["GET"] = func(w http.ResponseWriter, r *http.Request, m envelope) {
		again <- r.Header.Get("Last-Event-Id")
		get(w, r, m)
	}
	a.script.answers["tools/call"] = func(w http.ResponseWriter, _ *http.Request, m envelope) {
		<-again
		a.send("s-1", "id: e-1\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\"}")
		a.cut("s-1")
		<-a.ended
		if after := <-again; after != "e-1" {
			t.Errorf("asked for again after %q", after)
		}
		for a.live("s-1") == nil {
			time.Sleep(time.Millisecond)
		}
		a.send("s-1", whichRoots)
		<-a.answers
		reply(w, m, `{"content":[]}`)
	}
	s := unopened(t, Config{}, source(serve(t, a).URL))
	if _, err := s.Call(t.Context(), able("a", rooted())); err != nil {
		t.Error(err)
	}
}

// live is the stream of a session, or nil.
func (a *aside) live(session string) chan string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.streams[session]
}

// TestStandaloneConflict: a call waits for a server that has not yet seen the end of the
// stream before.
func TestStandaloneConflict(t *testing.T) {
	a := newAside(t)
	a.asking()
	get, first := a.script.answers["GET"], true
	a.script.answers["GET"] = func(w http.ResponseWriter, r *http.Request, m envelope) {
		if first {
			first = false
			w.WriteHeader(http.StatusConflict)
			return
		}
		get(w, r, m)
	}
	s := unopened(t, Config{}, source(serve(t, a).URL))
	if got, err := s.Call(t.Context(), able("a", rooted())); err != nil || text(t, got.Body) != `{"roots":[]}` {
		t.Errorf("%s, %v", got.Body, err)
	}
}

// TestStandaloneLingers: of the streams that no call uses as many stay as calls may run.
func TestStandaloneLingers(t *testing.T) {
	a := newAside(t)
	a.asking()
	s := unopened(t, Config{Limits: Limits{Calls: 1}}, source(serve(t, a).URL))
	for _, session := range []string{"a", "b", "a"} {
		if _, err := s.Call(t.Context(), able(session, rooted())); err != nil {
			t.Error(err)
		}
	}
	if got := <-a.ended; got != "s-2" || a.live("s-1") == nil || len(a.sent("GET")) != 2 {
		t.Errorf("the stream of %s ends, after %d", got, len(a.sent("GET")))
	}
}

// TestNoStandalone: no stream is asked for where nobody can be asked, nor again of a
// server that has none.
func TestNoStandalone(t *testing.T) {
	k := newKeeper(t)
	s := unopened(t, Config{}, source(serve(t, k).URL))
	call := func(s *server, c target.Call) {
		t.Helper()
		if _, err := s.Call(t.Context(), c); err != nil {
			t.Error(err)
		}
	}
	mute, nobody, shared := able("a", rooted()), able("b", nil), able("", rooted())
	mute.Capabilities = nil
	for _, c := range []target.Call{mute, nobody, shared} {
		call(s, c)
	}
	stateless := &script{t: t}
	call(unopened(t, Config{}, source(serve(t, stateless).URL)), able("a", rooted()))
	if n := len(k.sent("GET")) + len(stateless.sent("GET")); n != 0 {
		t.Errorf("%d streams for nobody", n)
	}
	for _, session := range []string{"c", "d", "c"} {
		call(s, able(session, rooted()))
	}
	if n := len(k.sent("GET")); n != 1 {
		t.Errorf("a server without streams is asked %d times", n)
	}
	// One that refuses is asked once in each session.
	refusing := newKeeper(t)
	refusing.answers["GET"] = func(w http.ResponseWriter, _ *http.Request, _ envelope) { w.WriteHeader(http.StatusBadRequest) }
	s = unopened(t, Config{}, source(serve(t, refusing).URL))
	for _, session := range []string{"c", "d", "c", "d"} {
		call(s, able(session, rooted()))
	}
	if n := len(refusing.sent("GET")); n != 2 {
		t.Errorf("a server that refuses streams is asked %d times in 2 sessions", n)
	}
}

// TestTardyStandalone: a server that sends no head before it has something to say holds up
// one call, and is heard.
func TestTardyStandalone(t *testing.T) {
	k := newKeeper(t)
	ask, answers := make(chan bool), make(chan envelope, 1)
	k.answers["GET"] = func(w http.ResponseWriter, r *http.Request, _ envelope) {
		select {
		case <-ask:
			sse(w, whichRoots)
			<-r.Context().Done()
		case <-r.Context().Done():
		}
	}
	k.answers["answer"] = func(w http.ResponseWriter, _ *http.Request, m envelope) {
		w.WriteHeader(http.StatusAccepted)
		answers <- m
	}
	k.answers["tools/call"] = func(w http.ResponseWriter, _ *http.Request, m envelope) {
		ask <- true
		<-answers
		reply(w, m, `{"content":[]}`)
	}
	s := unopened(t, Config{}, source(serve(t, k).URL))
	for i := range 2 {
		began := time.Now()
		if _, err := s.Call(t.Context(), able(fmt.Sprint(i), rooted())); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); (took >= maxSettling) != (i == 0) {
			t.Errorf("call %d takes %s", i, took)
		}
		s.End(t.Context(), fmt.Sprint(i))
	}
}
