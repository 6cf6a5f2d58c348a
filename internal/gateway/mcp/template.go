package mcp

import "strings"

// fits reports whether a URI may be one of a template (RFC 6570), by the text around its
// expressions: its target knows better, and is asked.
func fits(template, uri string) bool {
	first, rest, found := strings.Cut(template, "{")
	after, ok := strings.CutPrefix(uri, first)
	if !ok {
		return false
	}
	for found {
		_, tail, closed := strings.Cut(rest, "}")
		if !closed {
			return false
		}
		var literal string
		literal, rest, found = strings.Cut(tail, "{")
		if !found { // the last one ends it
			return strings.HasSuffix(after, literal)
		}
		i := strings.Index(after, literal)
		if i < 0 {
			return false
		}
		after = after[i+len(literal):]
	}
	return after == ""
}
