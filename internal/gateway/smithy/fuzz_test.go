package smithy_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/gateway/smithy"
)

func FuzzParse(f *testing.F) {
	f.Add(library(f))
	for _, r := range refusals() {
		text := string(library(f))
		for _, pair := range r.replace {
			text = strings.ReplaceAll(text, pair[0], pair[1])
		}
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := smithy.Parse(text, options())
		if err != nil {
			if err.Error() == "" {
				t.Error("a refusal says nothing")
			}
			return
		}
		for _, tool := range m.Tools() {
			var schema struct{ Type string }
			if json.Unmarshal(tool.InputSchema, &schema) != nil || schema.Type != "object" || tool.Name == "" {
				t.Errorf("%s: %s", tool.Name, tool.InputSchema)
			}
			// No panic, whatever the model says.
			_, _ = m.Request(t.Context(), tool.Name, json.RawMessage(`{"title":"a","isbn":"1","path":"x","reader":"r","branch":"b"}`))
			_, _ = m.Response(tool.Name, 200, http.Header{"X-Tags": {"a, b"}, "X-Meta-A": {"b"}}, []byte(`{"a":1}`))
		}
	})
}

// FuzzRequest holds that no argument makes a request that goes elsewhere, or that says who
// sends it.
func FuzzRequest(f *testing.F) {
	m := parse(f, library(f), options())
	f.Add(0, `{"title":"a","branch":"north","medium":{"pages":1},"shelf":{"row":1e2}}`)
	f.Add(1, `{"isbn":"..","reader":"ann"}`)
	f.Add(2, `{"isbn":"1","path":"a/b","image":"AAEC","kind":"a/b"}`)
	f.Add(3, `{"words":["a"],"more":{"x":"y"},"meta":{"Z":"1"},"only":["\""],"before":1}`)
	f.Add(4, `{"tag":{"none":{}}}`)
	f.Fuzz(func(t *testing.T, index int, arguments string) {
		tool := m.Tools()[uint(index)%uint(len(m.Tools()))]
		r, err := m.Request(t.Context(), tool.Name, json.RawMessage(arguments))
		if err != nil {
			return
		}
		u := r.HTTP.URL
		if u.Scheme != "https" || !strings.HasSuffix(u.Host, "library.eu-west-1.example.com") || u.User != nil || u.Fragment != "" {
			t.Errorf("the call goes to %s", u)
		}
		if slices.ContainsFunc(strings.Split(u.EscapedPath(), "/"), func(s string) bool { return s == ".." || s == "." }) {
			t.Errorf("the path is %s", u.EscapedPath())
		}
		for _, name := range []string{"Authorization", "Host", "Transfer-Encoding", "X-Amz-Security-Token"} {
			if r.HTTP.Header.Get(name) != "" {
				t.Errorf("%s is set", name)
			}
		}
		if err := r.HTTP.Write(io.Discard); err != nil {
			t.Errorf("it cannot be written: %v", err)
		}
	})
}

func FuzzResponse(f *testing.F) {
	m := parse(f, library(f), options())
	f.Add(0, 200, "X-Tags", `a, "b"`, []byte(`{"isbn":"1"}`))
	f.Add(1, 409, "X-Amzn-Errortype", "a#Exists:b", []byte(`{"message":"x"}`))
	f.Add(2, 200, "Content-Type", "text/plain", []byte("\xff"))
	f.Add(1, 200, "X-Made", "Sat, 31 Jan 2026 12:00:00 GMT", []byte(`[]`))
	f.Fuzz(func(t *testing.T, index, status int, name, value string, body []byte) {
		tool := m.Tools()[uint(index)%uint(len(m.Tools()))]
		a, err := m.Response(tool.Name, status, http.Header{http.CanonicalHeaderKey(name): {value}}, body)
		if err != nil {
			return
		}
		var object map[string]any
		if json.Unmarshal(a.JSON, &object) != nil || object == nil {
			t.Errorf("the answer is %s", a.JSON)
		}
		if a.Failure != nil && (a.Failure.Error() == "" || status >= 200 && status < 300) {
			t.Errorf("%d is the failure %v", status, a.Failure)
		}
	})
}

// large is a model of about 5 MB with 500 operations that share shapes.
func large() []byte {
	var b strings.Builder
	b.WriteString(`{"smithy":"2.0","shapes":{"a#Words":{"type":"list","member":{"target":"smithy.api#String"}}`)
	doc := strings.Repeat("<p>Some words about this that nobody needs.</p>", 20)
	for i := range 500 {
		fmt.Fprintf(&b, `,"a#Op%d":{"type":"operation","input":{"target":"a#In%d"},"traits":{"smithy.api#documentation":%q,"smithy.api#http":{"method":"POST","uri":"/op%d/{id}"}}}`, i, i, doc, i)
		fmt.Fprintf(&b, `,"a#In%d":{"type":"structure","members":{"id":{"target":"smithy.api#String","traits":{"smithy.api#httpLabel":{},"smithy.api#required":{}}},"words":{"target":"a#Words"},"deep":{"target":"a#Part%d"}}}`, i, i)
		fmt.Fprintf(&b, `,"a#Part%d":{"type":"structure","members":{"part":{"target":"a#Part%d"}`, i, i)
		for j := range 10 {
			fmt.Fprintf(&b, `,"m%d":{"target":"smithy.api#String","traits":{"smithy.api#documentation":%q}}`, j, doc[:600])
		}
		b.WriteString(`}}`)
	}
	b.WriteString(`,"a#S":{"type":"service","operations":[`)
	for i := range 500 {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, `{"target":"a#Op%d"}`, i)
	}
	b.WriteString(`],"traits":{"aws.protocols#restJson1":{}}}}}`)
	return []byte(b.String())
}

func BenchmarkParse(b *testing.B) {
	text, o := large(), options()
	o.BaseURL = "https://example.com"
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if m, err := smithy.Parse(text, o); err != nil || len(m.Tools()) != 500 {
			b.Fatal(err)
		}
	}
}

func BenchmarkRequest(b *testing.B) {
	m := parse(b, library(b), options())
	arguments := json.RawMessage(`{"title":"A","branch":"north","chapters":[{"heading":"1","parts":[{"heading":"1.1"}]}],"labels":{"novel":"x"},"medium":{"pages":5},"printed":"2026-01-31T12:00:00Z"}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Request(b.Context(), "CreateBook", arguments); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkResponse(b *testing.B) {
	m := parse(b, library(b), options())
	header, body := http.Header{"X-Count": {"7"}, "X-Tags": {"a, b"}}, []byte(`{"isbn":"`+strings.Repeat("9", 2000)+`"}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Response("GetBook", 200, header, body); err != nil {
			b.Fatal(err)
		}
	}
}
