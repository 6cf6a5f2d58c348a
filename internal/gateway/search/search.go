// Package search finds tools by what somebody asks for: the index behind the tool
// x_amz_bedrock_agentcore_search of a gateway (spec/gateway.md 8.5, docs/gateway.md).
//
// An Index is pure: BM25 over names, descriptions and parameters, in English and in
// scripts without spaces, with a small lexicon of words that mean the same. Where a model
// for embeddings is configured, a Finder joins its ranking with that of their vectors,
// which come later and may never come: the words alone answer until then.
package search

import (
	"math"
	"strings"

	"github.com/outcrop/outcrop/internal/gateway/tool"
)

const (
	// Most is how many tools the search tool returns (spec/gateway.md 8.5).
	Most = 10
	// MaxQuery is how much of a query is read, in bytes.
	MaxQuery = 4 << 10
	// maxTerms is how many different terms of a query are asked for.
	maxTerms = 512
)

// Entry is a tool that can be found.
type Entry struct {
	// ID is the name under which the gateway lists it, with its target's.
	ID   string
	Tool tool.Tool
}

// The fields of a tool, what a word in each of them weighs, and how much a long one
// dilutes its words (BM25F's w and b).
const (
	nameField = iota
	targetField
	textField
	parameterField
	parameterTextField
	fields
)

var (
	fieldWeight = [fields]float64{2.5, 1, 1.5, 0.8, 0.4}
	fieldLength = [fields]float64{0.3, 0, 0.6, 0.7, 0.75}
)

// saturation is how soon more of the same word stops to count (BM25's k1).
const saturation = 1.2

// posting says that a tool has a term, and how much of it.
type posting struct {
	tool int32
	much float32
}

// Index finds tools by words. It does not change, and may be used by many at once.
type Index struct {
	postings map[string][]posting
	texts    []string
	lexicon  lexicon
}

// New indexes tools. What Search returns are positions in entries.
func New(entries []Entry) *Index {
	b := builder{analyzer: newAnalyzer(), tools: make([]document, len(entries))}
	x := &Index{texts: make([]string, len(entries)), lexicon: words()}
	for i, e := range entries {
		x.texts[i] = b.add(i, e)
	}
	x.postings = b.postings()
	return x
}

// Len is how many tools there are.
func (x *Index) Len() int { return len(x.texts) }

// Search returns the positions of the tools that have words of a query, or words that
// mean about the same, best first and at most so many; those that are not allowed are
// left out. Of equals the first of the entries comes first.
func (x *Index) Search(query string, most int, allowed func(i int) bool) []int {
	return some(x.rank(query), most, allowed)
}

// some are the first so many that are allowed; nil allows all. It asks for no more than it
// needs: policies are evaluated behind it.
func some(ranked []int, most int, allowed func(i int) bool) []int {
	var out []int
	for _, i := range ranked {
		if len(out) >= most {
			break
		}
		if allowed == nil || allowed(i) {
			out = append(out, i)
		}
	}
	return out
}

// rank orders all tools that have anything of a query.
func (x *Index) rank(query string) []int {
	scores := make([]float64, len(x.texts))
	for _, q := range x.terms(query) {
		for _, p := range x.postings[q.term] {
			much := float64(p.much)
			scores[p.tool] += q.weight * much * (saturation + 1) / (saturation + much)
		}
	}
	return ranked(scores)
}

// rarity is what a term says of a tool that has it (BM25's idf).
func (x *Index) rarity(term string) float64 {
	n, df := float64(len(x.texts)), float64(len(x.postings[term]))
	return math.Log(1 + (n-df+0.5)/(df+0.5))
}

// text is what an embedding is made of.
func text(target, name string, t *tool.Tool, parameters []string) string {
	var b strings.Builder
	line := func(s string) {
		if s = strings.TrimSpace(s); s != "" {
			if b.Len() > 0 {
				b.WriteByte('\n')
			}
			b.WriteString(s)
		}
	}
	line(spaced(name))
	line(t.Title)
	line(clip(t.Description, maxEmbedded))
	line(spaced(strings.Join(parameters, ", ")))
	line(spaced(target))
	return clip(b.String(), maxEmbedded)
}

// maxEmbedded is how much of a tool's text models are given, in bytes: some 300 tokens in
// English and in Japanese. Small models read 256 or 512, and some servers refuse more.
const maxEmbedded = 1200

// spaced is a name in words as models know them.
func spaced(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r == '.' || r == '/' {
			return ' '
		}
		return r
	}, name)
}
