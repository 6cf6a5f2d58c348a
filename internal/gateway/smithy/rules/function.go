package rules

import (
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// builtin is a function of the rules. An optional argument that is missing is nil.
type builtin struct {
	min, max int
	run      func(args []any) (any, error)
}

var errType = errors.New("an argument is of another type")

// function is the standard library of the rules engine and AWS's (Smithy's rules engine
// specification, "standard library" and "AWS rules engine library functions").
func function(name string) (builtin, bool) {
	switch name {
	case "isSet":
		return builtin{1, 1, func(a []any) (any, error) { return a[0] != nil, nil }}, true
	case "not":
		return builtin{1, 1, func(a []any) (any, error) { return a[0] == nil || a[0] == false, nil }}, true
	case "stringEquals":
		return builtin{2, 2, stringEquals}, true
	case "booleanEquals":
		return builtin{2, 2, booleanEquals}, true
	case "coalesce":
		return builtin{2, maxDepth, coalesce}, true
	case "ite":
		return builtin{3, 3, ite}, true
	case "getAttr":
		return builtin{2, 2, getAttr}, true
	case "substring":
		return builtin{4, 4, substring}, true
	case "split":
		return builtin{3, 3, split}, true
	case "uriEncode":
		return builtin{1, 1, uriEncode}, true
	case "parseURL":
		return builtin{1, 1, ofText(parseURL)}, true
	case "isValidHostLabel":
		return builtin{1, 2, hostFunction(IsHostLabel)}, true
	case "aws.isVirtualHostableS3Bucket":
		return builtin{1, 2, hostFunction(isVirtualHostable)}, true
	case "aws.parseArn":
		return builtin{1, 1, ofText(parseARN)}, true
	case "aws.partition":
		return builtin{1, 1, partitionOf}, true
	}
	return builtin{}, false
}

// ofText is a function of one text that has no value where the text has none.
func ofText(f func(string) any) func([]any) (any, error) {
	return func(a []any) (any, error) {
		switch v := a[0].(type) {
		case nil:
			return nil, nil
		case string:
			return f(v), nil
		}
		return nil, errType
	}
}

// partitionOf takes no region for an unknown one, as rule sets older than regions' checks
// have it.
func partitionOf(a []any) (any, error) {
	if a[0] == nil {
		return partition(""), nil
	}
	return ofText(partition)(a)
}

func stringEquals(a []any) (any, error) {
	x, ok1 := a[0].(string)
	y, ok2 := a[1].(string)
	if !ok1 && a[0] != nil || !ok2 && a[1] != nil {
		return nil, errType
	}
	return ok1 && ok2 && x == y, nil
}

func booleanEquals(a []any) (any, error) {
	x, ok1 := a[0].(bool)
	y, ok2 := a[1].(bool)
	if !ok1 && a[0] != nil || !ok2 && a[1] != nil {
		return nil, errType
	}
	return ok1 && ok2 && x == y, nil
}

func coalesce(a []any) (any, error) {
	for _, v := range a {
		if v != nil {
			return v, nil
		}
	}
	return nil, nil
}

func ite(a []any) (any, error) {
	if a[0] != nil && a[0] != false {
		return a[1], nil
	}
	return a[2], nil
}

func getAttr(a []any) (any, error) {
	path, ok := a[1].(string)
	if !ok {
		return nil, errType
	}
	return attribute(a[0], path), nil
}

// attribute follows a path of keys and indexes, such as resourceId[0] or outputs.name.
func attribute(v any, path string) any {
	for step := range strings.SplitSeq(path, ".") {
		key, index, indexed := strings.Cut(step, "[")
		if key != "" {
			object, _ := v.(map[string]any)
			v = object[key]
		}
		if !indexed {
			continue
		}
		list, _ := v.([]any)
		i, err := strconv.Atoi(strings.TrimSuffix(index, "]"))
		if i < 0 {
			i += len(list)
		}
		if err != nil || i < 0 || i >= len(list) {
			return nil
		}
		v = list[i]
	}
	return v
}

func substring(a []any) (any, error) {
	if a[0] == nil {
		return nil, nil
	}
	text, ok1 := a[0].(string)
	start, ok2 := a[1].(int)
	stop, ok3 := a[2].(int)
	reverse, ok4 := a[3].(bool)
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return nil, errType
	}
	if start < 0 || start >= stop || len(text) < stop || strings.ContainsFunc(text, func(r rune) bool { return r > 127 }) {
		return nil, nil
	}
	if reverse {
		start, stop = len(text)-stop, len(text)-start
	}
	return text[start:stop], nil
}

