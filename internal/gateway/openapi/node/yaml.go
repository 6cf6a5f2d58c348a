package node

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// YAML reads one YAML 1.2 document as the JSON value it stands for: keys become strings,
// dates stay the strings they are written as, merge keys are merged. Errors are *Error.
func YAML(text []byte, l Limits) (*Node, error) {
	if !utf8.Valid(text) {
		return nil, failf("", "is not UTF-8")
	}
	// The parser takes some hundred bytes for each value and knows no bound.
	if atMost := values(text); atMost > l.Nodes+l.Nodes/2 {
		return nil, failf("", "YAML: has up to %d values, more than %d; write the document as JSON, or split it", atMost, l.Nodes)
	}
	// The parser refuses the version whose rules for scalars it has.
	if bytes.HasPrefix(text, []byte("%YAML 1.2")) {
		text = append([]byte("%YAML 1.1"), text[len("%YAML 1.2"):]...)
	}
	var doc, more yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, failf("", "is empty")
		}
		return nil, failf("", "YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, failf("", "YAML: there is more than one document; keep one of them")
	}
	r := &yamlReader{limits: l, anchors: map[*yaml.Node]*Node{}}
	root := &doc
	if doc.Kind == yaml.DocumentNode && len(doc.Content) > 0 {
		root = doc.Content[0]
	}
	n, err := r.value(root, 0)
	if err != nil {
		return nil, err
	}
	if n.size > l.Nodes {
		return nil, failf("", "has more than %d values with its aliases written out; write fewer of them", l.Nodes)
	}
	return n, nil
}

// values is a bound of how many values and comments a YAML text has: each has a character
// of its own that begins, separates or ends it.
func values(text []byte) int {
	n := 1
	for i, c := range text {
		switch c {
		case '\n', ',', '[', '{', '#':
			n++
		case ':', '-', '?':
			if i+1 == len(text) || bytes.IndexByte([]byte(" \t\r\n,[]{}\"'"), text[i+1]) >= 0 {
				n++
			}
		}
	}
	return n
}

// below puts a name before an error's pointer: paths are put together only when they are
// told, since names may be long and many.
func below(name string, err error) error {
	if e, ok := err.(*Error); ok {
		e.Pointer = Pointer("", name) + e.Pointer
	}
	return err
}

type yamlReader struct {
	limits  Limits
	nodes   int
	anchors map[*yaml.Node]*Node // nil while the anchor's value is being read
}

func (r *yamlReader) value(y *yaml.Node, depth int) (*Node, error) {
	if r.nodes++; r.nodes > r.limits.Nodes {
		return nil, failf("", "has more than %d values; split the document", r.limits.Nodes)
	}
	if depth > r.limits.Depth {
		return nil, failf("", "is nested deeper than %d levels", r.limits.Depth)
	}
	if y.Kind == yaml.AliasNode {
		return r.alias(y, depth)
	}
	if y.Anchor != "" {
		r.anchors[y] = nil
	}
	n := &Node{}
	var err error
	switch y.Kind {
	case yaml.ScalarNode:
		err = r.scalar(n, y)
		n.finish()
	case yaml.SequenceNode:
		n.Kind = List
		n.Items = make([]*Node, 0, len(y.Content))
		for i, c := range y.Content {
			v, err := r.value(c, depth+1)
			if err != nil {
				return nil, below(strconv.Itoa(i), err)
			}
			n.Items = append(n.Items, v)
		}
		n.finish()
	case yaml.MappingNode:
		err = r.mapping(n, y, depth)
	}
	if err != nil {
		return nil, err
	}
	if y.Anchor != "" {
		r.anchors[y] = n
	}
	return n, nil
}

