package consent_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/identity/consent"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/secret/secrettest"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite"
	"github.com/outcrop/outcrop/internal/workload"
)

var (
	scope = store.Scope{Account: "111122223333", Region: "us-west-2"}
	ann   = workload.User{Kind: workload.ByID, Name: "ann"}
)

type kit struct {
	*testing.T
	*consent.Sessions
	now   time.Time
	path  string
	store *sqlite.Store
}

func newKit(t *testing.T) *kit {
	t.Helper()
	dir := t.TempDir()
	k := &kit{T: t, now: time.Unix(1e9, 0).UTC(), path: filepath.Join(dir, "db")}
	var err error
	if k.store, err = sqlite.Open(t.Context(), k.path, sqlite.Options{Now: func() time.Time { return k.now }}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.store.Close(); err != nil {
			t.Error(err)
		}
	})
	k.Sessions = &consent.Sessions{Store: k.store, Box: secrettest.Box(t)}
	return k
}

func (k *kit) start() consent.Session {
	k.Helper()
	s, err := k.Start(k.Context(), consent.Session{Scope: scope, Workload: "desk", Provider: "svc", ProviderID: "p/0", User: ann, ReturnURL: "https://app/back", CustomState: "mine"})
	if err != nil {
		k.Fatal(err)
	}
	return s
}

// arrive takes a session as far as its code.
func (k *kit) arrive(s consent.Session) consent.Session {
	k.Helper()
	s, err := k.Begin(k.Context(), s.URI(), "https://me/cb", consent.Service{})
	if err == nil {
		s, err = k.Return(k.Context(), arrival(s))
	}
	if err != nil {
		k.Fatal(err)
	}
	return s
}

func arrival(s consent.Session) consent.Arrival {
	return consent.Arrival{State: s.StateText().Reveal(), Browser: s.Browser.Reveal(), Code: secret.NewString("c0de"), Callback: "https://me/cb"}
}

