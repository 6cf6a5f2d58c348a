package main

import (
	"fmt"
	"slices"
	"strings"
)

// handlers writes one interface per group with served operations, and the
// function that joins an implementation with the table.
func (g *generator) handlers() []byte {
	var b strings.Builder
	imports := "\t\"context\"\n"
	if slices.ContainsFunc(g.ops, func(op string) bool { return g.model.Operations[op].Upgrade && g.refused[op] == "" }) {
		imports += "\t\"net/http\"\n"
	}
	g.header(&b, "", imports+"\n\t\"github.com/outcrop/outcrop/internal/api/schema\"\n")
	for gi, grp := range g.overlay.Groups {
		var served []string
		for _, op := range g.ops {
			if g.group[op] == gi && g.refused[op] == "" {
				served = append(served, op)
			}
		}
		if len(served) == 0 {
			continue
		}
		fmt.Fprintf(&b, "// %s serves %s.\ntype %s interface {\n", grp.Name, grp.Doc, grp.Name)
		for _, op := range served {
			in, out := g.signature(op)
			out = "*" + out
			if g.model.Operations[op].Upgrade {
				out = "http.Handler"
			}
			fmt.Fprintf(&b, "\t%s(ctx context.Context, in *%s) (%s, error)\n", op, in, out)
		}
		fmt.Fprintf(&b, "}\n\n// %sHandlers joins h with the operations it serves.\nfunc %sHandlers(h %s) []schema.Handler {\n\treturn []schema.Handler{\n", grp.Name, grp.Name, grp.Name)
		for _, op := range served {
			in, _ := g.signature(op)
			fmt.Fprintf(&b, "{Service: &Service, Operation: &operations[%d], Serve: func(ctx context.Context, in any) (any, error) { return h.%s(ctx, in.(*%s)) }},\n",
				g.opIndex(op), op, in)
		}
		b.WriteString("\t}\n}\n\n")
	}
	// Operations without input or output in the model still take and return a value.
	b.WriteString("// Nothing is the input or output of an operation that has none.\ntype Nothing struct{}\n")
	return []byte(b.String())
}

func (g *generator) signature(op string) (in, out string) {
	o := g.model.Operations[op]
	in, out = "Nothing", "Nothing"
	if o.Input != nil {
		in = exported(o.Input.Shape)
	}
	if o.Output != nil {
		out = exported(o.Output.Shape)
	}
	return in, out
}

func (g *generator) opIndex(op string) int {
	for i, name := range g.ops {
		if name == op {
			return i
		}
	}
	return -1
}
