// Package consent keeps the sessions in which users let agents act for them: from the
// authorization URL that an agent gets, by the user's browser to a service and back, to
// the code that the service gave (spec/identity.md 5.3).
//
// A session goes through its states in one direction. Each step that is good once is
// taken in a transaction, so that two who try have one winner. Sessions are sealed
// under the server's own key: they are over within the hour.
package consent

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/workload"
)

// Life is how long each of a session's steps may take: from the agent's call to the
// user's browser, from there to its return, and from there to the application's word
// that it was the right user (spec/identity.md 11).
const Life = 10 * time.Minute

// kept is how long it is known after its end that a session failed.
const kept = time.Hour

// State is how far a session is.
type State string

// The states, in their order; Failed may follow any.
const (
	Asked    State = "ASKED"    // the agent has the authorization URL
	Begun    State = "BEGUN"    // a browser was sent to the service
	Returned State = "RETURNED" // and came back with a code
	Claimed  State = "CLAIMED"  // the code is being exchanged
	Done     State = "DONE"
	Failed   State = "FAILED"
)

// The errors of steps.
var (
	ErrNone  = errors.New("there is no such session, or it is over")
	ErrState = errors.New("the session has gone past that step")
)

// Session is one user's consent.
type Session struct {
	ID    string
	State State
	// Ends is when the step it waits for is too late.
	Ends time.Time

	Scope              store.Scope
	Workload, Provider string
	// WorkloadMade and ProviderID tell both from later ones of the same names.
	WorkloadMade time.Time
	ProviderID   string
	User         workload.User
	Scopes       []string
	Audiences    []string
	Resources    []string
	Parameters   map[string]string
	ReturnURL    string
	CustomState  string
	// Verifier is PKCE's, Ticket what comes back in the service's state, Browser what
	// the browser that was sent brings back, Code the service's, Handle what that
	// browser alone takes to the application.
	Verifier, Ticket, Browser, Code, Handle secret.String
	// Pass is what a browser shows whose user was seen before they were sent on, by the page
	// that they come back to (a consent portal): without it there is none.
	Pass secret.String
	// Redirect is where the service sent the browser back to, and Service which one it
	// was sent to.
	Redirect string
	Service  Service
}

// Service is where a browser is sent.
type Service struct {
	Issuer      string // empty where it is not known
	NamesItself bool   // it always says in its answers who it is (RFC 9207)
}

// gave tells whether an answer can be the service's, by the issuer that is named in it.
func (s Service) gave(issuer string) bool {
	return s.Issuer == "" || issuer == s.Issuer || issuer == "" && !s.NamesItself
}

// URIPrefix begins the name of a session to agents and applications (RFC 9126 2.2).
const URIPrefix = "urn:ietf:params:oauth:request_uri:"

// URI is the session's name to agents.
func (s *Session) URI() string { return URIPrefix + s.ID }

// HandleURI is the session's name to the application that the browser came back to.
// Whoever began the session cannot know it before: the agent's name for it, in a link
// that was sent to somebody else, must not be enough to end what that one consented to.
func (s *Session) HandleURI() string { return s.URI() + "." + s.Handle.Reveal() }

// passMark stands between a session's name and its pass. No id has it.
const passMark = "~"

// PassURI is the session's name in the browser that has its pass.
func (s *Session) PassURI() string { return s.URI() + passMark + s.Pass.Reveal() }

// CutPass takes the pass off a session's name, if it has one.
func CutPass(uri string) (name, pass string) {
	name, pass, _ = strings.Cut(uri, passMark)
	return name, pass
}

// Passes reports whether a pass is the session's.
func (s *Session) Passes(pass string) bool { return same(s.Pass, pass) }

// StateText is what the service sends back in its state.
func (s *Session) StateText() secret.String { return secret.NewString(s.ID + "." + s.Ticket.Reveal()) }

// Sessions are all sessions of a store. They are safe for concurrent use.
type Sessions struct {
	Store store.Store
	Box   *secret.Box
}

const (
	table = "consent-session"
	// ends orders the sessions by when they can be forgotten.
	ends = "consent-session-ends"
)

// Random returns a text that nobody guesses, of 256 bits.
func Random() secret.String {
	b := make([]byte, 32)
	rand.Read(b) // never fails
	return secret.NewString(base64.RawURLEncoding.EncodeToString(b))
}

