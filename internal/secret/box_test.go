package secret_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/secret/secrettest"
)

var owner = secret.Owner{Scope: "123456789012/us-east-1", Kind: "access-key", ID: "AKIA"}

func TestSealAndOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	box := secrettest.At(t, path)
	for _, value := range []string{"", "x", strings.Repeat("long ", 100000)} {
		sealed, err := box.Seal(t.Context(), owner, secret.NewString(value).Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if len(value) > 1 && bytes.Contains(sealed, []byte("long")) {
			t.Error("the value can be read")
		}
		again, err := box.Seal(t.Context(), owner, secret.NewString(value).Bytes())
		if err != nil || bytes.Equal(sealed, again) {
			t.Errorf("the same value sealed alike, %v", err)
		}
		// Another process with the same file.
		got, err := secrettest.At(t, path).Open(t.Context(), owner, sealed)
		if err != nil || got.Text().Reveal() != value {
			t.Errorf("%d bytes came back as %d, %v", len(value), len(got.Reveal()), err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	box := secrettest.At(t, filepath.Join(dir, "key"))
	sealed, err := box.Seal(t.Context(), owner, secret.NewString("value").Bytes())
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, b *secret.Box, o secret.Owner, s []byte) {
		t.Helper()
		v, err := b.Open(t.Context(), o, s)
		if !errors.Is(err, secret.ErrUnreadable) || !v.Empty() {
			t.Errorf("%s: %v, want ErrUnreadable", what, err)
		}
	}
	for _, o := range []secret.Owner{
		{Scope: owner.Scope + "x", Kind: owner.Kind, ID: owner.ID},
		{Scope: owner.Scope, Kind: "account", ID: owner.ID},
		{Scope: owner.Scope, Kind: owner.Kind, ID: "AKIB"},
		// The same letters with the border elsewhere.
		{Scope: owner.Scope + "a", Kind: strings.TrimPrefix(owner.Kind, "a"), ID: owner.ID},
		{},
	} {
		refused(fmt.Sprintf("owner %+v", o), box, o, sealed)
	}
	refused("another key", secrettest.At(t, filepath.Join(dir, "other")), owner, sealed)
	refused("nothing", box, owner, nil)
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		refused(fmt.Sprintf("byte %d changed", i), box, owner, changed)
		refused(fmt.Sprintf("cut at %d", i), box, owner, sealed[:i])
	}
	refused("longer", box, owner, append(bytes.Clone(sealed), 0))
	for _, o := range []secret.Owner{{Kind: "k", ID: "i"}, {Scope: "s", ID: "i"}, {Scope: "s", Kind: "k"}} {
		if _, err := box.Seal(t.Context(), o, secret.Bytes{}); err == nil {
			t.Errorf("sealed for %+v", o)
		}
	}
}

func TestKeyFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	if _, err := secret.OpenKeyFile(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, created, err := secret.EnsureKeyFile(path); err != nil || !created {
		t.Fatalf("first start: created %v, %v", created, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, created, err := secret.EnsureKeyFile(path); err != nil || created {
		t.Errorf("second start: created %v, %v", created, err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the second start changed the file, %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v, %v", entries, err)
	}
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o620, 0o777} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, _, err := secret.EnsureKeyFile(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	for name, content := range map[string][]byte{"empty": {}, "garbage": []byte("{"), "cut": before[:len(before)/2], "huge": make([]byte, 1<<20)} {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := secret.EnsureKeyFile(p); !errors.Is(err, secret.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		} else if len(content) > 1 && strings.Contains(err.Error(), "value") {
			t.Errorf("%s: the error shows the content: %v", name, err)
		}
	}
	if _, _, err := secret.EnsureKeyFile(dir); err == nil {
		t.Error("a directory was taken for a key file")
	}
	if _, _, err := secret.EnsureKeyFile(filepath.Join(dir, "gone", "key")); err == nil {
		t.Error("a key file in no directory")
	}
}

// TestKeyFileRace: of many first starts at once one makes the key and all use it.
func TestKeyFileRace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	var wg sync.WaitGroup
	var mu sync.Mutex
	made := 0
	sealed := make([][]byte, 8)
	for i := range sealed {
		wg.Go(func() {
			ring, created, err := secret.EnsureKeyFile(path)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if created {
				made++
			}
			if sealed[i], err = ring.EncryptWithContext(context.Background(), []byte("x"), nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if made != 1 {
		t.Errorf("%d made the key", made)
	}
	ring, err := secret.OpenKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range sealed {
		if _, err := ring.DecryptWithContext(t.Context(), s, nil); err != nil {
			t.Errorf("process %d had another key: %v", i, err)
		}
	}
}

// TestRotation adds a second key to the file and makes it primary: what the
// first sealed still opens, and what is sealed now needs the second.
func TestRotation(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	old := secrettest.At(t, path)
	sealed, err := old.Seal(t.Context(), owner, secret.NewString("before").Bytes())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(raw)))
	if err != nil {
		t.Fatal(err)
	}
	manager := keyset.NewManagerFromHandle(handle)
	id, err := manager.Add(aead.AES256GCMKeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	if err := manager.SetPrimary(id); err != nil {
		t.Fatal(err)
	}
	if handle, err = manager.Handle(); err != nil {
		t.Fatal(err)
	}
	var rotated bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&rotated)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, rotated.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	box := secrettest.At(t, path)
	if got, err := box.Open(t.Context(), owner, sealed); err != nil || got.Text().Reveal() != "before" {
		t.Errorf("the old key's secret: %v", err)
	}
	if sealed, err = box.Seal(t.Context(), owner, secret.NewString("after").Bytes()); err != nil {
		t.Fatal(err)
	}
	if _, err := old.Open(t.Context(), owner, sealed); !errors.Is(err, secret.ErrUnreadable) {
		t.Errorf("the new secret does not need the new key: %v", err)
	}
}

// hung is a remote Keeper that answers nothing.
type hung struct{ *secret.Keyring }

func (hung) DecryptWithContext(ctx context.Context, _, _ []byte) ([]byte, error) {
	<-ctx.Done()
	return nil, errors.New("connection closed")
}

func TestRemoteKeeperGivenUp(t *testing.T) {
	ring, _, err := secret.EnsureKeyFile(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	box, err := secret.NewBox(hung{ring})
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := box.Seal(t.Context(), owner, secret.NewString("x").Bytes())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := box.Open(ctx, owner, sealed); !errors.Is(err, context.Canceled) || errors.Is(err, secret.ErrUnreadable) {
		t.Errorf("given up: %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	box := secrettest.Box(f)
	sealed, err := box.Seal(f.Context(), owner, secret.NewString("value").Bytes())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add([]byte{1, 0, 0, 0, 255})
	f.Fuzz(func(t *testing.T, raw []byte) {
		if bytes.Equal(raw, sealed) {
			return
		}
		if v, err := box.Open(t.Context(), owner, raw); !errors.Is(err, secret.ErrUnreadable) {
			t.Fatalf("opened %x: %d bytes, %v", raw, len(v.Reveal()), err)
		}
	})
}

func BenchmarkBox(b *testing.B) {
	box := secrettest.Box(b)
	value := secret.NewString(strings.Repeat("k", 40)).Bytes()
	sealed, err := box.Seal(b.Context(), owner, value)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("seal", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := box.Seal(b.Context(), owner, value); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("open", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := box.Open(b.Context(), owner, sealed); err != nil {
				b.Fatal(err)
			}
		}
	})
}
