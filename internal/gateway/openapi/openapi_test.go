package openapi_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/outcrop/outcrop/internal/gateway/openapi"
)

// TestLargeSchemas are schemas that name each other, at sizes that are listed in full, in
// $defs, and not all.
func TestLargeSchemas(t *testing.T) {
	for _, c := range []struct {
		schemas       int
		defs, warning bool
	}{{2, true, false}, {100, true, false}, {2000, false, true}} {
		d, err := openapi.Parse(large(1, c.schemas, c.schemas), openapi.Options{})
		if err != nil {
			t.Fatal(err)
		}
		text := d.Tools()[0].InputSchema
		checkSchema(t, fmt.Sprint(c.schemas), text)
		if len(text) > 256<<10 || strings.Contains(string(text), "$defs") != c.defs || (len(d.Warnings()) > 0) != c.warning {
			t.Errorf("%d schemas: %d bytes, warnings %q", c.schemas, len(text), d.Warnings())
		}
		if c.warning && !strings.Contains(d.Warnings()[0], "#/paths/~1p0~1{id}/post: the schema is large") {
			t.Errorf("warning: %s", d.Warnings()[0])
		}
		if _, err := openapi.Parse(large(1, c.schemas, c.schemas), openapi.Options{Strict: true}); err != nil != c.warning && c.schemas > 2 {
			var p *openapi.Problems
			if !errors.As(err, &p) {
				t.Errorf("strict: %v", err)
			}
		}
	}
}

// TestTreeIsReleased holds what a document keeps to what its calls need: not the schemas
// that stand in its operations.
func TestTreeIsReleased(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"openapi":"3.1.0","servers":[{"url":"https://a.example"}],"paths":{`)
	for i := range 200 {
		fmt.Fprintf(&b, `"/p%d":{"post":{"operationId":"o%d","requestBody":{"content":{"application/json":{"schema":{"oneOf":[%s{}]}}}}}},`,
			i, i, strings.Repeat(`{"x-note":[1,2,3,4,5,6,7,8]},`, 100))
	}
	b.WriteString(`"/":{}}}`)
	text := []byte(b.String())
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	d, err := openapi.Parse(text, openapi.Options{})
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if kept := int64(after.HeapAlloc) - int64(before.HeapAlloc); kept > 4<<20 {
		t.Errorf("%d operations keep %d KB", len(d.Tools()), kept>>10)
	}
	runtime.KeepAlive(d)
	runtime.KeepAlive(text)
}

func TestSuccess(t *testing.T) {
	text := []byte(`{"openapi":"3.0.3","servers":[{"url":"https://a.example"}],"paths":{
"/object":{"get":{"operationId":"object","responses":{"default":{"content":{"text/html":{}}},"200":{"$ref":"#/components/responses/R"},"404":{"content":{"application/problem+json":{}}}}}},
"/list":{"get":{"operationId":"list","responses":{"200":{"content":{"application/json":{"schema":{"type":"array"}}}}}}},
"/default":{"get":{"operationId":"default","responses":{"default":{"content":{"application/xml":{"schema":{"type":"object"}},"bad type":{}}}}}},
"/none":{"get":{"operationId":"none"}}},
"components":{"responses":{"R":{"content":{"application/xml":{},"application/json":{"schema":{"type":"object","required":["id","secret"],"properties":{"id":{"type":"integer","readOnly":true},"secret":{"type":"string","writeOnly":true}}}}}}}}}`)
	d, err := openapi.Parse(text, openapi.Options{Output: true})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]openapi.Success{
		"object":  {Accept: "application/xml, application/json", OutputSchema: json.RawMessage(`{"type":"object","properties":{"id":{"type":"integer"}},"required":["id"]}`)},
		"list":    {Accept: "application/json"},
		"default": {Accept: "application/xml"},
		"none":    {Accept: "*/*"},
	} {
		got, ok := d.Success(name)
		if !ok || got.Accept != want.Accept || string(got.OutputSchema) != string(want.OutputSchema) {
			t.Errorf("%s: %s %s", name, got.Accept, got.OutputSchema)
		}
	}
	if _, ok := d.Success("nothing"); ok {
		t.Error("a tool that is not there has successes")
	}
	if d, err = openapi.Parse(text, openapi.Options{}); err != nil {
		t.Fatal(err)
	}
	if got, _ := d.Success("object"); got.OutputSchema != nil {
		t.Errorf("a schema that nobody asked for: %s", got.OutputSchema)
	}
}

// TestProblems are counted, cut and each told once.
func TestProblems(t *testing.T) {
	var paths strings.Builder
	for i := range 150 {
		fmt.Fprintf(&paths, `"/%s%d":{"get":{"operationId":"o%d","parameters":[{"in":"query"},{"$ref":"#/components/parameters/x"}]}},`, strings.Repeat("long", 500), i, i)
	}
	_, err := openapi.Parse([]byte(`{"openapi":"3.0.3","servers":[{"url":"/"}],"paths":{`+paths.String()+`"/":{}}}`), openapi.Options{})
	var p *openapi.Problems
	if !errors.As(err, &p) {
		t.Fatal(err)
	}
	reasons := p.Reasons()
	if len(reasons) != 100 || !strings.HasPrefix(reasons[99], "… and ") || !strings.HasPrefix(reasons[0], "#/servers/0/url: ") {
		t.Errorf("%d reasons, from %q to %q", len(reasons), reasons[0], reasons[len(reasons)-1])
	}
	for _, r := range reasons {
		if len(r) > 1000 {
			t.Errorf("%d bytes", len(r))
		}
	}
	large := make([]byte, 101)
	if _, err := openapi.Parse(large, openapi.Options{MaxBytes: 100}); err == nil || !strings.Contains(err.Error(), "101 bytes; the limit is 100") {
		t.Errorf("too large: %v", err)
	}
}

// TestConcurrentCalls share one document.
func TestConcurrentCalls(t *testing.T) {
	d, err := openapi.Parse([]byte(strings.Replace(hostile, "KIND", "application/xml", 1)), openapi.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			args := fmt.Sprintf(`{"p":%d,"q":"a","r":"b","f":{"x":[1,%d]}}`, i, i)
			r, err := d.Request(t.Context(), "op", json.RawMessage(args))
			if err != nil {
				t.Error(err)
				return
			}
			// A body is read anew for each try.
			for range 2 {
				body, err := r.GetBody()
				if err != nil {
					t.Error(err)
					return
				}
				b, _ := io.ReadAll(body)
				if want := fmt.Sprintf("<f><x>1</x><x>%d</x></f>", i); !strings.Contains(string(b), want) {
					t.Errorf("%s, want %s", b, want)
				}
			}
		})
	}
	group.Wait()
}
