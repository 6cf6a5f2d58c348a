package workload_test

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite"
	"github.com/outcrop/outcrop/internal/workload"
)

func TestDirectory(t *testing.T) {
	st, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	scope, other := store.Scope{Account: "123456789012", Region: "us-east-1"}, store.Scope{Account: "123456789012", Region: "us-east-2"}
	update := func(fn func(store.Tx) error) error { t.Helper(); return st.Update(t.Context(), fn) }
	create := func(s store.Scope, name string) error {
		return update(func(tx store.Tx) error {
			_, err := workload.Create(tx, workload.Identity{Scope: s, Name: name, Tags: map[string]string{"a": "b"}})
			return err
		})
	}
	for _, s := range []store.Scope{scope, other} {
		if err := create(s, "one"); err != nil {
			t.Fatal(err)
		}
	}
	if err := create(scope, "one"); !errors.Is(err, store.ErrExists) {
		t.Errorf("a second of the name: %v, want ErrExists", err)
	}
	err = update(func(tx store.Tx) error {
		_, err := workload.SetReturnURLs(tx, scope, "one", []string{"https://app/back"})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	err = st.View(t.Context(), func(r store.Reader) error {
		i, err := workload.Get(r, scope, "one")
		if err != nil {
			return err
		}
		if !slices.Equal(i.ReturnURLs, []string{"https://app/back"}) || i.Tags["a"] != "b" {
			t.Errorf("read %+v", i)
		}
		if want := "arn:aws:bedrock-agentcore:us-east-1:123456789012:workload-identity-directory/default/workload-identity/one"; i.ARN() != want {
			t.Errorf("its ARN is %s, want %s", i.ARN(), want)
		}
		list, err := workload.List(r, scope, store.Page{Size: 10})
		if err != nil || len(list.Items) != 1 {
			t.Errorf("listed %d, %v; want 1", len(list.Items), err)
		}
		if n, err := workload.Count(r, scope, 10); n != 1 || err != nil {
			t.Errorf("counted %d, %v; want 1", n, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	remove := func() error { return update(func(tx store.Tx) error { return workload.Delete(tx, scope, "one") }) }
	if err := remove(); err != nil {
		t.Fatal(err)
	}
	if err := remove(); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("deleted twice: %v, want ErrNotFound", err)
	}
}
