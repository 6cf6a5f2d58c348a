package main

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
)

// goPattern translates the regular expression of a model, which is
// ECMAScript's, into Go's syntax. It returns the Go form ("" when it is the
// same) and the values that a leading negative lookahead takes out.
func goPattern(src string) (goForm string, not []string, err error) {
	out := src
	if m := lookahead.FindStringSubmatch(out); m != nil {
		for _, alt := range strings.Split(m[1], "|") {
			word, ok := strings.CutSuffix(alt, "$")
			if !ok || regexp.QuoteMeta(word) != word {
				return "", nil, fmt.Errorf("translate pattern %q: only a leading (?!word$|...) is known", src)
			}
			not = append(not, word)
		}
		out = out[len(m[0]):]
	}
	if m := foreign.FindString(out); m != "" {
		return "", nil, fmt.Errorf("translate pattern %q: Go reads %q in another way", src, m)
	}
	out = unicodeEscape.ReplaceAllString(out, `\x{$1}`)
	out = atom.ReplaceAllStringFunc(out, translateAtom)
	if _, err := syntax.Parse("^(?:"+out+")$", syntax.Perl); err != nil {
		return "", nil, fmt.Errorf("translate pattern %q: %w", src, err)
	}
	if out == src {
		return "", nil, nil
	}
	return out, not, nil
}

var (
	lookahead     = regexp.MustCompile(`^\(\?!((?:[A-Za-z0-9_]+\$\|?)+)\)`)
	unicodeEscape = regexp.MustCompile(`\\u([0-9A-Fa-f]{4})`)
	// foreign is what Go accepts with another meaning: the intersections of
	// Java's classes, and flags in the middle.
	foreign = regexp.MustCompile(`&&|\(\?[a-zA-Z]+[:)]`)
	// atom is a class, an escape or a dot, with its repetition if it has one.
	atom = regexp.MustCompile(`(\[(?:\\.|[^\]\\])+\]|\\.|\.)(?:\{(\d+),(\d+)\})?`)
)

// anyChar is the dot of ECMAScript, which ends at every line terminator.
const anyChar = `[^\n\r\x{2028}\x{2029}]`

// translateAtom gives the dot its meaning and splits large repetitions.
func translateAtom(m string) string {
	p := atom.FindStringSubmatch(m)
	x := p[1]
	if x == "." {
		x = anyChar
	}
	if p[2] == "" {
		return x
	}
	from, _ := strconv.Atoi(p[2])
	to, _ := strconv.Atoi(p[3])
	if to <= maxRepeat || from > maxRepeat {
		return fmt.Sprintf("%s{%d,%d}", x, from, to)
	}
	switch from {
	case 0:
		return upTo(x, to)
	case 1:
		return x + upTo(x, to-1)
	}
	return fmt.Sprintf("%s{%d}%s", x, from, upTo(x, to-from))
}

// maxRepeat is the largest count that Go's regexp accepts.
const maxRepeat = 1000

// upTo writes x{0,n} so that a text can match in one way only: with
// x{0,1000}x{0,1000} the time of a match would grow with the square of it.
func upTo(x string, n int) string {
	if n <= maxRepeat {
		return fmt.Sprintf("%s{0,%d}", x, n)
	}
	return fmt.Sprintf("(?:%s{%d}%s|%s{0,%d})", x, maxRepeat, upTo(x, n-maxRepeat), x, maxRepeat-1)
}
