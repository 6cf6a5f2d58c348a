package search

import (
	"cmp"

	"github.com/outcrop/outcrop/internal/gateway/tool"
)

// builder gathers what the tools of an index say.
type builder struct {
	*analyzer
	tools []document
	total [fields]float64
	// ids are the terms by the order in which they were met.
	ids   map[string]int32
	terms []string
}

// document is a tool's terms, and how many each of its fields has.
type document struct {
	terms  map[int32]*[fields]float32
	length [fields]float32
}

// maxToolTerms is how many different terms of a tool count.
const maxToolTerms = 4 << 10

// add reads a tool and returns the text that stands for it where models are asked.
func (b *builder) add(i int, e Entry) string {
	target, name, ok := tool.Split(e.ID)
	if !ok {
		target, name = "", e.ID
	}
	if b.ids == nil {
		b.ids = map[string]int32{}
	}
	b.tools[i].terms = map[int32]*[fields]float32{}
	names, texts := parameters(e.Tool.InputSchema)
	b.field(i, nameField, name)
	b.field(i, nameField, e.Tool.Title)
	b.field(i, targetField, target)
	b.field(i, textField, e.Tool.Description)
	for _, name := range names {
		b.field(i, parameterField, name)
	}
	for _, text := range texts {
		b.field(i, parameterTextField, text)
	}
	return text(target, cmp.Or(name, e.ID), &e.Tool, names)
}

func (b *builder) field(i, field int, text string) {
	d := &b.tools[i]
	b.analyzer.terms(tokens(text), func(term string, _ float64) {
		id, ok := b.ids[term]
		if !ok {
			id = int32(len(b.terms))
			b.ids[term], b.terms = id, append(b.terms, term)
		}
		counts := d.terms[id]
		if counts == nil {
			if len(d.terms) == maxToolTerms {
				return
			}
			counts = new([fields]float32)
			d.terms[id] = counts
		}
		counts[field]++
		d.length[field]++
		b.total[field]++
	})
}

// postings are the tools of each term, by their positions, with BM25F's weighted count.
func (b *builder) postings() map[string][]posting {
	var mean [fields]float64
	for f := range mean {
		mean[f] = max(1, b.total[f]/float64(max(1, len(b.tools))))
	}
	lists := make([][]posting, len(b.terms))
	for i := range b.tools {
		d := &b.tools[i]
		for id, counts := range d.terms {
			var much float64
			for f, n := range counts {
				if n > 0 {
					long := 1 - fieldLength[f] + fieldLength[f]*float64(d.length[f])/mean[f]
					much += fieldWeight[f] * float64(n) / long
				}
			}
			lists[id] = append(lists[id], posting{int32(i), float32(much)})
		}
	}
	out := make(map[string][]posting, len(lists))
	for id, list := range lists {
		out[b.terms[id]] = list
	}
	return out
}
