package apigateway_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/gateway/apigateway"
	"github.com/outcrop/outcrop/internal/gateway/openapi"
)

var update = flag.Bool("update", false, "write the golden files")

func petstore(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "petstore.json"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func golden(t *testing.T, name string, have []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, have, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want) {
		t.Errorf("%s differs (go test -update writes it):\n%s", path, have)
	}
}

const base = "https://abc123defg.execute-api.eu-west-1.amazonaws.com/prod"

func get(paths ...string) []apigateway.Filter {
	var out []apigateway.Filter
	for _, p := range paths {
		out = append(out, apigateway.Filter{Path: p, Methods: []string{"GET"}})
	}
	return out
}

func TestSelect(t *testing.T) {
	s, err := apigateway.Select(petstore(t), base, []apigateway.Filter{
		{Path: "/pets", Methods: []string{"GET", "POST", "DELETE", "HEAD"}},
		{Path: "/pets/*", Methods: []string{"GET", "PUT"}},
		{Path: "/nowhere", Methods: []string{"GET"}},
		{Path: "/{proxy+}", Methods: []string{"GET"}},
	}, []apigateway.Override{
		{Name: "create_pet", Path: "/pets", Method: "POST", Description: "Adds a <pet>"},
		{Name: "get_pet", Path: "/pets/{petId}", Method: "GET"},
	})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, s.Document, "", "  "); err != nil {
		t.Fatal(err)
	}
	warnings, err := json.MarshalIndent(s.Warnings, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "petstore.selected.golden.json", b.Bytes())
	golden(t, "petstore.warnings.golden.json", append(warnings, '\n'))

	doc, err := openapi.Parse(s.Document, openapi.Options{Strict: true, MaxBytes: apigateway.MaxExport})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, tool := range doc.Tools() {
		names = append(names, tool.Name)
	}
	if want := []string{"listPets", "create_pet", "get_pet"}; !reflect.DeepEqual(names, want) {
		t.Errorf("the tools are %v, want %v", names, want)
	}
	r, err := doc.Request(t.Context(), "get_pet", json.RawMessage(`{"petId":"7/8"}`))
	if err != nil || r.URL.String() != base+"/pets/7%2F8" {
		t.Errorf("%v, %v", r, err)
	}
}

func TestCovers(t *testing.T) {
	for path, want := range map[string][]string{
		"/*":            {"/", "/pets", "/pets/{petId}", "/petshops"},
		"/pets/*":       {"/pets/{petId}"},
		"/pets":         {"/pets"},
		"/pets/{petId}": {"/pets/{petId}"},
		"/":             {"/"},
	} {
		s, err := apigateway.Select(petstore(t), base, get(path), nil)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		var doc struct{ Paths map[string]struct{ Get any } }
		if err := json.Unmarshal(s.Document, &doc); err != nil {
			t.Fatal(err)
		}
		for _, p := range want {
			if doc.Paths[p].Get == nil {
				t.Errorf("%s does not select %s", path, p)
			}
		}
		if len(doc.Paths) != len(want) {
			t.Errorf("%s selects %v, want %v", path, doc.Paths, want)
		}
	}
}

