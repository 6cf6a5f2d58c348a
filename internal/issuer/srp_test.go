package issuer

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/auth/srp"
	"github.com/outcrop/outcrop/internal/auth/srp/srptest"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
)

const testTimestamp = "Sun Nov 2 03:04:05 UTC 2025"

// prove answers a challenge with a password.
func (k *kit) prove(c srptest.Client, in SRPChallenge, password string) SRPAnswer {
	k.Helper()
	block, err := base64.StdEncoding.DecodeString(in.Block.Reveal())
	k.must(err)
	by := srp.Statement{Pool: k.pool.tail(), User: in.User, Block: block, Timestamp: testTimestamp}
	return SRPAnswer{
		Name: in.User, Block: in.Block, Timestamp: by.Timestamp,
		Signature: base64.StdEncoding.EncodeToString(c.Sign(in.Salt, in.Public, by, password)),
	}
}

// bySRP signs a user in.
func (k *kit) bySRP(name, password string) (User, error) {
	k.Helper()
	c := srptest.New(k)
	in, err := k.StartSRP(k.Context(), k.pool, k.client, name, c.Hex())
	if err != nil {
		return User{}, err
	}
	return k.AnswerSRP(k.Context(), k.pool, k.client, k.prove(c, in, password))
}

// TestSRP: a password signs in without being sent, however it was set; a wrong one and
// the name of nobody are one refusal, of which only the reason differs.
func TestSRP(t *testing.T) {
	k := newKit(t)
	ctx := t.Context()
	for _, name := range []string{"ada", "Ada", "ADA"} {
		if u, err := k.bySRP(name, testPassword); err != nil || u.Sub != k.user.Sub {
			t.Errorf("%s: %v, %v", name, u.Sub, err)
		}
	}
	_, err := k.bySRP("ada", "guess")
	k.refused("a wrong password", err, CodeNotAuthorized)
	_, err = k.bySRP("nobody", testPassword)
	k.refused("nobody", err, CodeNotAuthorized)
	_, err = k.bySRP(k.user.Sub, testPassword)
	k.refused("a sub where users have names", err, CodeNotAuthorized)
	k.must(k.ChangePassword(ctx, k.pool, k.user, secret.NewString(testPassword), secret.NewString("Difference-2")))
	_, err = k.bySRP("ada", testPassword)
	k.refused("the old password", err, CodeNotAuthorized)
	_, err = k.bySRP("ada", "Difference-2")
	k.must(err)

	_, err = k.CreateUser(ctx, k.pool, NewUser{Name: "bob", Password: secret.NewString("Temp-0rary")})
	k.must(err)
	bob, err := k.bySRP("bob", "Temp-0rary")
	k.must(err)
	session, err := k.Challenge(ctx, k.pool, k.client, bob)
	k.must(err)
	_, err = k.AnswerNewPassword(ctx, k.pool, k.client, session, "bob", secret.NewString("Brilliant-1"), nil)
	k.must(err)
	_, err = k.bySRP("bob", "Brilliant-1")
	k.must(err)
	k.must(k.Enable(ctx, k.pool, "bob", false))
	_, err = k.bySRP("bob", "Brilliant-1")
	if f := fault.From(err); f.Message != "User is disabled." {
		t.Errorf("a disabled user: %v", err)
	}
	_, err = k.CreateUser(ctx, k.pool, NewUser{Name: "eve", Password: secret.NewString("Brilliant-1"), SignedUp: true})
	k.must(err)
	_, err = k.bySRP("eve", "Brilliant-1")
	k.refused("who is not confirmed", err, CodeUserNotConfirmed)
}

// TestSRPByAddress: users who sign in by an address have the sub in the challenge.
func TestSRPByAddress(t *testing.T) {
	k := newKit(t)
	var err error
	k.pool, err = k.CreatePool(t.Context(), testScope, Settings{Name: "mail", SignInBy: []string{"email"}})
	k.must(err)
	k.client, err = k.CreateClient(t.Context(), testScope, k.pool.ID, ClientSettings{Name: "app"}, false, secret.String{})
	k.must(err)
	u, err := k.CreateUser(t.Context(), k.pool, NewUser{Name: "ada@example.com", Password: secret.NewString(testPassword)})
	k.must(err)
	for _, name := range []string{"ada@example.com", "ADA@example.com", u.Sub, strings.ToUpper(u.Sub)} {
		if got, err := k.bySRP(name, testPassword); err != nil || got.Sub != u.Sub {
			t.Errorf("%s: %v, %v", name, got.Sub, err)
		}
	}
	in, err := k.StartSRP(t.Context(), k.pool, k.client, "eve@example.com", "2")
	k.must(err)
	if !isSub(in.User) || in.User != strings.ToLower(in.User) {
		t.Errorf("nobody's name is %s", in.User)
	}
}

