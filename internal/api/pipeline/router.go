package pipeline

import (
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strings"

	"github.com/outcrop/outcrop/internal/api/protocol"
	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/auth/sigv4"
	"github.com/outcrop/outcrop/internal/fault"
)

// router finds the operation of a request within services that share a
// signing name: AgentCore's two planes share one tree.
type router struct {
	root node
	// hosted is set for S3, whose host names may hold the first segment.
	hosted bool
	// prefix is what stands before the paths of a host name; nil is nothing.
	prefix func(host string) string
	// named is prefix for paths that nothing is at without one.
	named func(host string) string
	// hint says what there is instead of a path that nothing is at; nil says nothing.
	hint func(path string) string
}

// node is one path segment. Labels match any one segment, a greedy label all
// that is left.
type node struct {
	static map[string]*node
	label  *node
	greedy *node
	routes []route
	// asksQuery is set where a route depends on the query string.
	asksQuery bool
}

type route struct {
	svc    *schema.Service
	op     *schema.Operation
	method string
	labels []string
	former bool
	// query are constant parameters, needs further members that select the
	// operation (uploadId, x-amz-copy-source).
	query url.Values
	needs []need
}

// need is a member outside the path whose presence selects an operation.
type need struct {
	in   schema.Location
	wire string
}

// add puts the operations of a service into the tree.
func (rt *router) add(svc *schema.Service) {
	rt.hosted = rt.hosted || svc.Protocol == schema.RestXML
	for i := range svc.Operations {
		op := &svc.Operations[i]
		query, _ := url.ParseQuery(op.Query) // the generator's own text
		rt.route(op.Path, route{svc: svc, op: op, method: op.Method, query: query, needs: selectors(svc, op)})
		for _, f := range op.Former {
			rt.route(f.Path, route{svc: svc, op: op, method: f.Method, former: true})
		}
	}
}

// route puts one route at the end of its path.
func (rt *router) route(path string, r route) {
	n := &rt.root
	for _, seg := range segments(strings.TrimSuffix(path, "/")) {
		switch {
		case strings.HasSuffix(seg, "+}"):
			n = child(&n.greedy)
			r.labels = append(r.labels, seg[1:len(seg)-2])
		case strings.HasPrefix(seg, "{"):
			n = child(&n.label)
			r.labels = append(r.labels, seg[1:len(seg)-1])
		default:
			if n.static == nil {
				n.static = map[string]*node{}
			}
			next := n.static[seg]
			if next == nil {
				next = &node{}
				n.static[seg] = next
			}
			n = next
		}
	}
	n.asksQuery = n.asksQuery || r.weight() > 0
	n.routes = append(n.routes, r)
	// The most specific route of a path is tried first, and of equal ones an operation
	// that is served: S3's models keep old names of some (PutBucketLifecycle).
	sort.SliceStable(n.routes, func(i, j int) bool {
		a, b := n.routes[i], n.routes[j]
		return a.weight() > b.weight() || a.weight() == b.weight() && a.op.Refused == "" && b.op.Refused != ""
	})
}

func child(n **node) *node {
	if *n == nil {
		*n = &node{}
	}
	return *n
}

// selectors lists the required members outside path and body: where several
// operations of S3 share a method and path, and no constant parameter tells
// them apart, these do.
func selectors(svc *schema.Service, op *schema.Operation) []need {
	if op.Input < 0 || svc.Protocol != schema.RestXML || op.Query != "" {
		return nil
	}
	var out []need
	for _, m := range svc.Shape(op.Input).Members {
		if m.Required && (m.In == schema.InQuery || m.In == schema.InHeader) {
			out = append(out, need{m.In, m.Wire})
		}
	}
	return out
}

func (r *route) weight() int { return 2*len(r.query) + len(r.needs) }

func (r *route) matches(req *http.Request, q url.Values) bool {
	for k, want := range r.query {
		if got, ok := q[k]; !ok || (want[0] != "" && got[0] != want[0]) {
			return false
		}
	}
	for _, n := range r.needs {
		if n.in == schema.InQuery && !q.Has(n.wire) {
			return false
		}
		if n.in == schema.InHeader && req.Header.Get(n.wire) == "" && !hoisted(q, n.wire) {
			return false
		}
	}
	return true
}

// hoisted reports whether a presigned URL carries the header in its query.
func hoisted(q url.Values, header string) bool {
	for name := range q {
		if strings.EqualFold(name, header) {
			return true
		}
	}
	return false
}

// match is a found operation and the decoded path labels.
type match struct {
	svc    *schema.Service
	op     *schema.Operation
	labels []protocol.Label
	former bool
}

