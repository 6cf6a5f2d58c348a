package principal

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/sigv4"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/secret/secrettest"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite"
)

func testTime() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// counting counts the transactions that read.
type counting struct {
	store.Store
	mu    sync.Mutex
	views int
}

func (c *counting) View(ctx context.Context, fn func(store.Reader) error) error {
	c.mu.Lock()
	c.views++
	c.mu.Unlock()
	return c.Store.View(ctx, fn)
}

func (c *counting) count() int { c.mu.Lock(); defer c.mu.Unlock(); return c.views }

func config(t testing.TB, dir string) (Config, *counting) {
	t.Helper()
	box := secrettest.At(t, filepath.Join(dir, "key"))
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "outcrop.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	c := &counting{Store: db}
	return Config{Store: c, Box: box, Rand: rand.Reader, Now: testTime}, c
}

func open(t testing.TB, cfg Config) (*Directory, bool) {
	t.Helper()
	d, created, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return d, created
}

func TestFirstAndSecondStart(t *testing.T) {
	dir := t.TempDir()
	cfg, _ := config(t, dir)
	first, created := open(t, cfg)
	if !created {
		t.Error("the first start made nothing")
	}
	root, err := first.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if id := first.Account().ID; !regexp.MustCompile(`^[1-9][0-9]{11}$`).MatchString(id) {
		t.Errorf("account %q", id)
	}
	if !regexp.MustCompile(`^AKIA[A-Z2-7]{16}$`).MatchString(root.AccessKeyID) || root.AccessKeyID != first.Account().Root {
		t.Errorf("access key id %q", root.AccessKeyID)
	}
	if !regexp.MustCompile(`^[A-Za-z0-9+/]{40}$`).MatchString(root.Secret.Reveal()) {
		t.Error("the secret access key is not 40 letters of base64")
	}
	second, created := open(t, cfg)
	again, err := second.Root(t.Context())
	if err != nil || created || second.Account() != first.Account() || !again.Secret.Equal(root.Secret) {
		t.Errorf("second start: created %v, %+v, %v", created, second.Account(), err)
	}
	if s := fmt.Sprintf("%+v %#v", root, root); strings.Contains(s, root.Secret.Reveal()) {
		t.Error("credentials print their secret")
	}
}

// TestSecretsAreSealed looks for the secret in every file of the data directory.
func TestSecretsAreSealed(t *testing.T) {
	dir := t.TempDir()
	cfg, _ := config(t, dir)
	d, _ := open(t, cfg)
	root, err := d.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) < 2 {
		t.Fatalf("%v, %v", files, err)
	}
	found := false
	for _, f := range files {
		raw, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		found = found || bytes.Contains(raw, []byte(root.AccessKeyID))
		if bytes.Contains(raw, []byte(root.Secret.Reveal())) {
			t.Errorf("%s holds the secret access key in the clear", f.Name())
		}
	}
	if !found {
		t.Error("the access key id is in no file: the search proves nothing")
	}
}

func TestAnotherKeyFile(t *testing.T) {
	cfg, _ := config(t, t.TempDir())
	open(t, cfg)
	other, _ := config(t, t.TempDir())
	cfg.Box = other.Box
	if _, _, err := Open(t.Context(), cfg); !errors.Is(err, secret.ErrUnreadable) {
		t.Errorf("opened with another key file: %v", err)
	}
}

// TestStartAtOnce: of many first starts on one store one makes the account.
func TestStartAtOnce(t *testing.T) {
	cfg, _ := config(t, t.TempDir())
	var wg sync.WaitGroup
	var mu sync.Mutex
	made, accounts := 0, map[Account]bool{}
	for range 8 {
		wg.Go(func() {
			d, created, err := Open(t.Context(), cfg)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			accounts[d.Account()] = true
			if created {
				made++
			}
		})
	}
	wg.Wait()
	if made != 1 || len(accounts) != 1 {
		t.Errorf("%d made an account, there are %v", made, accounts)
	}
}

