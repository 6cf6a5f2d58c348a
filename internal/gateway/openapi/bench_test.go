package openapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/gateway/openapi"
)

// large is a document of that many operations and of schemas of about 400 bytes, of which
// so many name each other.
func large(operations, schemas, tangled int) []byte {
	var b strings.Builder
	b.WriteString(`{"openapi":"3.0.3","info":{"title":"t","version":"1"},"servers":[{"url":"https://a.example"}],"paths":{`)
	for i := range operations {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"/p%d/{id}":{"post":{"operationId":"op%d","parameters":[{"name":"id","in":"path","required":true,"schema":{"type":"string"}},{"name":"q","in":"query","schema":{"type":"array","items":{"type":"string"}}}],"requestBody":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/S%d"}}}},"responses":{"200":{"description":"ok","content":{"application/json":{"schema":{"$ref":"#/components/schemas/S%d"}}}}}}}`, i, i, i%schemas, i%schemas)
	}
	b.WriteString(`},"components":{"schemas":{`)
	for i := range schemas {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"S%d":{"type":"object","description":"%s","properties":{"a":{"$ref":"#/components/schemas/S%d"},"b":{"$ref":"#/components/schemas/S%d"},"c":{"type":"string","description":"%s"}}}`, i, strings.Repeat("words ", 20), i-i%tangled+(i+1)%tangled, i-i%tangled+(i*7+3)%tangled, strings.Repeat("more ", 20))
	}
	b.WriteString(`}}}`)
	return []byte(b.String())
}

func BenchmarkParse(b *testing.B) {
	for name, text := range map[string][]byte{
		"10 operations":               large(10, 10, 2),
		"200 operations, one tangle":  large(200, 200, 200),
		"1000 operations, 10 MB":      large(1000, 24000, 5),
		"1000 operations, 10 MB YAML": asYAML(large(1000, 20000, 5)),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := openapi.Parse(text, openapi.Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// asYAML breaks JSON into lines that JSON's parser does not take and YAML's does.
func asYAML(text []byte) []byte {
	text = bytes.ReplaceAll(text, []byte(`},"S`), []byte("},\n  \"S"))
	return append([]byte("# YAML\n"), text...)
}

