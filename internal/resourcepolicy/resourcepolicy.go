// Package resourcepolicy keeps the policies that are attached to resources by
// their ARN, and knows what one may say (spec/runtime.md 6). Who owns a resource
// forgets its policy when it goes. An auth.Authorizer evaluates them.
package resourcepolicy

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/auth/pin"
	"github.com/outcrop/outcrop/internal/auth/policy"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// MaxBytes bounds the text of a policy.
const MaxBytes = 20480

// Parse reads a policy for a resource, which has one or more names. A refusal is a
// fault.Error.
func Parse(text string, names ...string) (*policy.Document, error) {
	if len(text) > MaxBytes {
		return nil, refuse("it has %d bytes; it may have at most %d", len(text), MaxBytes)
	}
	d, err := policy.Parse([]byte(text), policy.Resource)
	if err != nil {
		return nil, refuse("%s", err.Error())
	}
	for i := range d.Statements {
		s := &d.Statements[i]
		if s.NotResource || len(s.Resources) != 1 || !slices.Contains(names, s.Resources[0]) {
			return nil, refuse("the Resource of a statement must be exactly '%s'", names[0])
		}
		for _, a := range s.Actions {
			if !strings.HasPrefix(strings.ToLower(a), "bedrock-agentcore:") {
				return nil, refuse("'%s' is no action of bedrock-agentcore", a)
			}
		}
	}
	return d, nil
}

func refuse(format string, args ...any) error {
	return fault.Invalid("policy", "The policy is not valid: "+format, args...)
}

// Compile reads a policy of the resource with an ARN for evaluation: whatever name of
// it statements use, or none as those of ECR's repositories, they are about that ARN.
func Compile(text, arn string) (*policy.Document, error) {
	doc, err := policy.ParseAbout([]byte(text), arn)
	if err != nil {
		return nil, err
	}
	return doc.Named("of " + arn), nil
}

// attached is where policies are: by the ARN of their resource.
func attached() store.Collection[spec, struct{}] {
	return store.Collection[spec, struct{}]{Kind: "resource-policy"}
}

type spec struct {
	Policy string   `json:"policy"`
	Pins   pin.Pins `json:"pins,omitempty"`
}

// Put attaches a text that Parse has read, in place of an older one, and whom it names.
func Put(tx store.Tx, scope store.Scope, arn, text string, pins pin.Pins) error {
	_, err := attached().Update(tx, scope, arn, func(r *store.Resource[spec, struct{}]) error {
		r.Spec = spec{text, pins}
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		_, err = attached().Create(tx, store.Resource[spec, struct{}]{Scope: scope, ID: arn, Spec: spec{text, pins}})
	}
	return err
}

// Get returns what Put took, or store.ErrNotFound.
func Get(r store.Reader, scope store.Scope, arn string) (text string, pins pin.Pins, err error) {
	doc, err := attached().Get(r, scope, arn)
	return doc.Spec.Policy, doc.Spec.Pins, err
}

// Pin pins whom policies name that older versions stored (pin.Upgrade).
func Pin(ctx context.Context, st store.Store, d pin.Directory) ([]pin.Lost, error) {
	return pin.Upgrade(ctx, st, attached(), d, func(r *store.Resource[spec, struct{}]) pin.Policy {
		return pin.Policy{Resource: r.ID, Text: r.Spec.Policy, Pins: &r.Spec.Pins}
	})
}

// Delete takes a policy away, or returns store.ErrNotFound.
func Delete(tx store.Tx, scope store.Scope, arn string) error {
	return attached().Delete(tx, scope, arn)
}

// Forget is Delete for the owner of a resource that goes, whether it had one or not.
func Forget(tx store.Tx, scope store.Scope, arn string) error {
	if err := Delete(tx, scope, arn); !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return nil
}

// Topic changes when a policy does.
func Topic() store.Topic { return attached().Topic() }
