package upstream

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"

	"github.com/outcrop/outcrop/internal/gateway/target"
)

// server is the target.Peer of one target.
type server struct {
	endpoint    *url.URL
	client      *http.Client
	credentials target.Credentials // nil is none
	limits      Limits
	info        []byte   // who asks, as MCP's Implementation
	passed      []string // headers of answers that callers are shown
	live        bool
	sessions    bool // the gateway keeps sessions
	dependent   bool // what the target is shown depends on who calls

	ids     atomic.Int64
	slots   *target.Slots
	readers readers
	mirrors mirrors
	loose   sync.WaitGroup
	life    context.Context // ends with Close, and all that listens with it
	end     context.CancelFunc
	// changed is told that lists have changed; nil where nobody wants to know.
	changed func()

	// plain is what was agreed with a server without sessions, and initializes is set
	// where it is known to begin with initialize.
	plain       atomic.Pointer[session]
	initializes atomic.Bool
	keeps       atomic.Int32
	links       links

	// Of standalone streams: mute is set for a server that has none, tardy where its head
	// is not worth waiting for, and lingering counts those that no call uses.
	mute, tardy atomic.Bool
	lingering   atomic.Int64
}

var (
	_ target.Driver = (*Driver)(nil)
	_ target.Peer   = (*server)(nil)
)

// Call implements target.Server.
func (s *server) Call(ctx context.Context, c target.Call) (target.Result, error) {
	r := calling(&c)
	a, err := s.complete(ctx, &c, r)
	if err != nil {
		return target.Result{}, failure(err)
	}
	return target.Result{Body: a.result, Header: s.shown(a.header)}, nil
}

// Request implements target.Peer.
func (s *server) Request(ctx context.Context, method string, params json.RawMessage, c target.Call) (json.RawMessage, error) {
	r, err := asking(method, params, &c)
	if err != nil {
		return nil, err
	}
	if s.live && method == "tools/list" && len(r.params) == 0 {
		all, err := s.listTools(ctx, &c, r)
		return all, failure(err)
	}
	a, err := s.complete(ctx, &c, r)
	if err != nil {
		return nil, failure(err)
	}
	return a.result, nil
}

// listTools lists all tools of a target that lists for each caller, whose pages are none of
// the caller's business.
func (s *server) listTools(ctx context.Context, c *target.Call, r *request) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limits.Catalogue)
	defer cancel()
	left := s.limits.Listed
	items, err := s.list(ctx, c, r, "tools", &left)
	if err != nil {
		return nil, err
	}
	b := append(make([]byte, 0, s.limits.Listed-left), `{"tools":[`...)
	for i, item := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, item...)
	}
	b = append(b, "]}"...)
	s.mirrors.learnListed(b)
	return b, nil
}

// shown are the headers of an answer that the target's allow-list lets through.
func (s *server) shown(h http.Header) http.Header {
	var out http.Header
	for _, name := range s.passed {
		if v := h.Values(name); len(v) > 0 {
			if out == nil {
				out = http.Header{}
			}
			out[http.CanonicalHeaderKey(name)] = v
		}
	}
	return out
}

// exchange sends a request in what was agreed, and once more where that no longer held.
func (s *server) exchange(ctx context.Context, c *target.Call, r *request) (answer, *session, error) {
	if err := s.enter(ctx); err != nil {
		return answer{}, nil, err
	}
	defer s.slots.Leave()
	for again := false; ; again = true {
		got, l, err := s.agreed(ctx, c)
		if err != nil {
			return answer{}, nil, err
		}
		if got.modern {
			r.mirrored = s.mirrors.of(r.name, c.Arguments)
		}
		leave := s.attend(ctx, l, got, c)
		a, err := s.send(ctx, got, c, r)
		if leave(); l != nil {
			s.links.release(l)
		}
		if err != nil && !again && stale(got, err) {
			s.forget(l, got)
			continue
		}
		return a, got, err
	}
}

// enter waits for a turn.
func (s *server) enter(ctx context.Context) error {
	err := s.slots.Enter(ctx)
	if err == target.ErrBusy {
		return target.Fail(typeBusy, nil, "The MCP server of the target is busy: %d calls run, and none ended in %s.", s.limits.Calls, s.limits.Queue)
	}
	return err
}

// End implements target.Peer.
func (s *server) End(ctx context.Context, session string) {
	if l := s.links.take(sessionKey(session)); l != nil {
		s.leave(ctx, l)
	}
}

// leave tells a server that a session ends. Whether it listens is its own affair.
func (s *server) leave(ctx context.Context, l *link) {
	l.mu.Lock()
	got := l.session
	l.left = true
	l.hush()
	l.mu.Unlock()
	if got == nil || got.id == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, farewell)
	defer cancel()
	head, err := s.do(s.to(http.MethodDelete, &l.first, s.header(got, &l.first, 4)).WithContext(ctx), &l.first)
	if err == nil {
		head.Body.Close()
	}
}

// Close implements target.Server. It ends the sessions that are kept, and waits a few
// seconds at most for servers to hear of it.
func (s *server) Close() error {
	s.end()
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	var group sync.WaitGroup
	turns := make(chan struct{}, 16)
	for _, l := range s.links.takeAll() {
		turns <- struct{}{}
		group.Go(func() {
			s.leave(ctx, l)
			<-turns
		})
	}
	group.Wait()
	s.loose.Wait()
	s.client.CloseIdleConnections()
	return nil
}
