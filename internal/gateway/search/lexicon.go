package search

import (
	_ "embed"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

//go:embed lexicon.txt
var lexiconText string

// What a word that means about the same weighs in a query, against the word itself.
const (
	synonymWeight = 0.3
	// englishWeight is of English words for Japanese ones: without them a question in Japanese
	// finds nothing that is described in English alone, as most tools are. The other way
	// round, japaneseWeight, it is rarer that somebody wants that.
	englishWeight  = 0.8
	japaneseWeight = 0.3
	// maxLexeme is the longest run of characters that is looked up, in characters.
	maxLexeme = 10
)

// lexicon has, for a stem or a run of Japanese, the others of its lines.
type lexicon map[string][]token

// words is the lexicon that comes with the program. It is read once, when first asked.
var words = sync.OnceValue(func() lexicon { return parseLexicon(lexiconText) })

func parseLexicon(text string) lexicon {
	a, out := newAnalyzer(), lexicon{}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		var group []token
		for _, word := range strings.Fields(line) {
			for _, t := range tokens(word) {
				group = append(group, token{a.key(t), t.run})
			}
		}
		for _, one := range group {
			for _, other := range group {
				if other != one && !slices.Contains(out[one.text], other) {
					out[one.text] = append(out[one.text], other)
				}
			}
		}
	}
	return out
}

// key is what a token is looked up by.
func (a *analyzer) key(t token) string {
	if t.run {
		return t.text
	}
	return a.stem(t.text)
}

// expand calls emit with the terms of words that mean about what a token does, and the word
// whose they are.
func (l lexicon) expand(a *analyzer, t token, emit func(word, term string, weight float64)) {
	if !t.run {
		l.others(token{text: a.stem(t.text)}, emit)
		return
	}
	// The longest word that begins somewhere counts, and the next begins behind it.
	for text := t.text; text != ""; {
		end, found := 0, 0
		for n := 0; n < maxLexeme && end < len(text); n++ {
			_, size := utf8.DecodeRuneInString(text[end:])
			end += size
			if _, ok := l[text[:end]]; ok {
				found = end
			}
		}
		if found == 0 {
			_, found = utf8.DecodeRuneInString(text)
		} else {
			l.others(token{text[:found], true}, emit)
		}
		text = text[found:]
	}
}

// others emits the terms of the words beside one, a word's weight shared by its terms.
func (l lexicon) others(word token, emit func(word, term string, weight float64)) {
	for _, other := range l[word.text] {
		weight := synonymWeight
		switch {
		case word.run && !other.run:
			weight = englishWeight
		case other.run && !word.run:
			weight = japaneseWeight
		}
		if !other.run {
			emit(word.text, other.text, weight)
			continue
		}
		n := utf8.RuneCountInString(other.text)
		grams(other.text, func(term string, w float64) {
			if n == 1 {
				w = unigramWeight
			} else if utf8.RuneCountInString(term) == 1 {
				return // 日 of 日程 is about anything
			}
			emit(word.text, term, w*weight/float64(max(1, n-1)))
		})
	}
}
