package app

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/outcrop/outcrop/internal/principal"
)

// iam makes a signed call of an operation of IAM with these parameters, by turns name
// and value, and returns the code and the text of its refusal.
func (v *vault) iam(c principal.Credentials, action string, parameters ...string) (code, text string) {
	v.t.Helper()
	form := url.Values{"Action": {action}, "Version": {"2010-05-08"}}
	for i := 0; i < len(parameters); i += 2 {
		form.Set(parameters[i], parameters[i+1])
	}
	body := form.Encode()
	r, err := http.NewRequestWithContext(v.t.Context(), http.MethodPost, v.url+"/", strings.NewReader(body))
	v.must(err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	sum := sha256.Sum256([]byte(body))
	v.must(v4.NewSigner().SignHTTP(v.t.Context(), aws.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.Secret.Reveal()}, r, hex.EncodeToString(sum[:]), "iam", vaultRegion, time.Now()))
	resp, err := http.DefaultClient.Do(r)
	v.must(err)
	defer resp.Body.Close()
	var out struct {
		Code    string `xml:"Error>Code"`
		Message string `xml:"Error>Message"`
	}
	v.must(xml.NewDecoder(resp.Body).Decode(&out))
	return out.Code, out.Message
}

// TestRenames: who gives a user or a group another name or path may do so with the ARN
// that it has and with the one that it will have.
func TestRenames(t *testing.T) {
	v := newVault(t)
	ctx := t.Context()
	for _, name := range []string{"joe", "eve"} {
		_, err := v.directory.CreateUser(ctx, principal.NewUser{Name: name, Path: "/staff/"})
		v.must(err)
		_, err = v.directory.CreateGroup(ctx, name, "/staff/")
		v.must(err)
	}
	for _, kind := range []string{"User", "Group"} {
		low := strings.ToLower(kind)
		arn := func(path string) string { return "arn:aws:iam::" + v.account + ":" + low + path }
		ann := v.user("of"+kind, grant("iam:Update"+kind, arn("/staff/*"), ""))
		for _, tt := range []struct{ name, path, asked string }{
			{"", "/admins/", "/admins/joe"},
			{"", "/", "/joe"},
			{"max", "/admins/", "/admins/max"},
			{"max", "/", "/max"},
			{"", "/staff/night/", ""},
			{"max", "", ""}, // within /staff/night/
			{"joe", "/staff/", ""},
		} {
			parameters := []string{kind + "Name", "joe"}
			if _, err := v.directory.User(ctx, "max"); err == nil && kind == "User" {
				parameters[1] = "max"
			}
			if _, err := v.directory.Group(ctx, "max"); err == nil && kind == "Group" {
				parameters[1] = "max"
			}
			if tt.name != "" {
				parameters = append(parameters, "New"+kind+"Name", tt.name)
			}
			if tt.path != "" {
				parameters = append(parameters, "NewPath", tt.path)
			}
			code, text := v.iam(ann, "Update"+kind, parameters...)
			if tt.asked == "" && code != "" {
				t.Errorf("Update%s %q: %s %s", kind, parameters, code, text)
			}
			if tt.asked != "" && (code != "AccessDenied" || !strings.Contains(text, "iam:Update"+kind+" on resource: "+arn(tt.asked)+" because")) {
				t.Errorf("Update%s %q: %s %s, want it to ask for %s", kind, parameters, code, text, arn(tt.asked))
			}
		}
		// The other way round: whoever may use the place to come alone may not take from here.
		bob := v.user("in"+kind, grant("iam:Update"+kind, arn("/admins/*"), ""))
		if code, text := v.iam(bob, "Update"+kind, kind+"Name", "eve", "NewPath", "/admins/"); code != "AccessDenied" || !strings.Contains(text, arn("/staff/eve")) {
			t.Errorf("out of another's path: %s %s", code, text)
		}
	}
}
