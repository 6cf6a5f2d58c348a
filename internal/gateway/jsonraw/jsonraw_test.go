package jsonraw

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// FuzzValid holds what is taken for JSON, and for that of all readers, against jsontext.
func FuzzValid(f *testing.F) {
	for _, s := range []string{
		`{"a":[1,-0.5e+3,true,false,null,"\u00e9\\\ud800\n"],"a":{}}`, " [ ] ", `{"a"}`, `[1,]`, `{"a":1,}`, "01", "-", "1.", "1e", "tru", "nul1", "\"\x01\"", `"\x"`, `"\u00g0"`, `"`, `"\`, "[", "{", "", " ", "1 2", "\"\xff\"", "\"1234567\x1f8\"", `"12345678\"90"`, `{"a":1,"\u0061":2}`, `{"a\/b":1,"a/b":2}`, `[{"a":[{"b":1,"b":2}]}]`, `["\\u"]`,
		`{"1":1,"2":1,"3":1,"4":1,"5":1,"6":1,"7":1,"8":1,"9":1,"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1}`, "[[[[[[[[[1]]]]]]]]]", "\"\xc3\xa9\u00a2\u20ac\"",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if got, want := Strict(in), jsontext.Value(in).IsValid(); got != want {
			t.Errorf("%q: strictly %v, want %v", in, got, want)
		}
		want := utf8.Valid(in) && jsontext.Value(in).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
		if got := Valid(in); got != want {
			t.Errorf("%q: %v, want %v", in, got, want)
		}
		for range Members(in) { // whatever it is, nothing is read beyond it
		}
		for range Elements(in) {
		}
	})
}

// TestDeep: as jsontext has it.
func TestDeep(t *testing.T) {
	for _, n := range []int{maxDepth, maxDepth + 1} {
		for _, c := range [][3]string{{"[", "", "]"}, {`{"a":`, "1", "}"}} {
			in := []byte(strings.Repeat(c[0], n) + c[1] + strings.Repeat(c[2], n))
			if got, want := Valid(in), jsontext.Value(in).IsValid(); got != want || got != (n == maxDepth) {
				t.Errorf("%d of %s: %v, want %v", n, c[0], got, want)
			}
			if Valid(in[:len(in)-1]) {
				t.Errorf("%d of %s without the last %s", n, c[0], c[2])
			}
		}
	}
}

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

// BenchmarkValid reads a call of a tool.
func BenchmarkValid(b *testing.B) {
	raw := []byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"` + strings.Repeat("x", 1<<10) + `"},"_meta":{"a/b":{},"c":[1,2.5e3,true]}}}`)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if !Valid(raw) {
			b.Fatal("it is JSON")
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