// alias shares what its anchor is, unless that makes the tree too deep. Whether it makes
// it too large is known when the tree is whole.
func (r *yamlReader) alias(y *yaml.Node, depth int) (*Node, error) {
	n := r.anchors[y.Alias]
	if n == nil {
		return nil, failf("", "line %d: the alias *%s stands for a value that it is part of", y.Line, y.Value)
	}
	if depth+n.depth > r.limits.Depth {
		return nil, failf("", "line %d: is nested deeper than %d levels with the alias *%s", y.Line, r.limits.Depth, y.Value)
	}
	return n, nil
}

func (r *yamlReader) mapping(n *Node, y *yaml.Node, depth int) error {
	n.Kind = Map
	n.Members = make([]Member, 0, len(y.Content)/2)
	var merged []*Node
	for i := 0; i+1 < len(y.Content); i += 2 {
		key := y.Content[i]
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		if key.Kind != yaml.ScalarNode {
			return failf("", "line %d: a key is a list or a map; names are strings", key.Line)
		}
		if key.ShortTag() == "!!merge" {
			m, err := r.value(y.Content[i+1], depth+1)
			if err != nil {
				return below("<<", err)
			}
			merged = append(merged, m)
			continue
		}
		v, err := r.value(y.Content[i+1], depth+1)
		if err != nil {
			return below(key.Value, err)
		}
		n.Members = append(n.Members, Member{key.Value, v})
	}
	if twice, ok := n.finish(); !ok {
		if r.limits.Twice == nil {
			return failf("", "line %d: %q is there twice; keep one of them", y.Line, twice)
		}
		r.limits.Twice(fmt.Sprintf("%q in line %d", twice, y.Line))
		n.last()
	}
	if merged != nil {
		return r.merge(n, merged, y.Line)
	}
	return nil
}

// merge adds the members of maps under `<<` that n has not itself (the merge key of YAML
// 1.1, which hand-written documents use).
func (r *yamlReader) merge(n *Node, maps []*Node, line int) error {
	have := make(map[string]bool, len(n.Members))
	for _, m := range n.Members {
		have[m.Name] = true
	}
	var from []*Node
	for _, m := range maps {
		if m.Kind == List {
			from = append(from, m.Items...)
		} else {
			from = append(from, m)
		}
	}
	for _, f := range from {
		if f.Kind != Map {
			return failf("", "line %d: << takes maps", line)
		}
		if r.nodes += len(f.Members); r.nodes > r.limits.Nodes {
			return failf("", "line %d: has more than %d values with what << merges; write fewer of them", line, r.limits.Nodes)
		}
		for _, m := range f.Members {
			if !have[m.Name] {
				have[m.Name] = true
				n.Members = append(n.Members, m)
			}
		}
	}
	n.index = nil
	n.finish()
	return nil
}

// number is a number as JSON writes it.
var number = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

func (r *yamlReader) scalar(n *Node, y *yaml.Node) error {
	switch y.ShortTag() {
	case "!!null":
		n.Kind = Null
	case "!!bool":
		n.Kind, n.Text = Bool, strings.ToLower(y.Value)
		if n.Text != "true" && n.Text != "false" {
			n.Kind, n.Text = String, y.Value
		}
	case "!!int", "!!float":
		n.Kind, n.Text = Number, y.Value
		if number.MatchString(y.Value) {
			return nil
		}
		text, ok := plainNumber(y)
		if !ok {
			return failf("", "line %d: JSON has no number %q; quote it if it is a string", y.Line, y.Value)
		}
		n.Text = text
	default:
		n.Kind, n.Text = String, y.Value
	}
	return nil
}

// plainNumber writes as JSON what YAML writes otherwise: 0x10, 0o7, +1, .5, 1_000.
func plainNumber(y *yaml.Node) (string, bool) {
	if y.ShortTag() == "!!int" {
		var i int64
		if y.Decode(&i) == nil {
			return strconv.FormatInt(i, 10), true
		}
	}
	var f float64
	if y.Decode(&f) != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return "", false
	}
	return strconv.FormatFloat(f, 'g', -1, 64), true
}
