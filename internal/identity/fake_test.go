package identity_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/auth/jwt"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/secret/secrettest"
	"github.com/outcrop/outcrop/internal/store"
)

// fakeSecrets are secrets in memory, by ARN, and the keys of some.
type fakeSecrets struct {
	mu     sync.Mutex
	values map[string]string
	keys   map[string]string
	made   int
}

func secretPrefix(scope store.Scope) string {
	return "arn:aws:secretsmanager:" + scope.Region + ":" + scope.Account + ":secret:"
}

func (f *fakeSecrets) set(arn, value string) identity.WriteSecret {
	return func(store.Tx) (string, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.values[arn] = value
		return arn, nil
	}
}

func (f *fakeSecrets) Make(_ context.Context, scope store.Scope, name string, value secret.String) (identity.WriteSecret, error) {
	f.made++
	return f.set(fmt.Sprintf("%s%s-%06d", secretPrefix(scope), name, f.made), value.Reveal()), nil
}

func (f *fakeSecrets) Rotate(_ context.Context, _ store.Scope, arn string, value secret.String) (identity.WriteSecret, error) {
	return f.set(arn, value.Reveal()), nil
}

func (f *fakeSecrets) Drop(_ store.Tx, _ store.Scope, arn string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.values, arn)
	return nil
}

func (f *fakeSecrets) Find(_ context.Context, scope store.Scope, id string) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, arn := range []string{id, secretPrefix(scope) + id} {
		if _, ok := f.values[arn]; ok {
			return arn, nil
		}
	}
	for arn := range f.values { // without the letters at the end
		if strings.HasPrefix(arn, id+"-") && len(arn) == len(id)+7 {
			return arn, nil
		}
	}
	return "", store.ErrNotFound
}

func (f *fakeSecrets) Key(_ context.Context, _ store.Scope, arn string) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.keys[arn], nil
}

func (f *fakeSecrets) Member(_ context.Context, _ store.Scope, arn, member string) (secret.String, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var object map[string]string
	if json.Unmarshal([]byte(f.values[arn]), &object) != nil || object[member] == "" {
		return secret.String{}, fault.Validation("no member '%s' of %s", member, arn)
	}
	return secret.NewString(object[member]), nil
}

// fakeKeys are keys of which each is a box and a signer; those in gone are no more.
type fakeKeys struct {
	box  *secret.Box
	sign *ecdsa.PrivateKey
	gone map[string]bool
}

func newKeys(t *testing.T) *fakeKeys {
	t.Helper()
	box := secrettest.Box(t)
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &fakeKeys{box, private, map[string]bool{}}
}

func (f *fakeKeys) Box(_ context.Context, _ store.Scope, arn string) (*secret.Box, string, error) {
	if f.gone[arn] {
		return nil, "", fault.New("NotFoundException", 400, "Key '%s' does not exist", arn)
	}
	return f.box, arn, nil
}

func (f *fakeKeys) Gone(_ context.Context, _ store.Scope, arn string) (bool, error) {
	return f.gone[arn], nil
}

func (f *fakeKeys) CheckSigner(_ context.Context, _ store.Scope, _, algorithm string) error {
	if algorithm != "ES256" {
		return fault.Validation("Algorithm %s is incompatible with key spec ECC_NIST_P256.", algorithm)
	}
	return nil
}

func (f *fakeKeys) Sign(_ context.Context, _ store.Scope, _, _ string, input []byte) ([]byte, error) {
	sum := sha256.Sum256(input)
	r, s, err := ecdsa.Sign(rand.Reader, f.sign, sum[:])
	out := make([]byte, 64)
	r.FillBytes(out[:32])
	s.FillBytes(out[32:])
	return out, err
}

// vendorServer is a scripted authorization server. Its token endpoint answers what a
// test says, and keeps what it was asked.
type vendorServer struct {
	*httptest.Server
	mu     sync.Mutex
	asked  []url.Values
	basics []string
	answer func(url.Values) (int, string)
	// revoke answers the revocation endpoint with a status.
	revoke func(r *http.Request) int
	// more is added to the discovery document.
	more map[string]any
}

func newVendor(t *testing.T) *vendorServer {
	t.Helper()
	v := &vendorServer{more: map[string]any{}}
	n := 0
	v.answer = func(url.Values) (int, string) {
		n++
		return 200, fmt.Sprintf(`{"access_token":"at-%d","token_type":"Bearer","expires_in":3600,"refresh_token":"rt-%d"}`, n, n)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		doc := map[string]any{"issuer": v.URL, "authorization_endpoint": v.URL + "/authorize?tenant=1", "token_endpoint": v.URL + "/token"}
		for name, value := range v.more {
			doc[name] = value
		}
		_ = json.NewEncoder(w).Encode(doc)
	})
	mux.HandleFunc("POST /revoke", func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		w.WriteHeader(v.revoke(r))
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		v.mu.Lock()
		defer v.mu.Unlock()
		id, password, _ := r.BasicAuth()
		v.asked, v.basics = append(v.asked, r.PostForm), append(v.basics, id+":"+password)
		status, body := v.answer(r.PostForm)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	})
	v.Server = httptest.NewServer(mux)
	t.Cleanup(v.Close)
	return v
}

func (v *vendorServer) discovery() string { return v.URL + "/.well-known/openid-configuration" }

// last is the form of the latest request to the token endpoint.
func (v *vendorServer) last(t *testing.T) url.Values {
	t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.asked) == 0 {
		t.Fatal("the token endpoint was not asked")
	}
	return v.asked[len(v.asked)-1]
}

func (v *vendorServer) count() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.asked)
}

// wantForm compares the members of a form that a test names; "-" is one that must not
// be there.
func wantForm(t *testing.T, form url.Values, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if value == "-" {
			if form.Has(name) {
				t.Errorf("the form has %s: %q", name, form[name])
			}
		} else if got := strings.Join(form[name], ","); got != value {
			t.Errorf("the form's %s is %q, want %q", name, got, value)
		}
	}
	for name := range form {
		if _, ok := want[name]; !ok && slices.Contains([]string{"client_secret", "client_id", "resource", "audience"}, name) {
			t.Errorf("the form has %s: %q", name, form[name])
		}
	}
}

func ann() *jwt.Token {
	return &jwt.Token{Issuer: "https://issuer", Subject: "ann", Expires: time.Now().Add(time.Hour)}
}

// said is the text of a token that says what t does, with no signature to speak of.
func said(t *jwt.Token) string {
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	return part(`{"alg":"RS256"}`) + "." + part(fmt.Sprintf(`{"iss":%q,"sub":%q,"exp":4102444800}`, t.Issuer, t.Subject)) + ".AAAA"
}

func bob() *jwt.Token {
	return &jwt.Token{Issuer: "https://issuer", Subject: "bob", Expires: time.Now().Add(time.Hour)}
}
