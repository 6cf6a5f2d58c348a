package issuer

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/secret"
)

func TestAuthenticate(t *testing.T) {
	k := newKit(t)
	try := func(name, password string) error {
		_, err := k.Authenticate(t.Context(), k.pool, name, secret.NewString(password))
		return err
	}
	k.must(try("ada", testPassword))
	k.must(try(k.user.Sub, testPassword))
	wrong, absent := try("ada", "Guess-1234"), try("eve", "Guess-1234")
	if wrong == nil || absent == nil || fault.From(wrong).Message != fault.From(absent).Message {
		t.Errorf("a wrong password %v and nobody %v are told apart", wrong, absent)
	}
	if _, ok := Absent(absent); !ok {
		t.Error("a client that tells users apart cannot")
	}
	if _, ok := Absent(wrong); ok {
		t.Error("a wrong password is taken for nobody")
	}
	k.must(k.Enable(t.Context(), k.pool, "ada", false))
	k.refused("a disabled user with a wrong password", try("ada", "Guess-1234"), CodeNotAuthorized)
	if err := try("ada", testPassword); fault.From(err).Message != "User is disabled." {
		t.Errorf("a disabled user: %v", err)
	}
	_, err := k.CreateUser(t.Context(), k.pool, NewUser{Name: "new", Password: secret.NewString("Temp-0rary"), SignedUp: true})
	k.must(err)
	k.refused("an unconfirmed user", try("new", "Temp-0rary"), CodeUserNotConfirmed)
	_, err = k.CreateUser(t.Context(), k.pool, NewUser{Name: "late", Password: secret.NewString("Temp-0rary")})
	k.must(err)
	k.must(try("late", "Temp-0rary"))
	k.ahead = 8 * 24 * time.Hour
	k.refused("a temporary password a week later", try("late", "Temp-0rary"), CodeNotAuthorized)
	_, err = k.CreateUser(t.Context(), k.pool, NewUser{Name: "ADA"})
	k.refused("the same name in other letters", err, CodeUsernameExists)
}

// TestPause: after five failures nobody tries again at once, whether the user is
// there or not, and not even with the right password.
func TestPause(t *testing.T) {
	var a attempts
	now := time.Now()
	for i := range freeFailures {
		if !a.try("x", now) {
			t.Fatalf("try %d is refused", i)
		}
	}
	if a.try("x", now) || !a.try("y", now) {
		t.Error("the sixth try is let in, or somebody else's is not")
	}
	pause := time.Second
	for range 20 {
		now = now.Add(pause)
		if !a.try("x", now) {
			t.Fatalf("after %v the next try is refused", pause)
		}
		pause = min(2*pause, longestPause)
		if a.try("x", now.Add(pause-time.Millisecond)) {
			t.Fatalf("before %v are over the next try is let in", pause)
		}
	}
	a.forgive("x")
	if !a.try("x", now) {
		t.Error("a user who has signed in waits")
	}
	for i := range 3 * maxCounted {
		a.try(string(rune(i)), now)
	}
	if len(a.failed) > maxCounted {
		t.Errorf("%d users are counted", len(a.failed))
	}
}

// TestPauseStays: neither other names nor a crowd at the door shorten a pause, nor
// does calling a user by another name.
func TestPauseStays(t *testing.T) {
	var a attempts
	now := time.Now()
	for range freeFailures {
		a.try("x", now)
	}
	for i := range 3 * maxCounted {
		a.try(string(rune(i+1000)), now)
	}
	if a.try("x", now) {
		t.Error("the names of others have ended a pause")
	}
	a = attempts{}
	for i := range 3 * maxCounted { // each is sent away before a password is looked at
		key := string(rune(i + 1000))
		a.try(key, now)
		a.uncount(key)
	}
	if len(a.failed) != 0 {
		t.Errorf("%d names are counted that nobody tried", len(a.failed))
	}
	for range freeFailures {
		a.try("x", now)
	}
	a.uncount("x")
	if !a.try("x", now) {
		t.Error("a try that did not count makes the next wait")
	}

	k := newKit(t)
	for _, name := range []string{"ada", k.user.Sub, "ADA", k.user.Sub, "Ada"} {
		_, err := k.Authenticate(t.Context(), k.pool, name, secret.NewString("Guess-1234"))
		k.refused("a guess", err, CodeNotAuthorized)
	}
	for _, name := range []string{"ada", k.user.Sub} {
		if _, err := k.Authenticate(t.Context(), k.pool, name, secret.NewString(testPassword)); fault.From(err).Message != "Password attempts exceeded" {
			t.Errorf("after five guesses %s is let in: %v", name, err)
		}
	}
	k.must(k.SetPassword(t.Context(), k.pool, "ada", secret.NewString(testPassword), true))
	_, err := k.Authenticate(t.Context(), k.pool, k.user.Sub, secret.NewString(testPassword))
	k.must(err)
}

