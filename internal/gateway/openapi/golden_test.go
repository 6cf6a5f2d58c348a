package openapi_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/outcrop/outcrop/internal/gateway/openapi"
)

var update = flag.Bool("update", false, "write what the cases of testdata/cases give")

// suite is a folder's cases.json: a document's options, and what it is to give.
type suite struct {
	Options struct {
		Strict    bool   `json:"strict,omitempty"`
		AllowHTTP bool   `json:"allowHTTP,omitempty"`
		Server    string `json:"server,omitempty"`
	} `json:"options,omitzero"`
	// Refused are the reasons why the document is refused, or parts of them.
	Refused  []string          `json:"refused,omitempty"`
	Warnings []string          `json:"warnings,omitempty"`
	Tools    []json.RawMessage `json:"tools,omitempty"`
	Calls    []call            `json:"calls,omitempty"`
}

// call is a tool's call, and the request that a server received, or why there is none.
type call struct {
	Tool      string          `json:"tool"`
	Arguments json.RawMessage `json:"arguments"`
	Refused   string          `json:"refused,omitempty"`
	Request   *received       `json:"request,omitempty"`
}

// received is a request as a server had it.
type received struct {
	Method  string            `json:"method,omitempty"`
	Host    string            `json:"host,omitempty"`
	Target  string            `json:"target,omitempty"` // raw path and query
	Headers map[string]string `json:"headers,omitempty"`
	// Body is the text as it is; JSON is compared as a value in place of it, and Base64
	// are bytes that are no text.
	Body   string          `json:"body,omitempty"`
	JSON   json.RawMessage `json:"json,omitempty"`
	Base64 []byte          `json:"base64,omitempty"`
}

// upstream is a server of its own that tells what it receives.
type upstream struct {
	client *http.Client
	last   chan received
}

func newUpstream(t *testing.T) *upstream {
	u := &upstream{last: make(chan received, 1)}
	record := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read body: %v", err)
		}
		got := received{Method: r.Method, Host: r.Host, Target: r.RequestURI, Headers: map[string]string{}}
		for name, values := range r.Header {
			if name != "User-Agent" && name != "Accept-Encoding" {
				got.Headers[name] = strings.Join(values, "\n")
			}
		}
		if utf8.Valid(body) {
			got.Body = string(body)
		} else {
			got.Base64 = body
		}
		u.last <- got
	}
	plain, secure := httptest.NewServer(http.HandlerFunc(record)), httptest.NewTLSServer(http.HandlerFunc(record))
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	dial := func(s *httptest.Server) func(context.Context, string, string) (net.Conn, error) {
		return func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, s.Listener.Addr().String())
		}
	}
	transport := &http.Transport{DialContext: dial(plain), DisableCompression: true}
	transport.DialTLSContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		c, err := dial(secure)(ctx, network, "")
		if err != nil {
			return nil, err
		}
		return tls.Client(c, &tls.Config{InsecureSkipVerify: true}), nil
	}
	t.Cleanup(transport.CloseIdleConnections)
	u.client = &http.Client{Transport: transport}
	return u
}

func (u *upstream) receive(t *testing.T, r *http.Request) received {
	t.Helper()
	res, err := u.client.Do(r)
	if err != nil {
		t.Fatalf("send: %v", err)
	}
	_ = res.Body.Close()
	return <-u.last
}

// TestCases are documents that were written with the package, each with all it gives.
func TestCases(t *testing.T) {
	eachSuite(t, "testdata/cases", func(t *testing.T, dir string, s suite, text []byte) {
		got := s.run(t, newUpstream(t), text)
		if *update {
			writeSuite(t, dir, got)
			return
		}
		compare(t, "refused", s.Refused, got.Refused)
		compare(t, "warnings", s.Warnings, got.Warnings)
		compare(t, "tools", s.Tools, got.Tools)
		for i := range s.Calls {
			compare(t, s.Calls[i].Tool+" "+string(s.Calls[i].Arguments), s.Calls[i], got.Calls[i])
		}
	})
}

func eachSuite[S any](t *testing.T, root string, run func(*testing.T, string, S, []byte)) {
	files, err := filepath.Glob(filepath.Join(root, "*", "cases.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			var s S
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			d := json.NewDecoder(bytes.NewReader(b))
			d.DisallowUnknownFields()
			if err := d.Decode(&s); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			docs, err := filepath.Glob(filepath.Join(dir, "document.*"))
			if err != nil || len(docs) != 1 {
				t.Fatalf("documents: %v %v", docs, err)
			}
			text, err := os.ReadFile(docs[0])
			if err != nil {
				t.Fatal(err)
			}
			run(t, dir, s, text)
		})
	}
}

// run gives what a suite's document and calls give.
func (s suite) run(t *testing.T, u *upstream, text []byte) suite {
	out := suite{Options: s.Options}
	d, err := openapi.Parse(text, openapi.Options{Strict: s.Options.Strict, AllowHTTP: s.Options.AllowHTTP, Server: s.Options.Server, Output: true})
	if err != nil {
		var p *openapi.Problems
		if !errors.As(err, &p) {
			t.Fatalf("parse: %T %v", err, err)
		}
		out.Refused = p.Reasons()
		out.Calls = s.Calls
		return out
	}
	out.Warnings = d.Warnings()
	for _, tool := range d.Tools() {
		checkSchema(t, tool.Name, tool.InputSchema)
		if success, _ := d.Success(tool.Name); success.OutputSchema != nil {
			checkSchema(t, tool.Name+" output", success.OutputSchema)
		}
		b, err := json.Marshal(tool)
		if err != nil {
			t.Fatal(err)
		}
		out.Tools = append(out.Tools, b)
	}
	for _, c := range s.Calls {
		r, err := d.Request(t.Context(), c.Tool, c.Arguments)
		c.Refused, c.Request = "", nil
		if err != nil {
			c.Refused = err.Error()
		} else {
			got := u.receive(t, r)
			c.Request = &got
		}
		out.Calls = append(out.Calls, c)
	}
	return out
}

// checkSchema asks another's validator whether a schema is one of 2020-12.
func checkSchema(t *testing.T, name string, text []byte) {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, text)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseRegexpEngine(func(s string) (jsonschema.Regexp, error) { return anyPattern(s), nil })
	if err := c.AddResource("https://schema.example/s.json", v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if _, err := c.Compile("https://schema.example/s.json"); err != nil {
		t.Errorf("%s: %v\n%s", name, err, text)
	}
}

// anyPattern stands for patterns of ECMAScript, which Go has no engine for.
type anyPattern string

func (p anyPattern) MatchString(s string) bool {
	re, err := regexp.Compile(string(p))
	return err != nil || re.MatchString(s)
}
func (p anyPattern) String() string { return string(p) }

func compare(t *testing.T, what string, want, got any) {
	t.Helper()
	w, g := plain(t, want), plain(t, got)
	if !bytes.Equal(w, g) {
		t.Errorf("%s:\n got %s\nwant %s", what, g, w)
	}
}

// plain is a value as JSON with the names in order.
func plain(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var value any
	if err := json.Unmarshal(b, &value); err != nil {
		t.Fatal(err)
	}
	b, err = json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeSuite(t *testing.T, dir string, s suite) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(s); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cases.json"), out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
