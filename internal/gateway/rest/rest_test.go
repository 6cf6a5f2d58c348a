package rest_test

import (
	"compress/gzip"
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
	"github.com/outcrop/outcrop/internal/outbound"
)

// bearer is a credential.
type bearer string

func (b bearer) Apply(_ context.Context, r *http.Request, _ *target.Call) error {
	r.Header.Set("Authorization", "Bearer "+string(b))
	return nil
}

// serve makes a target of an API whose operations are at one server.
func serve(t *testing.T, h http.Handler, client func(target.Source) (*http.Client, error), change func(*target.Source)) target.Server {
	t.Helper()
	upstream := httptest.NewServer(h)
	t.Cleanup(upstream.Close)
	s := target.Source{Schema: fmt.Appendf(nil, `{"openapi":"3.0.3","info":{"title":"x","version":"1"},"servers":[{"url":%q}],"paths":{
		"/pets/{id}":{"get":{"operationId":"getPet","description":"Get","parameters":[{"name":"id","in":"path","required":true,"schema":{"type":"string"}},{"name":"q","in":"query","schema":{"type":"string"}}],"responses":{"200":{"description":"ok"}}}}}}`, upstream.URL+"/v1")}
	if change != nil {
		change(&s)
	}
	if client == nil {
		client = func(target.Source) (*http.Client, error) { return upstream.Client(), nil }
	}
	d := rest.OpenAPI{Config: rest.Config{Client: client, AllowHTTP: true, Credentials: func(target.Source) (target.Credentials, error) { return bearer("k"), nil }}}
	c, err := d.Catalogue(t.Context(), s)
	if err != nil || len(c.Tools) != 1 {
		t.Fatal(c, err)
	}
	out, err := d.Open(s, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = out.Close() })
	return out
}

func answer(status int, kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.Header().Set("X-Total", "7")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// packed answers with what nobody asked to be packed.
func packed(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Content-Type", "application/json")
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, body)
		_ = z.Close()
	}
}

func TestAnswers(t *testing.T) {
	for name, tt := range map[string]struct {
		h    http.HandlerFunc
		want string
	}{
		"JSON":     {answer(200, "application/json", `{"a":1}`), `{"isError":false,"content":[{"type":"text","text":"{\"a\":1}"}]}`},
		"text":     {answer(201, "text/plain", `hi`), `{"isError":false,"content":[{"type":"text","text":"hi"}]}`},
		"marked":   {answer(200, "application/json", "\ufeff[]"), `{"isError":false,"content":[{"type":"text","text":"[]"}]}`},
		"nothing":  {answer(204, "", ""), `{"isError":false,"content":[{"type":"text","text":""}]}`},
		"image":    {answer(200, "image/png", "\x89PNG"), `{"isError":false,"content":[{"type":"image","data":"iVBORw==","mimeType":"image/png"}]}`},
		"bytes":    {answer(200, "application/pdf", "%\xff"), `{"isError":false,"content":[{"type":"resource","resource":{"uri":"about:blank","mimeType":"application/pdf","blob":"Jf8="}}]}`},
		"latin":    {answer(200, "text/plain; charset=ISO-8859-1", "caf\xe9"), `{"isError":false,"content":[{"type":"text","text":"café"}]}`},
		"japanese": {answer(200, "text/plain; charset=Shift_JIS", "\x93\x8c\x8b\x9e"), `{"isError":false,"content":[{"type":"text","text":"東京"}]}`},
		"broken":   {answer(200, "text/plain; charset=utf-8", "\xff"), `{"isError":false,"content":[{"type":"resource","resource":{"uri":"about:blank","mimeType":"text/plain","blob":"/w=="}}]}`},
		"packed":   {packed(`[1]`), `{"isError":false,"content":[{"type":"text","text":"[1]"}]}`},
	} {
		got, err := serve(t, tt.h, nil, nil).Call(t.Context(), target.Call{Tool: "getPet", Arguments: json.RawMessage(`{"id":"1"}`)})
		if err != nil || string(got.Body) != tt.want {
			t.Errorf("%s: %s, %v", name, got.Body, err)
		}
	}
}

// TestRequest: what reaches the service, and what comes back beside the answer.
func TestRequest(t *testing.T) {
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Total", "7")
		w.Header().Set("Set-Cookie", "no")
		_, _ = fmt.Fprintf(w, "%s %s %s %s", r.Method, r.RequestURI, r.Header.Get("Authorization"), r.Header.Get("X-Tenant"))
	}), nil, func(s *target.Source) {
		s.Metadata = &agentcorecontrol.MetadataConfiguration{AllowedResponseHeaders: []string{"x-total"}}
	})
	got, err := s.Call(t.Context(), target.Call{
		Tool: "getPet", Arguments: json.RawMessage(`{"id":"a/b","q":"mine"}`),
		Header: http.Header{"X-Tenant": {"t"}, "Authorization": {"theirs"}}, Query: map[string][]string{"q": {"theirs"}, "v": {"1 2"}},
	})
	if err != nil || !strings.Contains(string(got.Body), `GET /v1/pets/a%2Fb?q=mine\u0026v=1%202 Bearer k t`) || len(got.Header) != 1 || got.Header.Get("X-Total") != "7" {
		t.Errorf("%s %v %v", got.Body, got.Header, err)
	}
}

