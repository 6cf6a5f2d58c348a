package search

import (
	"context"
	"sync/atomic"
	"time"
)

// Embedder makes vectors of texts: those that mean about the same are near each other.
type Embedder interface {
	// Documents returns a vector for each of some texts that are to be found.
	Documents(ctx context.Context, texts []string) ([][]float32, error)
	// Query returns the vector of what somebody asks for.
	Query(ctx context.Context, text string) ([]float32, error)
	// Model names what makes the vectors: those of different models do not compare.
	Model() string
}

// queryBudget is how long a search waits for the vector of its query.
const queryBudget = time.Second

// Finder finds the tools of one gateway: by words at once, and by vectors, too, when they
// have come. It is for many at once.
type Finder struct {
	// Index finds by words alone.
	*Index

	vectors  *Vectors // nil where there is no embedder
	tools    atomic.Pointer[[]vector]
	embedded chan struct{}
}

// Embedded is closed when all tools have their vectors but those whose texts the model
// refuses; without an embedder, never.
func (f *Finder) Embedded() <-chan struct{} { return f.embedded }

// Find is Search, with the help of vectors where they are there, the model knows the query's
// language, and the query's own vector can be had within a second. It never fails for want of
// them. Where no more tools than most are allowed, it returns them all, those that match first
// and then the others in their order: a question in other words than theirs finds them.
func (f *Finder) Find(ctx context.Context, query string, most int, allowed func(i int) bool) []int {
	ranked := f.ranking(ctx, clip(query, MaxQuery))
	found := some(ranked, most, allowed)
	if len(found) == most {
		return found
	}
	asked := make([]bool, f.Len())
	for _, i := range ranked {
		asked[i] = true
	}
	all := found
	for i := range asked {
		if asked[i] || allowed != nil && !allowed(i) {
			continue
		}
		if len(all) == most {
			return found // there are more
		}
		all = append(all, i)
	}
	return all
}

// ranking orders all tools that have anything of a query, or are near it.
func (f *Finder) ranking(ctx context.Context, query string) []int {
	words, tools := f.rank(query), f.tools.Load()
	if tools == nil || mostlyUnspaced(query) && !f.vectors.japanese.Load() {
		return words
	}
	near, ok := f.vectors.query(ctx, clip(query, maxEmbedded))
	if !ok {
		return words
	}
	return fuse(f.Len(), words, nearest(near, *tools))
}
