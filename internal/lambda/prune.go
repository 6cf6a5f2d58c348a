package lambda

import (
	"context"
	"errors"
	"strconv"

	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/store"
)

// Code are the digests of the code that functions have, which nobody may remove.
func (s *Service) Code(ctx context.Context) (map[string]bool, error) {
	out := map[string]bool{}
	err := s.cfg.Store.View(ctx, func(r store.Reader) error {
		clear(out)
		for doc, err := range s.functions.All(r) {
			if err != nil {
				return err
			}
			out[doc.State.Target.Digest] = true
			if doc.State.Live != nil {
				out[doc.State.Live.Digest] = true
			}
		}
		return nil
	})
	return out, err
}

// Known names what environments may be started for; ID is empty.
func (s *Service) Known(ctx context.Context) (all []session.Key, err error) {
	err = s.cfg.Store.View(ctx, func(r store.Reader) error {
		all = nil
		for doc, err := range s.functions.All(r) {
			if err != nil {
				return err
			}
			all = append(all, session.Key{Scope: doc.Scope, Owner: owner(doc.ID, doc.State.ID), Endpoint: Latest})
		}
		return nil
	})
	return all, err
}

// Basis is what an environment of a version is made from now, as in session.Plan.Basis;
// session.ErrNotFound says that nothing is by now.
func (s *Service) Basis(ctx context.Context, key session.Key, version string) (string, error) {
	name, ok := FunctionOf(key.Owner)
	if !ok {
		return "", session.ErrNotFound
	}
	var doc functionDoc
	err := s.cfg.Store.View(ctx, func(r store.Reader) (err error) {
		doc, err = s.functions.Get(r, key.Scope, name)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return "", session.ErrNotFound
	}
	if err != nil {
		return "", err
	}
	v := doc.State.Live
	if owner(doc.ID, doc.State.ID) != key.Owner || v == nil || strconv.Itoa(v.Number) != version {
		return "", session.ErrNotFound
	}
	in, _, err := s.interpreter(ctx, v)
	if err != nil {
		return "", ctx.Err() // it may be back soon
	}
	return s.basis(v, in), nil
}
