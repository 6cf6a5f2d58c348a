package registry_test

import (
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/image/registry"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/storetest"
)

// TestFullDisk: what does not fit is refused and leaves nothing, what is there stays
// and can be deleted, and then there is room.
func TestFullDisk(t *testing.T) {
	f := openFixture(t, storetest.SmallDisk(t, "24m"))
	ctx := t.Context()
	f.create(repo())
	fits := strings.Repeat("fits", 2<<20)
	d := f.push(repo(), fits)
	id := f.begin(repo())
	if _, err := f.Append(ctx, repo(), id, part("begun ")); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		_, err := f.Append(ctx, repo(), id, registry.Part{Reader: &zeros{64 << 20}, At: -1, Size: -1})
		if !store.IsFull(err) {
			t.Fatalf("error %v", err)
		}
		f.audit()
	}
	if u, err := f.Upload(ctx, repo(), id); err != nil || u.Offset != int64(len("begun ")) {
		t.Errorf("%+v, %v", u, err)
	}
	if got, err := f.read(repo(), d); err != nil || got != fits {
		t.Errorf("%d bytes are left, %v", len(got), err)
	}
	if err := f.DeleteBlob(store.Freeing(ctx), repo(), d); err != nil {
		t.Fatal(err)
	}
	f.audit()
	if _, err := f.Finish(ctx, repo(), id, digest("begun "+fits), part(fits)); err != nil {
		t.Errorf("there is room again: %v", err)
	}
	f.audit()
}
