package oidc

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestAudit: who signs in is on record, who does not as well, and no token is handed
// out without.
func TestAudit(t *testing.T) {
	k := newKit(t)
	j := jar{}
	k.ask(j, "POST", "/login", url.Values{"request": {k.open(j, k.asked())}, "username": {"ada"}, "password": {"Guess-1234"}}, nil)
	code := k.signIn(j, k.asked()).Query().Get("code")
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirect}, "client_id": {k.public.ID}, "code_verifier": {verifier}}
	k.token(form, nil)
	k.token(form, nil)
	k.ask(j, "GET", "/logout", nil, nil)
	k.ask(j, "GET", "/.well-known/jwks.json", nil, nil)
	u, err := k.pools.User(t.Context(), k.pool, "ada")
	if err != nil {
		t.Fatal(err)
	}
	var got, about []string
	for _, r := range k.audit {
		got = append(got, fmt.Sprint(r.Event, " ", r.Status, " ", r.ErrorCode))
		if r.Scope != k.pool.Scope || r.Source != "cognito-idp" || r.Resources[0] != k.pool.ARN() || r.SourceIP == "" {
			t.Errorf("%+v", r)
		}
		about = append(about, strings.ReplaceAll(strings.ReplaceAll(strings.Join(r.Resources[1:], " "), k.pool.ARN()+"/", ""), u.Sub, "SUB")+" "+r.ErrorMessage)
		for _, hidden := range []string{password, "Guess-1234", code} {
			if strings.Contains(fmt.Sprintf("%+v", r), hidden) {
				t.Errorf("%+v has %s", r, hidden)
			}
		}
	}
	want := "Login_POST 401 HTTP401|Login_POST 303 |Token_POST 200 |Token_POST 400 HTTP400|Logout_GET 200 "
	if all := strings.Join(got, "|"); all != want {
		t.Errorf("%s, want %s", all, want)
	}
	client := "client/" + k.public.ID
	wantAbout := client + " user/SUB Incorrect username or password.|" + client + " user/SUB |" + client + " user/SUB |" + client + " | "
	if all := strings.Join(about, "|"); all != wantAbout {
		t.Errorf("about %s, want %s", all, wantAbout)
	}
	k.full = errors.New("full")
	machine := url.Values{"grant_type": {"client_credentials"}, "client_id": {k.worker.ID}, "client_secret": {k.workerSecret}}
	if status, out := k.token(machine, nil); status != http.StatusInternalServerError || out["access_token"] != nil {
		t.Errorf("a token without a record: %d %v", status, out)
	}
}
