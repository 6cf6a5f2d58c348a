package pipeline

import (
	"math/rand/v2"
	"regexp/syntax"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/outcrop/outcrop/internal/api/schema"
)

// textgen makes texts that match a pattern. The first try is the shortest text;
// later ones take turns at alternatives and characters.
type textgen struct {
	rand  *rand.Rand
	first bool
	// extra is how many characters beyond the shortest text are wanted.
	extra int
	// classes holds the usual characters of a class, by its first range.
	classes map[*rune][]rune
}

// matching returns a text of lo to hi characters that matches p, which may be nil.
func matching(r *rand.Rand, p *schema.Pattern, lo, hi int) (string, bool) {
	if p == nil {
		return strings.Repeat("a", max(lo, min(1, hi))), lo <= hi
	}
	return search(r, p, lo, hi, 0)
}

// another is matching, but hardly ever twice the same.
func another(r *rand.Rand, p *schema.Pattern, lo, hi int) (string, bool) {
	return search(r, p, lo, hi, 1)
}

func search(r *rand.Rand, p *schema.Pattern, lo, hi, from int) (string, bool) {
	src := p.Source
	if p.Go != "" {
		src = p.Go
	}
	re, err := syntax.Parse(src, syntax.Perl)
	if err != nil {
		panic(err) // the tables hold patterns that parse
	}
	for try := from; try < 200; try++ {
		target := lo
		if try%2 == 1 && hi-lo < 1<<12 {
			target = lo + r.IntN(hi-lo+1)
		}
		g := textgen{rand: r, first: try == 0, extra: max(0, target-shortest(re)), classes: map[*rune][]rune{}}
		var b strings.Builder
		g.emit(&b, re)
		s := b.String()
		if n := utf8.RuneCountInString(s); n >= lo && n <= hi && p.Match(s) {
			return s, true
		}
	}
	return "", false
}

// shortest is the length of the shortest text that matches.
func shortest(re *syntax.Regexp) int {
	n := 0
	switch re.Op {
	case syntax.OpLiteral:
		return len(re.Rune)
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return 1
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			n += shortest(sub)
		}
	case syntax.OpAlternate:
		n = shortest(re.Sub[0])
		for _, sub := range re.Sub[1:] {
			n = min(n, shortest(sub))
		}
	case syntax.OpCapture, syntax.OpPlus:
		return shortest(re.Sub[0])
	case syntax.OpRepeat:
		return re.Min * shortest(re.Sub[0])
	}
	return n
}

func (g *textgen) emit(b *strings.Builder, re *syntax.Regexp) {
	switch re.Op {
	case syntax.OpLiteral:
		b.WriteString(string(re.Rune))
	case syntax.OpCharClass:
		b.WriteRune(g.char(re.Rune))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		b.WriteByte('a')
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			g.emit(b, sub)
		}
	case syntax.OpCapture:
		g.emit(b, re.Sub[0])
	case syntax.OpAlternate:
		g.emit(b, g.alternative(re.Sub))
	case syntax.OpStar:
		g.repeat(b, re.Sub[0], 0, -1)
	case syntax.OpPlus:
		g.repeat(b, re.Sub[0], 1, -1)
	case syntax.OpQuest:
		g.repeat(b, re.Sub[0], 0, 1)
	case syntax.OpRepeat:
		g.repeat(b, re.Sub[0], re.Min, re.Max)
	}
}

// repeat writes sub as often as it must be, and more while characters are wanted.
func (g *textgen) repeat(b *strings.Builder, sub *syntax.Regexp, from, to int) {
	n, cost := from, shortest(sub)
	for cost > 0 && cost <= g.extra && (to < 0 || n < to) {
		g.extra -= cost
		n++
	}
	for range n {
		g.emit(b, sub)
	}
}

func (g *textgen) alternative(subs []*syntax.Regexp) *syntax.Regexp {
	if !g.first {
		return subs[g.rand.IntN(len(subs))]
	}
	best := subs[0]
	for _, sub := range subs {
		if shortest(sub) < shortest(best) {
			best = sub
		}
	}
	return best
}

// char picks a character of a class, a printable one of ASCII if there is one.
func (g *textgen) char(ranges []rune) rune {
	chars, known := g.classes[&ranges[0]]
	if !known {
		chars = usual(ranges)
		g.classes[&ranges[0]] = chars
	}
	if len(chars) == 0 {
		for c := ranges[0]; c <= ranges[1]; c++ {
			if unicode.IsPrint(c) {
				return c
			}
		}
		return ranges[0]
	}
	if g.first {
		return chars[0]
	}
	return chars[g.rand.IntN(len(chars))]
}

// usual lists the usual characters of a class.
func usual(ranges []rune) []rune {
	var chars []rune
	for _, c := range "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@=+ " {
		for i := 0; i < len(ranges); i += 2 {
			if ranges[i] <= c && c <= ranges[i+1] {
				chars = append(chars, c)
			}
		}
	}
	return chars
}

// TestTextgen holds the generator to every pattern of the tables.
func TestTextgen(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, svc := range allServices() {
		for i := range svc.Shapes {
			sh := &svc.Shapes[i]
			if sh.Pattern == nil {
				continue
			}
			lo, hi := lengths(sh)
			if _, ok := matching(r, sh.Pattern, lo, hi); !ok {
				t.Errorf("%s %s: found no text of %d to %d characters that matches %s", svc.Name, sh.Name, lo, hi, sh.Pattern.Source)
			}
		}
	}
}

// lengths are the bounds of a string, list, map or blob; what has none is
// taken to be at most a million long.
func lengths(sh *schema.Shape) (lo, hi int) {
	hi = 1 << 20
	if b := sh.Bounds; b != nil {
		if b.Has&schema.HasMin != 0 {
			lo = int(b.Min)
		}
		if b.Has&schema.HasMax != 0 {
			hi = min(hi, int(b.Max))
		}
	}
	return lo, hi
}
