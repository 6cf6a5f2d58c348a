// Package node reads JSON and YAML into one tree of JSON values, in the order of the text
// and within bounds: documents come from whoever may create a target.
package node

import (
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Kind says which of JSON's values a node is.
type Kind uint8

// The kinds of JSON. The zero Node is null.
const (
	Null Kind = iota
	Bool
	Number
	String
	List
	Map
)

// String is the name of the kind as JSON Schema has it.
func (k Kind) String() string {
	return [...]string{"null", "boolean", "number", "string", "array", "object"}[k]
}

// Node is one value. Nodes are never changed after they are read, and an alias of YAML
// shares the node of its anchor. All methods take a nil node for one that is not there.
type Node struct {
	Kind Kind
	// Text is a string's value, or a number or boolean as JSON writes it.
	Text string
	// Items are a list's values.
	Items []*Node
	// Members are a map's, in the order of the text; names are unique.
	Members []Member

	index map[string]int // of members, where there are many
	size  int            // weight of what is below, aliases counted as often as they stand
	depth int            // of lists and maps in one another below
}

// Member is a name in a map and its value.
type Member struct {
	Name  string
	Value *Node
}

// indexed is how many members a map must have for an index to pay off.
const indexed = 12

// Get is the value of a name, nil when the node is no map or has no such name.
func (n *Node) Get(name string) *Node {
	if n == nil || n.Kind != Map {
		return nil
	}
	if n.index != nil {
		if i, ok := n.index[name]; ok {
			return n.Members[i].Value
		}
		return nil
	}
	for _, m := range n.Members {
		if m.Name == name {
			return m.Value
		}
	}
	return nil
}

// Is reports whether the node is there and of that kind.
func (n *Node) Is(k Kind) bool { return n != nil && n.Kind == k }

// Str is the text of a string, empty for all else.
func (n *Node) Str() string {
	if n.Is(String) {
		return n.Text
	}
	return ""
}

// True reports whether the node is the boolean true.
func (n *Node) True() bool { return n.Is(Bool) && n.Text == "true" }

// False reports whether the node is the boolean false.
func (n *Node) False() bool { return n.Is(Bool) && n.Text == "false" }

// Scalar reports whether the node is a string, number or boolean.
func (n *Node) Scalar() bool {
	return n != nil && (n.Kind == String || n.Kind == Number || n.Kind == Bool)
}

// Size is how much the tree below n holds, n included: one for each value and one more for
// each 32 bytes of text.
func (n *Node) Size() int {
	if n == nil {
		return 0
	}
	return n.size
}

// NewMap is a map of members whose names are unique.
func NewMap(members []Member) *Node {
	n := &Node{Kind: Map, Members: members}
	n.finish()
	return n
}

// Find follows a JSON pointer (RFC 6901), nil where it leads nowhere.
func (n *Node) Find(pointer string) *Node {
	if pointer == "" {
		return n
	}
	rest, ok := strings.CutPrefix(pointer, "/")
	for ok && n != nil {
		var token string
		token, rest, ok = strings.Cut(rest, "/")
		token = unescape.Replace(token)
		switch n.Kind {
		case Map:
			n = n.Get(token)
		case List:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(n.Items) {
				return nil
			}
			n = n.Items[i]
		default:
			return nil
		}
		if !ok {
			return n
		}
	}
	return nil
}

var (
	unescape = strings.NewReplacer("~1", "/", "~0", "~")
	escape   = strings.NewReplacer("~", "~0", "/", "~1")
)

// Pointer appends names to a JSON pointer.
func Pointer(base string, names ...string) string {
	for _, n := range names {
		base += "/" + escape.Replace(n)
	}
	return base
}

// AppendJSON appends the value as compact JSON.
func (n *Node) AppendJSON(b []byte) []byte {
	if n == nil {
		return append(b, "null"...)
	}
	switch n.Kind {
	case Bool, Number:
		return append(b, n.Text...)
	case String:
		return AppendString(b, n.Text)
	case List:
		b = append(b, '[')
		for i, v := range n.Items {
			if i > 0 {
				b = append(b, ',')
			}
			b = v.AppendJSON(b)
		}
		return append(b, ']')
	case Map:
		b = append(b, '{')
		for i, m := range n.Members {
			if i > 0 {
				b = append(b, ',')
			}
			b = AppendString(b, m.Name)
			b = append(b, ':')
			b = m.Value.AppendJSON(b)
		}
		return append(b, '}')
	default:
		return append(b, "null"...)
	}
}

// AppendString appends a JSON string. Trees hold no invalid UTF-8; if one did, the
// replacement character stands for it.
func AppendString(b []byte, s string) []byte {
	out, err := jsontext.AppendQuote(b, s)
	if err != nil {
		out, _ = jsontext.AppendQuote(b, strings.ToValidUTF8(s, "\uFFFD"))
	}
	return out
}

// finish weighs what is below, indexes names, and finds one that is there twice.
func (n *Node) finish() (twice string, ok bool) {
	n.size, n.depth, n.index = 1+len(n.Text)/32, 0, nil
	for _, v := range n.Items {
		n.hold(v, "")
	}
	if len(n.Members) > indexed {
		n.index = make(map[string]int, len(n.Members))
	}
	for i, m := range n.Members {
		n.hold(m.Value, m.Name)
		if n.index != nil {
			if _, there := n.index[m.Name]; there {
				return m.Name, false
			}
			n.index[m.Name] = i
			continue
		}
		for _, before := range n.Members[:i] {
			if before.Name == m.Name {
				return m.Name, false
			}
		}
	}
	return "", true
}

// last keeps the last of the members of a name, where the first one was.
func (n *Node) last() {
	at := make(map[string]int, len(n.Members))
	var members []Member
	for _, m := range n.Members {
		if i, there := at[m.Name]; there {
			members[i] = m
			continue
		}
		at[m.Name] = len(members)
		members = append(members, m)
	}
	n.Members = members
	n.finish()
}

// hold counts a value in. The sum stops above every bound, so that nested aliases cannot
// overflow it.
func (n *Node) hold(v *Node, name string) {
	n.size = min(n.size+v.size+len(name)/32, 1<<30)
	n.depth = max(n.depth, v.depth+1)
}