// TestSRPTellsNobody: challenges of who exists and who does not look alike, and are
// the same each time, but for what is fresh in them.
func TestSRPTellsNobody(t *testing.T) {
	k := newKit(t)
	start := func(name string) SRPChallenge {
		t.Helper()
		in, err := k.StartSRP(t.Context(), k.pool, k.client, name, "2")
		k.must(err)
		return in
	}
	for _, names := range [][2]string{{"ada", "Ada"}, {"nobody", "NOBODY"}} {
		a, b := start(names[0]), start(names[1])
		if a.User != names[0] || a.User != b.User || a.Salt != b.Salt || a.Public == b.Public || a.Block.Equal(b.Block) {
			t.Errorf("%v and %v", a, b)
		}
	}
	ada, nobody := start("ada"), start("eve")
	if len(ada.Salt) != len(nobody.Salt) || ada.Salt == nobody.Salt || start("bob").Salt == nobody.Salt {
		t.Errorf("%v and %v", ada, nobody)
	}
	c := k.client
	c.TellsUsers = true
	_, err := k.StartSRP(t.Context(), k.pool, c, "nobody", "2")
	k.refused("a client that tells", err, CodeUserNotFound)
	_, err = k.StartSRP(t.Context(), k.pool, c, "ada", "2")
	k.must(err)
}

// TestSRPOnce: a challenge is one client's, one pool's and one user's, signs in once,
// and ends with its time and with another password.
func TestSRPOnce(t *testing.T) {
	k := newKit(t)
	ctx := t.Context()
	c := srptest.New(t)
	start := func() SRPAnswer {
		t.Helper()
		in, err := k.StartSRP(ctx, k.pool, k.client, "ada", c.Hex())
		k.must(err)
		return k.prove(c, in, testPassword)
	}
	answer := start()
	other, err := k.CreateClient(ctx, testScope, k.pool.ID, ClientSettings{Name: "other"}, false, secret.String{})
	k.must(err)
	_, err = k.AnswerSRP(ctx, k.pool, other, answer)
	k.refused("another client", err, CodeNotAuthorized)
	_, err = k.CreateUser(ctx, k.pool, NewUser{Name: "eve", Password: secret.NewString(testPassword)})
	k.must(err)
	anothers := answer
	anothers.Name = "eve"
	_, err = k.AnswerSRP(ctx, k.pool, k.client, anothers)
	k.refused("another user", err, CodeNotAuthorized)
	elsewhere, err := k.CreatePool(ctx, testScope, Settings{Name: "elsewhere"})
	k.must(err)
	_, err = k.AnswerSRP(ctx, elsewhere, k.client, answer)
	k.refused("another pool", err, CodeNotAuthorized)
	_, err = k.AnswerSRP(ctx, k.pool, k.client, answer)
	k.must(err)
	_, err = k.AnswerSRP(ctx, k.pool, k.client, answer)
	k.refused("a second time", err, CodeNotAuthorized)

	late := start()
	k.ahead += 3*time.Minute + time.Second
	_, err = k.AnswerSRP(ctx, k.pool, k.client, late)
	k.refused("after three minutes", err, CodeNotAuthorized)
	k.must(k.Sweep(ctx))
	changed := start()
	k.must(k.SetPassword(ctx, k.pool, "ada", secret.NewString(testPassword), true))
	_, err = k.AnswerSRP(ctx, k.pool, k.client, changed)
	k.refused("after the password was set", err, CodeNotAuthorized)
	gone := start()
	k.must(k.DeleteUser(ctx, k.pool, "ada"))
	_, err = k.AnswerSRP(ctx, k.pool, k.client, gone)
	k.refused("after the user is gone", err, CodeNotAuthorized)
}

