package search

import (
	"slices"
	"strings"
)

// weighted is a term of a query.
type weighted struct {
	term   string
	weight float64
}

// terms are the different terms of a query in their order: its own words first, then what
// the lexicon adds, each with the most that it weighs anywhere.
func (x *Index) terms(query string) []weighted {
	a := newAnalyzer()
	said := tokens(clip(query, MaxQuery))
	if content := slices.DeleteFunc(slices.Clone(said), func(t token) bool { return has(stopWords, t) }); len(content) > 0 {
		said = content // else "who am I" is all there is
	}
	var out []weighted
	at := map[string]int{}
	add := func(term string, weight float64) {
		if i, ok := at[term]; ok {
			out[i].weight = max(out[i].weight, weight)
		} else if len(out) < maxTerms {
			at[term] = len(out)
			out = append(out, weighted{term, weight})
		}
	}
	for _, t := range said {
		a.terms([]token{t}, func(term string, weight float64) { add(term, weight*stress(t)*x.rarity(term)) })
	}
	for _, t := range said {
		x.lexicon.expand(a, t, func(word, term string, weight float64) {
			// A rare word that means the same says no more than the word that was said.
			add(term, weight*stress(t)*min(x.rarity(term), x.rarity(word)))
		})
	}
	return out
}

// stress is what a word of a query weighs against others.
func stress(t token) float64 {
	if has(lightWords, t) {
		return lightWeight
	}
	return 1
}

// has reports whether a word stands in a list.
func has(list string, t token) bool { return !t.run && strings.Contains(list, " "+t.text+" ") }

const (
	// stopWords are of English, and of how people ask: they say nothing of what is asked for.
	stopWords = " a about all am an and any are as at be been but by can could did do does doing for from had has have he her hers hey hi him his how i if in " +
		"into is it its just let like many may me more most much must my need no nobody not of on or our ours please shall she should so some somebody someone " +
		"something somewhere such than that the their them then there these they this those to too us very want was we were what when where whether which while " +
		"who whom whose why will with would yes you your yours "
	// lightWords say little of it: verbs that go with anything, where to and from, and when,
	// which is a matter of arguments.
	lightWords = " after again away back before bring came come day days do down get give go going got hour hours keep last left make month months new next now " +
		"off one out over put right see take tell today tomorrow tonight try two up use week weeks year years yesterday " +
		"monday tuesday wednesday thursday friday saturday sunday "
	lightWeight = 0.35
)
