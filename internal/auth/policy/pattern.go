package policy

import (
	"strings"
	"unicode/utf8"
)

// pattern is a text that may have wildcards and variables, compiled.
type pattern struct {
	parts []part
	// variable says that parts has variables, which are looked up per request.
	variable bool
}

type partKind uint8

const (
	literal  partKind = iota // text, taken as it is
	star                     // * : any run of characters, also none
	one                      // ? : one character
	variable                 // ${key} or ${key, 'text'}
)

type part struct {
	kind partKind
	// text is the literal, or a variable's default.
	text       string
	key        string // of a variable, lower case
	hasDefault bool
}

// compilePattern reads a text. Without wildcards * and ? are characters like
// any; without variables ${ is, as in documents of 2008 ("variables").
func compilePattern(text string, wildcards, variables bool) (pattern, string) {
	var p pattern
	var lit []byte
	flush := func() {
		if len(lit) > 0 {
			p.parts = append(p.parts, part{kind: literal, text: string(lit)})
			lit = lit[:0]
		}
	}
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case wildcards && (c == '*' || c == '?'):
			flush()
			p.wildcard(c)
			i++
		case variables && strings.HasPrefix(text[i:], "${"):
			v, n, wrong := readVariable(text[i:])
			if wrong != "" {
				return pattern{}, wrong
			}
			if v.kind == literal {
				lit = append(lit, v.text...)
			} else {
				flush()
				p.parts, p.variable = append(p.parts, v), true
			}
			i += n
		default:
			lit = append(lit, c)
			i++
		}
	}
	flush()
	return p, ""
}

func (p *pattern) wildcard(c byte) {
	if c == '?' {
		p.parts = append(p.parts, part{kind: one})
		return
	}
	// A run of stars is one star, so that matching does not pay for it.
	if n := len(p.parts); n == 0 || p.parts[n-1].kind != star {
		p.parts = append(p.parts, part{kind: star})
	}
}

// readVariable reads the variable at the start of s and returns its length. The
// three escapes give a literal ("variables", special characters).
func readVariable(s string) (v part, length int, wrong string) {
	switch {
	case strings.HasPrefix(s, "${*}"), strings.HasPrefix(s, "${?}"), strings.HasPrefix(s, "${$}"):
		return part{kind: literal, text: s[2:3]}, 4, ""
	}
	end := strings.IndexAny(s, "},")
	if end < 0 {
		return v, 0, "the variable " + s + " has no closing brace; write ${key}, or ${$} for a dollar sign"
	}
	key := strings.TrimSpace(s[2:end])
	if key == "" || strings.ContainsAny(key, " \t\r\n'${") {
		return v, 0, "the variable " + s[:end+1] + " names no condition key; write ${key}, or ${$} for a dollar sign"
	}
	v = part{kind: variable, key: strings.ToLower(key)}
	if s[end] == '}' {
		return v, end + 1, ""
	}
	rest := strings.TrimLeft(s[end+1:], " ")
	quoted, found := strings.CutPrefix(rest, "'")
	text, after, closed := strings.Cut(quoted, "'")
	after = strings.TrimLeft(after, " ")
	if !found || !closed || !strings.HasPrefix(after, "}") {
		return v, 0, "the default of the variable " + s[:end] + "} must be in single quotes: ${key, 'text'}"
	}
	v.text, v.hasDefault = text, true
	return v, len(s) - len(after) + 1, ""
}

// resolve puts the request's values in the place of variables, appending to
// buf. It reports false when one has none: a key that is absent, or one with
// several values, cannot be a variable ("variables", "multi-value").
func (p *pattern) resolve(buf []part, keys Keys) ([]part, bool) {
	if !p.variable {
		return p.parts, true
	}
	for _, q := range p.parts {
		if q.kind == variable {
			v, ok := lookup(keys, q.key)
			switch {
			case len(v) == 1 && ok:
				q = part{kind: literal, text: v[0]}
			case !ok && q.hasDefault:
				q = part{kind: literal, text: q.text}
			default:
				return nil, false
			}
		}
		buf = append(buf, q)
	}
	return buf, true
}

// matches reports whether the whole of s fits. A value that came out of a
// variable has no wildcards.
func (p *pattern) matches(s string, keys Keys) bool {
	if !p.variable {
		return glob(p.parts, s)
	}
	var room [8]part
	parts, ok := p.resolve(room[:0], keys)
	return ok && glob(parts, s)
}

// glob matches s against parts without variables. What stands before the first
// star and after the last has one place each; a run between two stars is taken
// where it first fits, which leaves most for those after it.
func glob(parts []part, s string) bool {
	first := runLength(parts)
	n, ok := fits(parts[:first], s)
	if !ok {
		return false
	}
	if parts, s = parts[first:], s[n:]; len(parts) == 0 {
		return s == ""
	}
	for last := len(parts) - 1; parts[last].kind != star; last-- {
		n, ok := fitsEnd(&parts[last], s)
		if !ok {
			return false
		}
		parts, s = parts[:last], s[:len(s)-n]
	}
	for len(parts) > 1 { // parts[0] is a star, and so is the last
		run := parts[1 : 1+runLength(parts[1:])]
		n := find(run, s)
		if n < 0 {
			return false
		}
		parts, s = parts[1+len(run):], s[n:]
	}
	return true
}

// runLength counts the parts before the first star.
func runLength(parts []part) int {
	for i := range parts {
		if parts[i].kind == star {
			return i
		}
	}
	return len(parts)
}

// find returns the end of the first place in s where a run fits, or -1.
func find(run []part, s string) int {
	for at := 0; ; {
		if run[0].kind == literal {
			i := strings.Index(s[at:], run[0].text)
			if i < 0 {
				return -1
			}
			at += i
		}
		if n, ok := fits(run, s[at:]); ok {
			return at + n
		}
		if at == len(s) {
			return -1
		}
		_, w := utf8.DecodeRuneInString(s[at:])
		at += w
	}
}

// fits reports whether s begins with a run, and its length there.
func fits(run []part, s string) (length int, ok bool) {
	for i := range run {
		if run[i].kind == one {
			_, w := utf8.DecodeRuneInString(s[length:])
			if w == 0 {
				return 0, false
			}
			length += w
			continue
		}
		if !strings.HasPrefix(s[length:], run[i].text) {
			return 0, false
		}
		length += len(run[i].text)
	}
	return length, true
}

// fitsEnd reports whether s ends with a part, and its length there.
func fitsEnd(p *part, s string) (length int, ok bool) {
	if p.kind == one {
		_, w := utf8.DecodeLastRuneInString(s)
		return w, w > 0
	}
	return len(p.text), strings.HasSuffix(s, p.text)
}
