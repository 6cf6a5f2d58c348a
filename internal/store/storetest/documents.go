package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/store"
)

var documentTests = map[string]func(*testing.T, *env){
	"come back as they were": func(t *testing.T, e *env) {
		in := doc(home, "a", "näme")
		in.Parent, in.StateVersion = "p", 3
		in.Spec = json.RawMessage(`{"b":1, "a":[1.50,"\u00e9 é 🙂"]}`)
		var stored store.Document
		e.update(func(tx store.Tx) (err error) { stored, err = tx.InsertDocument(in); return err })
		equal(t, "revision", stored.Revision, 1)
		equal(t, "created", stored.Created, e.clock.now().Truncate(time.Microsecond))
		e.view(func(r store.Reader) error {
			got, err := r.Document(in.Key)
			equal(t, "document", fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", stored))
			equal(t, "spec", string(got.Spec), string(in.Spec))
			return err
		})
	},
	"empty JSON becomes an object": func(t *testing.T, e *env) {
		e.update(insert(store.Document{Key: store.Key{Scope: home, Kind: "thing", ID: "a"}}))
		e.view(func(r store.Reader) error {
			d, err := r.Document(doc(home, "a", "").Key)
			equal(t, "spec and state", string(d.Spec)+string(d.State), "{}{}")
			return err
		})
	},
	"say which value is taken": func(t *testing.T, e *env) {
		e.update(insert(doc(home, "a", "n"), doc(home, "c", ""), doc(home, "d", "")))
		for _, c := range []struct{ id, name, field string }{
			{"a", "other", "id"}, {"b", "n", "name"}, {"a", "n", "id"}, {"c", "", "id"},
		} {
			err := e.refused(store.ErrExists, insert(doc(home, c.id, c.name)))
			var taken *store.ExistsError
			if !errors.As(err, &taken) || taken.Field != c.field {
				t.Errorf("insert %v: %v", c, err)
			}
		}
	},
	"go on after a taken name": func(t *testing.T, e *env) {
		e.update(insert(doc(home, "a", "n")))
		e.update(func(tx store.Tx) error {
			_, err := tx.InsertDocument(doc(home, "b", "n"))
			is(t, "insert", err, store.ErrExists)
			return insert(doc(home, "b", "free"))(tx)
		})
	},
	"are apart by scope, kind and parent": func(t *testing.T, e *env) {
		child, other := doc(home, "p/1", "n"), doc(home, "q/1", "n")
		child.Parent, other.Parent = "p", "q"
		kind := doc(home, "a", "n")
		kind.Kind = "other"
		e.update(insert(doc(home, "a", "n"), doc(abroad, "a", "n"), doc(others, "a", "n"), kind, child, other))
		e.view(func(r store.Reader) error {
			d, err := r.DocumentByName(home, "thing", "p", "n")
			equal(t, "child by name", d.ID, "p/1")
			_, missing := r.DocumentByName(home, "thing", "r", "n")
			is(t, "by name under another parent", missing, store.ErrNotFound)
			top, err2 := r.Documents(home, "thing", "", store.Page{})
			equal(t, "top level", ids(top.Items), "a")
			all, err3 := r.AllDocuments("thing", store.Page{})
			equal(t, "everywhere", len(all.Items), 5)
			return errors.Join(err, err2, err3)
		})
	},
	"change by compare and swap": func(t *testing.T, e *env) {
		e.update(insert(doc(home, "a", "n"), doc(home, "b", "taken")))
		var first store.Document
		e.view(func(r store.Reader) (err error) { first, err = r.Document(doc(home, "a", "").Key); return err })
		e.clock.advance(time.Minute)
		e.update(func(tx store.Tx) error {
			next := first
			next.State, next.Name, next.Parent = json.RawMessage(`{"status":"READY"}`), "m", "ignored"
			got, err := tx.ReplaceDocument(next)
			equal(t, "revision", got.Revision, 2)
			equal(t, "updated", got.Updated, first.Updated.Add(time.Minute))
			equal(t, "created", got.Created, first.Created)
			equal(t, "parent", got.Parent, "")
			return err
		})
		e.refused(store.ErrStale, func(tx store.Tx) error { _, err := tx.ReplaceDocument(first); return err })
		e.refused(store.ErrNotFound, func(tx store.Tx) error { _, err := tx.ReplaceDocument(doc(home, "x", "")); return err })
		e.refused(store.ErrExists, func(tx store.Tx) error {
			d, err := tx.Document(first.Key)
			if err != nil {
				return err
			}
			d.Name = "taken"
			_, err = tx.ReplaceDocument(d)
			return err
		})
		e.view(func(r store.Reader) error {
			d, err := r.DocumentByName(home, "thing", "", "m")
			equal(t, "state", string(d.State), `{"status":"READY"}`)
			equal(t, "revision", d.Revision, 2)
			return err
		})
	},
	"are deleted once, and free their name": func(t *testing.T, e *env) {
		e.update(insert(doc(home, "a", "n")))
		e.update(func(tx store.Tx) error { return tx.DeleteDocument(doc(home, "a", "").Key) })
		e.refused(store.ErrNotFound, func(tx store.Tx) error { return tx.DeleteDocument(doc(home, "a", "").Key) })
		e.update(insert(doc(home, "b", "n")))
	},
	"refuse what no database holds": func(t *testing.T, e *env) {
		for name, change := range map[string]func(*store.Document){
			"no account":     func(d *store.Document) { d.Scope.Account = "" },
			"no region":      func(d *store.Document) { d.Scope.Region = "" },
			"no kind":        func(d *store.Document) { d.Kind = "" },
			"no id":          func(d *store.Document) { d.ID = "" },
			"NUL":            func(d *store.Document) { d.Name = "a\x00b" },
			"not UTF-8":      func(d *store.Document) { d.Name = "a\xff" },
			"not JSON":       func(d *store.Document) { d.Spec = json.RawMessage(`{"a":}`) },
			"doubled member": func(d *store.Document) { d.State = json.RawMessage(`{"a":1,"a":2}`) },
			"trailing JSON":  func(d *store.Document) { d.Spec = json.RawMessage(`{} {}`) },
		} {
			d := doc(home, "a", "")
			change(&d)
			if err := e.store.Update(e.ctx, insert(d)); !errors.Is(err, store.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		e.view(func(r store.Reader) error {
			_, err := r.Documents(store.Scope{}, "thing", "", store.Page{})
			is(t, "list without a scope", err, store.ErrInvalid)
			return nil
		})
	},
	"page without losing or repeating while others are deleted": testPaging,
	"refuse a page token of another listing":                    testTokens,
}

func ids(docs []store.Document) string {
	var out []string
	for _, d := range docs {
		out = append(out, d.ID)
	}
	return strings.Join(out, " ")
}

func testPaging(t *testing.T, e *env) {
	const n = 57
	var want []string
	for i := range n {
		d := doc(home, fmt.Sprintf("%02d", (i*31)%n), "") // ids out of order: creation counts
		e.update(insert(d))
		want = append(want, d.ID)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for _, newest := range []bool{false, true} {
		order := slices.Clone(want)
		if newest {
			slices.Reverse(order)
		}
		var got []string
		page := store.Page{Size: 5, Newest: newest}
		for {
			var list store.Listing[store.Document]
			e.view(func(r store.Reader) (err error) { list, err = r.Documents(home, "thing", "", page); return err })
			for _, d := range list.Items {
				got = append(got, d.ID)
			}
			if list.Next == "" {
				break
			}
			page.Token = list.Next
			// Delete the last of the page, which the next one starts after, and
			// one at random, which may still be to come.
			last := list.Items[len(list.Items)-1].ID
			victim := order[rng.IntN(len(order))]
			e.update(func(tx store.Tx) error {
				for _, id := range []string{last, victim} {
					if err := tx.DeleteDocument(doc(home, id, "").Key); err != nil && !errors.Is(err, store.ErrNotFound) {
						return err
					}
				}
				return nil
			})
			want = slices.DeleteFunc(want, func(id string) bool { return id == last || id == victim })
			if !slices.Contains(got, victim) {
				order = slices.DeleteFunc(order, func(id string) bool { return id == victim })
			}
		}
		if !slices.Equal(got, order) {
			t.Errorf("newest %t:\n got %v\nwant %v", newest, got, order)
		}
	}
}

func testTokens(t *testing.T, e *env) {
	for i := range 4 {
		e.update(insert(doc(home, fmt.Sprint(i), ""), doc(others, fmt.Sprint(i), "")))
	}
	e.view(func(r store.Reader) error {
		list, err := r.Documents(home, "thing", "", store.Page{Size: 2})
		if err != nil || list.Next == "" {
			t.Fatalf("first page: %v %q", err, list.Next)
		}
		second, err := r.Documents(home, "thing", "", store.Page{Size: 2, Token: list.Next})
		equal(t, "second page", ids(second.Items), "2 3")
		equal(t, "token after the last page", second.Next, "")
		if err != nil {
			return err
		}
		flipped := []byte(list.Next)
		flipped[5] ^= 1
		for name, read := range map[string]func() error{
			"scope":  func() error { _, err := r.Documents(others, "thing", "", store.Page{Token: list.Next}); return err },
			"kind":   func() error { _, err := r.Documents(home, "other", "", store.Page{Token: list.Next}); return err },
			"parent": func() error { _, err := r.Documents(home, "thing", "p", store.Page{Token: list.Next}); return err },
			"order": func() error {
				_, err := r.Documents(home, "thing", "", store.Page{Token: list.Next, Newest: true})
				return err
			},
			"all":     func() error { _, err := r.AllDocuments("thing", store.Page{Token: list.Next}); return err },
			"garbage": func() error { _, err := r.Documents(home, "thing", "", store.Page{Token: "x"}); return err },
			"flipped": func() error {
				_, err := r.Documents(home, "thing", "", store.Page{Token: string(flipped)})
				return err
			},
		} {
			if err := read(); !errors.Is(err, store.ErrBadToken) {
				t.Errorf("token of another %s: %v", name, err)
			}
		}
		return nil
	})
}
