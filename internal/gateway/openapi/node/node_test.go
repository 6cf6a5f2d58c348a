package node_test

import (
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/gateway/openapi/node"
)

var limits = node.Limits{Depth: 20, Nodes: 1000}

func TestYAML(t *testing.T) {
	for text, want := range map[string]string{
		"a: 1\n\"b\": [x, ~, true, 1.50]":                     `{"a":1,"b":["x",null,true,1.50]}`,
		"yes: no\n200: 0x10\n1.5: 0o17":                       `{"yes":"no","200":16,"1.5":15}`,
		"d: 2026-01-02":                                       `{"d":"2026-01-02"}`,
		"d: 2026-01-02T03:04:05Z":                             `{"d":"2026-01-02T03:04:05Z"}`,
		"n: 12345678901234567890123":                          `{"n":12345678901234567890123}`,
		"n: [+1, .5, 1_000, -0.0]":                            `{"n":[1,0.5,1000,-0.0]}`,
		"a: &x {b: 1}\nc: *x":                                 `{"a":{"b":1},"c":{"b":1}}`,
		"a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}":               `{"a":{"b":1,"c":2},"d":{"c":3,"b":1}}`,
		"x: &x {b: 1}\ny: &y {b: 2, c: 2}\nd: {<<: [*x, *y]}": `{"x":{"b":1},"y":{"b":2,"c":2},"d":{"b":1,"c":2}}`,
		"s: !!str 5\nb: !!binary aGk=\nc: !custom x":          `{"s":"5","b":"aGk=","c":"x"}`,
		"# nothing\n---\na: |\n  two\n  lines\n":              `{"a":"two\nlines\n"}`,
		"%YAML 1.2\n---\n{a: 1}":                              `{"a":1}`,
	} {
		n, err := node.YAML([]byte(text), limits)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got := string(n.AppendJSON(nil)); got != want {
			t.Errorf("%q:\n got %s\nwant %s", text, got, want)
		}
	}
}

func TestRefused(t *testing.T) {
	deep := strings.Repeat("[", 30) + strings.Repeat("]", 30)
	wide := "[" + strings.Repeat("1,", 2000) + "1]"
	for text, want := range map[string]string{
		"":                     "is empty",
		"a: 1\na: 2":           `line 1: "a" is there twice`,
		"a: &x [*x]":           "a value that it is part of",
		"a: .inf":              "JSON has no number",
		"? [a]\n: b":           "a key is a list or a map",
		"a: {<<: 5}":           "<< takes maps",
		"---\na: 1\n---\nb: 2": "more than one document",
		"a: \xff":              "is not UTF-8",
		"a: b: c":              "YAML: ",
		"x: " + deep:           "nested deeper than 20 levels",
		"x: " + wide:           "more than 1000",
		"x: &x " + strings.Repeat("a", 20000) + "\ny: [*x, *x]": "with its aliases written out",
	} {
		if _, err := node.YAML([]byte(text), limits); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("YAML %.30q: %v, want %q", text, err, want)
		}
	}
	for text, want := range map[string]string{
		"":              "JSON: ",
		`{"a":1,"a":2}`: "duplicate",
		`{"a":1} x`:     "after",
		`{"a":1} {}`:    "more text",
		`{"a":"\xff"}`:  "JSON: ",
		`{"a":1,}`:      "JSON: ",
		deep:            "nested deeper than 20 levels",
		wide:            "more than 1000 values",
	} {
		if _, err := node.JSON([]byte(text), limits); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("JSON %.30q: %v, want %q", text, err, want)
		}
	}
}

func TestTwice(t *testing.T) {
	for text, read := range map[string]func([]byte, node.Limits) (*node.Node, error){
		"x:\n  a: 1\n  b: 2\n  a: 3": node.YAML,
		`{"x":{"a":1,"b":2,"a":3}}`:  node.JSON,
	} {
		var told []string
		l := limits
		l.Twice = func(where string) { told = append(told, where) }
		n, err := read([]byte(text), l)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(n.AppendJSON(nil)); got != `{"x":{"a":3,"b":2}}` || len(told) != 1 || !strings.HasPrefix(told[0], `"a" in `) {
			t.Errorf("%s: %s, told %q", text, got, told)
		}
	}
}

// TestPlace says where a text is wrong.
func TestPlace(t *testing.T) {
	for text, read := range map[string]func([]byte, node.Limits) (*node.Node, error){
		"a:\n  - b/c: {x: 1, x: 2}": node.YAML,
		`{"a":[{"b/c":{"x":tru}}]}`: node.JSON,
	} {
		_, err := read([]byte(text), limits)
		e, ok := err.(*node.Error)
		if !ok || !strings.HasPrefix(e.Pointer, "/a/0/b~1c") {
			t.Errorf("%s: %#v", text, err)
		}
	}
}

func TestFind(t *testing.T) {
	var members strings.Builder
	for c := 'a'; c <= 'z'; c++ { // enough for an index
		members.WriteString(`"` + string(c) + `":{"x":["` + string(c) + `"]},`)
	}
	n, err := node.JSON([]byte(`{`+members.String()+`"/~":{"":1}}`), limits)
	if err != nil {
		t.Fatal(err)
	}
	for pointer, want := range map[string]string{
		"/q/x/0": `"q"`, "/~1~0/": "1", "/~1~0": `{"":1}`,
		"/nothing": "null", "/q/x/1": "null", "/q/x/-1": "null", "/q/x/0/0": "null", "q": "null",
	} {
		if got := string(n.Find(pointer).AppendJSON(nil)); got != want {
			t.Errorf("%s: %s, want %s", pointer, got, want)
		}
		if p := node.To(pointer).Pointer(); p != pointer && pointer != "q" {
			t.Errorf("path of %s is %s", pointer, p)
		}
	}
}

// FuzzRead holds that what is read is JSON, and reads the same again.
func FuzzRead(f *testing.F) {
	for _, s := range []string{"a: &x {b: [1, ~]}\nc: {<<: *x}", `{"a":[1,true,null,"x"]}`, "- - ? a", "a: 0x1F", "%YAML 1.2\n---\n.5"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, read := range []func([]byte, node.Limits) (*node.Node, error){node.JSON, node.YAML} {
			n, err := read(text, limits)
			if err != nil {
				if _, ok := err.(*node.Error); !ok {
					t.Fatalf("%T", err)
				}
				continue
			}
			out := n.AppendJSON(nil)
			again, err := node.JSON(out, node.Limits{Depth: 1000, Nodes: 1 << 20})
			if err != nil {
				t.Fatalf("%s: %v", out, err)
			}
			if string(again.AppendJSON(nil)) != string(out) {
				t.Fatalf("%s is read as %s", out, again.AppendJSON(nil))
			}
		}
	})
}
