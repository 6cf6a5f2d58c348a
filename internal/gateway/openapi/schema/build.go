package schema

import (
	"strconv"
	"strings"

	"github.com/outcrop/outcrop/internal/gateway/openapi/node"
)

const (
	// inlineBytes is about how large a tool's schema may become with references written
	// out, which models read best; beyond it they become $defs.
	inlineBytes = 24 << 10
	// inlineLevels is how many references are written out in one another.
	inlineLevels = 8
	// shallowLevels is where that begins when even $defs are too large: what is deeper is any
	// value, one level more with each try.
	shallowLevels = 2
	// smallSize is up to which size what a reference names is always written out.
	smallSize = 12
)

// mode is what becomes of references.
type mode uint8

const (
	inline  mode = iota // written out, $defs only for those that hold themselves
	refs                // $defs
	shallow             // written out some levels deep, then any value
)

// Builder makes the schemas of one tool, which share their $defs.
type Builder struct {
	r *Reader
	// output leaves out what only requests have (writeOnly) in place of what only
	// responses have (readOnly).
	output bool
	mode   mode
	levels int // of references written out in one another
	bytes  int
	limit  int
	over   bool
	cut    bool // something is any value because it lies deep

	inlined []string          // pointers that are being written out, outermost first
	names   map[string]string // of $defs, by pointer
	taken   map[string]bool
	queue   []string // pointers of $defs that are yet to be made
	defs    []node.Member
}

// Build runs make with a builder: with references written out, when that is large once more
// with references as $defs, and when that is larger than limit bytes without what lies
// deep, of which it warns. It reports false when even that is too large.
func (r *Reader) Build(output bool, limit int, at *node.Path, make func(*Builder) *node.Node) (*node.Node, bool) {
	for try := range 3 + shallowLevels {
		b := &Builder{r: r, output: output, mode: min(mode(try), shallow), levels: inlineLevels, limit: limit, names: map[string]string{}, taken: map[string]bool{}}
		switch b.mode {
		case inline:
			b.limit = min(limit, inlineBytes)
		case shallow:
			b.levels = shallowLevels + int(shallow) - try
			if r.Strict {
				return nil, false
			}
		}
		n := make(b)
		for len(b.queue) > 0 && !b.over {
			pointer := b.queue[0]
			b.queue = b.queue[1:]
			b.inlined = []string{pointer}
			b.defs = append(b.defs, node.Member{Name: b.names[pointer], Value: b.Schema(r.Root.Find(pointer), node.To(pointer))})
		}
		if b.over {
			continue
		}
		if b.cut {
			r.Warn(at, "the schema is large; what lies deeper in it is listed as any value")
		}
		if b.defs != nil {
			n.Members = append(n.Members, node.Member{Name: "$defs", Value: &node.Node{Kind: node.Map, Members: b.defs}})
		}
		return n, true
	}
	return nil, false
}

// Schema converts one schema.
func (b *Builder) Schema(n *node.Node, at *node.Path) *node.Node {
	b.spend(16)
	if b.over {
		return &node.Node{Kind: node.Map}
	}
	if n.Is(node.Bool) {
		return n
	}
	if !n.Is(node.Map) {
		b.r.Problem(at, "must be a schema: an object")
		return &node.Node{Kind: node.Map}
	}
	for _, key := range []string{"$ref", "$dynamicRef"} {
		if ref := n.Get(key); ref.Is(node.String) {
			return b.reference(n, ref.Text, at)
		}
	}
	return b.convert(n, at)
}

func (b *Builder) spend(n int) {
	b.r.Spent += n
	if b.bytes += n; b.bytes > b.limit {
		b.over = true
	}
}

// reference converts `$ref` and what stands beside it: in 3.1 all of it counts, in 3.0 it
// is to be ignored, but people who write a description there mean it.
func (b *Builder) reference(n *node.Node, ref string, at *node.Path) *node.Node {
	target, to := b.r.Target(ref, at)
	if target == nil {
		return &node.Node{Kind: node.Map}
	}
	out := b.named(target, to)
	beside := &node.Node{Kind: node.Map}
	for _, m := range n.Members {
		if m.Name != "$ref" && m.Name != "$dynamicRef" && (note(m.Name) || !b.r.Old) {
			beside.Members = append(beside.Members, m)
		}
	}
	more := b.convert(beside, at)
	if len(more.Members) > 0 {
		out = overlay(out, more)
	}
	if n.Get("nullable").True() {
		out = orNull(out)
	}
	return out
}

// named writes out what a reference names, or refers to it in $defs.
func (b *Builder) named(target *node.Node, to *node.Path) *node.Node {
	pointer := to.Pointer()
	// What holds itself has its place in $defs from then on.
	open := has(b.inlined, pointer) || b.names[pointer] != ""
	small := target.Size() <= smallSize && target.Get("$ref") == nil
	if !open && (len(b.inlined) < b.levels && b.mode != refs || len(b.inlined) < inlineLevels && small) {
		b.inlined = append(b.inlined, pointer)
		defer func() { b.inlined = b.inlined[:len(b.inlined)-1] }()
		return b.Schema(target, to)
	}
	if b.mode == shallow {
		return b.any(target)
	}
	name, ok := b.names[pointer]
	if !ok {
		name = b.name(pointer)
		b.names[pointer] = name
		b.queue = append(b.queue, pointer)
	}
	b.spend(len(name) + 20)
	return obj("$ref", str("#/$defs/"+name))
}

// any is what is listed of a value that lies deep: its type, if it is one.
func (b *Builder) any(target *node.Node) *node.Node {
	b.cut = true
	b.spend(32)
	switch t := target.Get("type").Str(); t {
	case "string", "number", "integer", "boolean", "array", "object":
		if !target.Get("nullable").True() {
			return obj("type", str(t))
		}
	}
	return &node.Node{Kind: node.Map}
}

// name is a name in $defs that needs no escapes.
func (b *Builder) name(pointer string) string {
	last := pointer[strings.LastIndexByte(pointer, '/')+1:]
	name := strings.Map(func(c rune) rune {
		if c < 0x80 && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.' || c == '-') {
			return c
		}
		return '_'
	}, last)
	if name == "" {
		name = "root"
	}
	free := name
	for i := 2; b.taken[free]; i++ {
		free = name + "_" + strconv.Itoa(i)
	}
	b.taken[free] = true
	return free
}

// overlay puts annotations over a schema; what constrains stands beside it in allOf.
func overlay(out, more *node.Node) *node.Node {
	result := &node.Node{Kind: node.Map}
	for _, m := range out.Members {
		if more.Get(m.Name) == nil {
			result.Members = append(result.Members, m)
		}
	}
	for _, m := range more.Members {
		if !note(m.Name) && (out.Get(m.Name) != nil || out.Kind == node.Bool) {
			return obj("allOf", list(out, more))
		}
		result.Members = append(result.Members, m)
	}
	return result
}

func str(s string) *node.Node { return &node.Node{Kind: node.String, Text: s} }

func obj(name string, v *node.Node) *node.Node {
	return &node.Node{Kind: node.Map, Members: []node.Member{{Name: name, Value: v}}}
}

func list(items ...*node.Node) *node.Node { return &node.Node{Kind: node.List, Items: items} }

// With is a schema with one more annotation, or with another value for it.
func (b *Builder) With(n *node.Node, name string, v *node.Node) *node.Node {
	return overlay(n, obj(name, b.copy(v)))
}
