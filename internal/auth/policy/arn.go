package policy

import (
	"slices"
	"strings"
)

// arnFields is how many parts an ARN has; the last may have colons.
const arnFields = 6

// splitARN splits the value of a request.
func splitARN(s string) (fields [arnFields]string, ok bool) {
	for i := range arnFields - 1 {
		at := strings.IndexByte(s, ':')
		if at < 0 {
			return fields, false
		}
		fields[i], s = s[:at], s[at+1:]
	}
	fields[arnFields-1] = s
	return fields, fields[0] == "arn"
}

// Account is the account in an ARN, empty where it has none, or a name in its place.
func Account(arn string) string {
	if f, ok := splitARN(arn); ok && account(f[4]) {
		return f[4]
	}
	return ""
}

// arnPattern is the value of an ARN operator. Each of the six fields is matched
// by itself, so that a star does not reach across a colon of the first five
// ("operators", ARN).
type arnPattern struct {
	whole  pattern
	fields [arnFields][]part // when whole has no variables
	any    bool              // "*"
}

func compileARN(v string, variables bool) (arnPattern, string) {
	whole, wrong := compilePattern(v, true, variables)
	if wrong != "" {
		return arnPattern{}, wrong
	}
	a := arnPattern{whole: whole, any: v == "*"}
	if whole.variable || a.any {
		return a, ""
	}
	ok := splitParts(whole.parts, &a.fields) && glob(a.fields[0], "arn")
	return a, unless(ok, v, `is not an ARN; write arn:aws:service:region:account:resource, with * in a field for any`)
}

// splitParts cuts a pattern at its first five colons, whether they were written
// or came out of a variable.
func splitParts(parts []part, fields *[arnFields][]part) bool {
	n := 0
	for _, p := range parts {
		for p.kind == literal && n < arnFields-1 {
			before, after, found := strings.Cut(p.text, ":")
			if !found {
				break
			}
			fields[n] = append(fields[n], part{kind: literal, text: before})
			n++
			p.text = after
		}
		fields[n] = append(fields[n], p)
	}
	return n == arnFields-1
}

func (a *arnPattern) matches(value *[arnFields]string, keys Keys) bool {
	if a.any {
		return true
	}
	fields := a.fields
	if a.whole.variable {
		var room [8]part
		parts, ok := a.whole.resolve(room[:0], keys)
		if !ok || !splitParts(parts, &fields) {
			return false
		}
	}
	for i := range fields {
		if !glob(fields[i], value[i]) {
			return false
		}
	}
	return true
}

// partition reports whether s is aws, aws-cn, aws-us-gov or the like.
func partition(s string) bool {
	name, more, found := strings.Cut(s, "-")
	return name == "aws" && (!found || more != "" && onlyOf(more, "-abcdefghijklmnopqrstuvwxyz"))
}

const lowerNames = "-0123456789abcdefghijklmnopqrstuvwxyz"

func onlyOf(s, chars string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !strings.ContainsRune(chars, r) })
}

// compileResource reads a value of Resource: "*" or an ARN whose service is
// written out (reference-arns). That page wants the partition written out too,
// but AWS's own managed policies have arn:*:, so any is allowed. An Identity
// document may leave fields out at the end, which are then any; others may not.
func compileResource(v string, kind Kind, variables bool) (pattern, string) {
	if v == "*" {
		return compilePattern(v, true, false)
	}
	fields := splitOutside(v, variables)
	if fields[0] != "arn" || len(fields) < 3 {
		return pattern{}, `resource "` + v + `" must be in ARN format or "*"`
	}
	if fields[1] != "*" && !partition(fields[1]) {
		return pattern{}, `partition "` + fields[1] + `" is not valid for resource "` + v + `"; write aws`
	}
	if !onlyOf(fields[2], lowerNames) {
		return pattern{}, `resource vendor must be fully qualified and cannot contain wildcards: "` + v + `"`
	}
	if len(fields) < arnFields {
		if kind != Identity {
			return pattern{}, `resource "` + v + `" is not a whole ARN; write all six fields, with * where any will do`
		}
		v += strings.Repeat(":*", arnFields-len(fields))
	}
	if variables && slices.ContainsFunc(fields[:min(len(fields), arnFields-1)], func(f string) bool { return strings.Contains(f, "${") }) {
		return pattern{}, `resource "` + v + `" has a variable before the fifth colon; variables stand only in the last field`
	}
	return compilePattern(v, true, variables)
}

// splitOutside splits an ARN at the colons outside of variables, into at most
// six fields.
func splitOutside(s string, variables bool) []string {
	var fields []string
	start, inside := 0, false
	for i := 0; i < len(s) && len(fields) < arnFields-1; i++ {
		switch {
		case variables && strings.HasPrefix(s[i:], "${"):
			inside = true
		case s[i] == '}':
			inside = false
		case s[i] == ':' && !inside:
			fields = append(fields, s[start:i])
			start = i + 1
		}
	}
	return append(fields, s[start:])
}
