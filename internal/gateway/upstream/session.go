package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/gateway/target"
)

// The revisions of MCP that the gateway speaks to a server (spec/gateway.md 8.1).
const (
	modern = "2026-07-28" // without sessions: each request says everything
	legacy = "2025-11-25" // the newest that begins with initialize
)

// known tells whether a revision is one that begins with initialize.
func known(revision string) bool {
	switch revision {
	case legacy, "2025-06-18", "2025-03-26":
		return true
	}
	return false
}

// session is what was agreed with a server. It does not change.
type session struct {
	revision string
	modern   bool
	// id is the Mcp-Session-Id, empty for a server that keeps none.
	id string
	// capabilities are the server's.
	capabilities map[string]json.RawMessage
	// speechless: it has no stream but those of requests. Under the link's lock.
	speechless bool
}

// shared tells whether all calls can go on with it, whoever makes them.
func (s *session) shared() bool { return s.id == "" }

// agreed returns the session that a call goes on with, and what gives it back.
func (s *server) agreed(ctx context.Context, c *target.Call) (*session, *link, error) {
	stateful := c.Session != "" && c.Version < modern && s.keeps.Load() != keepsNone
	if plain := s.plain.Load(); plain != nil && !stateful {
		return plain, nil, nil
	}
	l, gone := s.links.acquire(s.key(c), c)
	if len(gone) > 0 {
		s.background(ctx, func(ctx context.Context) {
			for _, l := range gone {
				s.leave(ctx, l)
			}
		})
	}
	got, err := l.get(ctx, func(ctx context.Context) (*session, error) { return s.greet(ctx, c, stateful) })
	if err != nil {
		s.links.release(l)
		return nil, nil, err
	}
	return got, l, nil
}

// Whether a server keeps sessions for those who begin with initialize.
const (
	keepsUnknown = iota
	keepsSessions
	keepsNone
)

// greet agrees with the server on a revision: the newest that both speak. A caller of an
// older one who has a session gets one of a server that also speaks those: tools that ask
// while they work can ask in it alone.
func (s *server) greet(ctx context.Context, c *target.Call, stateful bool) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limits.Greeting)
	defer cancel()
	if stateful && !s.initializes.Load() {
		got, err := s.initialize(ctx, c)
		switch {
		case err == nil && got.id != "":
			s.keeps.Store(keepsSessions)
			return got, nil
		case err != nil && (!older(err) || ctx.Err() != nil):
			return nil, err
		}
		s.keeps.Store(keepsNone)
		if plain := s.plain.Load(); plain != nil {
			return plain, nil
		}
	}
	if !s.initializes.Load() {
		got, err := s.discover(ctx, c)
		if err == nil {
			s.plain.Store(got)
			return got, nil
		}
		if !older(err) || ctx.Err() != nil {
			return nil, err
		}
	}
	got, err := s.initialize(ctx, c)
	if err != nil {
		return nil, err
	}
	s.initializes.Store(true)
	if !got.shared() {
		s.keeps.Store(keepsSessions)
		return got, nil
	}
	s.keeps.Store(keepsNone)
	s.plain.Store(got)
	return got, nil
}

// discover asks a server of the newest revision what it offers. Servers of older ones
// answer with whatever they have for what they do not know.
func (s *server) discover(ctx context.Context, c *target.Call) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limits.Greeting/2)
	defer cancel()
	got := &session{revision: modern, modern: true}
	a, err := s.send(ctx, got, c, &request{method: "server/discover"})
	if err != nil {
		return nil, err
	}
	var offer struct {
		SupportedVersions []string                   `json:"supportedVersions"`
		Capabilities      map[string]json.RawMessage `json:"capabilities"`
	}
	if err := json.Unmarshal(a.result, &offer); err != nil || offer.SupportedVersions == nil {
		return nil, &malformed{what: "its answer to server/discover has no supportedVersions"}
	}
	if !slices.Contains(offer.SupportedVersions, modern) {
		return nil, errOlder
	}
	got.capabilities = offer.Capabilities
	return got, nil
}

var errOlder = errors.New("the server speaks older revisions alone")

