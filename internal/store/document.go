package store

import (
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Global stands in a Scope for "not bound to one": a Region of Global suits IAM,
// an Account and Region of Global suit names that are unique everywhere (S3
// buckets).
const Global = "global"

// Scope is the account and region that own a thing. Both are always set; a
// missing one is refused, so that a forgotten scope can never read another's.
type Scope struct {
	Account string `json:"account"`
	Region  string `json:"region"`
}

func (s Scope) String() string { return s.Account + "/" + s.Region }

// Valid reports whether both members are set.
func (s Scope) Valid() bool { return s.Account != "" && s.Region != "" }

// Key is the primary key of a document.
type Key struct {
	Scope Scope
	Kind  string
	// ID is unique within scope and kind. A child that has no id of its own
	// (version 3 of a runtime) takes the parent's and its own: "parent/3".
	ID string
}

func (k Key) String() string { return k.Kind + " " + k.ID }

// Document is one resource as it is stored.
type Document struct {
	Key
	// Name is unique within scope, kind and parent; empty means unnamed, and
	// any number may be.
	Name string
	// Parent is the id of the resource this one is listed under, or empty.
	Parent string
	// Revision starts at 1 and grows by one with each Replace.
	Revision int64
	// Created and Updated are set by the store, in UTC and whole microseconds.
	Created, Updated time.Time
	// Spec is what the caller sent, as accepted. Empty becomes {}.
	Spec json.RawMessage
	// State is the owner's own struct and StateVersion that struct's version.
	State        json.RawMessage
	StateVersion int
}

// DocumentReader reads documents.
type DocumentReader interface {
	// Document returns one, or ErrNotFound.
	Document(key Key) (Document, error)
	// DocumentByName returns the one with that name under parent ("" for
	// top-level resources), or ErrNotFound.
	DocumentByName(scope Scope, kind, parent, name string) (Document, error)
	// Documents lists the children of parent ("" for top-level resources) in
	// the order of their creation.
	Documents(scope Scope, kind, parent string, page Page) (Listing[Document], error)
	// AllDocuments lists a kind in every scope and under every parent. It is
	// for start-up and background work, never for a caller's own listing.
	AllDocuments(kind string, page Page) (Listing[Document], error)
}

// DocumentWriter writes documents. Each write touches DocumentTopic(kind).
type DocumentWriter interface {
	// InsertDocument stores a new document and returns it with Revision,
	// Created and Updated set. A taken id or name is an *ExistsError.
	InsertDocument(d Document) (Document, error)
	// ReplaceDocument writes Name, Spec, State and StateVersion if the stored
	// revision is still d.Revision, and returns the new document. Otherwise it
	// is ErrStale, and ErrNotFound if the document is gone. Parent and Created
	// never change.
	ReplaceDocument(d Document) (Document, error)
	// DeleteDocument removes a document, or returns ErrNotFound. Children are
	// the caller's to delete.
	DeleteDocument(key Key) error
}

// Check validates what an implementation is about to write and fills in the
// empty objects.
func (d *Document) Check() error {
	switch {
	case !d.Scope.Valid():
		return fmt.Errorf("check document %s: scope %s: %w", d.Key, d.Scope, ErrInvalid)
	case d.Kind == "" || d.ID == "":
		return fmt.Errorf("check document %q: kind and id are required: %w", d.Key, ErrInvalid)
	}
	for _, s := range []string{d.Scope.Account, d.Scope.Region, d.Kind, d.ID, d.Name, d.Parent} {
		if err := CheckText(s); err != nil {
			return fmt.Errorf("check document %q: %w", d.Key, err)
		}
	}
	for _, part := range []*json.RawMessage{&d.Spec, &d.State} {
		if len(*part) == 0 {
			*part = json.RawMessage("{}")
		}
		// jsontext is strict where encoding/json is not: a doubled member or
		// broken UTF-8 is refused before it is stored.
		if !jsontext.Value(*part).IsValid() {
			return fmt.Errorf("check document %s: not strict JSON: %w", d.Key, ErrInvalid)
		}
	}
	return nil
}

// CheckText refuses text that not every database can hold: broken UTF-8 and NUL.
func CheckText(s string) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("text %q is not UTF-8: %w", s, ErrInvalid)
	}
	for i := range len(s) {
		if s[i] == 0 {
			return fmt.Errorf("text %q holds NUL: %w", s, ErrInvalid)
		}
	}
	return nil
}
