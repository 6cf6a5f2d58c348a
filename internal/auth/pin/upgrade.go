package pin

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"github.com/outcrop/outcrop/internal/auth/policy"
	"github.com/outcrop/outcrop/internal/store"
)

// Policy is where a resource keeps its policy.
type Policy struct {
	// Resource names it: an ARN.
	Resource string
	Text     string
	Pins     *Pins
}

// Lost is somebody whom a policy named by ARN, and who was not there to be pinned.
type Lost struct{ Resource, Principal string }

// Upgrade pins whom the policies of a collection name and is not pinned yet: older
// versions stored no pins. It is for the start, before anybody asks, and changes nothing
// where there is nothing to pin. Who is not there is returned, and pinned to nobody:
// what was allowed to that name is not for whoever takes it later.
//
// Of what a resource keeps, policyOf returns the policy, whose Pins point into it.
func Upgrade[S, T any](
	ctx context.Context, st store.Store, c store.Collection[S, T], d Directory, policyOf func(*store.Resource[S, T]) Policy,
) (lost []Lost, err error) {
	var stored []store.Resource[S, T]
	err = st.View(ctx, func(r store.Reader) error {
		stored = nil
		for doc, err := range c.All(r) {
			if err != nil {
				return err
			}
			if policyOf(&doc).Text != "" {
				stored = append(stored, doc)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read policies of %s: %w", c.Kind, err)
	}
	changed := stored[:0]
	for _, r := range stored {
		p := policyOf(&r)
		doc, err := policy.ParseAbout([]byte(p.Text), "*") // whatever it is about
		if err != nil {
			continue // what is no policy lets nobody in
		}
		pins, unknown, err := take(ctx, d, doc, *p.Pins)
		if err != nil {
			return nil, fmt.Errorf("pin the policy of %s: %w", p.Resource, err)
		}
		if pins == nil {
			pins = Pins{}
		}
		for _, principal := range unknown {
			if strings.HasPrefix(principal, "arn:") { // an id is never anybody else's
				pins[principal] = ""
				lost = append(lost, Lost{p.Resource, principal})
			}
		}
		if !maps.Equal(pins, *p.Pins) {
			*p.Pins = pins
			changed = append(changed, r)
		}
	}
	if len(changed) == 0 {
		return nil, nil
	}
	err = st.Update(ctx, func(tx store.Tx) error {
		for _, r := range changed {
			if _, err := c.Replace(tx, r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("pin the policies of %s: %w", c.Kind, err)
	}
	return lost, nil
}
