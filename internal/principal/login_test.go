package principal

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/auth"
)

// TestLogin makes passwords for the registry and logs in with them.
func TestLogin(t *testing.T) {
	cfg, _ := config(t, t.TempDir())
	now := testTime()
	cfg.Now = func() time.Time { return now }
	d, _ := open(t, cfg)
	root, err := d.Key(t.Context(), d.account.Root, "")
	if err != nil {
		t.Fatal(err)
	}
	const role = "/agents/reader"
	session, err := d.BeginRoleSession(t.Context(), RoleUse{Role: "arn:aws:iam::" + d.account.ID + ":role" + role, Name: "one"})
	if err != nil {
		t.Fatal(err)
	}
	assumed := auth.Principal{
		Kind: auth.AssumedRole, ARN: session.ARN(), Account: d.account.ID, ID: "ASIAAAAAAAAAAAAAAAAA", Session: &auth.Session{Guest: true},
	}
	passwords := map[auth.Kind]string{}
	for _, p := range []auth.Principal{root.Principal, assumed} {
		password, expires, err := d.MakeLogin(t.Context(), p, "eu-west-1")
		if err != nil || expires.Sub(now) > LoginLife || expires.Sub(now) < LoginLife-time.Second {
			t.Fatalf("%v until %v, %v", p.Kind, expires, err)
		}
		if strings.ContainsAny(password.Reveal(), ": \n") {
			t.Errorf("the password %q cannot be told from the user before it", password.Reveal())
		}
		got, err := d.Login(t.Context(), password.Reveal())
		if err != nil || got.Principal.ARN != p.ARN || got.Principal.Kind != p.Kind || got.Principal.Account != d.account.ID || got.Region != "eu-west-1" {
			t.Errorf("%+v, %v", got, err)
		}
		passwords[p.Kind] = password.Reveal()
	}
	whole := passwords[auth.Root]
	changed := "A" + whole[1:]
	if changed == whole {
		changed = "B" + whole[1:]
	}
	for _, bad := range []string{"", "x", whole[:len(whole)-1], changed, whole + "A", strings.Repeat("A", 5000), whole + "="} {
		if _, err := d.Login(t.Context(), bad); !errors.Is(err, ErrLogin) {
			t.Errorf("%.20q...: %v", bad, err)
		}
	}
	session.End()
	if _, err := d.Login(t.Context(), passwords[auth.AssumedRole]); !errors.Is(err, ErrLogin) {
		t.Errorf("a session that has ended: %v", err)
	}
	if _, _, err := d.MakeLogin(t.Context(), assumed, "eu-west-1"); !errors.Is(err, ErrEnded) {
		t.Errorf("a password for a session that has ended: %v", err)
	}
	now = now.Add(LoginLife)
	if _, err := d.Login(t.Context(), whole); !errors.Is(err, ErrLogin) {
		t.Errorf("after its time: %v", err)
	}
}

// TestLoginEndsWithItsKey: whoever loses the key loses the password.
func TestLoginEndsWithItsKey(t *testing.T) {
	const id = "AKIAAAAAAAAAAAAAAAA2"
	cfg, _ := config(t, t.TempDir())
	d, _ := open(t, cfg)
	put(t, d, id, func(s *keyState) { s.Inactive = true })
	password, _, err := d.MakeLogin(t.Context(), auth.Principal{Kind: auth.User, ID: id}, "us-east-1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Login(t.Context(), password.Reveal()); !errors.Is(err, ErrLogin) {
		t.Errorf("with an inactive key: %v", err)
	}
}

func FuzzLogin(f *testing.F) {
	cfg, _ := config(f, f.TempDir())
	d, _, err := Open(f.Context(), cfg)
	if err != nil {
		f.Fatal(err)
	}
	password, _, err := d.MakeLogin(f.Context(), auth.Principal{Kind: auth.User, ID: d.account.Root}, "us-east-1")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(password.Reveal())
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := d.Login(t.Context(), text); err == nil && text != password.Reveal() {
			t.Errorf("%q is a password", text)
		} else if err != nil && !errors.Is(err, ErrLogin) {
			t.Errorf("%q: %v", text, err)
		}
	})
}

func BenchmarkLogin(b *testing.B) {
	cfg, _ := config(b, b.TempDir())
	d, _ := open(b, cfg)
	password, _, err := d.MakeLogin(b.Context(), auth.Principal{Kind: auth.User, ID: d.account.Root}, "us-east-1")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Login(b.Context(), password.Reveal()); err != nil {
			b.Fatal(err)
		}
	}
}
