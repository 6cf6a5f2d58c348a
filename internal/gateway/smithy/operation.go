package smithy

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// operation is an operation as calls need it.
type operation struct {
	id, name, doc string
	method        string
	path          []segment
	query         []string // what the URI pattern has of it
	host          []segment
	input, output *shape
	errors        []*shape
	// static are values of the endpoint rules' parameters.
	static map[string]any
	// digest is set where a body needs a Content-MD5.
	digest bool
	signed bool
}

// segment is of a URI's path or a host's prefix: a text, or the value of a member.
type segment struct {
	text   string
	member *member
	greedy bool
}

// operation compiles one. It returns nil for one that is left out, and why where that is
// no problem of the model.
func (c *compiler) operation(id string) (*operation, string) {
	a := c.doc.shapes[id]
	if a == nil || a.Type != "operation" {
		c.problems.add(id, "is an operation of the service, and the model does not have it", "add it, or take it out of the service")
		return nil, ""
	}
	before := len(c.problems.list) + c.problems.more
	_, name, _ := strings.Cut(id, "#")
	op := &operation{id: id, name: name, doc: plainText(a.Traits.text("smithy.api#documentation"), maxOperationText)}
	op.input, op.output = c.message(id, a.Input, "input"), c.message(id, a.Output, "output")
	for _, ref := range slices.Concat(a.Errors, c.service.Errors) {
		op.errors = append(op.errors, c.shape(ref.Target, id))
	}
	if why := streams(op); why != "" {
		return nil, fmt.Sprintf("%s is left out: %s, which a tool cannot", id, why)
	}
	c.bind(op, a.Traits)
	c.check(op)
	op.digest = a.Traits.has("smithy.api#httpChecksumRequired")
	var checksum struct {
		Required bool `json:"requestChecksumRequired"`
	}
	if json.Unmarshal(a.Traits["aws.protocols#httpChecksum"], &checksum) == nil && checksum.Required {
		op.digest = true
	}
	var static map[string]struct {
		Value any `json:"value"`
	}
	if json.Unmarshal(a.Traits["smithy.rules#staticContextParams"], &static) == nil {
		op.static = make(map[string]any, len(static))
		for name, v := range static {
			op.static[name] = v.Value
		}
	}
	if len(c.problems.list)+c.problems.more > before {
		return nil, ""
	}
	return op, ""
}

// message is the structure of an input or output; none is one without members.
func (c *compiler) message(id string, ref *astRef, what string) *shape {
	if ref == nil || ref.Target == "smithy.api#Unit" {
		return &shape{id: "smithy.api#Unit", kind: kindStructure}
	}
	s := c.shape(ref.Target, id)
	if s.kind != kindStructure {
		c.problems.add(id, "has the "+what+" "+ref.Target+", which is no structure", "let it be one")
	}
	return s
}

// streams says what streams in an operation, nothing for one that does not.
func streams(op *operation) string {
	for _, side := range []struct {
		*shape
		does string
	}{{op.input, "takes"}, {op.output, "answers with"}} {
		for _, m := range side.members {
			if !m.target.streaming {
				continue
			}
			if m.target.kind == kindUnion {
				return "it " + side.does + " a stream of events in " + m.name
			}
			return "it " + side.does + " a blob that streams in " + m.name
		}
	}
	return ""
}

// bind reads the traits http and endpoint.
func (c *compiler) bind(op *operation, t traits) {
	if !t.has("smithy.api#http") {
		c.problems.add(op.id, "has no trait smithy.api#http", "add it: "+protocol+" needs a method and a uri")
		return
	}
	var http struct {
		Method string `json:"method"`
		URI    string `json:"uri"`
	}
	if err := json.Unmarshal(t["smithy.api#http"], &http); err != nil {
		c.problems.add(op.id, "its trait smithy.api#http is not as it should be: "+jsonError(err), "give it a method and a uri")
		return
	}
	op.method = http.Method
	if http.Method == "" || strings.ContainsFunc(http.Method, func(r rune) bool { return r < 'A' || r > 'Z' }) || http.Method == "CONNECT" {
		c.problems.add(op.id, fmt.Sprintf("its HTTP method is %q", http.Method), "use one such as GET, POST, PUT, PATCH or DELETE")
	}
	path, query, _ := strings.Cut(http.URI, "?")
	if !strings.HasPrefix(path, "/") || strings.ContainsAny(http.URI, "#") || strings.ContainsAny(query, "{}") {
		c.problems.add(op.id, fmt.Sprintf("its uri is %q", http.URI), "begin it with / and use labels in its path alone")
		return
	}
	for pair := range strings.SplitSeq(query, "&") {
		if pair != "" {
			op.query = append(op.query, pair)
		}
	}
	op.path = c.pattern(op, path, "uri", func(m *member) bool { return m.in == inLabel })
	var endpoint struct {
		HostPrefix string `json:"hostPrefix"`
	}
	if json.Unmarshal(t["smithy.api#endpoint"], &endpoint) == nil && endpoint.HostPrefix != "" {
		op.host = c.pattern(op, endpoint.HostPrefix, "hostPrefix", func(m *member) bool { return m.inHost })
	}
}

