package openapi_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/gateway/openapi"
)

// seeds are the documents of all cases.
func seeds(f testing.TB) [][]byte {
	files, err := filepath.Glob("testdata/*/*/document.*")
	if err != nil {
		f.Fatal(err)
	}
	var out [][]byte
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		out = append(out, b)
	}
	return out
}

// FuzzParse holds what documents become to their bounds, whatever they are.
func FuzzParse(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, text []byte, strict bool) {
		d, err := openapi.Parse(text, openapi.Options{Strict: strict, AllowHTTP: true})
		if err != nil {
			var p *openapi.Problems
			if !errors.As(err, &p) || len(p.Reasons()) == 0 || len(p.Reasons()) > 100 {
				t.Fatalf("%T %v", err, err)
			}
			for _, r := range p.Reasons() {
				if len(r) > 1000 {
					t.Fatalf("reason of %d bytes", len(r))
				}
			}
			return
		}
		names := map[string]bool{}
		for _, tool := range d.Tools() {
			if names[tool.Name] || strings.Trim(tool.Name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" || tool.Name == "" {
				t.Fatalf("name %q", tool.Name)
			}
			names[tool.Name] = true
			if !json.Valid(tool.InputSchema) {
				t.Fatalf("schema %s", tool.InputSchema)
			}
			checkSchema(t, tool.Name, tool.InputSchema)
		}
		staysAtHome(t, text)
	})
}

// staysAtHome calls each tool of a document with arguments that try to leave its server.
func staysAtHome(t *testing.T, text []byte) {
	t.Helper()
	d, err := openapi.Parse(text, openapi.Options{Server: "https://home.example:8443/base"})
	if err != nil {
		return
	}
	for _, tool := range d.Tools() {
		var s struct{ Properties map[string]json.RawMessage }
		if err := json.Unmarshal(tool.InputSchema, &s); err != nil {
			t.Fatalf("%s: %v", tool.InputSchema, err)
		}
		for _, value := range []any{"..", "a/../..\\?x#y\r\nHost: evil", map[string]any{"..": []any{"/", 1}}, []any{"", "..", nil}, "AAEC", 1e300} {
			args := map[string]any{}
			for name := range s.Properties {
				args[name] = value
			}
			b, err := json.Marshal(args)
			if err != nil {
				t.Fatal(err)
			}
			r, err := d.Request(t.Context(), tool.Name, b)
			if err != nil {
				var a *openapi.ArgumentError
				if !errors.As(err, &a) {
					t.Fatalf("%s %s: %T %v", tool.Name, b, err, err)
				}
				continue
			}
			if r.URL.Scheme != "https" || r.URL.Host != "home.example:8443" || r.Host != r.URL.Host || r.URL.Fragment != "" || r.URL.User != nil {
				t.Fatalf("%s left its server: %s", tool.Name, r.URL)
			}
			if !strings.HasPrefix(r.URL.EscapedPath(), "/base/") || !strings.HasPrefix(path.Clean(r.URL.Path)+"/", "/base/") {
				t.Fatalf("%s left its path: %s", tool.Name, r.URL.EscapedPath())
			}
		}
	}
}

// hostile is a document whose arguments go everywhere that arguments can go.
const hostile = `{"openapi":"3.1.0","servers":[{"url":"https://api.example.com:8443/base/v1"}],"paths":{
"/a/{p}/b/{q}{r}/c":{"post":{"operationId":"op","parameters":[
{"name":"p","in":"path","required":true,"schema":{}},
{"name":"q","in":"path","required":true,"style":"label","explode":true,"schema":{}},
{"name":"r","in":"path","required":true,"style":"matrix","schema":{}},
{"name":"s","in":"query","style":"form","allowReserved":true,"schema":{}},
{"name":"t","in":"query","style":"deepObject","schema":{}},
{"name":"u","in":"query","style":"pipeDelimited","schema":{}},
{"name":"X-V","in":"header","explode":true,"schema":{}},
{"name":"w","in":"cookie","schema":{}}],
"requestBody":{"content":{"KIND":{"schema":{"type":"object","properties":{"f":{},"g":{"type":"string"}}}}}},"responses":{}}}}}`