func BenchmarkRequest(b *testing.B) {
	d, err := openapi.Parse([]byte(`{"openapi":"3.1.0","servers":[{"url":"https://api.example.com/v1"}],"paths":{"/a/{p}":{"post":{"operationId":"op","parameters":[
{"name":"p","in":"path","required":true,"schema":{"type":"string"}},{"name":"q","in":"query","schema":{"type":"array","items":{"type":"string"}}},{"name":"X-V","in":"header","schema":{"type":"string"}}],
"requestBody":{"content":{"application/json":{"schema":{"type":"object","properties":{"title":{"type":"string"},"labels":{"type":"array"}}}}}}}}}}`), openapi.Options{})
	if err != nil {
		b.Fatal(err)
	}
	args := json.RawMessage(`{"p":"a b","q":["x","y"],"X-V":"1","title":"Something is wrong","labels":["bug","high"]}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Request(b.Context(), "op", args); err != nil {
			b.Fatal(err)
		}
	}
}

// TestHostileDocuments are documents made to cost much: each ends within seconds of an
// idle machine and a bounded memory, refused or not.
func TestHostileDocuments(t *testing.T) {
	if testing.Short() {
		t.Skip("makes documents of 10 MB")
	}
	head := "openapi: 3.0.3\nservers: [{url: https://a.example}]\npaths: {/a: {get: {operationId: a}}}\n"
	fill := func(unit string) string { return strings.Repeat(unit, (openapi.MaxBytes-len(head)-20)/len(unit)) }
	jsonHead := `{"openapi":"3.1.0","servers":[{"url":"https://a.example"}],`
	ops := func(n int, body string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `%s"/p%d":{"post":{"operationId":"o%d",%s}}`, map[bool]string{true: "", false: ","}[i == 0], i, i, body)
		}
		return jsonHead + `"paths":{` + b.String() + `},`
	}
	byRef := `"requestBody":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/X"}}}}`
	docs := map[string]string{
		"comments":      head + fill("#\n"),
		"commented":     head + "x:\n" + fill("- a #b\n#c\n"),
		"items":         head + "x:\n" + fill("- a\n"),
		"flow list":     head + "x: [" + fill("a,") + "]",
		"flow map":      head + "x: {" + fill("a:,") + "}",
		"brackets":      fill("["),
		"json brackets": fill(`{"a":`),
		"dashes":        fill("- "),
		"long text":     head + "x: \"" + fill("b\n") + "\"",
		"colons":        head + fill("::"),
		"json numbers":  jsonHead + `"x":[` + fill("1,") + "1]}",
		"json names":    jsonHead + `"x":` + strings.Repeat(`{"`+strings.Repeat("n", 100000)+`":`, 90) + "1" + strings.Repeat("}", 90) + "}",
		"deep alias": "a0: &a0 {x: 1}\n" + func() string {
			var b strings.Builder
			for i := 1; i < 200000; i++ {
				fmt.Fprintf(&b, "a%d: &a%d {x: *a%d}\n", i, i, i-1)
			}
			return b.String()
		}(),
		"bomb": head + "x0: &x0 [a,a,a,a,a,a,a,a,a,a]\n" + func() string {
			var b strings.Builder
			for i := 1; i < 20; i++ {
				fmt.Fprintf(&b, "x%d: &x%d [%s*x%d]\n", i, i, strings.Repeat(fmt.Sprintf("*x%d,", i-1), 9), i-1)
			}
			return b.String()
		}(),
		"merges": head + "x: &x\n" + func() string {
			var b strings.Builder
			for i := range 100000 {
				fmt.Fprintf(&b, "  k%d: 1\n", i)
			}
			return b.String()
		}() + "y:\n" + strings.Repeat("- {<<: *x}\n", 100000),
		"large schema, many operations": ops(1000, byRef) + `"components":{"schemas":{"X":{"type":"object","properties":{` +
			func() string {
				var b strings.Builder
				for i := range 200000 {
					fmt.Fprintf(&b, `"property%d":{"type":"string"},`, i)
				}
				return b.String()
			}() + `"z":{"type":"string"}}}}}}`,
		"many required": ops(1000, byRef) + `"components":{"schemas":{"X":{"type":"object","properties":{"z":{}},"required":[` + strings.Repeat(`"zzzzzz",`, 900000) + `"z"]}}}}`,
		"many types":    ops(1000, byRef) + `"components":{"schemas":{"X":{"type":[` + strings.Repeat(`"zz",`, 900000) + `"string"]}}}}`,
		"long chain": ops(1000, byRef) + `"components":{"schemas":{"X":{"$ref":"#/components/schemas/X0"},` + func() string {
			var b strings.Builder
			for i := range 150000 {
				fmt.Fprintf(&b, `"X%d":{"items":{"$ref":"#/components/schemas/X%d"}},`, i, i+1)
			}
			return b.String()
		}() + `"X150000":{}}}}`,
		"one path item": jsonHead + `"components":{"pathItems":{"A":{"get":{},"parameters":[` + strings.Repeat(`{"name":"a","in":"query"},`, 499) + `{"name":"b","in":"query"}]}}},"paths":{` +
			func() string {
				var b strings.Builder
				for i := range 100000 {
					fmt.Fprintf(&b, `"/p%d":{"$ref":"#/components/pathItems/A"},`, i)
				}
				return b.String()
			}() + `"/z":{}}}`,
		"large description": ops(1000, byRef) + `"components":{"schemas":{"X":{"type":"object","properties":{"z":{"description":"` + strings.Repeat("d", 8<<20) + `"}}}}}}`,
		"doubling": ops(1000, byRef) + `"components":{"schemas":{` + func() string {
			var b strings.Builder
			for i := range 60 {
				name := fmt.Sprint("X", i)
				if i == 0 {
					name = "X"
				}
				fmt.Fprintf(&b, `"%s":{"type":"object","properties":{"a":{"$ref":"#/components/schemas/X%d"},"b":{"$ref":"#/components/schemas/X%d"}}},`, name, i+1, i+1)
			}
			return b.String()
		}() + `"X60":{"type":"string"}}}}`,
		"wide allOf": ops(1000, byRef) + `"components":{"schemas":{"X":{"allOf":[` + strings.Repeat(`{"$ref":"#/components/schemas/X"},`, 200000) + `{}]}}}}`,
		"xml":        ops(1000, strings.ReplaceAll(byRef, "json", "xml")) + `"components":{"schemas":{"X":{"type":"array","items":{"type":"object","properties":{"a":{"$ref":"#/components/schemas/X"}}}}}}}`,
	}
	for name, text := range docs {
		t.Run(name, func(t *testing.T) {
			if len(text) > openapi.MaxBytes {
				text = text[:openapi.MaxBytes]
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			begin := time.Now()
			d, err := openapi.Parse([]byte(text), openapi.Options{})
			took := time.Since(begin)
			runtime.ReadMemStats(&after)
			tools := 0
			if err == nil {
				tools = len(d.Tools())
			}
			t.Logf("%d bytes: %v, %d MB allocated, %d tools, %.200v", len(text), took, (after.TotalAlloc-before.TotalAlloc)>>20, tools, err)
			if took > time.Minute {
				t.Errorf("took %v", took)
			}
			if all := (after.TotalAlloc - before.TotalAlloc) >> 20; all > 3000 {
				t.Errorf("allocated %d MB", all)
			}
		})
	}
}
