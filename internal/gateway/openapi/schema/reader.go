// Package schema turns the Schema Objects of OpenAPI 3.0 and 3.1 into JSON Schema 2020-12
// that stands by itself, and sees through references and allOf.
package schema

import (
	"net/url"
	"strings"

	"github.com/outcrop/outcrop/internal/gateway/openapi/node"
)

// Reader reads the schemas of one document.
type Reader struct {
	Root *node.Node
	// Old is set for OpenAPI 3.0, whose dialect of JSON Schema is its own.
	Old bool
	// Strict refuses what AWS's gateway refuses (spec/gateway.md 5.2).
	Strict bool
	// Problem and Warn take what is wrong with a document, once for each spot and use.
	Problem, Warn func(at *node.Path, text string)

	// Spent is about how many bytes of schemas were made, those that were thrown away
	// included.
	Spent int

	anchors map[string]*node.Path
	targets map[string]target // of references that lead somewhere
}

type target struct {
	node *node.Node
	path *node.Path
}

// maxChain is how many references may follow each other.
const maxChain = 32

// Resolve follows references until a value that is none. The path is where that value is.
// It returns nil when a reference leads nowhere, and has told why.
func (r *Reader) Resolve(n *node.Node, at *node.Path) (*node.Node, *node.Path) {
	for range maxChain {
		ref := n.Get("$ref")
		if !ref.Is(node.String) {
			return n, at
		}
		if n, at = r.Target(ref.Text, at); n == nil {
			return nil, nil
		}
	}
	r.Problem(at, "references lead in a circle; one of them must be a value")
	return nil, nil
}

// Target is what a reference names, or nil when it has told why there is nothing.
func (r *Reader) Target(ref string, at *node.Path) (*node.Node, *node.Path) {
	if t, ok := r.targets[ref]; ok {
		return t.node, t.path
	}
	n, to := r.find(ref, at)
	if n != nil {
		if r.targets == nil {
			r.targets = map[string]target{}
		}
		r.targets[ref] = target{n, to}
	}
	return n, to
}

func (r *Reader) find(ref string, at *node.Path) (*node.Node, *node.Path) {
	fragment, ok := strings.CutPrefix(ref, "#")
	if !ok {
		r.Problem(at, "the reference "+quote(ref)+" leads out of the document; bundle the documents into one (for example with `redocly bundle`)")
		return nil, nil
	}
	pointer, err := url.PathUnescape(fragment)
	if err != nil {
		pointer = fragment
	}
	if pointer != "" && pointer[0] != '/' {
		if to, ok := r.anchor(pointer); ok {
			return r.Root.Find(to.Pointer()), to
		}
	} else if n := r.Root.Find(pointer); n != nil {
		return n, node.To(pointer)
	}
	r.Problem(at, "the reference "+quote(ref)+" leads to nothing; define it, or correct the name")
	return nil, nil
}

// anchor finds the schema of components that has that $anchor.
func (r *Reader) anchor(name string) (*node.Path, bool) {
	if r.anchors == nil {
		r.anchors = map[string]*node.Path{}
		base := node.To("/components/schemas")
		if all := r.Root.Find("/components/schemas"); all.Is(node.Map) {
			for _, m := range all.Members {
				for _, key := range []string{"$anchor", "$dynamicAnchor"} {
					if a := m.Value.Get(key).Str(); a != "" {
						r.anchors[a] = base.Down(m.Name)
					}
				}
			}
		}
	}
	p, ok := r.anchors[name]
	return p, ok
}

// dislike tells of something that can be left out: a warning, or a problem when strict.
func (r *Reader) dislike(at *node.Path, text string) {
	if r.Strict {
		r.Problem(at, text)
	} else {
		r.Warn(at, text+" (left out)")
	}
}

// quote shows a text of the document, cut to a length that a reason has room for.
func quote(s string) string {
	const most = 120
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return `"` + s + `"`
}
