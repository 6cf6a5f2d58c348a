// Package kms is the front of KMS: it turns calls of its API into calls of the keys
// (package key), and asks for each key that is used whether the caller may.
//
// A key's own policy has to allow every use of it, as at AWS; the one that keys are
// made with leaves it to the identity policies of the account (docs/kms.md).
package kms

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	model "github.com/outcrop/outcrop/internal/api/model/kms"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/pin"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/key"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
)

// Service implements the generated interface over keys.
type Service struct {
	keys      *key.Keys
	directory pin.Directory
}

var _ model.Keys = (*Service)(nil)

// New returns the front of keys, whose policies name those whom a directory knows.
func New(keys *key.Keys, directory pin.Directory) *Service { return &Service{keys, directory} }

// conditions are condition keys of a call, by name in lower case.
type conditions map[string][]string

// may returns the key that a caller names, if they may do action with it. Who may
// not learns nothing of whether it is there.
func (s *Service) may(ctx context.Context, action string, name *string, more conditions) (key.Key, error) {
	c := pipeline.From(ctx)
	n, err := key.ParseName(c.Scope, wire.Text(name))
	if err != nil {
		return key.Key{}, err
	}
	k, missing := s.keys.Find(ctx, c.Scope, wire.Text(name))
	if missing != nil && !key.IsNotFound(missing) {
		return k, missing
	}
	arn, keys := n.ARN(), maps.Clone(more)
	if keys == nil {
		keys = conditions{}
	}
	if n.Alias != "" {
		keys["kms:requestalias"] = []string{n.Alias}
	}
	if missing == nil {
		arn = k.ARN()
		keys["kms:keyspec"], keys["kms:keyusage"], keys["kms:keyorigin"] = []string{string(k.Spec)}, []string{string(k.Usage)}, []string{"AWS_KMS"}
	}
	keys["kms:calleraccount"] = []string{c.Principal.Account}
	if err := c.Authorize(auth.WithKeys(ctx, keys), auth.Requirement{Action: "kms:" + action, Resource: arn}); err != nil {
		return key.Key{}, err
	}
	return k, missing
}

// noAlias refuses an alias where KMS takes the id of a key or its ARN alone (KMS's API
// reference, "KeyId" of each operation).
func noAlias(name *string) error {
	if text := wire.Text(name); strings.HasPrefix(text, key.AliasPrefix) || strings.Contains(text, ":"+key.AliasPrefix) {
		return fault.BadRequest(key.CodeInvalidARN, "Key Aliases are not supported for this operation.")
	}
	return nil
}

// managed is own for a key that is named by no alias.
func (s *Service) managed(ctx context.Context, action string, name *string) (key.Key, error) {
	if err := noAlias(name); err != nil {
		return key.Key{}, err
	}
	return s.own(ctx, action, name)
}

// own is may for what only callers of the key's own account and region do.
func (s *Service) own(ctx context.Context, action string, name *string) (key.Key, error) {
	c := pipeline.From(ctx)
	n, err := key.ParseName(c.Scope, wire.Text(name))
	if err == nil && n.Scope != c.Scope {
		err = key.NotFound(key.Ref{Scope: n.Scope, ID: n.ID})
	}
	if err != nil {
		return key.Key{}, err
	}
	return s.may(ctx, action, name, nil)
}

// contextKeys are the condition keys of an encryption context.
func contextKeys(context map[string]string, a *string) conditions {
	out := conditions{}
	for k, v := range context {
		name := "kms:encryptioncontext:" + strings.ToLower(k)
		out[name] = append(out[name], v)
		out["kms:encryptioncontextkeys"] = append(out["kms:encryptioncontextkeys"], k)
	}
	algorithm := wire.Text(a)
	if algorithm == "" {
		algorithm = string(key.SymmetricDefault)
	}
	out["kms:encryptionalgorithm"] = []string{algorithm}
	return out
}

// tried ends an operation that was to be tried only.
func tried(dry *bool) error {
	if wire.True(dry) {
		return fault.BadRequest("DryRunOperationException", "The request would have succeeded, but the DryRun option is set.")
	}
	return nil
}

// badMarker gives the store's refusal of a page token KMS's words.
func badMarker(err error) error {
	if errors.Is(err, store.ErrBadToken) {
		return fault.BadRequest("InvalidMarkerException", "The marker is not the NextMarker of the page before").Because(err)
	}
	return err
}

// chunk is a part of a list that is in memory whole: the marker is the last name of
// the part before, in order.
func chunk[T any](list []T, name func(T) string, limit *int32, marker *string, most int) (part []T, next *string) {
	slices.SortFunc(list, func(a, b T) int { return strings.Compare(name(a), name(b)) })
	if marker != nil {
		i, found := slices.BinarySearchFunc(list, *marker, func(e T, m string) int { return strings.Compare(name(e), m) })
		if found {
			i++
		}
		list = list[i:]
	}
	if n := wire.Page(limit, nil, most).Size; len(list) > n {
		return list[:n], new(name(list[n-1]))
	}
	return list, nil
}

func hidden(b []byte) secret.Bytes { return secret.NewBytes(b) }
