package principal

import (
	"context"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/store"
)

// PutInline puts a policy into a holder, in place of one of that name.
func (d *Directory) PutInline(ctx context.Context, h Holder, name, document string) error {
	if err := checkName("policyName", name, 128); err != nil {
		return err
	}
	if err := checkIdentityPolicy(document); err != nil {
		return err
	}
	_, err := d.change(ctx, h, func(_ store.Tx, s *holderState) error {
		if s.Service != "" {
			return protected(s.Name)
		}
		inline := map[string]string{name: document}
		size := length(document)
		for other, text := range s.Inline {
			if other != name {
				inline[other] = text
				size += length(text)
			}
		}
		if most := maxInline[h.Kind]; size > most {
			return limit("Maximum policy size of %d bytes exceeded for %s %s", most, h.Kind, s.Name)
		}
		s.Inline = inline
		return nil
	})
	return err
}

// Inline returns a policy of a holder.
func (d *Directory) Inline(ctx context.Context, h Holder, name string) (document string, err error) {
	err = d.view(ctx, func(r store.Reader) error {
		doc, err := d.lookup(r, h)
		if err != nil {
			return err
		}
		var there bool
		if document, there = doc.State.Inline[name]; !there {
			return noInline(h, name)
		}
		return nil
	})
	return document, err
}

func noInline(h Holder, name string) error {
	return noSuch("The %s policy with name %s cannot be found.", h.Kind, name)
}

// InlineNames returns the names of a holder's own policies, in their order.
func (d *Directory) InlineNames(ctx context.Context, h Holder) (names []string, err error) {
	err = d.view(ctx, func(r store.Reader) error {
		doc, err := d.lookup(r, h)
		names = make([]string, 0, len(doc.State.Inline))
		for name := range doc.State.Inline {
			names = append(names, name)
		}
		slices.Sort(names)
		return err
	})
	return names, err
}

// DeleteInline takes a policy out of a holder.
func (d *Directory) DeleteInline(ctx context.Context, h Holder, name string) error {
	_, err := d.change(ctx, h, func(_ store.Tx, s *holderState) error {
		if s.Service != "" {
			return protected(s.Name)
		}
		if _, there := s.Inline[name]; !there {
			return noInline(h, name)
		}
		delete(s.Inline, name)
		return nil
	})
	return err
}

// Attach attaches a managed policy to a holder; one that is attached stays.
func (d *Directory) Attach(ctx context.Context, h Holder, arn string) error {
	_, err := d.change(ctx, h, func(tx store.Tx, s *holderState) error {
		switch {
		case s.Service != "":
			return protected(s.Name)
		case arn == "":
			return noPolicy(arn)
		}
		if err := d.attachable(tx, arn); err != nil {
			return err
		}
		if slices.Contains(s.Attached, arn) {
			return nil
		}
		if len(s.Attached) >= MaxAttached {
			return limit("Cannot exceed quota for PoliciesPer%s: %d", h.Kind.rules().word, MaxAttached)
		}
		s.Attached = append(s.Attached, arn)
		return nil
	})
	return err
}

// Detach takes a managed policy from a holder.
func (d *Directory) Detach(ctx context.Context, h Holder, arn string) error {
	_, err := d.change(ctx, h, func(_ store.Tx, s *holderState) error {
		i := slices.Index(s.Attached, arn)
		switch {
		case s.Service != "":
			return protected(s.Name)
		case i < 0:
			return noSuch("Policy %s was not found.", arn)
		}
		s.Attached = slices.Delete(s.Attached, i, i+1)
		return nil
	})
	return err
}

// Attached is a managed policy as it is attached.
type Attached struct{ Name, ARN string }

// AttachedTo returns the managed policies of a holder whose path begins with
// prefix, in the order in which they were attached.
func (d *Directory) AttachedTo(ctx context.Context, h Holder, prefix string) (out []Attached, err error) {
	err = d.view(ctx, func(r store.Reader) error {
		out = []Attached{}
		doc, err := d.lookup(r, h)
		for _, arn := range doc.State.Attached {
			if path, name := splitPolicyARN(arn); strings.HasPrefix(path, prefix) {
				out = append(out, Attached{name, arn})
			}
		}
		return err
	})
	return out, err
}

// SetBoundary sets the permissions boundary of a user or a role to a managed
// policy; an empty ARN takes it away.
func (d *Directory) SetBoundary(ctx context.Context, h Holder, arn string) error {
	_, err := d.change(ctx, h, func(tx store.Tx, s *holderState) error {
		switch {
		case s.Service != "":
			return protected(s.Name)
		case arn == "" && s.Boundary == "":
			return noSuch("%s %s does not have a permissions boundary.", h.Kind.rules().word, s.Name)
		}
		if err := d.attachable(tx, arn); err != nil {
			return err
		}
		s.Boundary = arn
		return nil
	})
	return err
}

// TagHolder adds tags to a user or a role.
func (d *Directory) TagHolder(ctx context.Context, h Holder, tags []Tag) error {
	_, err := d.change(ctx, h, func(_ store.Tx, s *holderState) (err error) {
		s.Tags, err = retag(s.Tags, tags)
		return err
	})
	return err
}

// UntagHolder removes the tags with some keys; those that are not there are no
// error.
func (d *Directory) UntagHolder(ctx context.Context, h Holder, keys []string) error {
	_, err := d.change(ctx, h, func(_ store.Tx, s *holderState) error {
		for _, key := range keys {
			s.Tags = without(s.Tags, key)
		}
		return nil
	})
	return err
}
