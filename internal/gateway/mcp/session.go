package mcp

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/gateway"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/secret"
)

// session is what is remembered of a caller between requests. Its id is itself, sealed:
// so it outlives a restart, and nobody can make one up.
type session struct {
	ID      string    `json:"-"`
	Nonce   string    `json:"n"`
	Gateway string    `json:"g"`
	Who     string    `json:"w"`
	Version string    `json:"v"`
	Ends    time.Time `json:"e"`
	// Elicits, ElicitsURL, Samples and Roots are what the caller can be asked for: by a form,
	// by a page elsewhere, of its model, and where its files are.
	Elicits    bool `json:"el,omitempty"`
	ElicitsURL bool `json:"eu,omitempty"`
	Samples    bool `json:"sa,omitempty"`
	Roots      bool `json:"ro,omitempty"`
}

// capabilities are those that targets are told, as MCP's ClientCapabilities.
func (s session) capabilities() json.RawMessage {
	var of struct {
		Elicitation map[string]struct{} `json:"elicitation,omitempty"`
		Sampling    *struct{}           `json:"sampling,omitempty"`
		Roots       *struct{}           `json:"roots,omitempty"` // without listChanged: who wants them now asks
	}
	if s.Elicits {
		of.Elicitation = map[string]struct{}{"form": {}}
		if s.ElicitsURL {
			of.Elicitation["url"] = struct{}{}
		}
	}
	if s.Samples {
		of.Sampling = &struct{}{}
	}
	if s.Roots {
		of.Roots = &struct{}{}
	}
	if b, err := json.Marshal(of); err == nil && len(b) > len("{}") {
		return b
	}
	return nil
}

var errNoSession = errors.New("no such session")

// maxSessionID bounds an id, in bytes.
const maxSessionID = 2 << 10

// sessions makes sessions and finds them again.
type sessions struct {
	box *secret.Box
	now func() time.Time

	mu    sync.Mutex
	ended map[string]struct{} // by nonce, until they would have ended by themselves
	order []ending            // the same, that which ended first at the beginning
	asked map[string]map[string]chan message
	count uint64
	// streams are the ends of those that listen in a session, by its nonce.
	streams map[string]map[*exchange]context.CancelFunc
	// calls are the ends of those that run in a session, by its nonce and the call's id.
	calls map[string]*running
}

// running is a call that runs.
type running struct{ stop context.CancelFunc }

// ending is a session that its caller has ended, and when it would have by itself.
type ending struct {
	nonce string
	at    time.Time
}

// maxEnded bounds how many such sessions are remembered; of more, those that ended first
// are good again to who has their ids.
const maxEnded = 1 << 16

func newSessions(box *secret.Box, now func() time.Time) *sessions {
	return &sessions{box: box, now: now, ended: map[string]struct{}{}, asked: map[string]map[string]chan message{}, streams: map[string]map[*exchange]context.CancelFunc{}, calls: map[string]*running{}}
}

// who is whom a session belongs to.
func who(c target.Caller) string {
	if c.Principal != "" {
		return c.Principal
	}
	if c.Subject == "" && c.Issuer == "" {
		return ""
	}
	return c.Issuer + "#" + c.Subject
}

func sessionOwner(v *gateway.View) secret.Owner {
	return secret.Owner{Scope: v.Scope.String(), Kind: "gateway-session", ID: v.ID}
}

// begin makes a session and its id.
func (s *sessions) begin(ctx context.Context, v *gateway.View, of session) (session, error) {
	of.Nonce, of.Gateway, of.Ends = rand.Text(), v.ID, s.now().Add(v.SessionLife)
	plain, err := json.Marshal(of)
	if err != nil {
		return of, err
	}
	sealed, err := s.box.Seal(ctx, sessionOwner(v), secret.NewBytes(plain))
	if err != nil {
		return of, fmt.Errorf("seal session of gateway %s: %w", v.ID, err)
	}
	of.ID = base64.RawURLEncoding.EncodeToString(sealed)
	return of, nil
}

