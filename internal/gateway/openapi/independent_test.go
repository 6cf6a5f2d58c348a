package openapi_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/gateway/openapi"
)

// independent is a folder's cases.json that was written from the specification alone: why
// says by what it is right. What is left out is not compared.
type independent struct {
	Why     string   `json:"why,omitempty"`
	Refused []string `json:"refused,omitempty"`
	Tools   []struct {
		Name        string   `json:"name,omitempty"`
		Description string   `json:"description,omitempty"`
		Properties  []string `json:"properties,omitempty"`
		Required    []string `json:"required,omitempty"`
	} `json:"tools,omitempty"`
	Calls []struct {
		Tool      string          `json:"tool"`
		Arguments json.RawMessage `json:"arguments"`
		Why       string          `json:"why"`
		Refusal   string          `json:"refusal,omitempty"`
		Request   *expected       `json:"request,omitempty"`
	} `json:"calls"`
}

// expected is what is known of a request.
type expected struct {
	Method      string            `json:"method"`
	Host        string            `json:"host,omitempty"`
	Target      string            `json:"target,omitempty"`
	TargetOneOf []string          `json:"targetOneOf,omitempty"`
	Headers     map[string]string `json:"headers,omitempty"`
	Body        *string           `json:"body,omitempty"`
	JSON        json.RawMessage   `json:"json,omitempty"`
	Form        [][2]string       `json:"form,omitempty"`
	Multipart   []piece           `json:"multipart,omitempty"`
	XML         string            `json:"xml,omitempty"`
}

// piece is a part of a multipart body. Its Body is the text of it.
type piece struct {
	Name        string  `json:"name"`
	ContentType string  `json:"contentType,omitempty"`
	Body        *string `json:"body,omitempty"`
}

