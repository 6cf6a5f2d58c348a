package lambda

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
)

// get reads a function, or answers as Lambda does when there is none: there is none of
// another qualifier than $LATEST either.
func (s *Service) get(r store.Reader, n Name) (functionDoc, error) {
	if n.Qualifier != "" && n.Qualifier != Latest {
		return functionDoc{}, notFound(n.ARN())
	}
	doc, err := s.functions.Get(r, n.Scope, n.Function)
	if errors.Is(err, store.ErrNotFound) {
		return doc, notFound(n.ARN())
	}
	return doc, err
}

func (s *Service) read(ctx context.Context, n Name) (doc functionDoc, err error) {
	err = s.cfg.Store.View(ctx, func(r store.Reader) error {
		doc, err = s.get(r, n)
		return err
	})
	return doc, err
}

// may reads what a caller calls a function by, and asks whether they may do action with
// it. Who may not learns nothing of whether it is there.
func may(ctx context.Context, action string, text, qualifier *string) (Name, error) {
	c := pipeline.From(ctx)
	n, err := ParseName(c.Scope, value(text), value(qualifier))
	if err != nil {
		return n, err
	}
	return n, c.Authorize(ctx, auth.Requirement{Action: "lambda:" + action, Resource: n.ARN()})
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// seal keeps a function's variables, which often are secrets.
func (s *Service) seal(ctx context.Context, scope store.Scope, name, id string, env map[string]string) ([]byte, error) {
	if env == nil {
		return nil, nil
	}
	plain, err := json.Marshal(env)
	if err != nil {
		return nil, err
	}
	return s.cfg.Secrets.Seal(ctx, environmentOwner(scope, name, id), secret.NewBytes(plain))
}

// environment opens the variables of a version.
func (s *Service) environment(ctx context.Context, doc functionDoc, v *version) (map[string]string, error) {
	if v.Environment == nil {
		return nil, nil
	}
	plain, err := s.cfg.Secrets.Open(ctx, environmentOwner(doc.Scope, doc.ID, doc.State.ID), v.Environment)
	if err != nil {
		return nil, fmt.Errorf("open environment of %s: %w", doc.ID, err)
	}
	var env map[string]string
	if err := json.Unmarshal(plain.Reveal(), &env); err != nil {
		return nil, fmt.Errorf("read environment of %s: %w", doc.ID, err)
	}
	return env, nil
}

func environmentOwner(scope store.Scope, name, id string) secret.Owner {
	return secret.Owner{Scope: scope.String(), Kind: "function.environment", ID: name + ":" + id}
}
