// Package toolsearch is a benchmark of tool search: tools as servers of many trades
// describe them, what people ask in English and Japanese, and which tools would help them.
//
// The questions were written as people ask, not from the descriptions, and after the
// lexicon of internal/gateway/search. Weights were chosen with those of queries.txt; those of
// later.txt came afterwards, and show what that is worth elsewhere.
package toolsearch
