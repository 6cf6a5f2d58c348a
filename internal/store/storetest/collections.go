package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/outcrop/outcrop/internal/store"
)

type gadgetSpec struct {
	Size *int              `json:"size,omitempty"`
	Tags map[string]string `json:"tags,omitempty"`
}

type gadgetState struct {
	Status string `json:"status"`
}

type gadget = store.Resource[gadgetSpec, gadgetState]

var gadgets = store.Collection[gadgetSpec, gadgetState]{Kind: "gadget"}

var collectionTests = map[string]func(*testing.T, *env){
	"carry Go values": func(t *testing.T, e *env) {
		size := 7
		e.update(func(tx store.Tx) error {
			got, err := gadgets.Create(tx, gadget{Scope: home, ID: "a", Name: "n", Spec: gadgetSpec{Size: &size}, State: gadgetState{"CREATING"}})
			equal(t, "revision", got.Revision, 1)
			return err
		})
		e.update(func(tx store.Tx) error {
			got, err := gadgets.Update(tx, home, "a", func(g *gadget) error {
				equal(t, "size", *g.Spec.Size, 7)
				g.State.Status = "READY"
				g.ID, g.Parent, g.Scope = "x", "y", others // is not heard
				return nil
			})
			equal(t, "revision", got.Revision, 2)
			return err
		})
		e.view(func(r store.Reader) error {
			got, err := gadgets.ByName(r, home, "", "n")
			equal(t, "status", got.State.Status, "READY")
			d, err2 := r.Document(store.Key{Scope: home, Kind: "gadget", ID: "a"})
			equal(t, "spec keeps what was set, and no more", string(d.Spec), `{"size":7}`)
			return errors.Join(err, err2)
		})
		e.refused(errBoom, func(tx store.Tx) error {
			_, err := gadgets.Update(tx, home, "a", func(*gadget) error { return errBoom })
			return err
		})
		e.update(func(tx store.Tx) error { return gadgets.Delete(tx, home, "a") })
		e.refused(store.ErrNotFound, func(tx store.Tx) error { _, err := gadgets.Get(tx, home, "a"); return err })
	},
	"replace what another transaction read": func(t *testing.T, e *env) {
		e.update(func(tx store.Tx) error { _, err := gadgets.Create(tx, gadget{Scope: home, ID: "a"}); return err })
		var read gadget
		e.view(func(r store.Reader) (err error) { read, err = gadgets.Get(r, home, "a"); return err })
		replace := func(tx store.Tx) error { _, err := gadgets.Replace(tx, read); return err }
		e.update(replace)
		e.refused(store.ErrStale, replace)
	},
	"list, and walk over many pages": func(t *testing.T, e *env) {
		const n = store.MaxPageSize + 5
		e.update(func(tx store.Tx) error {
			for i := range n {
				if _, err := gadgets.Create(tx, gadget{Scope: home, ID: fmt.Sprint(i), Parent: "p"}); err != nil {
					return err
				}
			}
			_, err := gadgets.Create(tx, gadget{Scope: others, ID: "x"})
			return err
		})
		e.view(func(r store.Reader) error {
			list, err := gadgets.List(r, home, "p", store.Page{Size: 2})
			equal(t, "page", list.Items[1].ID, "1")
			count := 0
			for g, err := range gadgets.Each(r, home, "p") {
				if err != nil || g.ID != fmt.Sprint(count) {
					t.Fatalf("gadget %d: %s, %v", count, g.ID, err)
				}
				count++
			}
			equal(t, "each", count, n)
			count = 0
			for _, err := range gadgets.All(r) {
				if err != nil {
					return err
				}
				count++
			}
			equal(t, "all", count, n+1)
			return err
		})
	},
	"upgrade an older state and refuse a newer": func(t *testing.T, e *env) {
		e.update(func(tx store.Tx) error {
			_, err := gadgets.Create(tx, gadget{Scope: home, ID: "a", State: gadgetState{"old"}})
			return err
		})
		next := gadgets
		next.Version = 2
		next.Upgrade = func(from int, state json.RawMessage) (json.RawMessage, error) {
			equal(t, "from", from, 0)
			return json.RawMessage(`{"status":"upgraded"}`), nil
		}
		e.update(func(tx store.Tx) error {
			got, err := next.Update(tx, home, "a", func(*gadget) error { return nil })
			equal(t, "status", got.State.Status, "upgraded")
			return err
		})
		e.refused(store.ErrNewer, func(tx store.Tx) error { _, err := gadgets.Get(tx, home, "a"); return err })
		next.Version, next.Upgrade = 3, nil
		e.refused(store.ErrInvalid, func(tx store.Tx) error { _, err := next.Get(tx, home, "a"); return err })
	},
}