// Start adds a session. It sets the id, the state and what is random.
func (a *Sessions) Start(ctx context.Context, s Session) (Session, error) {
	s.ID, s.State = Random().Reveal(), Asked
	s.Verifier, s.Ticket, s.Browser = Random(), Random(), Random()
	err := a.Store.Update(ctx, func(tx store.Tx) error {
		if err := sweep(tx); err != nil {
			return err
		}
		s.Ends = tx.Now().Add(Life)
		return a.put(ctx, tx, s, tx.Now())
	})
	return s, err
}

// Find reads a session by the name that agents have, or is ErrNone. One that is past
// its time has Failed.
func (a *Sessions) Find(ctx context.Context, uri string) (s Session, err error) {
	id, ok := strings.CutPrefix(uri, URIPrefix)
	if !ok {
		return s, ErrNone
	}
	err = a.Store.View(ctx, func(r store.Reader) (err error) {
		s, err = a.get(ctx, r, id)
		return err
	})
	return s, err
}

// Begin takes the step of a browser that comes with a request_uri.
func (a *Sessions) Begin(ctx context.Context, uri, redirect string, to Service) (Session, error) {
	id, ok := strings.CutPrefix(uri, URIPrefix)
	if !ok {
		return Session{}, ErrNone
	}
	return a.step(ctx, id, func(s *Session) error {
		if s.State != Asked {
			return ErrState
		}
		s.State, s.Redirect, s.Service = Begun, redirect, to
		return nil
	})
}

// Vouch takes note of a page that has seen the user before they are sent on: check is asked
// about the session first, whose CustomState is that page's from then on, and which has a
// Pass for that user's browser. It may be repeated until a browser is sent.
func (a *Sessions) Vouch(ctx context.Context, uri, state string, check func(*Session) error) (Session, error) {
	id, ok := strings.CutPrefix(uri, URIPrefix)
	if !ok {
		return Session{}, ErrNone
	}
	return a.step(ctx, id, func(s *Session) error {
		if err := check(s); err != nil {
			return err
		}
		if s.State != Asked {
			return ErrState
		}
		s.Pass, s.CustomState = Random(), state
		return nil
	})
}

// Arrival is what a browser brings back from a service.
type Arrival struct {
	State   string // the service's
	Browser string // what the browser was given
	Code    secret.String
	// Callback is the URL which the browser came to, without the query.
	Callback string
	Issuer   string // who the service says it is
	Failed   bool   // the service says that the user did not consent, or that it failed
}

// ErrMixUp says that an answer is not from the service that the user was sent to.
var ErrMixUp = errors.New("the answer is not from the service that was asked")

// Return takes the step of a browser that comes back. What does not fit changes
// nothing: whoever made it up must not end another's session.
func (a *Sessions) Return(ctx context.Context, v Arrival) (Session, error) {
	id, ticket, ok := strings.Cut(v.State, ".")
	if !ok {
		return Session{}, ErrNone
	}
	return a.step(ctx, id, func(s *Session) error {
		switch {
		case !same(s.Ticket, ticket) || !same(s.Browser, v.Browser):
			return ErrNone
		case s.State != Begun:
			return ErrState
		case v.Callback != s.Redirect, !s.Service.gave(v.Issuer):
			return ErrMixUp
		}
		s.State, s.Code, s.Handle = Returned, v.Code, Random()
		if v.Failed {
			s.State = Failed
		}
		return nil
	})
}

// handled splits the name that applications have of a session.
func handled(uri string) (id, handle string, ok bool) {
	rest, ok := strings.CutPrefix(uri, URIPrefix)
	id, handle, cut := strings.Cut(rest, ".")
	return id, handle, ok && cut
}

// FindHandle reads a session by the name that applications have, or is ErrNone.
func (a *Sessions) FindHandle(ctx context.Context, uri string) (Session, error) {
	id, handle, ok := handled(uri)
	if !ok {
		return Session{}, ErrNone
	}
	s, err := a.Find(ctx, URIPrefix+id)
	if err == nil && !same(s.Handle, handle) {
		return Session{}, ErrNone
	}
	return s, err
}

// Claim takes the step of an application that vouches for the user: whoever gets the
// session of it exchanges the code, and nobody else can. It is ErrNone for another
// account, and for another user, whose coming ends the session: who consented was not
// the one whom the agent asked for.
func (a *Sessions) Claim(ctx context.Context, scope store.Scope, uri string, user workload.User) (Session, error) {
	id, handle, ok := handled(uri)
	if !ok {
		return Session{}, ErrNone
	}
	s, err := a.step(ctx, id, func(s *Session) error {
		switch {
		case s.Scope != scope || !same(s.Handle, handle):
			return ErrNone
		case s.State != Returned:
			return ErrState
		case s.User != user:
			s.State, s.Code, s.Verifier, s.Ticket = Failed, secret.String{}, secret.String{}, secret.String{}
			return nil
		}
		s.State = Claimed
		return nil
	})
	if err == nil && s.State == Failed {
		return Session{}, ErrNone
	}
	return s, err
}

