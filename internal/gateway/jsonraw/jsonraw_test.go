package jsonraw

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// FuzzMembers holds what is read against encoding/json.
func FuzzMembers(f *testing.F) {
	for _, s := range []string{`{"id":1,"result":{"a":[1,"]",{}]}}`, ` [ {"id":"\u0041","err\u006fr":{}} ,{"method":"m"}] `, `{"a":-1.5e+3,"b":[true,null],"":""}`, `"\\"`, "[]", "{}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if in = Trim(in); !Valid(in) {
			return
		}
		if !json.Valid(in) {
			t.Fatalf("%q is taken for JSON", in)
		}
		walk(t, in)
	})
}

// walk compares the members of all objects, and the elements of all arrays.
func walk(t *testing.T, raw []byte) {
	switch raw[0] {
	case '{':
		got := map[string]json.RawMessage{}
		for key, value := range Members(raw) {
			got[string(key)] = value
			walk(t, value)
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(raw, &want); err != nil {
			return // deeper than encoding/json goes
		}
		if len(got) != len(want) {
			t.Fatalf("%s: %d members, want %d", raw, len(got), len(want))
		}
		for key, value := range want {
			if !bytes.Equal(got[key], value) {
				t.Fatalf("%s: %q is %s, want %s", raw, key, got[key], value)
			}
		}
	case '[':
		var got, want []json.RawMessage
		for item := range Elements(raw) {
			got = append(got, item)
			walk(t, item)
		}
		if json.Unmarshal(raw, &want) == nil && len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Fatalf("%s: %s, want %s", raw, got, want)
		}
	}
}

// BenchmarkMembers reads a result of 1 KiB.
func BenchmarkMembers(b *testing.B) {
	raw := []byte(`{"jsonrpc":"2.0","id":12,"result":{"content":[{"type":"text","text":"` + strings.Repeat("x", 1<<10) + `"}]}}`)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		for key := range Members(raw) {
			if len(key) == 0 {
				b.Fatal("a member has no name")
			}
		}
	}
}
