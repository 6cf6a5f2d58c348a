package http1

import (
	"bytes"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// FuzzWrite holds what is sent against what net/http sends.
func FuzzWrite(f *testing.F) {
	f.Add("POST", "example.org", "/mcp", "a=b", "", "User-Agent", " x ", "{}")
	f.Add("", "example.org:8080", "", "", "other.example", "X-One", "1", "")
	f.Add("PUT", "[::1]:80", "/ä%2F/?", "", "", "Content-Length", "7", "")
	f.Add("GET", "a.example", "//b\r\nX: y", "q=\x7f", "[fe80::1%25eth0]", "user-agent", "", "body")
	f.Add("DELETE", "a.example", "/", "q=a b", "a b", "Host", "c", "x")
	f.Add("G T", "a/b", "x", "", "", "Trailer", "\t1\t", "")
	f.Fuzz(func(t *testing.T, method, host, path, query, named, name, value, body string) {
		request := func() *http.Request {
			r, err := http.NewRequest(http.MethodPost, "http://example.org/", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			r.Method, r.Host, r.URL = method, named, &url.URL{Scheme: "http", Host: host, Path: path, RawQuery: query}
			r.Header[name] = []string{value, "2"}
			return r
		}
		r := request()
		if !fits(r) {
			return
		}
		var own, want bytes.Buffer
		if err := write(&own, r); err != nil {
			t.Fatalf("%+v: %v", r, err)
		}
		if err := request().Write(&want); err != nil {
			t.Fatalf("net/http does not send it: %v", err)
		}
		head, rest := parts(own.String())
		wantHead, wantRest := parts(want.String())
		if !slices.Equal(head, wantHead) || rest != wantRest {
			t.Errorf("%q, and net/http sends %q", own.String(), want.String())
		}
	})
}

// parts are a request's first line and its headers in an order, and its body.
func parts(request string) ([]string, string) {
	head, body, _ := strings.Cut(request, "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	slices.Sort(lines[1:])
	return lines, body
}

// TestLiars: a body is as long as its request says.
func TestLiars(t *testing.T) {
	for _, n := range []int64{1, 3} {
		r, err := http.NewRequest(http.MethodPost, "http://example.org/", strings.NewReader("12"))
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = n
		if err := write(&bytes.Buffer{}, r); err == nil || !strings.Contains(err.Error(), "Body length") {
			t.Errorf("%d: %v", n, err)
		}
	}
}

// BenchmarkWrite is a call of a tool.
func BenchmarkWrite(b *testing.B) {
	const body = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{}}}`
	b.ReportAllocs()
	var out bytes.Buffer
	for b.Loop() {
		r, err := http.NewRequest(http.MethodPost, "http://example.org/mcp", strings.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		r.Header = http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}, "Mcp-Method": {"tools/call"}, "Mcp-Name": {"echo"}, "User-Agent": {"outcrop"}}
		out.Reset()
		if !fits(r) || write(&out, r) != nil {
			b.Fatal("it is not taken")
		}
	}
}
