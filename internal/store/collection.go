package store

import (
	"encoding/json"
	"fmt"
	"iter"
	"time"
)

// Resource is a document whose JSON has become Go values.
type Resource[Spec, State any] struct {
	Scope            Scope
	ID, Name, Parent string
	Revision         int64
	Created, Updated time.Time
	// Spec is what the caller sent, as accepted.
	Spec Spec
	// State is what the owner made of it.
	State State
}

// Collection is the typed view of one kind of document. A service makes one for
// each of its kinds and never touches JSON.
type Collection[Spec, State any] struct {
	// Kind names the documents ("runtime", "runtime-version").
	Kind string
	// Version is the version of State, from 0.
	Version int
	// Upgrade turns the JSON of an older State into the JSON of Version. It may
	// be nil while Version is 0.
	Upgrade func(from int, state json.RawMessage) (json.RawMessage, error)
}

// Create stores r as a new document and returns it as stored. A taken id or name
// is an *ExistsError.
func (c Collection[Spec, State]) Create(tx Tx, r Resource[Spec, State]) (Resource[Spec, State], error) {
	d, err := c.document(r)
	if err != nil {
		return r, err
	}
	if d, err = tx.InsertDocument(d); err != nil {
		return r, err
	}
	return stamped(r, d), nil
}

// Get returns one resource, or ErrNotFound.
func (c Collection[Spec, State]) Get(r Reader, scope Scope, id string) (Resource[Spec, State], error) {
	d, err := r.Document(Key{Scope: scope, Kind: c.Kind, ID: id})
	if err != nil {
		return Resource[Spec, State]{}, err
	}
	return c.resource(d)
}

// ByName returns the resource with that name under parent ("" for top-level
// ones), or ErrNotFound.
func (c Collection[Spec, State]) ByName(r Reader, scope Scope, parent, name string) (Resource[Spec, State], error) {
	d, err := r.DocumentByName(scope, c.Kind, parent, name)
	if err != nil {
		return Resource[Spec, State]{}, err
	}
	return c.resource(d)
}

// List returns one page of the children of parent ("" for top-level ones).
func (c Collection[Spec, State]) List(r Reader, scope Scope, parent string, page Page) (Listing[Resource[Spec, State]], error) {
	docs, err := r.Documents(scope, c.Kind, parent, page)
	if err != nil {
		return Listing[Resource[Spec, State]]{}, err
	}
	return c.listing(docs)
}

// Each yields every child of parent ("" for top-level ones), page by page.
func (c Collection[Spec, State]) Each(r Reader, scope Scope, parent string) iter.Seq2[Resource[Spec, State], error] {
	return c.each(func(p Page) (Listing[Document], error) { return r.Documents(scope, c.Kind, parent, p) })
}

// All yields every resource of the kind in every scope and under every parent,
// for start-up and background work.
func (c Collection[Spec, State]) All(r Reader) iter.Seq2[Resource[Spec, State], error] {
	return c.each(func(p Page) (Listing[Document], error) { return r.AllDocuments(c.Kind, p) })
}

// Update reads a resource, lets fn change its Name, Spec and State, and writes it
// back. An error of fn is returned as it is and nothing is written.
func (c Collection[Spec, State]) Update(tx Tx, scope Scope, id string, fn func(*Resource[Spec, State]) error) (Resource[Spec, State], error) {
	r, err := c.Get(tx, scope, id)
	if err != nil {
		return r, err
	}
	was := r
	if err := fn(&r); err != nil {
		return r, err
	}
	// What says which document it is cannot be changed.
	r.Scope, r.ID, r.Parent, r.Revision = was.Scope, was.ID, was.Parent, was.Revision
	return c.Replace(tx, r)
}

