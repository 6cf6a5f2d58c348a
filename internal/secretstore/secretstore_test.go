package secretstore_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/key"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/secret/secrettest"
	"github.com/outcrop/outcrop/internal/secretstore"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite"
)

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }
func (c *clock) add(days int)   { c.mu.Lock(); defer c.mu.Unlock(); c.now = c.now.AddDate(0, 0, days) }

// ofKeys are the keys of the kit.
type ofKeys struct{ *key.Keys }

func (k ofKeys) Box(ctx context.Context, scope store.Scope, name string) (*secret.Box, string, error) {
	box, ref, err := k.Keys.Box(ctx, scope, name)
	return box, ref.ARN(), err
}

// kit is secrets over a store of their own.
type kit struct {
	*secretstore.Secrets
	keys  *key.Keys
	clock *clock
	db    *sqlite.Store
	dir   string
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
	log := slog.New(slog.DiscardHandler)
	keys := key.New(key.Config{Store: db, Box: box, Rand: rand.Reader, Now: c.Now, Log: log})
	s := secretstore.New(secretstore.Config{Store: db, Box: box, Keys: ofKeys{keys}, Rand: rand.Reader, Now: c.Now, Log: log})
	return &kit{s, keys, c, db, dir}
}

func newKit(t testing.TB) *kit {
	t.Helper()
	return open(t, t.TempDir(), &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)})
}

func content(s string) *secretstore.Content {
	c := secretstore.Text(secret.NewString(s))
	return &c
}

// token makes the nth token, which is the id of a version.
func token(n int) string { return fmt.Sprintf("%032d", n) }