// failing is a source of randomness that ends.
type failing struct{ left int }

func (f *failing) Read(p []byte) (int, error) {
	if f.left < len(p) {
		return 0, errors.New("no more randomness")
	}
	f.left -= len(p)
	return rand.Read(p)
}

func TestNothingHalfMade(t *testing.T) {
	cfg, _ := config(t, t.TempDir())
	good := cfg.Rand
	for left := range 40 {
		cfg.Rand = &failing{left}
		if _, _, err := Open(t.Context(), cfg); err == nil {
			t.Fatalf("an account was made of %d random bytes", left)
		}
	}
	cfg.Rand = good
	if _, created := open(t, cfg); !created {
		t.Error("a failed start left an account behind")
	}
}

// put stores an access key as an IAM front or a token service would.
func put(t *testing.T, d *Directory, id string, change func(*keyState)) {
	t.Helper()
	sealed, err := d.cfg.Box.Seal(t.Context(), owner(d.account.ID, id), secret.NewString("s-"+id).Bytes())
	if err != nil {
		t.Fatal(err)
	}
	state := keyState{Account: d.account.ID, ARN: "arn:aws:iam::" + d.account.ID + ":user/ann", Kind: auth.User, Sealed: sealed}
	if change != nil {
		change(&state)
	}
	err = d.cfg.Store.Update(t.Context(), func(tx store.Tx) error {
		_, err := accessKeys().Create(tx, store.Resource[none, keyState]{Scope: everywhere(), ID: id, State: state})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestKey(t *testing.T) {
	const (
		long, inactive = "AKIAAAAAAAAAAAAAAAA2", "AKIAAAAAAAAAAAAAAAA3"
		moved          = "AKIAAAAAAAAAAAAAAAA6"
	)
	cfg, views := config(t, t.TempDir())
	d, _ := open(t, cfg)
	put(t, d, long, nil)
	put(t, d, inactive, func(s *keyState) { s.Inactive = true })
	put(t, d, moved, func(s *keyState) { s.Account = "999999999999" })
	tests := []struct {
		name, id, token string
		kind            auth.Kind
		err             error
	}{
		{"root", d.account.Root, "", auth.Root, nil},
		{"root with a token", d.account.Root, "t", 0, sigv4.ErrBadToken},
		{"user", long, "", auth.User, nil},
		{"inactive", inactive, "", 0, sigv4.ErrUnknownKey},
		{"sealed for another account", moved, "", 0, secret.ErrUnreadable},
		{"unknown", "AKIAAAAAAAAAAAAAAAA7", "", 0, sigv4.ErrUnknownKey},
	}
	for _, tt := range tests {
		for range 2 { // the second time from the cache
			k, err := d.Key(t.Context(), tt.id, tt.token)
			if !errors.Is(err, tt.err) || tt.err == nil && err != nil {
				t.Errorf("%s: %v, want %v", tt.name, err, tt.err)
			}
			if err == nil && (k.Principal.ID != tt.id || k.Principal.Kind != tt.kind || k.Principal.Account != d.account.ID || k.Secret == "") {
				t.Errorf("%s: %+v", tt.name, k.Principal)
			}
		}
	}
	before := views.count()
	for _, id := range []string{"", "AKIA", "AKIA' OR 1=1 --AAAAA", "AKIAaaaaaaaaaaaaaaaa", "AKIAAAAAAAAAAAAAAAA1", strings.Repeat("A", 1000), "BKIAAAAAAAAAAAAAAAA2"} {
		if _, err := d.Key(t.Context(), id, ""); !errors.Is(err, sigv4.ErrUnknownKey) {
			t.Errorf("%q: %v", id, err)
		}
	}
	if n := views.count() - before; n != 0 {
		t.Errorf("ids that cannot be ours asked the store %d times", n)
	}
}

// TestCacheSeesWrites: a key is read once, and again after any key was written.
func TestCacheSeesWrites(t *testing.T) {
	const id = "AKIAAAAAAAAAAAAAAAA2"
	cfg, views := config(t, t.TempDir())
	d, _ := open(t, cfg)
	put(t, d, id, nil)
	get := func() (err error) { _, err = d.Key(t.Context(), id, ""); return err }
	if err := get(); err != nil {
		t.Fatal(err)
	}
	before := views.count()
	for range 100 {
		if err := get(); err != nil {
			t.Fatal(err)
		}
	}
	if n := views.count() - before; n != 0 {
		t.Errorf("a cached key was read %d times", n)
	}
	err := cfg.Store.Update(t.Context(), func(tx store.Tx) error {
		_, err := accessKeys().Update(tx, everywhere(), id, func(r *store.Resource[none, keyState]) error {
			r.State.Inactive = true
			return nil
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := get(); !errors.Is(err, sigv4.ErrUnknownKey) {
		t.Errorf("a key that was made inactive still works: %v", err)
	}
	if _, err := d.Key(t.Context(), d.account.Root, ""); err != nil {
		t.Errorf("the root key: %v", err)
	}
}

// TestSignedRequest: a request signed with the root key by the AWS SDK is the
// account's root principal, allowed in its own account and in no other.
func TestSignedRequest(t *testing.T) {
	cfg, _ := config(t, t.TempDir())
	d, _ := open(t, cfg)
	root, err := d.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), "GET", "http://127.0.0.1:8642/runtimes/", nil)
	err = v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: root.AccessKeyID, SecretAccessKey: root.Secret.Reveal()},
		r, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "bedrock-agentcore", "us-west-2", testTime())
	if err != nil {
		t.Fatal(err)
	}
	claim, err := sigv4.Parse(r)
	if err != nil {
		t.Fatal(err)
	}
	id, err := sigv4.New(sigv4.Config{Keys: d, Now: testTime, SpoolDir: t.TempDir()}).Verify(t.Context(), r, claim, sigv4.Expect{})
	if err != nil {
		t.Fatal(err)
	}
	defer id.Close()
	if want := "arn:aws:iam::" + d.Account().ID + ":root"; id.Principal.ARN != want || id.Principal.Kind != auth.Root {
		t.Errorf("principal %+v, want %s", id.Principal, want)
	}
	authorize := func(account string) error {
		return auth.NewAuthorizer().Authorize(t.Context(), id.Principal, []auth.Requirement{
			{Action: "bedrock-agentcore:GetAgentRuntime", Resource: "arn:aws:bedrock-agentcore:us-west-2:" + account + ":runtime/a"},
		})
	}
	if own, foreign := authorize(d.Account().ID), authorize("099999999999"); own != nil || foreign == nil {
		t.Errorf("own account: %v, another: %v", own, foreign)
	}
}

func TestAccountIDs(t *testing.T) {
	var digits [10]int
	seen := map[string]bool{}
	for range 1000 {
		id, err := NewAccountID(rand.Reader)
		if err != nil || len(id) != 12 || id[0] == '0' || seen[id] {
			t.Fatalf("%q, %v", id, err)
		}
		seen[id] = true
		for _, c := range id[1:] {
			digits[c-'0']++
		}
	}
	for digit, n := range digits {
		if n < 900 || n > 1300 { // 1100 expected, deviation 31
			t.Errorf("digit %d came %d times of 11000", digit, n)
		}
	}
	// 250..255 and a leading 0 are passed over.
	id, err := NewAccountID(bytes.NewReader([]byte{255, 250, 0, 10, 1, 249, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1}))
	if err != nil || id != "192345678901" {
		t.Errorf("%q, %v", id, err)
	}
}

func BenchmarkKey(b *testing.B) {
	cfg, _ := config(b, b.TempDir())
	d, _ := open(b, cfg)
	root := d.Account().Root
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := d.Key(context.Background(), root, ""); err != nil {
				b.Fatal(err)
			}
		}
	})
}