// TestCrowd: strangers who sign in or up by the hundreds are sent away.
func TestCrowd(t *testing.T) {
	k := newKit(t)
	for range maxHashing {
		k.hashing <- struct{}{}
	}
	k.waiting.Store(maxWaiting)
	for range freeFailures - 1 { // none of them counts
		_, err := k.Authenticate(t.Context(), k.pool, "ada", secret.NewString(testPassword))
		k.refused("one more than may wait", err, CodeTooManyRequests)
	}
	k.waiting.Store(0)
	for range maxHashing {
		<-k.hashing
	}
	for range freeFailures - 1 {
		_, err := k.Authenticate(t.Context(), k.pool, "ada", secret.NewString("Guess-1234"))
		k.refused("a guess", err, CodeNotAuthorized)
	}
	_, err := k.Authenticate(t.Context(), k.pool, "ada", secret.NewString(testPassword))
	k.must(err)
	k.signUps = rate.NewLimiter(0, 0)
	_, err = k.CreateUser(t.Context(), k.pool, NewUser{Name: "x", Password: secret.NewString(testPassword), SignedUp: true})
	k.refused("one more who signs up", err, CodeTooManyRequests)
	_, err = k.CreateUser(t.Context(), k.pool, NewUser{Name: "x", Password: secret.NewString(testPassword)})
	k.must(err)
}

func TestPasswordPolicy(t *testing.T) {
	all := PasswordPolicy{Upper: true, Lower: true, Number: true, Symbol: true}
	for password, want := range map[string]bool{
		"Analytical-1": true, "Sh0rt-p": false, "analytical-1": false, "ANALYTICAL-1": false, "Analytical-": false, "Analytical1": false,
		" Analytical-1": false, "Analytical-1 ": false, "Anal tical1": true,
	} {
		if err := all.Accept(secret.NewString(password)); (err == nil) != want {
			t.Errorf("%q: %v", password, err)
		}
	}
	const want = "Password did not conform with policy: Password not long enough; Password must have uppercase characters; Password must have numeric characters; Password must have symbol characters"
	if got := fault.From(all.Accept(secret.NewString("abc"))).Message; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if err := (PasswordPolicy{}).Accept(secret.NewString("aaaaaaaa")); err != nil {
		t.Error(err)
	}
	made, err := (PasswordPolicy{MinLength: 40, Upper: true, Lower: true, Number: true, Symbol: true}).temporary(newKit(t).cfg.Rand)
	if err != nil || len(made.Reveal()) < 40 {
		t.Errorf("a temporary password: %v", err)
	}
}

// TestChallenge: the session of a temporary password is good once, for its client,
// its user and a while.
func TestChallenge(t *testing.T) {
	k := newKit(t)
	_, err := k.CreateUser(t.Context(), k.pool, NewUser{Name: "bob", Password: secret.NewString("Temp-0rary")})
	k.must(err)
	u, err := k.Authenticate(t.Context(), k.pool, "bob", secret.NewString("Temp-0rary"))
	k.must(err)
	session, err := k.Challenge(t.Context(), k.pool, k.client, u)
	k.must(err)
	answer := func(c Client, s secret.String, name string) error {
		_, err := k.AnswerNewPassword(t.Context(), k.pool, c, s, name, secret.NewString("Bob-12345"), nil)
		return err
	}
	other, err := k.CreateClient(t.Context(), testScope, k.pool.ID, ClientSettings{Name: "other"}, false, secret.String{})
	k.must(err)
	k.refused("another client", answer(other, session, "bob"), CodeNotAuthorized)
	k.refused("another user", answer(k.client, session, "ada"), CodeNotAuthorized)
	k.refused("another session", answer(k.client, secret.NewString("AAAA"), "bob"), CodeNotAuthorized)
	k.ahead = defaultSession
	k.refused("too late", answer(k.client, session, "bob"), CodeNotAuthorized)
	k.ahead = 0
	k.must(answer(k.client, session, "bob"))
	k.refused("again", answer(k.client, session, "bob"), CodeNotAuthorized)
}