func (k *kit) create(t testing.TB, name, value string) secretstore.Secret {
	t.Helper()
	made, err := k.Create(t.Context(), ours(), name, secretstore.Settings{}, token(0), content(value))
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func (k *kit) value(t testing.TB, ref secretstore.Ref, version, stage string) string {
	t.Helper()
	c, _, _, err := k.Value(t.Context(), ref, version, stage)
	if err != nil {
		t.Errorf("value %s of %s: %v", stage, version, err)
	}
	return c.Value.Text().Reveal()
}

func wants(t *testing.T, what string, err error, code, text string) {
	t.Helper()
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Code != code || !strings.Contains(f.Message, text) {
		t.Errorf("%s: %v, want %s with %q", what, err, code, text)
	}
}

func TestVersions(t *testing.T) {
	k := newKit(t)
	made := k.create(t, "app/db", "one")
	if !strings.HasPrefix(made.ARN(), "arn:aws:secretsmanager:us-east-1:111122223333:secret:app/db-") || len(made.Suffix) != 6 {
		t.Errorf("it is %s", made.ARN())
	}
	for n, v := range []string{"two", "three"} {
		if _, _, err := k.Put(t.Context(), made.Ref, token(n+1), *content(v), nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := k.value(t, made.Ref, "", ""); got != "three" {
		t.Errorf("current is %q", got)
	}
	if got := k.value(t, made.Ref, "", secretstore.Previous); got != "two" {
		t.Errorf("previous is %q", got)
	}
	if got := k.value(t, made.Ref, token(0), ""); got != "one" {
		t.Errorf("the first is %q", got)
	}
	// Pending, and made current.
	if _, _, err := k.Put(t.Context(), made.Ref, token(3), *content("four"), []string{secretstore.Pending}); err != nil {
		t.Fatal(err)
	}
	if got := k.value(t, made.Ref, "", ""); got != "three" {
		t.Errorf("current is %q", got)
	}
	_, err := k.MoveStage(t.Context(), made.Ref, secretstore.Current, "", token(3))
	wants(t, "move from nowhere", err, secretstore.CodeInvalidParameter, "RemoveFromVersionId can't be empty")
	_, err = k.MoveStage(t.Context(), made.Ref, secretstore.Current, token(2), "")
	wants(t, "leave none current", err, secretstore.CodeInvalidParameter, "can't remove")
	_, err = k.MoveStage(t.Context(), made.Ref, secretstore.Current, token(1), token(3))
	wants(t, "move from another", err, secretstore.CodeInvalidParameter, "isn't currently attached")
	after, err := k.MoveStage(t.Context(), made.Ref, secretstore.Current, token(2), token(3))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{token(3): {secretstore.Pending, secretstore.Current}, token(2): {secretstore.Previous}}
	if got := after.Stages(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("labels %v, want %v", got, want)
	}
	if _, err := k.MoveStage(t.Context(), made.Ref, secretstore.Pending, token(3), ""); err != nil {
		t.Error(err)
	}
	for _, c := range []struct{ version, stage, code, text string }{
		{"", "NONE", secretstore.CodeNotFound, "can't find the specified secret value for staging label: NONE"},
		{token(9), "", secretstore.CodeNotFound, "can't find the specified secret value for VersionId"},
		{token(1), secretstore.Current, secretstore.CodeInvalidRequest, "not associated"},
	} {
		_, _, _, err := k.Value(t.Context(), made.Ref, c.version, c.stage)
		wants(t, c.version+c.stage, err, c.code, c.text)
	}
}

func TestTokens(t *testing.T) {
	k := newKit(t)
	made := k.create(t, "a", "one")
	again, err := k.Create(t.Context(), ours(), "a", secretstore.Settings{}, token(0), content("one"))
	if err != nil || again.ARN() != made.ARN() {
		t.Errorf("the same again: %s, %v", again.ARN(), err)
	}
	_, err = k.Create(t.Context(), ours(), "a", secretstore.Settings{}, token(0), content("other"))
	wants(t, "the token with another value", err, secretstore.CodeExists, "already in use")
	_, err = k.Create(t.Context(), ours(), "a", secretstore.Settings{}, token(1), content("one"))
	wants(t, "another token", err, secretstore.CodeExists, "already exists")
	for range 2 {
		if v, _, err := k.Put(t.Context(), made.Ref, token(2), *content("two"), nil); err != nil || v.ID != token(2) {
			t.Errorf("put %s, %v", v.ID, err)
		}
	}
	_, _, err = k.Put(t.Context(), made.Ref, token(2), *content("three"), nil)
	wants(t, "put another", err, secretstore.CodeExists, "already in use")
	binary := secretstore.Content{Value: content("two").Value, Binary: true}
	_, _, err = k.Put(t.Context(), made.Ref, token(2), binary, nil)
	wants(t, "put the same as bytes", err, secretstore.CodeExists, "already in use")
	found, err := k.Find(t.Context(), ours(), "a")
	if err != nil || len(found.Versions) != 2 {
		t.Errorf("%+v, %v", found.Versions, err)
	}
	_, _, err = k.Put(t.Context(), made.Ref, token(4), *content(""), nil)
	wants(t, "nothing", err, secretstore.CodeInvalidParameter, "at least one byte")
	_, _, err = k.Put(t.Context(), made.Ref, token(4), *content(strings.Repeat("x", secretstore.MaxValue+1)), nil)
	wants(t, "too much", err, secretstore.CodeInvalidParameter, "at most 65536")
}

func TestFind(t *testing.T) {
	k := newKit(t)
	made, tricky := k.create(t, "app", "x"), k.create(t, "app-AbCdEf", "y")
	for id, want := range map[string]string{
		"app": "app", made.ARN(): "app", "arn:aws:secretsmanager:us-east-1:111122223333:secret:app": "app",
		"app-AbCdEf": "app-AbCdEf", tricky.ARN(): "app-AbCdEf", "arn:aws:secretsmanager:us-east-1:111122223333:secret:app-AbCdEf": "app-AbCdEf",
	} {
		if found, err := k.Find(t.Context(), ours(), id); err != nil || found.Name != want {
			t.Errorf("%s is %s, %v", id, found.Name, err)
		}
	}
	for _, id := range []string{
		"none", "", made.ARN()[:len(made.ARN())-1], strings.Replace(made.ARN(), "111122223333", "444455556666", 1),
		strings.Replace(made.ARN(), "us-east-1", "eu-west-1", 1), "app\x00",
	} {
		_, err := k.Find(t.Context(), ours(), id)
		wants(t, id, err, secretstore.CodeNotFound, "Secrets Manager can't find the specified secret.")
	}
	_, err := k.Find(t.Context(), ours(), "arn:aws:s3:::b")
	wants(t, "another service's", err, secretstore.CodeInvalidParameter, "Invalid ARN")
	for _, name := range []string{"a b", "", strings.Repeat("x", 513), "a\n", "ä"} {
		_, err := k.Create(t.Context(), ours(), name, secretstore.Settings{}, token(0), nil)
		wants(t, name, err, "ValidationException", "Invalid name")
	}
}

func TestDelete(t *testing.T) {
	k := newKit(t)
	made := k.create(t, "a", "one")
	for _, days := range []int{6, 31, -1} {
		_, err := k.Delete(t.Context(), made.Ref, days)
		wants(t, "window", err, secretstore.CodeInvalidParameter, "between 7 and 30")
	}
	if _, err := k.Delete(t.Context(), made.Ref, 7); err != nil {
		t.Fatal(err)
	}
	_, _, _, err := k.Value(t.Context(), made.Ref, "", "")
	wants(t, "read", err, secretstore.CodeInvalidRequest, "marked for deletion")
	_, _, err = k.Put(t.Context(), made.Ref, token(1), *content("two"), nil)
	wants(t, "put", err, secretstore.CodeInvalidRequest, "marked for deletion")
	_, err = k.Create(t.Context(), ours(), "a", secretstore.Settings{}, token(5), content("x"))
	wants(t, "create", err, secretstore.CodeInvalidRequest, "already scheduled for deletion")
	if _, err := k.Restore(t.Context(), made.Ref); err != nil {
		t.Fatal(err)
	}
	if got := k.value(t, made.Ref, "", ""); got != "one" {
		t.Errorf("restored as %q", got)
	}
	if _, err := k.Delete(t.Context(), made.Ref, 7); err != nil {
		t.Fatal(err)
	}
	k.clock.add(7)
	_, err = k.Find(t.Context(), ours(), "a")
	wants(t, "due and not swept", err, secretstore.CodeNotFound, "can't find")
	if _, err := k.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	k.empty(t)
	again := k.create(t, "a", "new")
	if again.Suffix == made.Suffix {
		t.Error("the new secret has the ARN of the old")
	}
	if err := k.Remove(t.Context(), again.Ref); err != nil {
		t.Fatal(err)
	}
	k.empty(t)
}

// empty wants that no secret and no value is left in the store.
func (k *kit) empty(t *testing.T) {
	t.Helper()
	err := k.db.View(t.Context(), func(r store.Reader) error {
		docs, err := r.AllDocuments("secret", store.Page{})
		if len(docs.Items) > 0 {
			t.Errorf("%d secrets are left", len(docs.Items))
		}
		for row, err := range r.Rows("secret-values", store.Range{}) {
			t.Errorf("%s is left, %v", row.Key, err)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestMany: versions without a label go when there are many, and not before they
// are a day old.
func TestMany(t *testing.T) {
	k := newKit(t)
	made := k.create(t, "a", "0")
	for n := 1; n <= 120; n++ {
		if n == 110 {
			k.clock.add(2)
		}
		if _, _, err := k.Put(t.Context(), made.Ref, token(n), *content(fmt.Sprint(n)), nil); err != nil {
			t.Fatal(err)
		}
	}
	found, err := k.Find(t.Context(), ours(), "a")
	if err != nil || len(found.Versions) != secretstore.MaxVersions || found.Versions[0].ID != token(21) {
		t.Errorf("%d versions from %s, %v", len(found.Versions), found.Versions[0].ID, err)
	}
	if got := k.value(t, made.Ref, "", secretstore.Previous); got != "119" {
		t.Errorf("previous is %s", got)
	}
}

// TestCustomerKey: what an account's own key seals is as readable as that is usable.
func TestCustomerKey(t *testing.T) {
	k := newKit(t)
	made, err := k.keys.Create(t.Context(), ours(), key.Settings{Spec: key.Symmetric, Usage: key.EncryptDecrypt})
	if err != nil {
		t.Fatal(err)
	}
	if err := k.keys.CreateAlias(t.Context(), made.Ref, "alias/mine"); err != nil {
		t.Fatal(err)
	}
	s, err := k.Create(t.Context(), ours(), "a", secretstore.Settings{KeyID: "alias/mine"}, token(0), content("one"))
	if err != nil || s.Versions[0].Key != made.ARN() {
		t.Fatalf("%+v, %v", s.Versions, err)
	}
	if got := k.value(t, s.Ref, "", ""); got != "one" {
		t.Errorf("came back as %q", got)
	}
	disable := func(to bool) {
		t.Helper()
		if err := k.keys.Change(t.Context(), made.Ref, false, func(s *key.Settings) error { s.Disabled = to; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	disable(true)
	_, _, _, err = k.Value(t.Context(), s.Ref, "", "")
	wants(t, "read with a disabled key", err, secretstore.CodeDecryption, "can't decrypt")
	_, _, err = k.Put(t.Context(), s.Ref, token(1), *content("two"), nil)
	wants(t, "put with a disabled key", err, secretstore.CodeEncryption, "can't encrypt")
	disable(false)
	if _, _, err := k.Update(t.Context(), s.Ref, token(1), content("two"), func(s *secretstore.Settings) { s.KeyID = "" }); err != nil {
		t.Fatal(err)
	}
	disable(true)
	if got := k.value(t, s.Ref, "", ""); got != "two" {
		t.Errorf("under the server's own key: %q", got)
	}
	_, err = k.Create(t.Context(), ours(), "b", secretstore.Settings{KeyID: "alias/none"}, token(0), content("x"))
	wants(t, "no such key", err, secretstore.CodeEncryption, "can't encrypt")
}

// TestNothingInTheClear looks for values in all files, and opens them again from
// another process's place.
func TestNothingInTheClear(t *testing.T) {
	k := newKit(t)
	values := []string{"hunter2-of-the-database", "hunter3-of-the-provider"}
	made := k.create(t, "a", values[0])
	d, err := k.NewManaged(t.Context(), ours(), secretstore.IdentityService, "bedrock-agentcore-identity!default/apikey/p", secret.NewString(values[1]))
	if err != nil {
		t.Fatal(err)
	}
	if err := k.db.Update(t.Context(), func(tx store.Tx) error { _, err := d.Write(tx); return err }); err != nil {
		t.Fatal(err)
	}
	if err := k.db.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(k.dir, "*"))
	if err != nil || len(files) < 2 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range values {
			if bytes.Contains(raw, []byte(v)) {
				t.Errorf("%s holds a value", filepath.Base(f))
			}
		}
	}
	if got := open(t, k.dir, k.clock).value(t, made.Ref, "", ""); got != values[0] {
		t.Errorf("after a restart %q", got)
	}
}

func TestPassword(t *testing.T) {
	k := newKit(t)
	for range 200 {
		p, err := k.Password(secretstore.Password{Length: 8, Exclude: "abc'\"", Space: true})
		if err != nil {
			t.Fatal(err)
		}
		s := p.Reveal()
		has := func(letters string) bool { return strings.ContainsAny(s, letters) }
		if len(s) != 8 || has("abc'\"") || !has("defghijklmnopqrstuvwxyz") || !has("ABCDEFGHIJKLMNOPQRSTUVWXYZ") || !has("0123456789") || !has(" ") ||
			!has("!#$%&()*+,-./:;<=>?@[\\]^_`{|}~") {
			t.Fatalf("%q", s)
		}
	}
	p, err := k.Password(secretstore.Password{NoLow: true, NoUpper: true, NoPunctuation: true})
	if err != nil || len(p.Reveal()) != 32 || strings.Trim(p.Reveal(), "0123456789") != "" {
		t.Errorf("%q, %v", p.Reveal(), err)
	}
	for _, bad := range []secretstore.Password{{Length: 3}, {Length: 5000}, {Length: -1}, {NoLow: true, NoUpper: true, NoPunctuation: true, NoNumbers: true}} {
		_, err := k.Password(bad)
		wants(t, fmt.Sprintf("%+v", bad), err, secretstore.CodeInvalidParameter, "")
	}
}

func TestAll(t *testing.T) {
	k := newKit(t)
	for _, n := range []string{"b", "a", "c"} {
		k.create(t, n, "x")
	}
	if _, err := k.Create(t.Context(), store.Scope{Account: "444455556666", Region: "us-east-1"}, "theirs", secretstore.Settings{}, token(0), content("x")); err != nil {
		t.Fatal(err)
	}
	list, err := k.All(t.Context(), ours())
	var names []string
	for _, s := range list {
		names = append(names, s.Name)
	}
	if err != nil || !slices.Equal(names, []string{"b", "a", "c"}) {
		t.Errorf("%v, %v", names, err)
	}
}