func TestRefusals(t *testing.T) {
	same := strings.Replace(string(petstore(t)), `"description": "One pet"`, `"operationId": "listPets"`, 1)
	var b bytes.Buffer
	for _, c := range []struct {
		name      string
		text      string
		filters   []apigateway.Filter
		overrides []apigateway.Override
	}{
		{"no filters", "", nil, nil},
		{"filters", "", []apigateway.Filter{{Path: "pets", Methods: []string{"get"}}, {Path: "/p*ts"}, {Path: "/pets*", Methods: []string{"ANY"}}, {}}, nil},
		{"overrides", "", get("/pets"), []apigateway.Override{{}, {Name: "a", Path: "/pets/*", Method: "GET"}, {Name: "b", Path: "/pets", Method: "GET"}, {Name: "c", Path: "/pets", Method: "GET"}}},
		{"nothing selected", "", get("/cats"), nil},
		{"proxy alone", "", get("/pets/{petId}/toys/*"), nil},
		{"both credentials alone", "", []apigateway.Filter{{Path: "/pets", Methods: []string{"DELETE"}}}, nil},
		{"any alone", "", get("/{proxy+}"), nil},
		{"override of nothing", "", get("/pets"), []apigateway.Override{{Name: "a", Path: "/pets", Method: "POST"}}},
		{"override of what is left out", "", []apigateway.Filter{{Path: "/pets", Methods: []string{"GET", "DELETE"}}}, []apigateway.Override{{Name: "a", Path: "/pets", Method: "DELETE"}}},
		{"same name", same, get("/pets", "/pets/*"), nil},
		{"same name by an override", "", get("/pets", "/petshops"), []apigateway.Override{{Name: "listPets", Path: "/petshops", Method: "GET"}}},
		{"Swagger", `{"swagger":"2.0","paths":{}}`, get("/pets"), nil},
		{"other JSON", `{"a":1}`, get("/pets"), nil},
		{"paths of another type", `{"openapi":"3.0.1","paths":[]}`, get("/pets"), nil},
		{"no paths", `{"openapi":"3.0.1"}`, get("/pets"), nil},
		{"no JSON", `openapi: 3.0.1`, get("/pets"), nil},
		{"null", `null`, get("/pets"), nil},
	} {
		text := petstore(t)
		if c.text != "" {
			text = []byte(c.text)
		}
		_, err := apigateway.Select(text, base, c.filters, c.overrides)
		var refusal *apigateway.Refusal
		if !errors.As(err, &refusal) || len(refusal.Reasons()) == 0 {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		fmt.Fprintf(&b, "## %s\n%v\n", c.name, err)
	}
	golden(t, "refusals.golden", b.Bytes())
}

// TestExport asks a server that has GetExport as the model of API Gateway describes it.
func TestExport(t *testing.T) {
	document := string(petstore(t))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "GET" || r.Header.Get("Accept") != "application/json" || r.URL.RawQuery != "extensions=authorizers" || r.Header.Get("Authorization") != "signed" {
			t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
		}
		fail := func(status int, kind, message string) {
			w.Header().Set("X-Amzn-ErrorType", kind+":http://internal.example.com/")
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"message":%q}`, message)
		}
		switch r.URL.Path {
		case "/base/restapis/abc123defg/stages/prod/exports/oas30":
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Disposition", `attachment; filename="oas30.json"`)
			_, _ = io.WriteString(w, document)
		case "/base/restapis/denied/stages/prod/exports/oas30":
			fail(403, "AccessDeniedException", "User is not authorized to perform: apigateway:GET")
		case "/base/restapis/long/stages/prod/exports/oas30":
			for range 51 {
				_, _ = w.Write(make([]byte, 1<<20))
			}
		case "/base/restapis/odd/stages/prod/exports/oas30":
			w.WriteHeader(500)
			_, _ = io.WriteString(w, "<html>")
		default:
			fail(404, "NotFoundException", "Invalid stage identifier specified")
		}
	}))
	defer server.Close()
	client := &http.Client{Transport: signer{server.Client().Transport}}
	export := func(id, stage string) ([]byte, error) {
		return apigateway.Export(t.Context(), client, server.URL+"/base", apigateway.Stage{RestAPI: id, Name: stage, Region: "eu-west-1"})
	}
	if b, err := export("abc123defg", "prod"); err != nil || string(b) != document {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	for _, c := range [][3]string{
		{"abc123defg", "other", "API Gateway answers GetExport with 404: NotFoundException: Invalid stage identifier specified; see that the REST API and the stage exist, in the gateway's account and region, and that the stage is deployed"},
		{"denied", "prod", "API Gateway answers GetExport with 403: AccessDeniedException: User is not authorized to perform: apigateway:GET; the gateway's role needs apigateway:GET on the stage's exports"},
		{"odd", "prod", "API Gateway answers GetExport with 500"},
		{"long", "prod", "the export has more than 52428800 bytes; deploy the resources that are tools as an API of their own"},
		{"../x", "prod", `restApiId is "../x"; it has letters, digits and hyphens alone`},
		{"abc", "a/b", `stage is "a/b"; it has letters, digits, hyphens and underscores alone`},
	} {
		if b, err := export(c[0], c[1]); err == nil || err.Error() != c[2] {
			t.Errorf("%s %s: %d bytes, %v; want %s", c[0], c[1], len(b), err, c[2])
		}
	}
	if _, err := apigateway.Export(t.Context(), client, "nowhere", apigateway.Stage{RestAPI: "a", Name: "b"}); err == nil {
		t.Error("an endpoint without a host")
	}
}

type signer struct{ next http.RoundTripper }

func (s signer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "signed")
	return s.next.RoundTrip(r)
}

func TestURL(t *testing.T) {
	for pattern, want := range map[string]string{
		"": base,
		"http://localhost:4566/restapis/{restApiId}/{stage}/_user_request_": "http://localhost:4566/restapis/abc123defg/prod/_user_request_",
	} {
		if have := (apigateway.Stage{RestAPI: "abc123defg", Name: "prod", Region: "eu-west-1"}).URL(pattern); have != want {
			t.Errorf("%s, want %s", have, want)
		}
	}
	if have := (apigateway.Stage{RestAPI: "a", Name: "b", Region: "cn-north-1"}).URL(""); have != "https://a.execute-api.cn-north-1.amazonaws.com.cn/b" {
		t.Error(have)
	}
}

func FuzzSelect(f *testing.F) {
	f.Add(petstore(f), "/pets/*", "GET", "/pets", "POST", "name")
	f.Add([]byte(`{"openapi":"3.0.1","paths":{"/a":{"get":{"security":[{"x":1}]}}}}`), "/a", "GET", "/a", "GET", "x")
	f.Add([]byte(`{"openapi":"3.1","paths":{"/a":{"get":[]},"/b":null}}`), "/*", "GET", "/a", "GET", "")
	f.Fuzz(func(t *testing.T, text []byte, path, method, overridden, by, name string) {
		s, err := apigateway.Select(text, base, []apigateway.Filter{{Path: path, Methods: []string{method}}, {Path: "/*", Methods: []string{"GET", "POST"}}},
			[]apigateway.Override{{Name: name, Path: overridden, Method: by}})
		if err != nil {
			if err.Error() == "" {
				t.Error("a refusal says nothing")
			}
			return
		}
		var doc struct {
			Servers []struct{ URL string }
			Paths   map[string]map[string]any
		}
		if err := json.Unmarshal(s.Document, &doc); err != nil || len(doc.Servers) != 1 || doc.Servers[0].URL != base || len(doc.Paths) == 0 {
			t.Errorf("%s, %v", s.Document, err)
		}
	})
}

func BenchmarkSelect(b *testing.B) {
	var text bytes.Buffer
	text.WriteString(`{"openapi":"3.0.1","paths":{`)
	for i := range 1000 {
		if i > 0 {
			text.WriteString(",")
		}
		fmt.Fprintf(&text, `"/r%d":{"get":{"operationId":"op%d","description":%q,"responses":{"200":{"description":"x"}}}}`, i, i, strings.Repeat("words ", 100))
	}
	text.WriteString(`}}`)
	b.SetBytes(int64(text.Len()))
	for b.Loop() {
		if _, err := apigateway.Select(text.Bytes(), base, get("/*"), nil); err != nil {
			b.Fatal(err)
		}
	}
}
