package search

import (
	"unicode"
	"unicode/utf8"

	"github.com/blevesearch/snowballstem"
	"github.com/blevesearch/snowballstem/english"
)

// What grams weigh in a query. Two characters are about a word in Chinese and
// Japanese; one of Han means something alone; and hiragana is mostly grammar.
const (
	bigramWeight   = 1
	unigramWeight  = 0.25
	hiraganaWeight = 0.4 // for each hiragana of a bigram
)

// analyzer makes terms of tokens. It remembers stems, since few words make most of
// what tools say of themselves; it is for one goroutine.
type analyzer struct {
	env   *snowballstem.Env
	stems map[string]string
}

func newAnalyzer() *analyzer {
	return &analyzer{env: snowballstem.NewEnv(""), stems: map[string]string{}}
}

// stem is the stem of an English word, and any other word as it is.
func (a *analyzer) stem(word string) string {
	if stem, ok := a.stems[word]; ok {
		return stem
	}
	stem := word
	if prefix(word, func(r rune) bool { return r >= 'a' && r <= 'z' }) == len(word) {
		a.env.SetCurrent(word)
		english.Stem(a.env)
		stem = a.env.Current()
	}
	a.stems[word] = stem
	return stem
}

// terms calls emit with each term of the tokens and what it weighs in a query.
func (a *analyzer) terms(of []token, emit func(term string, weight float64)) {
	for _, t := range of {
		if t.run {
			grams(t.text, emit)
			continue
		}
		emit(a.stem(t.text), 1)
	}
}

// grams cuts a run into pairs of characters, and into single ones of Han.
func grams(run string, emit func(term string, weight float64)) {
	first, size := utf8.DecodeRuneInString(run)
	if size == len(run) {
		emit(run, 1)
		return
	}
	begin, before := 0, first
	han(run[:size], first, emit)
	for i, r := range run[size:] {
		i += size
		end := i + utf8.RuneLen(r)
		weight := float64(bigramWeight)
		for _, c := range [...]rune{before, r} {
			if unicode.Is(unicode.Hiragana, c) {
				weight *= hiraganaWeight
			}
		}
		emit(run[begin:end], weight)
		han(run[i:end], r, emit)
		begin, before = i, r
	}
}

func han(char string, r rune, emit func(string, float64)) {
	if unicode.Is(unicode.Han, r) {
		emit(char, unigramWeight)
	}
}
