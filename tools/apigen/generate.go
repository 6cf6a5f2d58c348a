package main

import (
	"fmt"
	"go/format"
	"os"
	"slices"
	"sort"
	"strings"
)

// generator turns one model and its overlay into Go.
type generator struct {
	model     *model
	overlay   service
	actions   map[string][]string
	published tables // of all services, which operations may ask for too

	ops      []string          // operation names, sorted
	group    map[string]int    // operation -> index in overlay.Groups
	refused  map[string]string // operation -> reason
	metadata map[string]string // operation -> reason
	secret   map[string]bool
	shapes   []string       // shape names that are emitted, sorted
	index    map[string]int // shape name -> index
	requires map[string][]requirement
	keys     map[string][]conditionKey
}

type requirement struct {
	action, resource string
	when             []string // members, with ! before those that must not be set
	inferred         bool
}

func errTwice(op string) error { return fmt.Errorf("overlay.go decides %s twice", op) }

// prepare decides what is emitted and checks that every operation is decided.
func (g *generator) prepare() error {
	var err error
	if g.group, g.refused, err = g.overlay.decided(); err != nil {
		return err
	}
	g.metadata, g.secret = map[string]string{}, words(g.overlay.Secret)
	for reason, list := range g.overlay.Metadata {
		for op := range words(list) {
			g.metadata[op] = reason
		}
	}
	g.ops = sortedKeys(g.model.Operations)
	var undecided []string
	for _, op := range g.ops {
		if _, ok := g.group[op]; !ok {
			undecided = append(undecided, op)
		}
	}
	if len(undecided) > 0 {
		return fmt.Errorf("operations that overlay.go does not decide (serve or refuse them): %s", strings.Join(undecided, " "))
	}
	for op := range g.group {
		if _, ok := g.model.Operations[op]; !ok {
			return fmt.Errorf("overlay.go decides %s, which the model does not have", op)
		}
	}
	g.collectShapes()
	if err := g.checkOverlay(); err != nil {
		return err
	}
	g.requires, g.keys = map[string][]requirement{}, map[string][]conditionKey{}
	for _, op := range g.ops {
		reqs, err := g.requirements(op)
		if err != nil {
			return err
		}
		for _, r := range reqs {
			if err := g.published.agree(op, r); err != nil && g.refused[op] == "" {
				return err
			}
		}
		g.requires[op] = reqs
		if g.keys[op], err = g.conditionKeys(op); err != nil {
			return err
		}
	}
	return nil
}

// collectShapes walks from the emitted operations to every shape they reach.
func (g *generator) collectShapes() {
	seen := map[string]bool{}
	for _, op := range g.ops {
		if !g.typed(op) {
			continue
		}
		o := g.model.Operations[op]
		g.reach(seen, o.Input)
		g.reach(seen, o.Output)
		for i := range o.Errors {
			g.reach(seen, &o.Errors[i])
		}
	}
	g.shapes = sortedKeys(seen)
	g.index = map[string]int{}
	for i, s := range g.shapes {
		g.index[s] = i
	}
}

// reach adds a shape and every one below it.
func (g *generator) reach(seen map[string]bool, r *ref) {
	if r == nil || seen[r.Shape] {
		return
	}
	seen[r.Shape] = true
	s := g.model.Shapes[r.Shape]
	g.reach(seen, s.Member)
	g.reach(seen, s.Key)
	g.reach(seen, s.Value)
	for _, m := range s.Members.Refs {
		g.reach(seen, m)
	}
}

// typed reports whether the operation's input and output types are emitted.
func (g *generator) typed(op string) bool {
	return !g.overlay.ServedShapesOnly || g.refused[op] == ""
}

// checkOverlay refuses overlay entries that name nothing in the model.
func (g *generator) checkOverlay() error {
	member := func(key string) error {
		name, m, _ := strings.Cut(key, ".")
		s := g.model.Shapes[name]
		if s == nil || s.Members.Refs[m] == nil {
			return fmt.Errorf("overlay.go names %s, which the model does not have", key)
		}
		return nil
	}
	for key := range g.overlay.RefusedMembers {
		if err := member(key); err != nil {
			return err
		}
	}
	for key := range g.overlay.Streaming {
		if err := member(key); err != nil {
			return err
		}
	}
	for key := range g.overlay.RefusedValues {
		name, v, _ := strings.Cut(key, "=")
		if s := g.model.Shapes[name]; s == nil || !slices.Contains(s.Enum, v) {
			return fmt.Errorf("overlay.go names %s, which the model does not have", key)
		}
	}
	for op := range g.overlay.Former {
		if g.model.Operations[op] == nil {
			return fmt.Errorf("overlay.go gives %s a former route, which the model does not have", op)
		}
	}
	for op := range g.overlay.Keys {
		if g.model.Operations[op] == nil {
			return fmt.Errorf("overlay.go gives %s condition keys, which the model does not have", op)
		}
	}
	for key := range g.overlay.Patterns {
		if g.model.Shapes[key] == nil {
			return fmt.Errorf("overlay.go names %s, which the model does not have", key)
		}
	}
	return nil
}

// constraints counts what the validator can refuse in a request: the same
// count that the test over every constraint prints. A least length of zero is
// none.
func (g *generator) constraints() int {
	seen := map[string]bool{}
	for _, op := range g.ops {
		if g.typed(op) {
			g.reach(seen, g.model.Operations[op].Input)
		}
	}
	n := 0
	for name := range seen {
		s := g.model.Shapes[name]
		n += len(s.Required)
		number := slices.Contains([]string{"integer", "long", "float", "double"}, s.Type)
		for _, has := range []bool{s.Min != nil && (number || *s.Min > 0), s.Max != nil, s.Pattern != "", len(s.Enum) > 0, s.Union} {
			if has {
				n++
			}
		}
	}
	return n
}

func (g *generator) counts() (served, refused int) {
	return len(g.ops) - len(g.refused), len(g.refused)
}

func (g *generator) header(b *strings.Builder, doc, imports string) {
	fmt.Fprintf(b, "// Code generated by tools/apigen from %s; DO NOT EDIT.\n\n", g.model.source)
	if doc != "" {
		fmt.Fprintf(b, "%s\n", doc)
	}
	fmt.Fprintf(b, "package %s\n\nimport (\n%s)\n\n", g.overlay.Package, imports)
}

func writeGo(path string, src []byte) error {
	out, err := format.Source(src)
	if err != nil {
		_ = os.WriteFile(path+".broken", src, 0o644)
		return fmt.Errorf("format %s: %w", path, err)
	}
	return writeIfChanged(path, out)
}

// writeIfChanged keeps a file's time when its content is the same, so that
// the build cache stays warm.
func writeIfChanged(path string, b []byte) error {
	if old, err := os.ReadFile(path); err == nil && string(old) == string(b) {
		return nil
	}
	return os.WriteFile(path, b, 0o644)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func words(s string) map[string]bool {
	out := map[string]bool{}
	for _, w := range strings.Fields(s) {
		out[w] = true
	}
	return out
}

// exported makes a Go name of a model name.
func exported(name string) string {
	name = strings.ReplaceAll(name, "_", "")
	return strings.ToUpper(name[:1]) + name[1:]
}