// TestUserAgent: services see who calls, unless the caller's own passes.
func TestUserAgent(t *testing.T) {
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.UserAgent()) }), nil, nil)
	for want, header := range map[string]http.Header{"outcrop": nil, "theirs": {"User-Agent": {"theirs"}}} {
		got, err := s.Call(t.Context(), target.Call{Tool: "getPet", Arguments: json.RawMessage(`{"id":"1"}`), Header: header})
		if err != nil || !strings.Contains(string(got.Body), `"text":"`+want+`"`) {
			t.Errorf("%s: %s %v", want, got.Body, err)
		}
	}
}

// TestKeyed: the parameter that the target's API key fills is no argument.
func TestKeyed(t *testing.T) {
	document := []byte(`{"openapi":"3.0.3","info":{"title":"x","version":"1"},"servers":[{"url":"https://api.example.com"}],"paths":{"/a":{
		"parameters":[{"name":"appid","in":"query","required":true,"schema":{"type":"string"}},{"name":"x-api-key","in":"header","required":true,"schema":{"type":"string"}}],
		"get":{"operationId":"a","responses":{"200":{"description":"ok"}}}}}}`)
	for _, tt := range []struct{ location, name, want string }{
		{"QUERY_PARAMETER", "appid", `["x-api-key"]`}, {"HEADER", "X-API-Key", `["appid"]`}, {"", "X-API-Key", `["appid"]`},
		{"QUERY_PARAMETER", "x-api-key", `["appid","x-api-key"]`}, {"HEADER", "", `["appid","x-api-key"]`},
	} {
		key := &agentcorecontrol.ApiKeyCredentialProvider{CredentialLocation: &tt.location, CredentialParameterName: &tt.name}
		c, err := rest.OpenAPI{}.Catalogue(t.Context(), target.Source{Schema: document, Credential: &agentcorecontrol.CredentialProviderConfiguration{
			CredentialProvider: &agentcorecontrol.CredentialProvider{ApiKeyCredentialProvider: key},
		}})
		if err != nil {
			t.Fatal(err)
		}
		var schema struct{ Required json.RawMessage }
		if err := json.Unmarshal(c.Tools[0].InputSchema, &schema); err != nil || string(schema.Required) != tt.want {
			t.Errorf("%s %s: %s wants %s: %v", tt.location, tt.name, c.Tools[0].InputSchema, tt.want, err)
		}
	}
}

func TestFailures(t *testing.T) {
	guarded := func(target.Source) (*http.Client, error) { return outbound.New(outbound.Config{}), nil }
	for name, tt := range map[string]struct {
		h      http.HandlerFunc
		client func(target.Source) (*http.Client, error)
		args   string
		want   string
		shown  bool
	}{
		"status":    {answer(404, "application/json", `{"error":"no pet"}`), nil, `{"id":"1"}`, `OpenAPIClientException - The service answered with status 404 Not Found: {"error":"no pet"}`, false},
		"bytes":     {answer(500, "", "\xff\x00"), nil, `{"id":"1"}`, `OpenAPIClientException - The service answered with status 500 Internal Server Error: (not text)`, false},
		"arguments": {answer(200, "", ""), nil, `{}`, `Parameter validation failed: id is missing; it is required`, true},
		"too large": {answer(200, "text/plain", strings.Repeat("x", 6<<20+1)), nil, `{"id":"1"}`, "has more than 6291456 bytes", false},
		"unpacks":   {packed(strings.Repeat("x", 6<<20+1)), nil, `{"id":"1"}`, "has more than 6291456 bytes", false},
		"broken": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "x")
			panic(http.ErrAbortHandler)
		}, nil, `{"id":"1"}`, "could not be reached, or broke off its answer", false},
		"private": {answer(200, "", ""), guarded, `{"id":"1"}`, "is not called: ", false},
	} {
		_, err := serve(t, tt.h, tt.client, nil).Call(t.Context(), target.Call{Tool: "getPet", Arguments: json.RawMessage(tt.args)})
		f, ok := errors.AsType[*target.Failure](err)
		if !ok || !strings.Contains(f.Text, tt.want) || strings.Count(f.Text, "Parameter validation failed") > 1 || f.Shown != tt.shown {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUnfit(t *testing.T) {
	_, err := rest.OpenAPI{}.Catalogue(t.Context(), target.Source{Schema: []byte(`{"swagger":"2.0"}`)})
	if u, ok := errors.AsType[*target.Unfit](err); !ok || len(u.Reasons) == 0 {
		t.Errorf("%v", err)
	}
}