// split parts a text in as many as limit says; zero is no limit.
func split(a []any) (any, error) {
	if a[0] == nil {
		return nil, nil
	}
	text, ok1 := a[0].(string)
	by, ok2 := a[1].(string)
	limit, ok3 := a[2].(int)
	if !ok1 || !ok2 || !ok3 || by == "" || limit < 0 {
		return nil, errType
	}
	if limit == 0 {
		limit = -1
	}
	return anys(strings.SplitN(text, by, limit)), nil
}

func anys(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}

func uriEncode(a []any) (any, error) {
	if a[0] == nil {
		return nil, nil
	}
	text, ok := a[0].(string)
	if !ok {
		return nil, errType
	}
	if out := Encode(text); len(out) <= maxText {
		return out, nil
	}
	return nil, errText
}

// Encode percent-encodes all but what RFC 3986 calls unreserved.
func Encode(text string) string {
	const upper = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(text) {
		switch c := text[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-_.~", c) >= 0:
			b.WriteByte(c)
		default:
			b.Write([]byte{'%', upper[c>>4], upper[c&15]})
		}
	}
	return b.String()
}

func parseURL(text string) any {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil
	}
	path := u.EscapedPath()
	normalized := path
	if !strings.HasSuffix(normalized, "/") {
		normalized += "/"
	}
	_, notIP := netip.ParseAddr(u.Hostname())
	return map[string]any{"scheme": u.Scheme, "authority": u.Host, "path": path, "normalizedPath": normalized, "isIp": notIP == nil}
}

// hostFunction is a function of a text and of whether it may have several labels.
func hostFunction(f func(text string, dots bool) bool) func([]any) (any, error) {
	return func(a []any) (any, error) {
		if a[0] == nil {
			return false, nil
		}
		text, ok := a[0].(string)
		dots := false
		if len(a) > 1 && ok {
			dots, ok = a[1].(bool)
		}
		if !ok {
			return nil, errType
		}
		return f(text, dots), nil
	}
}

// IsHostLabel says whether a text is a label of a host name as RFC 1123 has it, or several
// with dots between them.
func IsHostLabel(text string, dots bool) bool {
	if dots {
		for label := range strings.SplitSeq(text, ".") {
			if !IsHostLabel(label, false) {
				return false
			}
		}
		return true
	}
	if text == "" || len(text) > 63 || text[0] == '-' || text[len(text)-1] == '-' {
		return false
	}
	return !strings.ContainsFunc(text, func(r rune) bool {
		return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

// isVirtualHostable says whether a bucket of Amazon S3 can be named in a host name.
func isVirtualHostable(bucket string, dots bool) bool {
	if len(bucket) < 3 || len(bucket) > 63 || strings.ToLower(bucket) != bucket || !IsHostLabel(bucket, dots) {
		return false
	}
	_, notIP := netip.ParseAddr(bucket)
	return notIP != nil
}

func parseARN(text string) any {
	p := strings.SplitN(text, ":", 6)
	if len(p) < 6 || p[0] != "arn" || p[1] == "" || p[2] == "" || p[5] == "" {
		return nil
	}
	resource := strings.Split(strings.ReplaceAll(p[5], ":", "/"), "/")
	return map[string]any{"partition": p[1], "service": p[2], "region": p[3], "accountId": p[4], "resourceId": anys(resource)}
}
