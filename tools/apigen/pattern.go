package main

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
)

// goPattern translates a Java regular expression of a model into Go's syntax.
// It returns the Go form ("" when it is the same) and the values that a
// leading negative lookahead takes out.
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
	out = unicodeEscape.ReplaceAllString(out, `\x{$1}`)
	out = longRepeat.ReplaceAllStringFunc(out, splitRepeat)
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
	longRepeat    = regexp.MustCompile(`(\[(?:\\.|[^\]\\])+\]|\\.|\.)\{(\d+),(\d+)\}`)
)

// maxRepeat is the largest count that Go's regexp accepts.
const maxRepeat = 1000

// splitRepeat writes X{a,b} with a large b as X{a,1000}X{0,1000}...
func splitRepeat(m string) string {
	p := longRepeat.FindStringSubmatch(m)
	from, _ := strconv.Atoi(p[2])
	to, _ := strconv.Atoi(p[3])
	if to <= maxRepeat || from > maxRepeat {
		return m
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s{%d,%d}", p[1], from, maxRepeat)
	for to -= maxRepeat; to > 0; to -= maxRepeat {
		fmt.Fprintf(&b, "%s{0,%d}", p[1], min(to, maxRepeat))
	}
	return b.String()
}
