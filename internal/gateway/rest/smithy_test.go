package rest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/gateway/rest"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/store"
)

// signature stands for one of a service.
type signature struct{ rest.Service }

func (s signature) Apply(_ context.Context, r *http.Request, _ *target.Call) error {
	r.Header.Set("Authorization", fmt.Sprintf("Signed %s %s", s.Name, s.Region))
	return nil
}

func sign(_ target.Source, at rest.Service) target.Credentials { return signature{at} }

// shelf is a model of a service that keeps books: one operation signs, one does not.
const shelf = `{"smithy":"2.0","shapes":{
	"x#Shelf":{"type":"service","version":"1","operations":[{"target":"x#GetBook"},{"target":"x#Ping"}],
		"traits":{"aws.protocols#restJson1":{},"aws.auth#sigv4":{"name":"shelf"}}},
	"x#GetBook":{"type":"operation","input":{"target":"x#GetBookIn"},"output":{"target":"x#GetBookOut"},
		"traits":{"smithy.api#http":{"method":"GET","uri":"/books/{id}","code":200}}},
	"x#Ping":{"type":"operation","input":{"target":"x#PingIn"},"output":{"target":"x#PingOut"},
		"traits":{"smithy.api#auth":[],"smithy.api#http":{"method":"POST","uri":"/ping","code":200}}},
	"x#PingIn":{"type":"structure","members":{}},"x#PingOut":{"type":"structure","members":{}},
	"x#GetBookIn":{"type":"structure","members":{"id":{"target":"smithy.api#String","traits":{"smithy.api#required":{},"smithy.api#httpLabel":{}}}}},
	"x#GetBookOut":{"type":"structure","members":{"title":{"target":"smithy.api#String"},"total":{"target":"smithy.api#Integer","traits":{"smithy.api#httpHeader":"X-Total"}}}}}}`

var role = &agentcorecontrol.CredentialProviderConfiguration{CredentialProviderType: new(agentcorecontrol.CredentialProviderTypeGATEWAY_IAM_ROLE)}

func openSmithy(t *testing.T, h http.Handler, credential *agentcorecontrol.CredentialProviderConfiguration) target.Server {
	t.Helper()
	upstream := httptest.NewServer(h)
	t.Cleanup(upstream.Close)
	d := rest.Smithy{
		Config: rest.Config{
			Client:      func(target.Source) (*http.Client, error) { return upstream.Client(), nil },
			Credentials: func(target.Source) (target.Credentials, error) { return bearer("k"), nil },
		},
		Endpoints: map[string]string{"shelf": upstream.URL + "/v1"}, Sign: sign,
	}
	s := target.Source{Scope: store.Scope{Account: "111122223333", Region: "eu-west-1"}, Schema: []byte(shelf), Credential: credential}
	c, err := d.Catalogue(t.Context(), s)
	if err != nil || len(c.Tools) != 2 {
		t.Fatal(c, err)
	}
	out, err := d.Open(s, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = out.Close() })
	return out
}

// TestSmithyRequest: calls are signed for the model's service in the gateway's region,
// unless the operation asks for none or the target has another credential.
func TestSmithyRequest(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Total", "7")
		_, _ = fmt.Fprintf(w, `{"title":"%s %s|%s"}`, r.Method, r.RequestURI, r.Header.Get("Authorization"))
	})
	for _, tt := range []struct {
		tool, args string
		credential *agentcorecontrol.CredentialProviderConfiguration
		want       string
	}{
		{"GetBook", `{"id":"a/b"}`, role, `GET /v1/books/a%2Fb|Signed shelf eu-west-1`},
		{"Ping", `{}`, role, `POST /v1/ping|\"`},
		{"GetBook", `{"id":"1"}`, nil, `GET /v1/books/1|Bearer k`},
	} {
		got, err := openSmithy(t, h, tt.credential).Call(t.Context(), target.Call{Tool: tt.tool, Arguments: json.RawMessage(tt.args)})
		if err != nil || !strings.Contains(string(got.Body), tt.want) {
			t.Errorf("%s: %s %v", tt.tool, got.Body, err)
		}
		if tt.tool == "GetBook" && !strings.Contains(string(got.Body), `\"total\":7`) {
			t.Errorf("a member that a header has is missing: %s", got.Body)
		}
	}
}

func TestSmithyFailures(t *testing.T) {
	refused := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Amzn-Errortype", "x#NoSuchBook:http://example.com/")
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"message":"there is none"}`)
	}
	for name, tt := range map[string]struct {
		h     http.HandlerFunc
		args  string
		want  string
		shown bool
	}{
		"modelled":  {refused, `{"id":"1"}`, "SmithyClientException - The service answered with status 404 Not Found: NoSuchBook: there is none", false},
		"page":      {answer(502, "text/html", "<h1>bad</h1>"), `{"id":"1"}`, "SmithyClientException - The service answered with status 502 Bad Gateway: <h1>bad</h1>", false},
		"bytes":     {answer(500, "", "\xff\x00"), `{"id":"1"}`, "status 500 Internal Server Error: (not text)", false},
		"malformed": {answer(200, "application/json", `{"title":`), `{"id":"1"}`, "The service's answer is not what the model says: ", false},
		"list":      {answer(200, "application/json", `[1]`), `{"id":"1"}`, "The service's answer is not what the model says: ", false},
		"missing":   {answer(200, "", ""), `{}`, "Parameter validation failed: argument id: is missing, and required", true},
		"unknown":   {answer(200, "", ""), `{"id":"1","x":1}`, "Parameter validation failed: ", true},
		"too large": {answer(200, "application/json", strings.Repeat(" ", 6<<20+1)), `{"id":"1"}`, "has more than 6291456 bytes", false},
		"broken": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "{")
			panic(http.ErrAbortHandler)
		}, `{"id":"1"}`, "could not be reached, or broke off its answer", false},
	} {
		_, err := openSmithy(t, tt.h, role).Call(t.Context(), target.Call{Tool: "GetBook", Arguments: json.RawMessage(tt.args)})
		f, ok := errors.AsType[*target.Failure](err)
		if !ok || !strings.Contains(f.Text, tt.want) || f.Shown != tt.shown {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSmithyUnfit: a model that says nothing of where it is names the way out.
func TestSmithyUnfit(t *testing.T) {
	_, err := rest.Smithy{Sign: sign}.Catalogue(t.Context(), target.Source{Schema: []byte(shelf)})
	if u, ok := errors.AsType[*target.Unfit](err); !ok || len(u.Reasons) != 1 || !strings.Contains(u.Reasons[0], "outcrop serve --smithy-endpoint x#Shelf=URL") {
		t.Errorf("%v", err)
	}
}