// FuzzRequest holds requests to their server, path and headers, whatever the arguments are.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{"x", "..", "a/../b", "\\..\\", "%2e%2e", "?a=b", "#x", "\r\nHost: evil", "é", ".", ";", "//evil.example"} {
		b, err := json.Marshal(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(s, string(b), uint8(0))
		f.Add(s, `{"`+"k"+`":`+string(b)+`,"l":[1,null,`+string(b)+`]}`, uint8(2))
		f.Add(s, `[`+string(b)+`,2]`, uint8(1))
	}
	var docs []*openapi.Document
	for _, kind := range []string{"application/json", "application/x-www-form-urlencoded", "multipart/form-data", "application/xml", "text/plain", "application/octet-stream"} {
		d, err := openapi.Parse([]byte(strings.Replace(hostile, "KIND", kind, 1)), openapi.Options{})
		if err != nil {
			f.Fatal(err)
		}
		docs = append(docs, d)
	}
	f.Fuzz(func(t *testing.T, text, value string, kind uint8) {
		quoted, err := json.Marshal(text)
		if err != nil || !json.Valid([]byte(value)) {
			return
		}
		args := `{"p":` + value + `,"q":` + string(quoted) + `,"r":` + value + `,"s":` + value + `,"t":` + value + `,"u":` + value +
			`,"X-V":` + value + `,"w":` + value + `,"f":` + value + `,` + string(quoted) + `0:1}`
		args = strings.Replace(args, string(quoted)+`0`, strings.TrimSuffix(string(quoted), `"`)+`0"`, 1)
		r, err := docs[int(kind)%len(docs)].Request(t.Context(), "op", json.RawMessage(args))
		if err != nil {
			var a *openapi.ArgumentError
			if !errors.As(err, &a) {
				t.Fatalf("%T %v", err, err)
			}
			return
		}
		if r.URL.Scheme != "https" || r.URL.Host != "api.example.com:8443" || r.Host != r.URL.Host || r.URL.User != nil || r.URL.Fragment != "" {
			t.Fatalf("left the server: %s", r.URL)
		}
		raw := r.URL.EscapedPath()
		if raw != r.URL.RawPath && r.URL.RawPath != "" {
			t.Fatalf("path %q is sent as %q", r.URL.RawPath, raw)
		}
		if !strings.HasPrefix(raw, "/base/v1/a/") || !strings.HasSuffix(raw, "/c") || strings.Count(raw, "/") != 7 {
			t.Fatalf("left its path: %s", raw)
		}
		if clean := path.Clean(r.URL.Path); !strings.HasPrefix(clean, "/base/v1/a/") || !strings.HasSuffix(clean, "/c") {
			t.Fatalf("leaves its path when cleaned: %s", clean)
		}
		if _, err := url.ParseRequestURI(r.URL.RequestURI()); err != nil || strings.ContainsAny(r.URL.RequestURI(), " \r\n#\"<>") {
			t.Fatalf("target %q: %v", r.URL.RequestURI(), err)
		}
		onWire(t, r)
		for name := range r.Header {
			switch name {
			case "X-V", "Cookie", "Content-Type", "Accept":
			default:
				t.Fatalf("header %q", name)
			}
		}
	})
}

// onWire reads a request back as a server would.
func onWire(t *testing.T, r *http.Request) {
	t.Helper()
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		t.Fatalf("write: %v", err)
	}
	got, err := http.ReadRequest(bufio.NewReader(&b))
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	if got.Host != r.Host || got.RequestURI != r.URL.RequestURI() {
		t.Fatalf("sent %s %s, meant %s %s", got.Host, got.RequestURI, r.Host, r.URL.RequestURI())
	}
}
