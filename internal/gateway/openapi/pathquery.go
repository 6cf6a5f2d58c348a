package openapi

import (
	"net/url"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/gateway/openapi/node"
	"github.com/outcrop/outcrop/internal/gateway/openapi/style"
)

// asked is a piece of the query that a path has behind its ?, which OpenAPI does not know
// and many documents have: a value, or a parameter's place.
type asked struct{ name, value, parameter string }

// readAsked reads name=value and name={parameter}, and reports whether that is all.
func readAsked(query string) (out []asked, ok bool) {
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		place := ""
		if inner, found := strings.CutPrefix(value, "{"); found {
			if inner, found = strings.CutSuffix(inner, "}"); !found || inner == "" {
				return nil, false
			}
			place, value = inner, ""
		}
		if strings.ContainsAny(name+value+place, "{}") {
			return nil, false
		}
		name, err := url.QueryUnescape(name)
		if err != nil || name == "" {
			return nil, false
		}
		if value, err = url.QueryUnescape(value); err != nil {
			return nil, false
		}
		out = append(out, asked{name, value, place})
	}
	return out, true
}

// matchQuery puts what the path asks among the parameters, and its values in every request.
func (p *parser) matchQuery(o *operation, at *node.Path) {
	for _, q := range o.asked {
		a := &parameter{name: q.name, in: "query", style: style.Style{Name: "form", Explode: true}, at: at, where: at}
		there := slices.IndexFunc(o.parameters, a.same)
		inPath := slices.IndexFunc(o.parameters, func(b *parameter) bool { return b.in == "path" && b.name == q.parameter })
		switch {
		case p.filled(a):
		case q.parameter == "":
			o.fixed = append(o.fixed, style.Pair{Name: style.Escape(q.name), Value: style.Escape(q.value)})
			if there >= 0 {
				p.found.warn(at, "the parameter "+short(q.name)+" has its value in the path (left out)")
				o.parameters = slices.Delete(o.parameters, there, there+1)
			}
		case there >= 0:
		case inPath < 0:
			p.found.warn(at, "the path has {"+short(q.parameter)+"}, which is no parameter; any text is taken")
			o.parameters = append(o.parameters, a)
		default:
			*a = *o.parameters[inPath]
			a.name, a.in = q.name, "query"
			p.style(a)
			o.parameters = append(o.parameters, a)
		}
	}
	o.parameters = slices.DeleteFunc(o.parameters, func(a *parameter) bool {
		return a.in == "path" && slices.ContainsFunc(o.asked, func(q asked) bool { return q.parameter == a.name }) &&
			!slices.Contains(o.path, segment{parameter: a.name})
	})
	o.asked = nil
}