// TestIndependent are documents and requests written from OpenAPI's specification alone:
// folders of testdata/independent with document.json or document.yaml and cases.json.
func TestIndependent(t *testing.T) {
	eachSuite(t, "testdata/independent", func(t *testing.T, _ string, s independent, text []byte) {
		d, err := openapi.Parse(text, openapi.Options{})
		if len(s.Refused) > 0 {
			if err == nil {
				t.Fatalf("not refused; want %q", s.Refused)
			}
			p, _ := errors.AsType[*openapi.Problems](err)
			all := strings.ToLower(strings.Join(p.Reasons(), "\n"))
			for _, want := range s.Refused {
				if !strings.Contains(all, strings.ToLower(want)) {
					t.Errorf("refused: %q, want %q", all, want)
				}
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		names := s.tools(t, d)
		u := newUpstream(t)
		for _, c := range s.Calls {
			name := c.Tool + " " + string(c.Arguments)
			if c.Tool == "" {
				c.Tool = names[len(names)-1]
			}
			r, err := d.Request(t.Context(), c.Tool, c.Arguments)
			switch {
			case c.Request == nil && (err == nil || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(c.Refusal))):
				t.Errorf("%s: %v, want a refusal with %q (%s)", name, err, c.Refusal, c.Why)
			case c.Request == nil:
			case err != nil:
				t.Errorf("%s: %v (%s)", name, err, c.Why)
			default:
				for _, wrong := range c.Request.differences(t, u.receive(t, r)) {
					t.Errorf("%s: %s\n(%s)", name, wrong, c.Why)
				}
			}
		}
	})
}

// tools compares the tools, and returns their names.
func (s independent) tools(t *testing.T, d *openapi.Document) (names []string) {
	t.Helper()
	have := d.Tools()
	if len(have) != len(s.Tools) {
		t.Fatalf("%d tools, want %d", len(have), len(s.Tools))
	}
	for i, want := range s.Tools {
		got := have[i]
		names = append(names, got.Name)
		var schema struct {
			Properties map[string]json.RawMessage `json:"properties"`
			Required   []string                   `json:"required"`
		}
		if err := json.Unmarshal(got.InputSchema, &schema); err != nil {
			t.Fatal(err)
		}
		properties := []string{}
		for name := range schema.Properties {
			properties = append(properties, name)
		}
		if want.Name != "" && got.Name != want.Name || want.Description != "" && got.Description != want.Description {
			t.Errorf("tool %q %q, want %q %q", got.Name, got.Description, want.Name, want.Description)
		}
		if want.Properties != nil && !sameSet(properties, want.Properties) {
			t.Errorf("%s: properties %q, want %q", got.Name, properties, want.Properties)
		}
		if want.Required != nil && !sameSet(schema.Required, want.Required) {
			t.Errorf("%s: required %q, want %q", got.Name, schema.Required, want.Required)
		}
	}
	return names
}

func sameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// differences are what of a request is not as it was expected.
func (want expected) differences(t *testing.T, got received) (out []string) {
	t.Helper()
	differ := func(what string, g, w any) {
		if !reflect.DeepEqual(g, w) {
			out = append(out, what+":\n got "+string(plain(t, g))+"\nwant "+string(plain(t, w)))
		}
	}
	differ("method", got.Method, want.Method)
	if want.Host != "" {
		differ("host", got.Host, want.Host)
	}
	if want.Target != "" {
		differ("target", got.Target, want.Target)
	}
	if want.TargetOneOf != nil && !slices.Contains(want.TargetOneOf, got.Target) {
		differ("target", got.Target, want.TargetOneOf)
	}
	for name, value := range want.Headers {
		have := got.Headers[http.CanonicalHeaderKey(name)]
		if strings.EqualFold(name, "Content-Type") {
			have, _, _ = mime.ParseMediaType(have)
		}
		differ("header "+name, have, value)
	}
	body := got.Body
	if got.Base64 != nil {
		body = string(got.Base64)
	}
	if want.Body != nil {
		differ("body", body, *want.Body)
	}
	if want.JSON != nil {
		differ("body", exact(t, []byte(body)), exact(t, want.JSON))
	}
	if want.Form != nil {
		differ("form", form(t, body), byName(want.Form))
	}
	if want.XML != "" {
		differ("xml", tree(t, body), tree(t, want.XML))
	}
	if want.Multipart != nil {
		out = append(out, want.parts(t, got.Headers["Content-Type"], body)...)
	}
	return out
}

// exact is a JSON value with its numbers as decimals.
func exact(t *testing.T, text []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// byName keeps the order of values of one name alone.
func byName(pairs [][2]string) map[string][]string {
	out := map[string][]string{}
	for _, p := range pairs {
		out[p[0]] = append(out[p[0]], p[1])
	}
	return out
}

func form(t *testing.T, body string) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for pair := range strings.SplitSeq(body, "&") {
		if body == "" {
			break
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err != nil {
			t.Fatal(err)
		}
		if value, err = url.QueryUnescape(value); err != nil {
			t.Fatal(err)
		}
		out[name] = append(out[name], value)
	}
	return out
}

// parts compares those of a multipart body, each with the one of its place in its name.
func (want expected) parts(t *testing.T, contentType, body string) (out []string) {
	t.Helper()
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		t.Fatal(err)
	}
	have := map[string][]piece{}
	n := 0
	for r := multipart.NewReader(strings.NewReader(body), params["boundary"]); ; n++ {
		p, err := r.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		kind, _, _ := mime.ParseMediaType(p.Header.Get("Content-Type"))
		have[p.FormName()] = append(have[p.FormName()], piece{p.FormName(), kind, new(string(text))})
	}
	if n != len(want.Multipart) {
		out = append(out, "parts: "+body)
	}
	for _, w := range want.Multipart {
		if len(have[w.Name]) == 0 {
			out = append(out, "no part "+w.Name)
			continue
		}
		g := have[w.Name][0]
		have[w.Name] = have[w.Name][1:]
		if w.ContentType == "" && g.ContentType == "text/plain" {
			g.ContentType = ""
		}
		if w.ContentType != "" && w.ContentType != g.ContentType {
			out = append(out, "part "+w.Name+": "+g.ContentType+", want "+w.ContentType)
		}
		same := w.Body == nil || *g.Body == *w.Body
		if w.Body != nil && g.ContentType == "application/json" {
			same = reflect.DeepEqual(exact(t, []byte(*g.Body)), exact(t, []byte(*w.Body)))
		}
		if !same {
			out = append(out, "part "+w.Name+": "+*g.Body+", want "+*w.Body)
		}
	}
	return out
}

// tree is an XML document as elements with their attributes, in names of its own writing.
func tree(t *testing.T, text string) []any {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(text))
	name := func(n xml.Name) string {
		if n.Space == "" {
			return n.Local
		}
		return n.Space + ":" + n.Local
	}
	stack := [][]any{{}}
	for {
		token, err := d.RawToken()
		if err == io.EOF {
			return stack[0]
		}
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		switch v := token.(type) {
		case xml.StartElement:
			attributes := map[string]any{}
			for _, a := range v.Attr {
				attributes[name(a.Name)] = a.Value
			}
			stack = append(stack, []any{name(v.Name), attributes})
		case xml.EndElement:
			last := len(stack) - 1
			stack[last-1] = append(stack[last-1], stack[last])
			stack = stack[:last]
		case xml.CharData:
			if last := len(stack) - 1; strings.TrimSpace(string(v)) != "" {
				stack[last] = append(stack[last], string(v))
			}
		}
	}
}
