package mcp

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outcrop/outcrop/internal/gateway"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/secret/secrettest"
)

// TestListeners bounds the streams that listen: by caller, and by gateway, and again when
// one has left.
func TestListeners(t *testing.T) {
	v := &gateway.View{ID: "g-0123456789", SessionLife: time.Hour, Streaming: true}
	e := New(Config{
		Box: secrettest.Box(t), Now: time.Now, Log: slog.New(slog.DiscardHandler), Changed: func() <-chan struct{} { return nil },
		Latest: func(context.Context, string) (*gateway.View, error) { return v, nil },
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // who listens has left when it is let in
	send := func(method, session, body string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h := http.Header{"Accept": {"application/json, text/event-stream"}, "Mcp-Session-Id": {session}}
		if strings.Contains(body, stateless) {
			h.Set(versionHeader, stateless)
			h.Set(methodHeader, "subscriptions/listen")
		}
		e.Handler(Request{View: v, Caller: target.Caller{Subject: "alice"}, Method: method, Header: h, Body: strings.NewReader(body)}).
			ServeHTTP(w, httptest.NewRequestWithContext(ctx, method, "/mcp", nil))
		return w
	}
	session := send("POST", "", `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}`).Header().Get(sessionHeader)
	subscribe := `{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`
	both := func(when string, status int, text string) {
		t.Helper()
		for _, w := range []*httptest.ResponseRecorder{send("GET", session, ""), send("POST", "", subscribe)} {
			if w.Code != status || !strings.Contains(w.Body.String(), text) || status != 200 && w.Header().Get("Retry-After") == "" {
				t.Errorf("%s: %d %v %s", when, w.Code, w.Header(), w.Body)
			}
		}
	}
	both("first", 200, "")
	var leave []func()
	enter := func(n int, caller func(int) string) {
		for i := range n {
			one, _, _ := e.listeners.enter(v.Scope.Account, v.ID, caller(i))
			leave = append(leave, one)
		}
	}
	enter(maxOfCaller, func(int) string { return "#alice" })
	both("of one caller", 429, "There are 200 streams that listen already, as many as one caller may have")
	leave[0]()
	both("when one has left", 200, "")
	leave = leave[1:]
	enter(maxOfGateway-maxOfCaller+1, func(i int) string { return fmt.Sprint(i) })
	leave[0]()
	leave = leave[1:]
	enter(1, func(int) string { return "bob" })
	both("of one gateway", 429, "as many as this gateway may have")
	leave[0]()
	leave = leave[1:]
	for n := 0; ; n++ { // at the account's other gateways
		one, most, whose := e.listeners.enter(v.Scope.Account, fmt.Sprint("other-", n/maxOfCaller), "bob")
		if one == nil {
			if most != maxOfAll/2 || whose != "the gateways of this account" {
				t.Errorf("%d of %s", most, whose)
			}
			break
		}
		leave = append(leave, one)
	}
	both("of one account", 429, "There are 5000 streams that listen already, as many as the gateways of this account may have")
	if one, _, _ := e.listeners.enter("444455556666", "g-9876543210", "carol"); one == nil {
		t.Error("another account gets none")
	} else {
		leave = append(leave, one)
	}
	for _, one := range leave {
		one()
	}
	if len(e.listeners.of) != 0 || e.listeners.places.Of(v.Scope.Account) != 0 {
		t.Errorf("%v are left of nobody", e.listeners.of)
	}
}

// TestLeaving: the streams of a session end with it, and those of others do not.
func TestLeaving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &gateway.View{ID: "g-0123456789", SessionLife: time.Hour, Streaming: true}
		e := New(Config{
			Box: secrettest.Box(t), Now: time.Now, Log: slog.New(slog.DiscardHandler), Changed: func() <-chan struct{} { return nil },
			Latest: func(context.Context, string) (*gateway.View, error) { return v, nil },
		})
		send := func(method, session, body string) http.Header {
			w := httptest.NewRecorder()
			h := http.Header{"Accept": {"application/json, text/event-stream"}, "Mcp-Session-Id": {session}}
			e.Handler(Request{View: v, Method: method, Header: h, Body: strings.NewReader(body)}).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, "/mcp", nil))
			return w.Header()
		}
		var ids []string
		var ended [2]atomic.Bool
		for i := range ended {
			ids = append(ids, send("POST", "", `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}`).Get(sessionHeader))
			go func() {
				send("GET", ids[i], "")
				ended[i].Store(true)
			}()
			synctest.Wait()
		}
		send("DELETE", ids[0], "")
		synctest.Wait()
		if !ended[0].Load() || ended[1].Load() {
			t.Errorf("the streams have ended: %v of the session that did, %v of another", ended[0].Load(), ended[1].Load())
		}
		send("DELETE", ids[1], "")
		synctest.Wait()
		if len(e.sessions.streams) != 0 {
			t.Errorf("%d are remembered", len(e.sessions.streams))
		}
	})
}

// TestEndedSessions remembers those that callers ended, until they would have ended by
// themselves, and so many at most.
func TestEndedSessions(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s := newSessions(secrettest.Box(t), func() time.Time { return now })
	for i := range maxEnded + 100 {
		s.end(session{Nonce: fmt.Sprint(i), Ends: now.Add(time.Hour)})
	}
	_, first := s.ended["0"]
	_, last := s.ended[fmt.Sprint(maxEnded+99)]
	if len(s.ended) != maxEnded || len(s.order) != maxEnded || first || !last {
		t.Errorf("%d are remembered in %d places, the first %v, the last %v", len(s.ended), len(s.order), first, last)
	}
	now = now.Add(2 * time.Hour)
	s.end(session{Nonce: "late", Ends: now.Add(time.Hour)})
	if len(s.ended) != 1 {
		t.Errorf("%d are remembered after all but one would have ended", len(s.ended))
	}
}