// Replace writes a resource that was read before, perhaps in an earlier
// transaction; ErrStale when it was changed meanwhile.
func (c Collection[Spec, State]) Replace(tx Tx, r Resource[Spec, State]) (Resource[Spec, State], error) {
	d, err := c.document(r)
	if err != nil {
		return r, err
	}
	if d, err = tx.ReplaceDocument(d); err != nil {
		return r, err
	}
	return stamped(r, d), nil
}

// Delete removes a resource, or returns ErrNotFound.
func (c Collection[Spec, State]) Delete(tx Tx, scope Scope, id string) error {
	return tx.DeleteDocument(Key{Scope: scope, Kind: c.Kind, ID: id})
}

// Topic changes when a resource of the collection does.
func (c Collection[Spec, State]) Topic() Topic { return DocumentTopic(c.Kind) }

func stamped[Spec, State any](r Resource[Spec, State], d Document) Resource[Spec, State] {
	r.Parent, r.Revision, r.Created, r.Updated = d.Parent, d.Revision, d.Created, d.Updated
	return r
}

func (c Collection[Spec, State]) document(r Resource[Spec, State]) (Document, error) {
	d := Document{
		Key:          Key{Scope: r.Scope, Kind: c.Kind, ID: r.ID},
		Name:         r.Name,
		Parent:       r.Parent,
		Revision:     r.Revision,
		StateVersion: c.Version,
	}
	var err error
	if d.Spec, err = json.Marshal(r.Spec); err != nil {
		return d, fmt.Errorf("encode spec of %s: %w", d.Key, err)
	}
	if d.State, err = json.Marshal(r.State); err != nil {
		return d, fmt.Errorf("encode state of %s: %w", d.Key, err)
	}
	return d, nil
}

func (c Collection[Spec, State]) resource(d Document) (Resource[Spec, State], error) {
	r := stamped(Resource[Spec, State]{Scope: d.Scope, ID: d.ID, Name: d.Name}, d)
	state := d.State
	switch {
	case d.StateVersion > c.Version:
		return r, fmt.Errorf("decode state of %s: version %d, this program knows %d: %w", d.Key, d.StateVersion, c.Version, ErrNewer)
	case d.StateVersion < c.Version:
		if c.Upgrade == nil {
			return r, fmt.Errorf("decode state of %s: no way from version %d to %d: %w", d.Key, d.StateVersion, c.Version, ErrInvalid)
		}
		var err error
		if state, err = c.Upgrade(d.StateVersion, state); err != nil {
			return r, fmt.Errorf("upgrade state of %s from version %d: %w", d.Key, d.StateVersion, err)
		}
	}
	if err := json.Unmarshal(d.Spec, &r.Spec); err != nil {
		return r, fmt.Errorf("decode spec of %s: %w", d.Key, err)
	}
	if err := json.Unmarshal(state, &r.State); err != nil {
		return r, fmt.Errorf("decode state of %s: %w", d.Key, err)
	}
	return r, nil
}

func (c Collection[Spec, State]) listing(docs Listing[Document]) (Listing[Resource[Spec, State]], error) {
	out := Listing[Resource[Spec, State]]{Items: make([]Resource[Spec, State], 0, len(docs.Items)), Next: docs.Next}
	for _, d := range docs.Items {
		r, err := c.resource(d)
		if err != nil {
			return Listing[Resource[Spec, State]]{}, err
		}
		out.Items = append(out.Items, r)
	}
	return out, nil
}

func (c Collection[Spec, State]) each(next func(Page) (Listing[Document], error)) iter.Seq2[Resource[Spec, State], error] {
	return func(yield func(Resource[Spec, State], error) bool) {
		page := Page{Size: MaxPageSize}
		for {
			docs, err := next(page)
			if err != nil {
				yield(Resource[Spec, State]{}, err)
				return
			}
			for _, d := range docs.Items {
				r, err := c.resource(d)
				if !yield(r, err) || err != nil {
					return
				}
			}
			if page.Token = docs.Next; page.Token == "" {
				return
			}
		}
	}
}
