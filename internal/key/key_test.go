package key_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/key"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/secret/secrettest"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite"
)

// clock is the time of a test.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }
func (c *clock) add(days int)   { c.mu.Lock(); defer c.mu.Unlock(); c.now = c.now.AddDate(0, 0, days) }

// kit is keys over a store of their own.
type kit struct {
	*key.Keys
	clock *clock
	dir   string
	db    *sqlite.Store
}

func ours() store.Scope { return store.Scope{Account: "111122223333", Region: "us-east-1"} }

func open(t testing.TB, dir string, c *clock) *kit {
	t.Helper()
	box := secrettest.At(t, filepath.Join(dir, "key"))
	db, err := sqlite.Open(context.Background(), filepath.Join(dir, "outcrop.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	keys := key.New(key.Config{Store: db, Box: box, Rand: rand.Reader, Now: c.Now, Log: slog.New(slog.DiscardHandler)})
	return &kit{keys, c, dir, db}
}

func newKit(t testing.TB) *kit {
	t.Helper()
	return open(t, t.TempDir(), &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)})
}

func (k *kit) make(t testing.TB, spec key.Spec, usage key.Usage) key.Key {
	t.Helper()
	made, err := k.Create(t.Context(), ours(), key.Settings{Spec: spec, Usage: usage, Policy: key.DefaultPolicy(ours().Account)})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func (k *kit) makeSymmetric(t testing.TB) key.Key {
	t.Helper()
	return k.make(t, key.Symmetric, key.EncryptDecrypt)
}

func text(s string) secret.Bytes { return secret.NewString(s).Bytes() }

// wants checks the code of a refusal.
func wants(t *testing.T, what string, err error, code string) {
	t.Helper()
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Code != code {
		t.Errorf("%s: %v, want %s", what, err, code)
	}
}

func TestEncrypt(t *testing.T) {
	k := newKit(t)
	made := k.makeSymmetric(t)
	about := map[string]string{"tenant": "blue", "a": "bc", "ab": "c"}
	sealed, use, err := k.Encrypt(t.Context(), made.Ref, "", about, text("value"))
	if err != nil || use.Material != made.Materials[0].ID || use.Algorithm != key.SymmetricDefault {
		t.Fatalf("%+v, %v", use, err)
	}
	if ref, err := key.KeyOf(sealed); err != nil || ref != made.Ref {
		t.Errorf("the ciphertext is of %s, %v", ref, err)
	}
	again, _, err := k.Encrypt(t.Context(), made.Ref, "", about, text("value"))
	if err != nil || bytes.Equal(again, sealed) {
		t.Errorf("the same plaintext came out alike, %v", err)
	}
	plain, _, err := k.Decrypt(t.Context(), made.Ref, "", about, sealed)
	if err != nil || plain.Text().Reveal() != "value" {
		t.Errorf("came back as %q, %v", plain.Text().Reveal(), err)
	}
	// The same letters with the borders elsewhere, one more, one fewer, none.
	for _, other := range []map[string]string{
		nil, {"tenant": "blue"}, {"tenant": "blue", "a": "bca", "b": "c"}, {"tenant": "blue", "a": "bc", "ab": "c", "": ""},
		{"tenant": "green", "a": "bc", "ab": "c"},
	} {
		_, _, err := k.Decrypt(t.Context(), made.Ref, "", other, sealed)
		wants(t, "another context", err, key.CodeInvalidCiphertext)
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if _, _, err := k.Decrypt(t.Context(), made.Ref, "", about, changed); err == nil {
			t.Errorf("opened with byte %d changed", i)
		}
		if _, _, err := k.Decrypt(t.Context(), made.Ref, "", about, sealed[:i]); err == nil {
			t.Errorf("opened cut at %d", i)
		}
	}
	_, _, err = k.Encrypt(t.Context(), made.Ref, "", nil, secret.NewBytes(make([]byte, key.MaxPlaintext+1)))
	wants(t, "too much", err, key.CodeValidation)
	_, _, err = k.Encrypt(t.Context(), made.Ref, "", map[string]string{"a": string(make([]byte, key.MaxContext))}, text("x"))
	wants(t, "too much context", err, key.CodeValidation)
}

// TestForeignCiphertext: what another key, account or server made does not open,
// whatever its header claims.
func TestForeignCiphertext(t *testing.T) {
	k := newKit(t)
	one, two := k.makeSymmetric(t), k.makeSymmetric(t)
	theirs, err := k.Create(t.Context(), store.Scope{Account: "444455556666", Region: "us-east-1"},
		key.Settings{Spec: key.Symmetric, Usage: key.EncryptDecrypt})
	if err != nil {
		t.Fatal(err)
	}
	seal := func(ref key.Ref) []byte {
		out, _, err := k.Encrypt(t.Context(), ref, "", nil, text("value"))
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for what, sealed := range map[string][]byte{"another key": seal(two.Ref), "another account": seal(theirs.Ref)} {
		_, _, err := k.Decrypt(t.Context(), one.Ref, "", nil, sealed)
		wants(t, what, err, key.CodeIncorrectKey)
		// The header of the right key before what another sealed.
		const tail = 16 + 12 + 5 + 16
		own := seal(one.Ref)
		forged := append(bytes.Clone(own[:len(own)-tail]), sealed[len(sealed)-tail:]...)
		_, _, err = k.Decrypt(t.Context(), one.Ref, "", nil, forged)
		wants(t, what+", with our header", err, key.CodeInvalidCiphertext)
	}
	elsewhere := newKit(t)
	_, _, err = elsewhere.Decrypt(t.Context(), one.Ref, "", nil, seal(one.Ref))
	wants(t, "another server", err, key.CodeNotFound)
}

func TestStates(t *testing.T) {
	k := newKit(t)
	made := k.makeSymmetric(t)
	sealed, _, err := k.Encrypt(t.Context(), made.Ref, "", nil, text("value"))
	if err != nil {
		t.Fatal(err)
	}
	use := func() error {
		_, _, err := k.Decrypt(t.Context(), made.Ref, "", nil, sealed)
		return err
	}
	disable := func(to bool) {
		t.Helper()
		if err := k.Change(t.Context(), made.Ref, false, func(s *key.Settings) error { s.Disabled = to; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	disable(true)
	wants(t, "disabled", use(), key.CodeDisabled)
	wants(t, "disabled", k.Usable(t.Context(), made.Ref), key.CodeDisabled)
	disable(false)
	if err := use(); err != nil {
		t.Error(err)
	}
	if err := k.CreateAlias(t.Context(), made.Ref, "alias/a"); err != nil {
		t.Fatal(err)
	}
	for _, days := range []int{6, 31, -1} {
		_, err := k.ScheduleDeletion(t.Context(), made.Ref, days)
		wants(t, "window", err, key.CodeValidation)
	}
	at, err := k.ScheduleDeletion(t.Context(), made.Ref, 7)
	if err != nil || !at.Equal(k.clock.Now().AddDate(0, 0, 7)) {
		t.Fatalf("goes at %v, %v", at, err)
	}
	wants(t, "pending deletion", use(), key.CodeInvalidState)
	wants(t, "change of one that goes", k.Change(t.Context(), made.Ref, false, func(*key.Settings) error { return nil }), key.CodeInvalidState)
	if err := k.CancelDeletion(t.Context(), made.Ref); err != nil {
		t.Fatal(err)
	}
	wants(t, "kept", use(), key.CodeDisabled)
	wants(t, "kept twice", k.CancelDeletion(t.Context(), made.Ref), key.CodeInvalidState)
	disable(false)
	if _, err := k.ScheduleDeletion(t.Context(), made.Ref, 7); err != nil {
		t.Fatal(err)
	}
	if next, err := k.Sweep(t.Context()); err != nil || !next.Equal(at) {
		t.Errorf("next at %v, %v", next, err)
	}
	k.clock.add(7)
	wants(t, "due and not swept", use(), key.CodeNotFound)
	if _, err := k.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if gone, err := k.Gone(t.Context(), made.Ref); !gone || err != nil {
		t.Errorf("gone %t, %v", gone, err)
	}
	_, err = k.Alias(t.Context(), ours(), "alias/a")
	wants(t, "its alias", err, key.CodeNotFound)
	// Nothing of it is left in the store.
	err = k.db.View(t.Context(), func(r store.Reader) error {
		docs, err := r.AllDocuments("kms-key", store.Page{})
		if err == nil && len(docs.Items) > 0 {
			t.Errorf("%d keys are left", len(docs.Items))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestRunDeletes waits for nothing but Run.
func TestRunDeletes(t *testing.T) {
	k := newKit(t)
	made := k.makeSymmetric(t)
	if _, err := k.ScheduleDeletion(t.Context(), made.Ref, 7); err != nil {
		t.Fatal(err)
	}
	k.clock.add(8)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	changed := k.db.Changed(key.Topic())
	go func() { done <- k.Run(ctx) }()
	<-changed
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if gone, err := k.Gone(t.Context(), made.Ref); !gone || err != nil {
		t.Errorf("gone %t, %v", gone, err)
	}
}

func TestRotation(t *testing.T) {
	k := newKit(t)
	made := k.makeSymmetric(t)
	before, _, err := k.Encrypt(t.Context(), made.Ref, "", nil, text("before"))
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Change(t.Context(), made.Ref, false, func(s *key.Settings) error { s.RotationDays = 90; return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	k.clock.add(90)
	if _, err := k.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := k.Rotate(t.Context(), made.Ref, true); err != nil {
		t.Fatal(err)
	}
	now, err := k.Get(t.Context(), made.Ref)
	if err != nil || len(now.Materials) != 3 || now.Materials[1].OnDemand || !now.Materials[2].OnDemand {
		t.Fatalf("%+v, %v", now.Materials, err)
	}
	after, use, err := k.Encrypt(t.Context(), made.Ref, "", nil, text("after"))
	if err != nil || use.Material != now.Materials[2].ID {
		t.Errorf("%+v, %v", use, err)
	}
	for want, sealed := range map[string][]byte{"before": before, "after": after} {
		if plain, _, err := k.Decrypt(t.Context(), made.Ref, "", nil, sealed); err != nil || plain.Text().Reveal() != want {
			t.Errorf("%s: %v", want, err)
		}
	}
	wants(t, "an asymmetric key", k.Rotate(t.Context(), k.make(t, "ECC_NIST_P256", key.SignVerify).Ref, true), key.CodeUnsupported)
}

func TestAliases(t *testing.T) {
	k := newKit(t)
	one, two := k.makeSymmetric(t), k.makeSymmetric(t)
	if err := k.CreateAlias(t.Context(), one.Ref, "alias/app/main"); err != nil {
		t.Fatal(err)
	}
	wants(t, "twice", k.CreateAlias(t.Context(), two.Ref, "alias/app/main"), key.CodeExists)
	for name, code := range map[string]string{
		"alias/aws/s3": key.CodeInvalidAlias, "alias/a b": key.CodeInvalidAlias, "alias/": key.CodeInvalidAlias, "app": key.CodeValidation,
	} {
		wants(t, name, k.CreateAlias(t.Context(), one.Ref, name), code)
	}
	for _, name := range []string{one.ID, one.ARN(), "alias/app/main", "arn:aws:kms:us-east-1:111122223333:alias/app/main"} {
		if found, err := k.Find(t.Context(), ours(), name); err != nil || found.ID != one.ID {
			t.Errorf("%s is %s, %v", name, found.ID, err)
		}
	}
	if err := k.UpdateAlias(t.Context(), two.Ref, "alias/app/main"); err != nil {
		t.Fatal(err)
	}
	if found, err := k.Find(t.Context(), ours(), "alias/app/main"); err != nil || found.ID != two.ID {
		t.Errorf("it is %s, %v", found.ID, err)
	}
	wants(t, "another kind", k.UpdateAlias(t.Context(), k.make(t, "HMAC_256", key.VerifyMAC).Ref, "alias/app/main"), key.CodeValidation)
	wants(t, "no such alias", k.UpdateAlias(t.Context(), two.Ref, "alias/none"), key.CodeNotFound)
	for name, code := range map[string]string{
		"alias/none": key.CodeNotFound, "x": key.CodeNotFound, "": key.CodeNotFound, "arn:aws:s3:::b": key.CodeInvalidARN,
		"arn:aws:kms:eu-west-1:111122223333:key/" + one.ID:    key.CodeNotFound,
		"arn:aws:kms:us-east-1:444455556666:key/" + one.ID:    key.CodeNotFound,
		"arn:aws:kms:us-east-1:444455556666:alias/app/main":   key.CodeNotFound,
		"arn:aws:kms:us-east-1:111122223333:other/" + one.ID:  key.CodeInvalidARN,
		"arn:aws:kms:us-east-1:111122223333:key/../" + one.ID: key.CodeNotFound,
	} {
		_, err := k.Find(t.Context(), ours(), name)
		wants(t, name, err, code)
	}
	if err := k.DeleteAlias(t.Context(), ours(), "alias/app/main"); err != nil {
		t.Error(err)
	}
	wants(t, "deleted", k.DeleteAlias(t.Context(), ours(), "alias/app/main"), key.CodeNotFound)
}

// TestNothingInTheClear looks for the materials in all files.
func TestNothingInTheClear(t *testing.T) {
	k := newKit(t)
	seen := [][]byte{[]byte("what nobody reads")}
	k.Keys = key.New(recorded(t, k, &seen))
	made := k.makeSymmetric(t)
	k.make(t, "HMAC_256", key.VerifyMAC)
	if _, _, err := k.Encrypt(t.Context(), made.Ref, "", nil, text("what nobody reads")); err != nil {
		t.Fatal(err)
	}
	if err := k.db.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(k.dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		content, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range seen {
			if bytes.Contains(content, s) {
				t.Errorf("%s holds material or a plaintext", filepath.Base(f))
			}
		}
	}
	if len(seen) != 3 {
		t.Errorf("%d things were looked for", len(seen))
	}
}

// recorded is the config of a kit whose 32 random bytes at a time that become
// material are noted.
func recorded(t *testing.T, k *kit, seen *[][]byte) key.Config {
	t.Helper()
	box := secrettest.At(t, filepath.Join(k.dir, "key"))
	n := 0
	return key.Config{Store: k.db, Box: box, Now: k.clock.Now, Log: slog.New(slog.DiscardHandler), Rand: reader(func(b []byte) (int, error) {
		count, err := rand.Read(b)
		if len(b) == 32 {
			if n++; n%2 == 1 { // material, then its id
				*seen = append(*seen, bytes.Clone(b))
			}
		}
		return count, err
	})}
}

type reader func([]byte) (int, error)

func (r reader) Read(b []byte) (int, error) { return r(b) }