// TestSRPAttempts: failures pause a user, in both flows together, and those who are
// not there as well.
func TestSRPAttempts(t *testing.T) {
	k := newKit(t)
	for _, name := range []string{"ada", "nobody"} {
		for i := range freeFailures {
			var err error
			if i%2 == 0 {
				_, err = k.bySRP(name, "guess")
			} else {
				_, err = k.Authenticate(t.Context(), k.pool, name, secret.NewString("guess"))
			}
			if f := fault.From(err); f.Message != "Incorrect username or password." {
				t.Fatalf("%s, %d: %v", name, i, err)
			}
		}
		_, err := k.StartSRP(t.Context(), k.pool, k.client, name, "2")
		if f := fault.From(err); f.Message != "Password attempts exceeded" {
			t.Errorf("%s: %v", name, err)
		}
	}
	k.ahead += 2 * time.Second
	_, err := k.bySRP("ada", testPassword)
	k.must(err)
	_, err = k.StartSRP(t.Context(), k.pool, k.client, "ada", "2")
	k.must(err)
	// Challenges that were had before do not get around the pause.
	c := srptest.New(t)
	var had []SRPAnswer
	for range freeFailures + 1 {
		in, err := k.StartSRP(t.Context(), k.pool, k.client, "ada", c.Hex())
		k.must(err)
		had = append(had, k.prove(c, in, "guess"))
	}
	for i, a := range had {
		_, err := k.AnswerSRP(t.Context(), k.pool, k.client, a)
		want := "Incorrect username or password."
		if i == freeFailures {
			want = "Password attempts exceeded"
		}
		if f := fault.From(err); f.Message != want {
			t.Errorf("answer %d: %v", i, err)
		}
	}
}

// TestSRPOlderPasswords: who was there before there were verifiers is refused as with
// a wrong password, and has one once the password is known.
func TestSRPOlderPasswords(t *testing.T) {
	k := newKit(t)
	older := func() {
		t.Helper()
		_, err := k.change(t.Context(), k.pool, "ada", func(r *store.Resource[userSpec, userState]) error {
			r.State.Verifier = nil
			return nil
		})
		k.must(err)
	}
	older()
	_, err := k.bySRP("ada", testPassword)
	if f := fault.From(err); f.Message != "Incorrect username or password." || !strings.Contains(f.Unwrap().Error(), "before") {
		t.Errorf("%v because of %v", err, f.Unwrap())
	}
	u, err := k.Authenticate(t.Context(), k.pool, "ada", secret.NewString(testPassword))
	k.must(err)
	stored, err := k.User(t.Context(), k.pool, "ada")
	k.must(err)
	if u.revision != stored.revision {
		t.Errorf("revision %d is not %d", u.revision, stored.revision)
	}
	_, err = k.bySRP("ada", testPassword)
	k.must(err)
	older()
	k.must(k.SetPassword(t.Context(), k.pool, "ada", secret.NewString("Brilliant-1"), true))
	_, err = k.bySRP("ada", "Brilliant-1")
	k.must(err)
}

// TestSRPSealed: neither the verifier nor what a challenge holds is in the clear.
func TestSRPSealed(t *testing.T) {
	k := newKit(t)
	v, _, err := k.verifierOf(t.Context(), k.pool, k.user, "ada")
	k.must(err)
	in, err := k.StartSRP(t.Context(), k.pool, k.client, "ada", "2")
	k.must(err)
	block, err := base64.StdEncoding.DecodeString(in.Block.Reveal())
	k.must(err)
	for _, text := range []string{string(block), string(k.user.state.Verifier)} {
		if strings.Contains(text, string(v.V[:16])) || strings.Contains(text, `"salt"`) || strings.Contains(text, "ada") {
			t.Errorf("%q is in the clear", text)
		}
	}
}

// FuzzSRPAnswer reads answers of strangers: none signs in, and all are refusals.
func FuzzSRPAnswer(f *testing.F) {
	k := newKit(f)
	in, err := k.StartSRP(f.Context(), k.pool, k.client, "ada", "2")
	k.must(err)
	f.Add("ada", in.Block.Reveal(), "AAAA", testTimestamp)
	f.Add("ada", in.Block.Reveal()+"=", "", "")
	f.Add("\x00", "????", strings.Repeat("A", 44), "Tue Sep 05 00:09:40 GMT 2018")
	f.Fuzz(func(t *testing.T, name, block, signature, timestamp string) {
		_, err := k.AnswerSRP(t.Context(), k.pool, k.client, SRPAnswer{Name: name, Block: secret.NewString(block), Signature: signature, Timestamp: timestamp})
		if !fault.Is(err, CodeNotAuthorized) && !fault.Is(err, CodeInvalidParameter) {
			t.Fatal(err)
		}
	})
}
