package smithy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/outcrop/outcrop/internal/gateway/smithy"
)

var update = flag.Bool("update", false, "write the golden files")

// library is a model with something of everything.
func library(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "library.json"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func options() smithy.Options {
	return smithy.Options{Region: "eu-west-1", NewToken: func() string { return "a-token" }}
}

func parse(t testing.TB, text []byte, o smithy.Options) *smithy.Model {
	t.Helper()
	m, err := smithy.Parse(text, o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// golden compares a text with a file of testdata.
func golden(t *testing.T, name, have string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(have), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if have != string(want) {
		t.Errorf("%s differs (go test -update writes it):\n%s", path, have)
	}
}

func TestTools(t *testing.T) {
	m := parse(t, library(t), options())
	b, err := json.MarshalIndent(map[string]any{"tools": m.Tools(), "warnings": m.Warnings()}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "library.tools.golden.json", string(b)+"\n")
}

// body reads a request's, as a signer does before it is sent.
func body(t *testing.T, r *smithy.Request) []byte {
	t.Helper()
	again, err := r.HTTP.GetBody()
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(again)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// wire is a request as HTTP/1.1 has it, its headers in order.
func wire(t *testing.T, r *smithy.Request) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(r.HTTP.Method + " " + r.HTTP.URL.String() + "\n")
	var names []string
	for name := range r.HTTP.Header {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		b.WriteString(name + ": " + strings.Join(r.HTTP.Header[name], " | ") + "\n")
	}
	if s := r.Signing; s.Service != "" {
		b.WriteString("signed for " + s.Service + " in " + s.Region)
		if s.PlainPath {
			b.WriteString(", path as it is")
		}
		b.WriteString("\n")
	}
	if r.HTTP.Body != nil {
		text := body(t, r)
		if again := body(t, r); !bytes.Equal(text, again) || int64(len(text)) != r.HTTP.ContentLength {
			t.Errorf("%d bytes, then %d, of %d", len(text), len(again), r.HTTP.ContentLength)
		}
		if bytes.ContainsFunc(text, unicode.IsControl) {
			text = strconv.AppendQuote(nil, string(text))
		}
		b.WriteString("\n" + string(text) + "\n")
	}
	return b.String()
}

func TestRequest(t *testing.T) {
	m := parse(t, library(t), options())
	based := options()
	based.BaseURL = "http://127.0.0.1:4566/base/"
	atBase := parse(t, library(t), based)
	var b strings.Builder
	for _, c := range []struct {
		m               *smithy.Model
		tool, arguments string
	}{
		{m, "CreateBook", `{"title":"A","token":"mine"}`},
		{m, "CreateBook", `{"title":"<b>","note":null,"type":"novel","format":"paper","stars":5,"price":1.50,"copies":2.0,
			"printed":"2026-01-31T12:00:00.25+01:00","bought":1000.5,"cover":"iVBORw==","chapters":[{"heading":"1","parts":[{"heading":"1.1","language":"ja"}]}],
			"labels":{"novel":"x"},"holes":[1,null,-3],"medium":{"min":"Infinity"},"extra":{"a":[1.10,null,"z"]},"shelf":{"room":-128,"row":123456789012345678901234567890,"open":false}}`},
		{m, "CreateBook", `{"title":"B","medium":{"none":{}},"branch":"north","ownBranch":"south"}`},
		{m, "GetBook", `{"isbn":"978/ %2F","reader":"ann","since":"2026-01-31T12:00:00Z"}`},
		{m, "Search", ""},
		{m, "Search", `{"words":["a b","c&d"],"before":1700000000,"more":{"kind":"no","q":"no","page":"2"},"only":["x","y,\"z\""],"meta":{"One":"1"}}`},
		{m, "PutPage", `{"isbn":"1","path":"a/b c//ü","image":"AAEC"}`},
		{m, "PutPage", `{"isbn":"1","path":"x","image":"AAEC","kind":"image/jpeg"}`},
		{m, "PutPage", `{"isbn":"1","path":"x"}`},
		{m, "Tag", `{"tag":{"pages":1e2}}`},
		{m, "Search", "null"},
		{atBase, "GetBook", `{"isbn":"1","reader":"ann"}`},
	} {
		r, err := c.m.Request(t.Context(), c.tool, json.RawMessage(c.arguments))
		if err != nil {
			t.Fatalf("%s %s: %v", c.tool, c.arguments, err)
		}
		b.WriteString("## " + c.tool + " " + c.arguments + "\n" + wire(t, r) + "\n")
	}
	golden(t, "library.requests.golden", b.String())
}

func TestArgumentErrors(t *testing.T) {
	m := parse(t, library(t), options())
	var b strings.Builder
	for _, c := range [][2]string{
		{"CreateBook", `[]`},
		{"CreateBook", `{`},
		{"CreateBook", `{}{}`},
		{"CreateBook", `{}`},
		{"CreateBook", `{"title":"a","kind":"novel"}`},
		{"CreateBook", `{"title":5}`},
		{"CreateBook", `{"title":"a","price":"cheap"}`},
		{"CreateBook", `{"title":"a","copies":1.5}`},
		{"CreateBook", `{"title":"a","copies":2147483648}`},
		{"CreateBook", `{"title":"a","copies":1e999999999}`},
		{"CreateBook", `{"title":"a","shelf":{"room":128}}`},
		{"CreateBook", `{"title":"a","shelf":{"row":0.1}}`},
		{"CreateBook", `{"title":"a","shelf":{"open":"yes"}}`},
		{"CreateBook", `{"title":"a","shelf":[]}`},
		{"CreateBook", `{"title":"a","printed":"yesterday"}`},
		{"CreateBook", `{"title":"a","printed":1e300}`},
		{"CreateBook", `{"title":"a","cover":"not base64"}`},
		{"CreateBook", `{"title":"a","chapters":[{"heading":"1","parts":[{}]}]}`},
		{"CreateBook", `{"title":"a","chapters":[null]}`},
		{"CreateBook", `{"title":"a","chapters":{}}`},
		{"CreateBook", `{"title":"a","chapters":[{"heading":"1","colour":"red"}]}`},
		{"CreateBook", `{"title":"a","labels":{"novel":null}}`},
		{"CreateBook", `{"title":"a","labels":[]}`},
		{"CreateBook", `{"title":"a","medium":{}}`},
		{"CreateBook", `{"title":"a","medium":{"pages":1,"min":2}}`},
		{"CreateBook", `{"title":"a","medium":"pages"}`},
		{"CreateBook", `{"title":"a","branch":"evil.example.com/"}`},
		{"CreateBook", `{"title":"a","branch":"north\r\nX: y"}`},
		{"GetBook", `{"isbn":"","reader":"ann"}`},
		{"GetBook", `{"isbn":"..","reader":"ann"}`},
		{"GetBook", `{"isbn":"1"}`},
		{"GetBook", `{"isbn":"1","reader":"ann.example.com"}`},
		{"GetBook", `{"isbn":"1","reader":"ann@x"}`},
		{"Search", `{"words":"a"}`},
		{"Search", `{"words":[null]}`},
		{"Search", `{"more":[]}`},
		{"Search", `{"meta":{"a b":"c"}}`},
		{"Search", `{"meta":{"a":"\u0000"}}`},
		{"Search", `{"meta":[]}`},
		{"Search", `{"only":["\n"]}`},
		{"PutPage", `{"isbn":"1","path":"a/../b"}`},
		{"PutPage", `{"isbn":"1","path":"a","image":"?"}`},
		{"Tag", `{}`},
		{"Nothing", `{}`},
	} {
		r, err := m.Request(t.Context(), c[0], json.RawMessage(c[1]))
		if err == nil {
			t.Errorf("%s %s: %s", c[0], c[1], wire(t, r))
			continue
		}
		b.WriteString(c[0] + " " + c[1] + "\n\t" + err.Error() + "\n")
	}
	golden(t, "library.errors.golden", b.String())
}

func TestResponse(t *testing.T) {
	m := parse(t, library(t), options())
	for name, c := range map[string]struct {
		tool   string
		status int
		header http.Header
		body   string
		want   string
	}{
		"bound": {"GetBook", 203, http.Header{"X-Made": {"Sat, 31 Jan 2026 12:00:00 GMT"}, "X-Count": {"7"}, "X-Tags": {`a, "b, \"c\""`}, "X-Meta-One": {"1"}},
			`{"isbn":"9780000000000","new":1.10}`, `{"code":203,"count":7,"isbn":"9780000000000","made":"2026-01-31T12:00:00Z","meta":{"One":"1"},"new":1.10,"tags":["a","b, \"c\""]}`},
		"odd headers":  {"GetBook", 200, http.Header{"X-Made": {"noon"}, "X-Count": {"many"}}, ``, `{"code":200,"count":"many","made":"noon"}`},
		"nothing":      {"Search", 204, nil, "", `{}`},
		"as it is":     {"Search", 200, nil, `{"b": 1, "a": 2}`, `{"b": 1, "a": 2}`},
		"bytes":        {"PutPage", 200, nil, "\x00\x01\x02", `{"image":"AAEC"}`},
		"text":         {"PutPage", 200, http.Header{"Content-Type": {"text/plain; charset=utf-8"}}, "page <1>", `{"image":"page <1>"}`},
		"no payload":   {"PutPage", 200, nil, "", `{}`},
		"not text":     {"PutPage", 200, http.Header{"Content-Type": {"text/plain"}}, "\xff", `{"image":"/w=="}`},
		"empty object": {"CreateBook", 201, nil, `{}`, `{"code":201}`},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := m.Response(c.tool, c.status, c.header, []byte(c.body))
			if err != nil || a.Failure != nil || string(a.JSON) != c.want {
				t.Errorf("%s, %v, %v; want %s", a.JSON, a.Failure, err, c.want)
			}
		})
	}
	if _, err := m.Response("GetBook", 200, http.Header{"Content-Type": {"text/html"}}, []byte("<html>")); err == nil ||
		err.Error() != `the answer of GetBook is no JSON object (Content-Type "text/html", 6 bytes)` {
		t.Errorf("HTML: %v", err)
	}
}

func TestFailure(t *testing.T) {
	m := parse(t, library(t), options())
	for name, c := range map[string]struct {
		status int
		header http.Header
		body   string
		want   string
		json   string
	}{
		"header":    {409, http.Header{"X-Amzn-Errortype": {"Exists:http://x.example/"}, "X-Isbn": {"978"}}, `{"message":"there already"}`, "Exists: there already", `{"isbn":"978","message":"there already"}`},
		"__type":    {400, nil, `{"__type":"example.library#Exists","message":"x"}`, "Exists: x", `{"__type":"example.library#Exists","message":"x"}`},
		"code":      {400, nil, `{"code":"Other","Message":"y"}`, "Other: y", `{"code":"Other","Message":"y"}`},
		"of all":    {429, http.Header{"X-Amzn-Errortype": {"Throttled"}}, `{"Message":"slow"}`, "Throttled: slow", `{"Message":"slow"}`},
		"no object": {502, http.Header{"Content-Type": {"text/html"}}, "<html>bad</html>", "HTTP 502 Bad Gateway: <html>bad</html>", `{}`},
		"nothing":   {500, nil, "", "HTTP 500 Internal Server Error", `{}`},
		"list":      {500, nil, `[1]`, "HTTP 500 Internal Server Error: [1]", `{}`},
		"redirect":  {301, nil, `{}`, "HTTP 301 Moved Permanently", `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := m.Response("CreateBook", c.status, c.header, []byte(c.body))
			if err != nil || a.Failure == nil || a.Failure.Error() != c.want || a.Failure.Status != c.status || string(a.JSON) != c.json {
				t.Errorf("%v, %s, %v; want %s, %s", a.Failure, a.JSON, err, c.want, c.json)
			}
		})
	}
}

// TestRefusals has models that are wrong in one way each, and holds what their owners read.
func TestRefusals(t *testing.T) {
	var b strings.Builder
	for _, c := range refusals() {
		text := library(t)
		for _, r := range c.replace {
			if !bytes.Contains(text, []byte(r[0])) {
				t.Fatalf("%s: %s is not in the model", c.name, r[0])
			}
			text = bytes.ReplaceAll(text, []byte(r[0]), []byte(r[1]))
		}
		if c.text != "" {
			text = []byte(c.text)
		}
		_, err := smithy.Parse(text, c.options)
		var refusal *smithy.Refusal
		if !errors.As(err, &refusal) {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		b.WriteString("## " + c.name + "\n" + err.Error() + "\n")
	}
	golden(t, "refusals.golden", b.String())
}