// TestOneWinner: each step is good once, however many try at the same time.
func TestOneWinner(t *testing.T) {
	k := newKit(t)
	s := k.start()
	race := func(step func() error) {
		t.Helper()
		var wait sync.WaitGroup
		results := make(chan error, 8)
		for range 8 {
			wait.Go(func() { results <- step() })
		}
		wait.Wait()
		won := 0
		for range 8 {
			if err := <-results; err == nil {
				won++
			} else if !errors.Is(err, consent.ErrState) {
				t.Error(err)
			}
		}
		if won != 1 {
			t.Errorf("%d won", won)
		}
	}
	race(func() error { _, err := k.Begin(t.Context(), s.URI(), "https://me/cb", consent.Service{}); return err })
	var back atomic.Pointer[consent.Session]
	race(func() error {
		s, err := k.Return(t.Context(), arrival(s))
		if err == nil {
			back.Store(&s)
		}
		return err
	})
	race(func() error { _, err := k.Claim(t.Context(), scope, back.Load().HandleURI(), ann); return err })
	race(func() error {
		return k.store.Update(t.Context(), func(tx store.Tx) error { return k.Finish(t.Context(), tx, s.ID, consent.Done) })
	})
	got, err := k.Find(t.Context(), s.URI())
	if err != nil || got.State != consent.Done || !got.Code.Empty() || !got.Verifier.Empty() {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestTooLate: each step has ten minutes, and what is over is forgotten in the end.
func TestTooLate(t *testing.T) {
	for name, ready := range map[string]func(*kit) (consent.Session, func(consent.Session) error){
		"begin": func(k *kit) (consent.Session, func(consent.Session) error) {
			return k.start(), func(s consent.Session) error {
				_, err := k.Begin(k.Context(), s.URI(), "", consent.Service{})
				return err
			}
		},
		"return": func(k *kit) (consent.Session, func(consent.Session) error) {
			begun := k.start()
			s, err := k.Begin(k.Context(), begun.URI(), "https://me/cb", consent.Service{})
			if err != nil {
				t.Fatal(err)
			}
			return s, func(s consent.Session) error { _, err := k.Return(k.Context(), arrival(s)); return err }
		},
		"claim": func(k *kit) (consent.Session, func(consent.Session) error) {
			return k.arrive(k.start()), func(s consent.Session) error { _, err := k.Claim(k.Context(), scope, s.HandleURI(), ann); return err }
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKit(t)
			s, step := ready(k)
			k.now = k.now.Add(consent.Life)
			if err := step(s); !errors.Is(err, consent.ErrNone) {
				t.Errorf("%v", err)
			}
			if got, err := k.Find(t.Context(), s.URI()); err != nil || got.State != consent.Failed {
				t.Errorf("%s, %v", got.State, err)
			}
			k.now = k.now.Add(2 * time.Hour)
			k.start() // sweeps
			if _, err := k.Find(t.Context(), s.URI()); !errors.Is(err, consent.ErrNone) {
				t.Errorf("it is kept: %v", err)
			}
		})
	}
}

// TestStrangers: who is another user, of another account, or brings what does not fit.
func TestStrangers(t *testing.T) {
	k := newKit(t)
	ctx := t.Context()
	s := k.arrive(k.start())
	for name, claim := range map[string]func() (consent.Session, error){
		"account": func() (consent.Session, error) {
			return k.Claim(ctx, store.Scope{Account: "444455556666", Region: "us-west-2"}, s.HandleURI(), ann)
		},
		"region": func() (consent.Session, error) {
			return k.Claim(ctx, store.Scope{Account: "111122223333", Region: "eu-west-1"}, s.HandleURI(), ann)
		},
		"uri":           func() (consent.Session, error) { return k.Claim(ctx, scope, s.ID, ann) },
		"no handle":     func() (consent.Session, error) { return k.Claim(ctx, scope, s.URI()+".", ann) },
		"another":       func() (consent.Session, error) { return k.Claim(ctx, scope, s.HandleURI()+"x", ann) },
		"agent's name":  func() (consent.Session, error) { return k.Claim(ctx, scope, s.URI(), ann) },
		"agent's, read": func() (consent.Session, error) { return k.FindHandle(ctx, s.URI()) },
		"as an agent":   func() (consent.Session, error) { return k.Find(ctx, s.HandleURI()) },
		"none is made":  func() (consent.Session, error) { s := k.start(); return k.FindHandle(ctx, s.HandleURI()) },
	} {
		if _, err := claim(); !errors.Is(err, consent.ErrNone) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := k.FindHandle(ctx, s.HandleURI()); err != nil {
		t.Error(err)
	}
	if _, err := k.Claim(ctx, scope, s.HandleURI(), ann); err != nil {
		t.Errorf("strangers ended it: %v", err)
	}
}

// TestWrongUser: once somebody else came back, the session is over for the right one
// too, or who sent his link away would end it himself.
func TestWrongUser(t *testing.T) {
	for name, user := range map[string]workload.User{
		"user": {Kind: workload.ByID, Name: "bob"}, "kind": {Kind: workload.ByJWT, Name: "ann"},
	} {
		k := newKit(t)
		s := k.arrive(k.start())
		for _, user := range []workload.User{user, ann} {
			if _, err := k.Claim(t.Context(), scope, s.HandleURI(), user); !errors.Is(err, consent.ErrNone) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if got, err := k.Find(t.Context(), s.URI()); err != nil || got.State != consent.Failed || !got.Code.Empty() || !got.Verifier.Empty() {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		s = k.arrive(k.start())
		if _, err := k.Claim(t.Context(), scope, s.HandleURI(), ann); err != nil {
			t.Error(err)
		}
		if _, err := k.Claim(t.Context(), scope, s.HandleURI(), user); !errors.Is(err, consent.ErrState) {
			t.Errorf("%s after the right one: %v", name, err)
		}
	}
}

// TestAtRest: the database tells nobody what it takes to go on with a session.
func TestAtRest(t *testing.T) {
	k := newKit(t)
	s := k.arrive(k.start())
	err := k.store.View(context.Background(), func(r store.Reader) error {
		for _, table := range []string{"consent-session", "consent-session-ends"} {
			n := 0
			for row, err := range r.Rows(table, store.Range{}) {
				if err != nil {
					return err
				}
				n++
				for _, secret := range []string{s.ID, s.Verifier.Reveal(), s.Ticket.Reveal(), s.Browser.Reveal(), s.Handle.Reveal(), "c0de", "mine", "desk"} {
					if strings.Contains(string(row.Key)+string(row.Value), secret) {
						t.Errorf("%s has %s", table, secret)
					}
				}
			}
			if n != 1 {
				t.Errorf("%s has %d rows", table, n)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
