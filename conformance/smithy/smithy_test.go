// Package smithy runs the protocol tests that Smithy's authors publish for restJson1
// through internal/gateway/smithy: what a client must send for given arguments, and what
// it must understand of given answers.
package smithy

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/internal/gateway/smithy"
)

const restJSON = "aws.protocoltests.restjson#RestJson"

// reasons are those of the tests that are not for us, by their ids or by their operations.
var reasons = map[string]string{
	"StreamingTraits":              "streams are left out",
	"StreamingTraitsRequireLength": "streams are left out",
	"StreamingTraitsWithMediaType": "streams are left out",

	"SDKAppliedContentEncoding_restJson1":                                  "bodies are sent as they are",
	"SDKAppendedGzipAfterProvidedEncoding_restJson1":                       "bodies are sent as they are",
	"RestJsonClientPopulatesDefaultsValuesWhenMissingInResponse":           "answers are passed on as the service wrote them",
	"RestJsonClientPopulatesNestedDefaultsWhenMissingInResponseBody":       "answers are passed on as the service wrote them",
	"RestJsonClientIgnoresDefaultValuesIfMemberValuesArePresentInResponse": "",
}

// suite is the model as a test reads it: nothing of it is the code's that is tested.
type suite struct {
	Shapes map[string]shape `json:"shapes"`
}

type shape struct {
	Type    string
	Traits  map[string]json.RawMessage
	Members map[string]member
	Member  *member
	Value   *member
	Input   *struct{ Target string }
	Output  *struct{ Target string }
	Errors  []struct{ Target string }
}

type member struct {
	Target string
	Traits map[string]json.RawMessage
}

type requestTest struct {
	ID, Protocol, Method, URI, Body, BodyMediaType, Host, ResolvedHost, AppliesTo string

	QueryParams, ForbidQueryParams, RequireQueryParams []string
	Headers                                            map[string]string
	ForbidHeaders, RequireHeaders                      []string
	Params                                             json.RawMessage
}

type responseTest struct {
	ID, Protocol, Body, AppliesTo string

	Code    int
	Headers map[string]string
	Params  json.RawMessage
}

// models are those of the protocol tests, as they are and without mixins.
func models(t *testing.T) (text, flat []byte) {
	t.Helper()
	java, classes := pinned.Java(t, "testdata/java")
	dir := t.TempDir()
	files := []string{filepath.Join(dir, "models.json"), filepath.Join(dir, "flat.json")}
	if out, err := exec.CommandContext(t.Context(), java, "-cp", classes, "testdata/java/Models.java", files[0], files[1]).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var err error
	if text, err = os.ReadFile(files[0]); err != nil {
		t.Fatal(err)
	}
	if flat, err = os.ReadFile(files[1]); err != nil {
		t.Fatal(err)
	}
	return text, flat
}

func TestProtocol(t *testing.T) {
	text, flat := models(t)
	var s suite
	if err := json.Unmarshal(flat, &s); err != nil {
		t.Fatal(err)
	}
	mixed, plain := parse(t, text, "example.com"), parse(t, flat, "example.com")
	if !reflect.DeepEqual(mixed.Tools(), plain.Tools()) {
		t.Error("mixins make other tools than what they stand for")
	}
	custom := parse(t, text, "example.com/custom")
	var requests, responses, skipped int
	for _, id := range slices.Sorted(maps(s.Shapes)) {
		op := s.Shapes[id]
		if op.Type != "operation" || !strings.HasPrefix(id, "aws.protocoltests.restjson#") {
			continue
		}
		_, name, _ := strings.Cut(id, "#")
		for _, test := range testsOf[requestTest](t, op, "smithy.test#httpRequestTests") {
			if test.AppliesTo == "server" {
				continue
			}
			if why := reason(name, test.ID); why != "" {
				t.Logf("%s: not run: %s", test.ID, why)
				skipped++
				continue
			}
			requests++
			t.Run(test.ID, func(t *testing.T) {
				s.request(t, map[string]*smithy.Model{"": mixed, "example.com": mixed, "example.com/custom": custom}[test.Host], name, op, test)
			})
		}
		for _, target := range append([]string{id}, targets(op)...) {
			for _, test := range testsOf[responseTest](t, s.Shapes[target], "smithy.test#httpResponseTests") {
				if test.AppliesTo == "server" {
					continue
				}
				if why := reason(name, test.ID); why != "" {
					t.Logf("%s: not run: %s", test.ID, why)
					skipped++
					continue
				}
				responses++
				t.Run(test.ID, func(t *testing.T) { s.response(t, mixed, name, target, test) })
			}
		}
	}
	t.Logf("%d tests of requests, %d of answers, %d not run", requests, responses, skipped)
	if requests < 100 || responses < 70 {
		t.Errorf("too few tests were run")
	}
}

func reason(operation, id string) string {
	if why := reasons[operation]; why != "" {
		return why
	}
	return reasons[id]
}

func testsOf[T interface{ protocol() string }](t *testing.T, s shape, trait string) []T {
	t.Helper()
	var all []T
	if s.Traits[trait] != nil {
		if err := json.Unmarshal(s.Traits[trait], &all); err != nil {
			t.Fatal(err)
		}
	}
	return slices.DeleteFunc(all, func(test T) bool { return test.protocol() != "aws.protocols#restJson1" })
}

func (r requestTest) protocol() string  { return r.Protocol }
func (r responseTest) protocol() string { return r.Protocol }

