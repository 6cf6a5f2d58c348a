package jsonrpc

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

func TestHead(t *testing.T) {
	long := strings.Repeat("x", maxID)
	for _, tt := range []struct{ message, id, method string }{
		{`{"jsonrpc":"2.0","id":1,"method":"ping"}`, "1", "ping"},
		{` { "method" : "initialize" , "params" : {"id":7,"a":["}",{"method":"no"}]} , "jsonrpc":"2.0", "id" : "req-001" } `, `"req-001"`, "initialize"},
		{`{"id":"a\"},\"method\":\"no","method":"tools\/call"}`, `"a\"},\"method\":\"no"`, "tools/call"},
		{`{"id":-1.5e3}`, "-1.5e3", ""},
		{`{"id":null,"method":"notifications/initialized"}`, "null", "notifications/initialized"},
		{`{"id":1,"id":2}`, "2", ""},
		{`{"id":{"a":1},"method":["x"]}`, "null", ""},
		{`{"id":true,"method":3}`, "null", ""},
		{`{"id":01}`, "null", ""},
		{`{"id":"` + long + `"}`, "null", ""},
		{`{"` + long + `":1,"id":4}`, "4", ""},
		{"{\"id\":\"\xff\"}", "null", ""},
		{`[{"id":1,"method":"ping"}]`, "null", ""},
		{`{"id":5,"method":"pi`, "5", ""},
		{`{"i\u0064":5}`, "null", ""},
		{`hello`, "null", ""},
		{``, "null", ""},
		{`{}{"id":1}`, "null", ""},
	} {
		for _, read := range []func(io.Reader) io.Reader{func(r io.Reader) io.Reader { return r }, iotest.OneByteReader} {
			var h Head
			if _, err := io.Copy(&h, read(strings.NewReader(tt.message))); err != nil {
				t.Fatal(err)
			}
			if h.ID() != tt.id || h.Method() != tt.method {
				t.Errorf("%.80s: id %s, method %q; want %s, %q", tt.message, h.ID(), h.Method(), tt.id, tt.method)
			}
		}
	}
}

// FuzzHead: of a message that is one, what is read is what a parser reads; of
// anything else, what is told is JSON all the same.
func FuzzHead(f *testing.F) {
	for _, s := range []string{`{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":[1,"}"]}}`, `{"id":"\u0031","method":"a\\"}`, `[1]`, `{"id":1e5 }`, `{"params":{},"id" :"x"`, `{"id":1e700}`} {
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, message []byte, cut int) {
		var h Head
		cut = max(0, min(cut, len(message)))
		_, _ = h.Write(message[:cut])
		_, _ = h.Write(message[cut:])
		if !json.Valid([]byte(h.ID())) || len(h.ID()) > maxID {
			t.Fatalf("id %q", h.ID())
		}
		if c := h.ID()[0]; c == '{' || c == '[' || c == 't' || c == 'f' {
			t.Fatalf("id %q", h.ID())
		}
		var members map[string]json.RawMessage
		if !utf8.Valid(message) || bytes.ContainsRune(message, '\\') || json.Unmarshal(message, &members) != nil {
			return
		}
		id, method, text := string(members["id"]), members["method"], ""
		if id == "" || strings.Contains("{[tf", id[:1]) || len(id) > maxID {
			id = Null
		}
		if len(method) > maxMethod || json.Unmarshal(method, &text) != nil {
			text = ""
		}
		if h.ID() != id || h.Method() != text {
			t.Errorf("%q: id %s, method %q; want %s, %q", message, h.ID(), h.Method(), id, text)
		}
	})
}

func BenchmarkHead(b *testing.B) {
	message := []byte(`{"jsonrpc":"2.0","method":"tools/call","params":{"name":"echo","arguments":{"text":"` + strings.Repeat("hello ", 1000) + `"}},"id":17}`)
	b.SetBytes(int64(len(message)))
	b.ReportAllocs()
	for b.Loop() {
		var h Head
		if _, _ = h.Write(message); h.ID() != "17" {
			b.Fatal(h.ID())
		}
	}
}