// find opens the id of a session that a caller has.
func (s *sessions) find(ctx context.Context, v *gateway.View, c target.Caller, id string) (session, error) {
	var found session
	if len(id) > maxSessionID {
		return found, errNoSession
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(id) // a session has one id
	if err != nil {
		return found, errNoSession
	}
	plain, err := s.box.Open(ctx, sessionOwner(v), sealed)
	if err != nil {
		return found, fmt.Errorf("%w: %w", errNoSession, err)
	}
	if err := json.Unmarshal(plain.Reveal(), &found); err != nil {
		return found, err
	}
	found.ID = id
	s.mu.Lock()
	_, over := s.ended[found.Nonce]
	s.mu.Unlock()
	if over || found.Gateway != v.ID || found.Who != who(c) || !s.now().Before(found.Ends) {
		return found, errNoSession
	}
	return found, nil
}

// end ends a session, and forgets those that have ended by themselves.
func (s *sessions) end(of session) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.order) > 0 && (len(s.order) >= maxEnded || now.After(s.order[0].at)) {
		delete(s.ended, s.order[0].nonce)
		s.order = s.order[1:]
	}
	if _, is := s.ended[of.Nonce]; !is {
		s.ended[of.Nonce] = struct{}{}
		s.order = append(s.order, ending{of.Nonce, of.Ends})
	}
	for id, waits := range s.asked[of.Nonce] {
		close(waits)
		delete(s.asked[of.Nonce], id)
	}
	delete(s.asked, of.Nonce)
	for _, stop := range s.streams[of.Nonce] {
		stop()
	}
}

// listens keeps the end of a stream, for the session's.
func (s *sessions) listens(of session, x *exchange, stop context.CancelFunc) (forget func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, over := s.ended[of.Nonce]; over {
		stop()
	}
	if s.streams[of.Nonce] == nil {
		s.streams[of.Nonce] = map[*exchange]context.CancelFunc{}
	}
	s.streams[of.Nonce][x] = stop
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.streams[of.Nonce], x)
		if len(s.streams[of.Nonce]) == 0 {
			delete(s.streams, of.Nonce)
		}
	}
}

// runs keeps the end of a call, for a caller who does not want its answer any more.
func (s *sessions) runs(of session, id json.RawMessage, stop context.CancelFunc) (forget func()) {
	key, call := of.Nonce+string(id), &running{stop}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[key] = call
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.calls[key] == call { // and not a later one that has its id
			delete(s.calls, key)
		}
	}
}

// cancel ends a call that a caller does not want any more.
func (s *sessions) cancel(of session, m *message) {
	var what struct {
		ID json.RawMessage `json:"requestId"`
	}
	if json.Unmarshal(m.Params, &what) != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if call := s.calls[of.Nonce+string(what.ID)]; call != nil {
		call.stop()
	}
}

// ask gives a question to the caller of a session an id, and returns where its answer
// will come.
func (s *sessions) ask(of session) (id string, answer <-chan message, forget func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	id = fmt.Sprintf("gateway-%d", s.count)
	waits := make(chan message, 1)
	if s.asked[of.Nonce] == nil {
		s.asked[of.Nonce] = map[string]chan message{}
	}
	s.asked[of.Nonce][id] = waits
	return id, waits, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.asked[of.Nonce], id)
		if len(s.asked[of.Nonce]) == 0 {
			delete(s.asked, of.Nonce)
		}
	}
}

// answered takes what a caller answers.
func (s *sessions) answered(of session, m *message) bool {
	var id string
	if json.Unmarshal(m.ID, &id) != nil {
		return false // ours are strings
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	waits, ok := s.asked[of.Nonce][id]
	if ok {
		delete(s.asked[of.Nonce], id)
		waits <- *m
	}
	return ok
}

// belongs finds the session of a request to a gateway that keeps sessions.
func (x *exchange) belongs() (session, *failure) {
	id := x.header.Get(sessionHeader)
	if id == "" {
		return session{}, invalid(codeInvalidRequest, "Missing required Mcp-Session-Id header")
	}
	found, err := x.e.sessions.find(x.ctx, x.view, x.caller, id)
	if errors.Is(err, errNoSession) {
		f := invalid(codeInvalidRequest, "Session not found or expired")
		f.status = http.StatusNotFound
		return found, f
	}
	if err != nil {
		return found, internal(err)
	}
	return found, nil
}
