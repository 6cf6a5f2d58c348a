package mcp

import (
	"bytes"
	"reflect"
	"testing"

	jsonv2 "github.com/go-json-experiment/json"
)

// messages are some of a caller's, good and bad.
var messages = []string{
	`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"b":[1,{}]},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"a":{}},"x":1},"more":null}}`,
	`{"jsonrpc":"2.0","id":"\u0041","method":"a\nb","params":{"uri":"é","cursor":null,"arguments":null,"_meta":null}}`,
	`{"jsonrpc":2,"method":[]}`, `{"id":null,"result":null,"error":{}}`, `{"id":1,"id":2}`, `{"params":{"a":1,"a":2}}`, `{"params":{"name":1}}`, `{"params":{"_meta":1}}`,
	`{"params":{"_meta":{"io.modelcontextprotocol/clientCapabilities":null}}}`, `{"params":{"_meta":{"io.modelcontextprotocol/clientCapabilities":[]}}}`, `{"method":"\ud800"}`, `[]`, `{`, ` {} `, "{\"a\":\"\xff\"}",
}

// FuzzScan holds what is scanned against what jsonv2 decodes.
func FuzzScan(f *testing.F) {
	for _, m := range messages {
		f.Add([]byte(m))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if body = bytes.TrimSpace(body); len(body) == 0 {
			return
		}
		var got, want message
		if !got.scan(body) {
			return // it is decoded then
		}
		if err := jsonv2.Unmarshal(body, &want, lenient...); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v, decoded %+v, %v", got, want, err)
		}
		if len(got.Params) == 0 || got.Params[0] != '{' {
			return
		}
		var p, wantP params
		if !p.scan(got.Params) {
			return
		}
		if err := jsonv2.Unmarshal(got.Params, &wantP, lenient...); err != nil || !reflect.DeepEqual(p, wantP) {
			t.Fatalf("%+v, decoded %+v, %v", p, wantP, err)
		}
		var a, wantA meta
		if len(p.Meta) == 0 || !a.scan(p.Meta) {
			return
		}
		if err := jsonv2.Unmarshal(p.Meta, &wantA, lenient...); err != nil || !reflect.DeepEqual(a, wantA) {
			t.Fatalf("%+v, decoded %+v, %v", a, wantA, err)
		}
	})
}

// TestScan: what callers send is scanned, and not decoded.
func TestScan(t *testing.T) {
	for i, want := range []bool{true, true, false, true, false, false, true, true, true, true, false, false, false} {
		if got := new(message).scan([]byte(messages[i])); got != want {
			t.Errorf("%s: %v", messages[i], got)
		}
	}
}

// BenchmarkRead is what reading a call takes.
func BenchmarkRead(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		m, f := parse([]byte(messages[0]))
		if f != nil {
			b.Fatal(f)
		}
		if _, _, f := m.read(); f != nil {
			b.Fatal(f)
		}
	}
}
