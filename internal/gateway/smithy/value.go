package smithy

import (
	"encoding/base64"
	"encoding/json"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// jsonValue turns an argument into what a body of restJson1 has.
func jsonValue(m *member, v any, at *path) (any, error) {
	switch s := m.target; s.kind {
	case kindDocument:
		return v, nil
	case kindStructure:
		return jsonStructure(s, v, at)
	case kindUnion:
		return jsonUnion(s, v, at)
	case kindList:
		return jsonList(s, v, at)
	case kindMap:
		return jsonMap(s, v, at)
	case kindTimestamp:
		text, err := simpleText(m, v, inBody, at)
		if err == nil && timeFormat(m.facets.timestamp, inBody) == epochSeconds {
			return json.Number(text), nil
		}
		return text, err
	case kindBoolean:
		if _, err := simpleText(m, v, inBody, at); err != nil {
			return nil, err
		}
		return v, nil
	}
	text, err := simpleText(m, v, inBody, at)
	if err != nil {
		return nil, err
	}
	if _, isNumber := v.(json.Number); isNumber {
		return json.Number(text), nil
	}
	return text, nil
}

func jsonStructure(s *shape, v any, at *path) (any, error) {
	object, ok := v.(map[string]any)
	if !ok {
		return nil, at.wrong("must be an object, and is %s", what(v))
	}
	out := make(map[string]any, len(object))
	if err := known(s, object, at); err != nil {
		return nil, err
	}
	for _, m := range s.members {
		item := object[m.arg]
		if item == nil && m.fallback != nil {
			out[m.json] = m.fallback
			continue
		}
		if item == nil {
			if m.required {
				return nil, at.key(m.arg).wrong("is missing, and required")
			}
			continue
		}
		value, err := jsonValue(m, item, at.key(m.arg))
		if err != nil {
			return nil, err
		}
		out[m.json] = value
	}
	return out, nil
}

// known refuses members that a structure does not have.
func known(s *shape, object map[string]any, at *path) error {
	had := 0
	for _, m := range s.members {
		if _, ok := object[m.arg]; ok {
			had++
		}
	}
	if had == len(object) {
		return nil
	}
	for _, name := range sortedKeys(object) {
		if !slices.ContainsFunc(s.members, func(m *member) bool { return m.arg == name }) {
			return at.key(shorten(name, 100)).wrong("there is no such member; there are %s", names(s))
		}
	}
	return nil
}

// names lists a structure's members.
func names(s *shape) string {
	const most = 30
	var out []string
	for _, m := range s.members {
		out = append(out, m.arg)
	}
	switch {
	case len(out) == 0:
		return "none"
	case len(out) > most:
		out = append(out[:most], "others")
	}
	return strings.Join(out, ", ")
}

func jsonUnion(s *shape, v any, at *path) (any, error) {
	object, ok := v.(map[string]any)
	if !ok {
		return nil, at.wrong("must be an object with one of the members %s, and is %s", names(s), what(v))
	}
	if err := known(s, object, at); err != nil {
		return nil, err
	}
	out := map[string]any{}
	for _, m := range s.members {
		if item := object[m.arg]; item != nil {
			value, err := jsonValue(m, item, at.key(m.arg))
			if err != nil {
				return nil, err
			}
			out[m.json] = value
		}
	}
	if len(out) != 1 {
		return nil, at.wrong("must have exactly one of the members %s, and has %d", names(s), len(out))
	}
	return out, nil
}

func jsonList(s *shape, v any, at *path) (any, error) {
	list, ok := v.([]any)
	if !ok {
		return nil, at.wrong("must be a list, and is %s", what(v))
	}
	out := make([]any, len(list))
	for i, item := range list {
		if item == nil {
			if !s.sparse {
				return nil, at.item(i).wrong("must not be null")
			}
			continue
		}
		var err error
		if out[i], err = jsonValue(s.elem, item, at.item(i)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func jsonMap(s *shape, v any, at *path) (any, error) {
	object, ok := v.(map[string]any)
	if !ok {
		return nil, at.wrong("must be an object, and is %s", what(v))
	}
	out := make(map[string]any, len(object))
	for _, key := range sortedKeys(object) {
		item := object[key]
		if item == nil {
			if !s.sparse {
				return nil, at.key(shorten(key, 100)).wrong("must not be null")
			}
			out[key] = nil
			continue
		}
		var err error
		if out[key], err = jsonValue(s.elem, item, at.key(key)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// simpleText is a value that holds no others, as it stands outside of JSON.
func simpleText(m *member, v any, in location, at *path) (string, error) {
	switch k := m.target.kind; {
	case k == kindBoolean:
		if b, ok := v.(bool); ok {
			return strconv.FormatBool(b), nil
		}
		return "", at.wrong("must be true or false, and is %s", what(v))
	case k.isInteger():
		return integerText(k, v, at)
	case k.isFloat():
		switch v := v.(type) {
		case json.Number:
			return v.String(), nil
		case string:
			if v == "NaN" || v == "Infinity" || v == "-Infinity" {
				return v, nil
			}
		}
		return "", at.wrong("must be a number, and is %s", what(v))
	case k == kindTimestamp:
		t, ok := parseTime(v)
		if !ok {
			return "", at.wrong("must be a time such as 2026-01-31T12:00:00Z, or a number of seconds since 1970")
		}
		return writeTime(t, timeFormat(m.facets.timestamp, in)), nil
	}
	text, ok := v.(string)
	if !ok {
		return "", at.wrong("must be a string, and is %s", what(v))
	}
	if m.target.kind == kindBlob {
		if _, err := base64.StdEncoding.DecodeString(text); err != nil {
			return "", at.wrong("must be base64 (RFC 4648, with padding)")
		}
	}
	if m.facets.mediaType != "" && in == inHeader && m.target.kind == kindString {
		return base64.StdEncoding.EncodeToString([]byte(text)), nil
	}
	return text, nil
}

// integerText is a whole number without an exponent or a fraction.
func integerText(k kind, v any, at *path) (string, error) {
	number, ok := v.(json.Number)
	if !ok {
		return "", at.wrong("must be a whole number, and is %s", what(v))
	}
	text := number.String()
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		if k == kindBigInteger && isDigits(text) {
			return text, nil
		}
		// 5.0 and 1e3 are whole too. Longer ones would make big.Rat work hard.
		r, ok := new(big.Rat), len(text) <= 40 && !bigExponent(text)
		if ok {
			_, ok = r.SetString(text)
		}
		if !ok || !r.IsInt() || !r.Num().IsInt64() {
			return "", at.wrong("must be a whole number that the service can take, and is %s", shorten(text, 40))
		}
		n = r.Num().Int64()
	}
	if low, high := k.limits(); n < low || n > high {
		return "", at.wrong("must be from %d to %d", low, high)
	}
	return strconv.FormatInt(n, 10), nil
}

func isDigits(text string) bool {
	text = strings.TrimPrefix(text, "-")
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r < '0' || r > '9' })
}

// bigExponent says whether a number has an exponent of three digits or more.
func bigExponent(text string) bool {
	_, exponent, _ := strings.Cut(strings.ToLower(text), "e")
	return len(strings.TrimLeft(exponent, "+-0")) > 2
}

// what names a JSON value.
func what(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "true or false"
	case json.Number:
		return "the number " + shorten(v.String(), 40)
	case string:
		return "a string"
	case []any:
		return "a list"
	}
	return "an object"
}

// labelText is the value of a label. A path must not become that of another operation: no
// label is empty or leads elsewhere.
func labelText(m *member, v any, at *path, greedy bool) (string, error) {
	text, err := simpleText(m, v, inLabel, at)
	if err != nil {
		return "", err
	}
	if text == "" {
		return "", at.wrong("is part of the path, and must not be empty")
	}
	segments := []string{text}
	if greedy {
		segments = strings.Split(text, "/")
	}
	for _, s := range segments {
		if s == "." || s == ".." {
			return "", at.wrong("is part of the path, and must not have %q in it as a segment of its own", s)
		}
	}
	return text, nil
}

// headerText checks that a text can be a header's value.
func headerText(text string, at *path) (string, error) {
	if hasControls(text) {
		return "", at.wrong("is a header, and must not have control characters in it")
	}
	return text, nil
}

func hasControls(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) || !utf8.ValidString(text)
}

// quoted is an item of a header's list.
func quoted(text string) string {
	if !strings.ContainsAny(text, `",`) && text != "" {
		return text
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

// isToken says whether a text can be a header's name (RFC 9110, 5.6.2).
func isToken(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}
