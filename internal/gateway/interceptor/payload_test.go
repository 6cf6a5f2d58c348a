package interceptor

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/gateway"
	"github.com/outcrop/outcrop/internal/gateway/function"
)

// TestRefused: what is not understood does not pass for "unchanged".
func TestRefused(t *testing.T) {
	for answer, want := range map[string]string{
		``:     "answered no JSON object",
		`null`: "answered no JSON object",
		`[]`:   "answered no JSON object",
		`{"interceptorOutputVersion":"1.0","http":{}} {}`: "answered no JSON object",
		`{"http":{}}`: "interceptorOutputVersion that is not",
		`{"interceptorOutputVersion":1.0,"http":{}}`:                                                  "interceptorOutputVersion that is not",
		`{"interceptorInputVersion":"1.0","http":{}}`:                                                 "interceptorOutputVersion that is not",
		`{"interceptorOutputVersion":"1.0"}`:                                                          "in the member http",
		`{"interceptorOutputVersion":"1.0","mcp":{}}`:                                                 "in the member http",
		`{"interceptorOutputVersion":"1.0","http":[]}`:                                                "in the member http",
		`{"interceptorOutputVersion":"1.0","http":{"transformedGatewayRequest":"x"}}`:                 "in the member http",
		`{"interceptorOutputVersion":"1.0","http":{"transformedGatewayRequest":{"headers":{"a":1}}}}`: "in the member http",
		`{"interceptorOutputVersion":"1.0","http":{"transformedGatewayRequest":{"body":7}}}`:          "transformedGatewayRequest whose body is no string of base64",
		`{"interceptorOutputVersion":"1.0","http":{"transformedGatewayResponse":{"body":"a"}}}`:       "transformedGatewayResponse whose body is not in base64",
		`{"interceptorOutputVersion":"1.0","http":{"transformedGatewayResponse":{"statusCode":99}}}`:  "statusCode is 99",
	} {
		if _, err := parse(HTTP, []byte(answer)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", answer, err, want)
		}
	}
	if _, err := parse(MCP, []byte(`{"interceptorOutputVersion":"1.0","http":{}}`)); err == nil || !strings.Contains(err.Error(), "in the member mcp") {
		t.Errorf("%v", err)
	}
	if _, err := parse(MCP, []byte(`{"interceptorOutputVersion":"1.0","mcp":{"transformedGatewayRequest":{"body":null}}}`)); err == nil || !strings.Contains(err.Error(), "body is null") {
		t.Errorf("%v", err)
	}
}

type echo string

func (e echo) Invoke(context.Context, function.Invocation) (function.Answer, error) {
	return function.Answer{Payload: []byte(e)}, nil
}

// TestSignatures: a function that hands back all headers does not give the caller's
// signature to a target; a token that it hands back it has chosen.
func TestSignatures(t *testing.T) {
	for _, tt := range []struct{ callers, set, want string }{
		{"AWS4-HMAC-SHA256 Credential=a", "AWS4-HMAC-SHA256 Credential=a", ""},
		{"AWS4-HMAC-SHA256 Credential=a", "Bearer b", "Bearer b"},
		{"Bearer a", "Bearer a", "Bearer a"},
	} {
		for _, p := range []Protocol{MCP, HTTP} {
			c := &Chain{functions: echo(`{"interceptorOutputVersion":"1.0","` + p.key() + `":{"transformedGatewayRequest":{"headers":{"authorization":"` + tt.set + `"}}}}`), view: &gateway.View{}, request: &hook{}}
			_, set, _, err := c.Request(t.Context(), Request{Protocol: p, Header: http.Header{"Authorization": {tt.callers}}})
			if got := set.Get("Authorization"); err != nil || got != tt.want {
				t.Errorf("%+v: %q, %v", tt, got, err)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`{"interceptorOutputVersion":"1.0","http":{}}`,
		`{"interceptorOutputVersion":"1.0","mcp":{"transformedGatewayRequest":{"body":{"a":1},"headers":{"A":"b"}}}}`,
		`{"interceptorOutputVersion":"1.0","http":{"transformedGatewayResponse":{"statusCode":200,"contentType":"a/b","headers":{"X":"y\r\nz"},"body":"aGk="}}}`,
		`{"interceptorOutputVersion":"1.0","http":{"transformedGatewayRequest":{"body":null}}}`,
	} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, answer string, web bool) {
		p := MCP
		if web {
			p = HTTP
		}
		out, err := parse(p, []byte(answer))
		if err != nil {
			if out.request != nil || out.response != nil {
				t.Fatal("an error, and something to go on with")
			}
			return
		}
		var said map[string]json.RawMessage
		if json.Unmarshal([]byte(answer), &said) != nil || said[p.key()] == nil {
			t.Fatalf("%q passed", answer)
		}
		for _, c := range []*changed{out.request, out.response} {
			if c == nil {
				continue
			}
			if c.status != 0 && (c.status < 200 || c.status > 599) || !c.given && c.body != nil || c.given && p == MCP && !json.Valid(c.body) {
				t.Fatalf("%q: %+v", answer, c)
			}
			for name, values := range c.header {
				if name == "" || strings.ContainsAny(name+values[0], "\r\n\x00") {
					t.Fatalf("%q: %q", answer, c.header)
				}
			}
			// What is written of the header is read as what it was.
			var wire bytes.Buffer
			if err := c.header.Write(&wire); err != nil || strings.Count(wire.String(), "\r\n") != len(c.header) {
				t.Fatalf("%q: %q", answer, wire.String())
			}
		}
	})
}

func BenchmarkPayload(b *testing.B) {
	r := Request{Protocol: HTTP, Method: "POST", Path: "/t/x", Header: http.Header{"Content-Type": {"application/json"}}, Body: bytes.Repeat([]byte("x"), 64<<10)}
	answer := []byte(`{"interceptorOutputVersion":"1.0","http":{"transformedGatewayRequest":{"body":"` + base64.StdEncoding.EncodeToString(r.Body) + `"}}}`)
	b.ReportAllocs()
	b.SetBytes(int64(len(r.Body)))
	for b.Loop() {
		if _, err := payloadOf(&hook{headers: true}, r, nil); err != nil {
			b.Fatal(err)
		}
		if _, err := parse(HTTP, answer); err != nil {
			b.Fatal(err)
		}
	}
}