// find routes a request by its escaped path. The error is a refusal: no such
// path (404), or the path under another method (405).
//
// Within one path the query is compared as S3 does: by the presence of a
// parameter, and by its value only where the template has one.
func (rt *router) find(req *http.Request) (match, error) {
	segs := segments(rt.path(req))
	if !rt.hosted && slices.ContainsFunc(segs, isDots) { // a signature does not tell such a path from others
		return match{}, fault.New("UnknownOperationException", http.StatusNotFound, "There is no operation at a path with a '.' or '..' segment. Write the path without it")
	}
	var values []string
	n := rt.walk(req, segs, &values)
	if n == nil {
		return match{}, rt.nowhere(rt.path(req))
	}
	var q url.Values
	if n.asksQuery {
		q = req.URL.Query()
	}
	var other []string
	for i := range n.routes {
		r := &n.routes[i]
		if r.method != req.Method && r.method != schema.AnyMethod {
			other = append(other, r.method)
			continue
		}
		if !r.matches(req, q) {
			continue
		}
		labels, err := r.decode(values)
		return match{r.svc, r.op, labels, r.former}, err
	}
	return match{}, notAllowed(n.routes[0].svc, other)
}

// walk finds the node of a request's path.
func (rt *router) walk(req *http.Request, segs []string, values *[]string) *node {
	n := rt.root.walk(segs, values)
	if n != nil || rt.named == nil {
		return n
	}
	prefix := rt.named(withoutPort(req.Host))
	if prefix == "" {
		return nil
	}
	*values = nil
	return rt.root.walk(append(segments(prefix), segs...), values)
}

// path is the escaped path of a request, with what its host name stands for before it.
func (rt *router) path(req *http.Request) string {
	path := sigv4.Path(req)
	switch {
	case rt.hosted:
		return hostedPath(req.Host, path)
	case rt.prefix != nil:
		return rt.prefix(withoutPort(req.Host)) + path
	}
	return path
}

// decode gives the labels their names and takes the percent-encoding off.
func (r *route) decode(values []string) ([]protocol.Label, error) {
	labels := make([]protocol.Label, len(values))
	for i, name := range r.labels {
		text, err := url.PathUnescape(values[i])
		if err != nil {
			return nil, fault.Malformed("The path is not well formed: '%s' is not percent-encoded correctly", name)
		}
		labels[i] = protocol.Label{Name: name, Value: text}
	}
	return labels, nil
}

// notAllowed refuses a method that the path does not have; S3 says so too where
// the method is there for other sub-resources only.
func notAllowed(svc *schema.Service, methods []string) error {
	if len(methods) == 0 {
		return unknownOperation()
	}
	slices.Sort(methods)
	allow := strings.Join(slices.Compact(methods), ", ")
	e := fault.New("MethodNotAllowedException", http.StatusMethodNotAllowed, "Method Not Allowed. Use %s.", allow)
	if svc.Protocol == schema.RestXML {
		e = fault.New("MethodNotAllowed", http.StatusMethodNotAllowed, "The specified method is not allowed against this resource.")
	}
	e.Header = http.Header{"Allow": {allow}}
	return e
}

// nowhere refuses a path that nothing is at.
func (rt *router) nowhere(path string) error {
	if text := rt.hinted(path); text != "" {
		return fault.New("UnknownOperationException", http.StatusNotFound, "There is no operation at this path. %s", text)
	}
	return unknownOperation()
}

// hinted is what there is instead of a path, as far as that can be said.
func (rt *router) hinted(path string) string {
	if rt.hint == nil {
		return ""
	}
	return rt.hint(path)
}

func unknownOperation() error {
	return fault.New("UnknownOperationException", http.StatusNotFound, "There is no operation at this path")
}

// walk finds the node of a path: fixed segments win over labels, and labels
// over greedy ones. values receives what the labels stand for.
func (n *node) walk(segs []string, values *[]string) *node {
	if len(segs) == 0 || (len(segs) == 1 && segs[0] == "" && len(n.routes) > 0) {
		if len(n.routes) == 0 {
			return nil
		}
		return n
	}
	if next := n.static[segs[0]]; next != nil {
		if found := next.walk(segs[1:], values); found != nil {
			return found
		}
	}
	if n.label != nil && segs[0] != "" {
		mark := len(*values)
		*values = append(*values, segs[0])
		if found := n.label.walk(segs[1:], values); found != nil {
			return found
		}
		*values = (*values)[:mark]
	}
	if n.greedy != nil {
		*values = append(*values, strings.Join(segs, "/"))
		return n.greedy
	}
	return nil
}

// isDots reports whether a segment is one that a signature does not cover: but for
// S3's, paths are signed without them and what they take away, so that somebody
// between the client and us could have put them in.
func isDots(segment string) bool { return segment == "." || segment == ".." }

// segments splits a path. A trailing slash leaves an empty segment at the end,
// which walk accepts everywhere (clients send both forms, spec/runtime.md 1)
// and which is part of a greedy label (the S3 key "folder/").
func segments(path string) []string {
	path = strings.TrimPrefix(path, "/")
	if path == "" {
		return nil
	}
	return strings.Split(path, "/")
}