// TestSignInByAddress: users of a pool may sign in by an address, which is unique.
func TestSignInByAddress(t *testing.T) {
	k := newKit(t)
	in, err := k.CreatePool(t.Context(), testScope, Settings{Name: "mail", SignInBy: []string{"email"}})
	k.must(err)
	_, err = k.CreateUser(t.Context(), in, NewUser{Name: "ada"})
	k.refused("a name", err, CodeInvalidParameter)
	u, err := k.CreateUser(t.Context(), in, NewUser{Name: "Ada@example.com", Password: secret.NewString("password")})
	k.must(err)
	if u.Username != u.Sub || u.Attributes["email"] != "Ada@example.com" {
		t.Errorf("%+v", u)
	}
	_, err = k.CreateUser(t.Context(), in, NewUser{Name: "ada@EXAMPLE.com"})
	k.refused("the same address", err, CodeUsernameExists)
	k.must(k.SetAttributes(t.Context(), in, u.Sub, map[string]string{"email": "lovelace@example.com"}, nil))
	if _, err := k.User(t.Context(), in, "lovelace@example.com"); err != nil {
		t.Error(err)
	}
	_, err = k.User(t.Context(), in, "ada@example.com")
	k.refused("the old address", err, CodeUserNotFound)
}

// TestAtRest looks for secrets in the files of the store.
func TestAtRest(t *testing.T) {
	k := newKit(t)
	confidential, err := k.CreateClient(t.Context(), testScope, k.pool.ID, ClientSettings{Name: "x"}, true, secret.String{})
	k.must(err)
	key, err := k.Secret(t.Context(), confidential)
	k.must(err)
	tokens := k.signIn(k.client, "openid")
	code, err := k.NewCode(t.Context(), k.pool, Code{Client: k.client.ID, Sub: k.user.Sub, At: time.Now()})
	k.must(err)
	session, _, err := k.NewSession(t.Context(), k.pool, k.user)
	k.must(err)
	files, err := filepath.Glob(k.path + "*")
	k.must(err)
	for _, file := range files {
		body, err := os.ReadFile(file)
		k.must(err)
		for what, s := range map[string]secret.String{
			"password": secret.NewString(testPassword), "client secret": key, "refresh token": tokens.Refresh, "access token": tokens.Access,
			"code": code, "session": session,
		} {
			if bytes.Contains(body, s.Bytes().Reveal()) {
				t.Errorf("%s has the %s", filepath.Base(file), what)
			}
		}
		if bytes.Contains(body, []byte("PRIVATE KEY")) {
			t.Errorf("%s has a private key", filepath.Base(file))
		}
	}
}

// TestDeletePool deletes a pool, and goes on where a killed server stopped.
func TestDeletePool(t *testing.T) {
	k := newKit(t)
	tokens := k.signIn(k.client, ScopeUser)
	k.must(k.CreateDomain(t.Context(), testScope, k.pool.ID, "people", nil))
	k.refused("a pool with a domain", k.DeletePool(t.Context(), testScope, k.pool.ID), CodeInvalidParameter)
	k.must(k.DeleteDomain(t.Context(), testScope, k.pool.ID, "people"))
	other := testScope
	other.Account = "999988887777"
	k.refused("another account's", k.DeletePool(t.Context(), other, k.pool.ID), CodeNotFound)
	k.must(k.DeletePool(t.Context(), testScope, k.pool.ID))
	_, err := k.Client(t.Context(), k.client.ID)
	k.refused("its client", err, CodeNotFound)
	_, err = k.Keys(t.Context(), k.pool.ID)
	k.refused("its keys", err, CodeNotFound)
	_, err = k.Verify(t.Context(), tokens.Access, ScopeUser)
	k.refused("its token", err, CodeNotAuthorized)
	k.must(k.Sweep(t.Context()))
	if left := k.count(); left != 0 {
		t.Errorf("%d rows and documents are left", left)
	}
}