// Finish ends a session in the transaction that stores what came of it.
func (a *Sessions) Finish(ctx context.Context, tx store.Tx, id string, as State) error {
	s, err := a.get(ctx, tx, id)
	if err != nil {
		return err
	}
	if s.State != Claimed {
		return ErrState
	}
	s.State, s.Code, s.Verifier, s.Ticket = as, secret.String{}, secret.String{}, secret.String{}
	return a.put(ctx, tx, s, tx.Now())
}

func same(want secret.String, got string) bool {
	return !want.Empty() && subtle.ConstantTimeCompare([]byte(want.Reveal()), []byte(got)) == 1
}

func (a *Sessions) step(ctx context.Context, id string, change func(*Session) error) (s Session, err error) {
	err = a.Store.Update(ctx, func(tx store.Tx) (err error) {
		if s, err = a.get(ctx, tx, id); err != nil {
			return err
		}
		if s.State == Failed {
			return ErrNone
		}
		if err := change(&s); err != nil {
			return err
		}
		s.Ends = tx.Now().Add(Life)
		return a.put(ctx, tx, s, tx.Now())
	})
	return s, err
}

// key hides the id: who reads the database cannot go on with a session.
func key(id string) []byte {
	sum := sha256.Sum256([]byte(id))
	return sum[:]
}

func owner(id string) secret.Owner {
	return secret.Owner{Scope: store.Global, Kind: table, ID: base64.RawURLEncoding.EncodeToString(key(id))}
}

// document is a session with what is secret in it, for the box alone.
type document struct {
	Session
	Verifier, Ticket, Browser, Code, Handle string
	Pass                                    string `json:",omitempty"`
}

func (a *Sessions) get(ctx context.Context, r store.Reader, id string) (Session, error) {
	value, err := r.Row(table, key(id))
	if errors.Is(err, store.ErrNotFound) {
		return Session{}, ErrNone
	}
	if err != nil {
		return Session{}, err
	}
	b, err := a.Box.Open(ctx, owner(id), value)
	if err != nil {
		return Session{}, fmt.Errorf("read consent session: %w", err)
	}
	var d document
	if err := json.Unmarshal(b.Reveal(), &d); err != nil {
		return Session{}, fmt.Errorf("read consent session: %w", err)
	}
	s := d.Session
	s.Verifier, s.Ticket, s.Browser = secret.NewString(d.Verifier), secret.NewString(d.Ticket), secret.NewString(d.Browser)
	s.Code, s.Handle = secret.NewString(d.Code), secret.NewString(d.Handle)
	s.Pass = secret.NewString(d.Pass)
	if s.State != Done && !r.Now().Before(s.Ends) {
		s.State = Failed
	}
	return s, nil
}

func (a *Sessions) put(ctx context.Context, tx store.Tx, s Session, now time.Time) error {
	b, err := json.Marshal(document{s, s.Verifier.Reveal(), s.Ticket.Reveal(), s.Browser.Reveal(), s.Code.Reveal(), s.Handle.Reveal(), s.Pass.Reveal()})
	if err != nil {
		return err
	}
	sealed, err := a.Box.Seal(ctx, owner(s.ID), secret.NewBytes(b))
	if err != nil {
		return fmt.Errorf("seal consent session: %w", err)
	}
	if s.State == Asked {
		at := binary.BigEndian.AppendUint64(nil, uint64(now.Add(3*Life+kept).Unix()))
		if err := tx.PutRow(ends, append(at, key(s.ID)...), []byte{1}); err != nil {
			return err
		}
	}
	return tx.PutRow(table, key(s.ID), sealed)
}

// swept bounds what one call does for those before it.
const swept = 16

// sweep forgets sessions that are long over.
func sweep(tx store.Tx) error {
	due := store.Range{To: binary.BigEndian.AppendUint64(nil, uint64(tx.Now().Unix())), Limit: swept}
	var over [][]byte
	for row, err := range tx.Rows(ends, due) {
		if err != nil {
			return err
		}
		over = append(over, row.Key)
	}
	for _, k := range over {
		if err := errors.Join(tx.DeleteRow(table, k[8:]), tx.DeleteRow(ends, k)); err != nil {
			return err
		}
	}
	return nil
}
