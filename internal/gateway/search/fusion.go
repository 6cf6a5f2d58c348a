package search

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// vector has the length 1, so that the product of two is the cosine between them.
type vector []float32

// maxVector is the longest vector that is taken, in numbers.
const maxVector = 1 << 14

// unit checks an embedder's vector and brings it to length 1.
func unit(from []float32) (vector, error) {
	if len(from) == 0 || len(from) > maxVector {
		return nil, fmt.Errorf("a vector has %d numbers; it must have between 1 and %d", len(from), maxVector)
	}
	var sum float64
	for _, c := range from {
		sum += float64(c) * float64(c)
	}
	length := math.Sqrt(sum)
	if length == 0 || math.IsNaN(length) || math.IsInf(length, 0) {
		return nil, errors.New("a vector has no direction")
	}
	out := make(vector, len(from))
	for i, c := range from {
		out[i] = float32(float64(c) / length)
	}
	return out, nil
}

// nearest are the positions of the vectors nearest to one, best first. Vectors of another
// length, which another model has made, are left out.
func nearest(to vector, all []vector) []int {
	near := make([]float32, len(all))
	out := make([]int, 0, len(all))
	for i, v := range all {
		if len(v) != len(to) {
			continue
		}
		near[i] = product(v, to)
		out = append(out, i)
	}
	slices.SortFunc(out, func(a, b int) int { return cmp.Or(cmp.Compare(near[b], near[a]), a-b) })
	return out
}

// product is that of two vectors of one length: the cosine between them.
func product(a, b vector) float32 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float32 // four sums, none of which waits for another
	i := 0
	for ; i+4 <= len(a); i += 4 {
		s0 += a[i] * b[i]
		s1 += a[i+1] * b[i+1]
		s2 += a[i+2] * b[i+2]
		s3 += a[i+3] * b[i+3]
	}
	for ; i < len(a); i++ {
		s0 += a[i] * b[i]
	}
	return s0 + s1 + s2 + s3
}

const (
	// damping is how little the first ranks of a ranking stand out: k of Cormack, Clarke and
	// Büttcher, who have 60 for long lists of many rankings.
	damping = 10
	// nearWeight is what the ranking by vectors weighs against that by words, which finds
	// nothing where people do not say what a tool's author said (conformance/toolsearch).
	nearWeight = 1.5
)

// fuse joins two rankings of so many tools by reciprocal ranks. It keeps all of both: who may
// call what is asked afterwards, and it may be the last.
func fuse(tools int, words, near []int) []int {
	scores := make([]float64, tools)
	for rank, i := range words {
		scores[i] += 1 / float64(damping+rank+1)
	}
	for rank, i := range near {
		scores[i] += nearWeight / float64(damping+rank+1)
	}
	return ranked(scores)
}

// ranked are the positions of what has a score, best first, and of equals the first.
func ranked(scores []float64) []int {
	var out []int
	for i, score := range scores {
		if score > 0 {
			out = append(out, i)
		}
	}
	slices.SortFunc(out, func(a, b int) int { return cmp.Or(cmp.Compare(scores[b], scores[a]), a-b) })
	return out
}