// pattern reads a text with labels.
func (c *compiler) pattern(op *operation, text, what string, bound func(*member) bool) []segment {
	var out []segment
	for text != "" {
		plain, rest, found := strings.Cut(text, "{")
		if plain != "" && what == "uri" {
			plain = (&url.URL{Path: unescape(plain), RawPath: plain}).EscapedPath()
		}
		if plain != "" {
			out = append(out, segment{text: plain})
		}
		if !found {
			break
		}
		label, after, closed := strings.Cut(rest, "}")
		name, greedy := strings.CutSuffix(label, "+")
		m := find(op.input, name)
		if !closed || m == nil || !bound(m) {
			c.problems.add(op.id, fmt.Sprintf("its %s has the label {%s}, and no member of its input is bound to it", what, label), "bind the member of that name with the trait httpLabel, in a hostPrefix with hostLabel")
			return nil
		}
		out = append(out, segment{member: m, greedy: greedy && what == "uri"})
		text = after
	}
	return out
}

// unescape is a text of a pattern without its escapes, or as it is where they are none.
func unescape(text string) string {
	if plain, err := url.PathUnescape(text); err == nil {
		return plain
	}
	return text
}

func find(s *shape, name string) *member {
	for _, m := range s.members {
		if m.name == name {
			return m
		}
	}
	return nil
}

// check holds that members are bound as HTTP can have them.
func (c *compiler) check(op *operation) {
	for _, s := range append([]*shape{op.input, op.output}, op.errors...) {
		payloads := 0
		for _, m := range s.members {
			if m.in == inPayload {
				payloads++
			}
			if why := unbindable(m); why != "" {
				c.problems.add(s.id+"$"+m.name, why, "bind it otherwise")
			}
		}
		if payloads > 1 {
			c.problems.add(s.id, "has several members that are the payload", "leave the trait httpPayload to one")
		}
	}
	for _, m := range op.input.members {
		if m.in == inLabel && !slices.ContainsFunc(op.path, func(s segment) bool { return s.member == m }) && op.path != nil {
			c.problems.add(op.input.id+"$"+m.name, "is a label that the uri of "+op.id+" does not have", "add {"+m.name+"} to the uri")
		}
	}
}

// unbindable says why a member cannot be where it is bound to.
func unbindable(m *member) string {
	simple := func(s *shape) bool { return !s.kind.holds() && s.kind != kindDocument }
	t := m.target
	switch m.in {
	case inLabel:
		if !simple(t) || t.kind == kindBlob {
			return "is a label of the path, and no simple value"
		}
	case inQuery, inHeader:
		if !simple(t) && (t.kind != kindList || !simple(t.elem.target)) {
			return "is a header or a query parameter, and neither a simple value nor a list of them"
		}
		if m.in == inHeader && isReserved(m.at) {
			return "is the header " + m.at + ", which whoever sends the request sets"
		}
	case inQueryParams, inPrefixHeaders:
		if t.kind != kindMap || t.elem.target.kind != kindString && t.elem.target.kind != kindEnum && (t.elem.target.kind != kindList || m.in == inPrefixHeaders) {
			return "is bound as a map of strings, and is none"
		}
	case inStatus:
		if !t.kind.isInteger() {
			return "is the status of the answer, and no whole number"
		}
	}
	return ""
}

// isReserved says whether no argument may set a header: it frames the message, or says who
// sends it.
func isReserved(name string) bool {
	name = strings.ToLower(name)
	switch name {
	case "authorization", "connection", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256":
		return true
	}
	return strings.HasPrefix(name, "proxy-")
}

// signs says whether calls of an operation are signed by AWS's Signature Version 4.
func (c *compiler) signs(id string) bool {
	const sigv4 = "aws.auth#sigv4"
	for _, t := range []traits{c.doc.shapes[id].Traits, c.service.Traits} {
		var schemes []string
		if t.has("smithy.api#auth") && json.Unmarshal(t["smithy.api#auth"], &schemes) == nil {
			return slices.Contains(schemes, sigv4)
		}
	}
	return c.service.Traits.has(sigv4)
}

// sortedKeys are the names of a map in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