func targets(s shape) []string {
	var out []string
	for _, e := range s.Errors {
		out = append(out, e.Target)
	}
	return out
}

func parse(t *testing.T, text []byte, host string) *smithy.Model {
	t.Helper()
	m, err := smithy.Parse(text, smithy.Options{
		Service: restJSON, BaseURL: "https://" + host, Region: "us-east-1",
		NewToken: func() string { return "00000000-0000-4000-8000-000000000000" },
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (s suite) request(t *testing.T, m *smithy.Model, name string, op shape, test requestTest) {
	r, err := m.Request(t.Context(), name, s.arguments(t, op.Input.Target, test.Params))
	if err != nil {
		t.Fatal(err)
	}
	if r.HTTP.Method != test.Method || r.HTTP.URL.EscapedPath() != test.URI {
		t.Errorf("%s %s, want %s %s", r.HTTP.Method, r.HTTP.URL.EscapedPath(), test.Method, test.URI)
	}
	if test.ResolvedHost != "" && r.HTTP.URL.Host != test.ResolvedHost {
		t.Errorf("host %s, want %s", r.HTTP.URL.Host, test.ResolvedHost)
	}
	pairs := strings.Split(r.HTTP.URL.RawQuery, "&")
	for _, want := range test.QueryParams {
		if i := slices.Index(pairs, want); i >= 0 {
			pairs = slices.Delete(pairs, i, i+1)
		} else {
			t.Errorf("query %s, want %s in it", r.HTTP.URL.RawQuery, want)
		}
	}
	query, err := url.ParseQuery(r.HTTP.URL.RawQuery)
	if err != nil {
		t.Error(err)
	}
	for _, name := range test.ForbidQueryParams {
		if query.Has(name) {
			t.Errorf("query %s, want no %s", r.HTTP.URL.RawQuery, name)
		}
	}
	for name, want := range test.Headers {
		if have := r.HTTP.Header.Get(name); have != want {
			t.Errorf("header %s: %q, want %q", name, have, want)
		}
	}
	for _, name := range test.ForbidHeaders {
		if r.HTTP.Header.Get(name) != "" || name == "Content-Length" && r.HTTP.ContentLength > 0 {
			t.Errorf("header %s is set", name)
		}
	}
	for _, name := range test.RequireHeaders {
		if r.HTTP.Header.Get(name) == "" && (name != "Content-Length" || r.HTTP.ContentLength <= 0) {
			t.Errorf("header %s is not set", name)
		}
	}
	var body []byte
	if r.HTTP.Body != nil {
		if body, err = io.ReadAll(r.HTTP.Body); err != nil {
			t.Fatal(err)
		}
	}
	if test.BodyMediaType == "application/json" {
		if !reflect.DeepEqual(decode(t, body), decode(t, []byte(test.Body))) {
			t.Errorf("body %s, want %s", body, test.Body)
		}
	} else if string(body) != test.Body {
		t.Errorf("body %s, want %s", body, test.Body)
	}
}

func (s suite) response(t *testing.T, m *smithy.Model, name, target string, test responseTest) {
	header := map[string][]string{}
	for k, v := range test.Headers {
		header[canonical(k)] = []string{v}
	}
	answer, err := m.Response(name, test.Code, header, []byte(test.Body))
	if err != nil {
		t.Fatal(err)
	}
	of := target
	if op := s.Shapes[target]; op.Type == "operation" {
		if answer.Failure != nil {
			t.Fatalf("failure %v", answer.Failure)
		}
		of = op.Output.Target
	} else if _, want, _ := strings.Cut(target, "#"); answer.Failure == nil || answer.Failure.Type != want || answer.Failure.Status != test.Code {
		t.Fatalf("failure %+v, want %s", answer.Failure, want)
	}
	have := s.params(t, of, decode(t, answer.JSON), header)
	want := decode(t, orEmpty(test.Params))
	if !reflect.DeepEqual(have, want) {
		t.Errorf("%s is\n%v, want\n%v", answer.JSON, have, want)
	}
}

func orEmpty(text json.RawMessage) []byte {
	if text == nil {
		return []byte("{}")
	}
	return text
}

func decode(t *testing.T, text []byte) any {
	t.Helper()
	var v any
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}

// arguments turns what a test gives, by the model's names and with blobs as they are, into
// the arguments of a call.
func (s suite) arguments(t *testing.T, target string, params json.RawMessage) json.RawMessage {
	t.Helper()
	b, err := json.Marshal(s.argument(target, decode(t, orEmpty(params))))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (s suite) argument(target string, v any) any {
	sh := s.Shapes[target]
	switch v := v.(type) {
	case string:
		if sh.Type == "blob" || target == "smithy.api#Blob" {
			return base64.StdEncoding.EncodeToString([]byte(v))
		}
	case []any:
		for i := range v {
			if sh.Member != nil {
				v[i] = s.argument(sh.Member.Target, v[i])
			}
		}
	case map[string]any:
		out := map[string]any{}
		for k, item := range v {
			switch {
			case sh.Value != nil:
				out[k] = s.argument(sh.Value.Target, item)
			case sh.Type == "structure" || sh.Type == "union":
				out[sh.Members[k].json(k)] = s.argument(sh.Members[k].Target, item)
			default:
				out[k] = item
			}
		}
		return out
	}
	return v
}

// json is a member's name in bodies.
func (m member) json(name string) string {
	var s string
	if json.Unmarshal(m.Traits["smithy.api#jsonName"], &s) == nil && s != "" {
		return s
	}
	return name
}