// older tells whether a server that answers a probe so may be one of the revisions that
// begin with initialize (2026-07-28, streamable HTTP, backward compatibility).
func older(err error) bool {
	var (
		status *refusal
		rpc    *target.Error
		bad    *malformed
	)
	switch {
	case errors.As(err, &status):
		switch status.status {
		case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired, http.StatusTooManyRequests:
			return false
		}
		return status.status >= 400
	case errors.Is(err, errOlder), errors.As(err, &rpc), errors.As(err, &bad), errors.Is(err, context.DeadlineExceeded):
		return true
	}
	var cut *broken
	return errors.As(err, &cut)
}

// initialize begins a session as revisions before 2026-07-28 do.
func (s *server) initialize(ctx context.Context, c *target.Call) (*session, error) {
	params := []byte(`"protocolVersion":"` + legacy + `","capabilities":`)
	params = append(params, s.declared(c, legacy)...)
	params = append(append(params, `,"clientInfo":`...), s.info...)
	a, err := s.send(ctx, &session{}, c, &request{method: "initialize", params: params})
	if err != nil {
		return nil, err
	}
	var offer struct {
		ProtocolVersion string                     `json:"protocolVersion"`
		Capabilities    map[string]json.RawMessage `json:"capabilities"`
	}
	if err := json.Unmarshal(a.result, &offer); err != nil || offer.ProtocolVersion == "" {
		return nil, &malformed{what: "its answer to initialize has no protocolVersion"}
	}
	if !known(offer.ProtocolVersion) {
		return nil, target.Fail(typeRefused, nil, "the server speaks revision %s of MCP; the gateway speaks 2025-03-26, 2025-06-18, 2025-11-25 and 2026-07-28", target.Clean(offer.ProtocolVersion))
	}
	got := &session{revision: offer.ProtocolVersion, capabilities: offer.Capabilities, id: a.header.Get(headerSession)}
	if !visible(got.id) {
		return nil, &malformed{what: "its Mcp-Session-Id has characters that are not visible ASCII, or more than 1024"}
	}
	if err := s.notify(ctx, got, c, "notifications/initialized", nil); err != nil {
		l := &link{session: got, first: bare(c)} // the server has it all the same
		s.background(ctx, func(ctx context.Context) { s.leave(ctx, l) })
		return nil, fmt.Errorf("tell server that it is initialized: %w", err)
	}
	return got, nil
}

// visible tells whether an id is one that the protocol allows.
func visible(id string) bool {
	return len(id) <= 1024 && strings.IndexFunc(id, func(r rune) bool { return r < 0x21 || r > 0x7e }) < 0
}

// stale tells whether an error says that what was agreed no longer holds. A request that
// was refused so was not acted on.
func stale(got *session, err error) bool {
	var status *refusal
	if !errors.As(err, &status) {
		return false
	}
	if got.modern {
		return codeOf(status.rpc) == codeUnsupportedVersion || status.rpc == nil &&
			(status.status == http.StatusBadRequest || status.status == http.StatusNotFound || status.status == http.StatusMethodNotAllowed)
	}
	switch status.status {
	case http.StatusNotFound:
		return got.id != ""
	case http.StatusBadRequest:
		// Many servers answer so, rather than with 404, of a session that they have not,
		// and others of a request that has none.
		code := codeOf(status.rpc)
		return code == codeUnsupportedVersion || code == codeHeaderMismatch || strings.Contains(strings.ToLower(status.Error()), "session")
	}
	return false
}

// The codes of errors of the revision 2026-07-28.
const (
	codeHeaderMismatch     = -32020
	codeUnsupportedVersion = -32022
)

func codeOf(e *target.Error) int {
	if e == nil {
		return 0
	}
	return e.Code
}

// forget drops what was agreed, so that the next call agrees anew.
func (s *server) forget(l *link, got *session) {
	s.mute.Store(false) // it may be another server by now
	if l != nil {
		l.drop(got)
	}
	if got.shared() {
		s.plain.CompareAndSwap(got, nil)
		s.initializes.Store(false)
		s.keeps.Store(keepsUnknown)
	}
}
