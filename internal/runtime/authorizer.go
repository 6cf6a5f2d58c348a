package runtime

import (
	"context"
	"errors"

	"github.com/outcrop/outcrop/internal/inbound"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/work"
)

// Issuers finds the issuers of tokens.
type Issuers interface {
	// Issuer returns the name in a discovery document. One that cannot be had is a
	// *jwt.Invalid.
	Issuer(ctx context.Context, discoveryURL string) (string, error)
}

// doorKey is an endpoint of a runtime.
type doorKey struct{ account, region, runtime, endpoint string }

// Authorizer says who may call an endpoint with a token, and is nil where signatures
// are wanted; the session of the key does not matter. It is asked for each invocation
// and reads the store when an endpoint has changed.
func (s *Service) Authorizer(ctx context.Context, key session.Key) (*inbound.Authorizer, error) {
	at := doorKey{key.Scope.Account, key.Scope.Region, key.Owner, key.Endpoint}
	if a, ok := s.doors.Get(at); ok {
		return a, nil
	}
	// Asked for before reading, so that a write in between is not missed. What a
	// version says never changes: which one an endpoint runs does.
	watch := s.cfg.Store.Watch(s.docs.endpoints.Topic())
	_, v, err := s.live(ctx, key, "")
	if err != nil {
		return nil, err
	}
	spec, err := s.configuration(v)
	if err != nil {
		return nil, err
	}
	a := inbound.New(spec.AuthorizerConfiguration)
	s.doors.Put(at, a, watch)
	return a, nil
}

// issuerID is the stream of a runtime's log in which it stands whether the issuer of
// its callers' tokens was found.
const issuerID = "authorizer"

// findIssuer looks once for the issuer of a version that is READY, and says in the log
// what its callers would only be refused for. A pool that is made later is found then
// (spec/identity.md 7.2).
type findIssuer struct{ s *Service }

func (f findIssuer) Do(ctx context.Context, item *work.Item) error {
	_, v, err := f.s.job(ctx, item.Work)
	if err != nil || v.ID == "" {
		return err
	}
	spec, err := f.s.configuration(v)
	if err != nil {
		return work.Permanent(err)
	}
	a := inbound.New(spec.AuthorizerConfiguration)
	if a == nil || f.s.cfg.Issuers == nil {
		return nil
	}
	if _, err = f.s.cfg.Issuers.Issuer(ctx, a.DiscoveryURL); err == nil || ctx.Err() != nil {
		return err
	}
	if cause := errors.Unwrap(err); cause != nil {
		err = cause // without the URL, which is said once
	}
	f.s.noteFor(v, issuerID)("the issuer of callers' tokens, " + a.DiscoveryURL + ", is not there yet: " + err.Error() + ". Until it is, all callers are refused (401)")
	return nil
}

// Failed leaves it at that: the log would have said so.
func (findIssuer) Failed(store.Tx, store.Work, error) error { return nil }
