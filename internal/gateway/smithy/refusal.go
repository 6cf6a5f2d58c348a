package smithy

import (
	"fmt"
	"slices"
	"strings"
)

// Refusal is a model that no tools can be made of.
type Refusal struct {
	// Problems are what has to be mended, at most 50.
	Problems []Problem
	// More is how many there are beside.
	More int
}

// Problem is one thing that is wrong with a model.
type Problem struct {
	// Shape is the id of the shape, empty where the model as a whole is meant.
	Shape string
	// Text says what is wrong, Fix what to do.
	Text, Fix string
}

// String is the problem in one sentence.
func (p Problem) String() string {
	text := p.Text
	if p.Shape != "" {
		text = p.Shape + ": " + text
	}
	if p.Fix != "" {
		text += "; " + p.Fix
	}
	return text
}

// Error implements error: all problems, one to a line.
func (r *Refusal) Error() string { return strings.Join(r.Reasons(), "\n") }

// Reasons are the problems as texts.
func (r *Refusal) Reasons() []string {
	out := make([]string, 0, len(r.Problems)+1)
	for _, p := range r.Problems {
		out = append(out, p.String())
	}
	if r.More > 0 {
		out = append(out, fmt.Sprintf("and %d more", r.More))
	}
	return out
}

// problems gathers what is wrong.
type problems struct {
	list []Problem
	more int
}

func (p *problems) add(shape, text, fix string) {
	one := Problem{Shape: shape, Text: text, Fix: fix}
	switch {
	case slices.Contains(p.list, one):
	case len(p.list) == maxProblems:
		p.more++
	default:
		p.list = append(p.list, one)
	}
}

func (p *problems) any() bool { return len(p.list) > 0 }

func (p *problems) refusal() *Refusal { return &Refusal{Problems: p.list, More: p.more} }

func (p *problems) refuse(shape, text, fix string) *Refusal {
	p.add(shape, text, fix)
	return p.refusal()
}

// ArgumentError is an argument of a call that is missing, or not as the model has it.
type ArgumentError struct {
	// Argument is the path to it, such as Item.price.N; empty is the arguments as a whole.
	Argument string
	// Text says what it must be.
	Text string
}

// Error implements error.
func (e *ArgumentError) Error() string {
	if e.Argument == "" {
		return "the arguments: " + e.Text
	}
	return "argument " + e.Argument + ": " + e.Text
}

// path is where in the arguments a value is.
type path struct {
	parent *path
	name   string
	index  int
}

func (p *path) key(name string) *path { return &path{parent: p, name: name, index: -1} }

func (p *path) item(i int) *path { return &path{parent: p, index: i} }

func (p *path) String() string {
	if p == nil {
		return ""
	}
	if p.index >= 0 {
		return fmt.Sprintf("%s[%d]", p.parent, p.index)
	}
	if p.parent == nil {
		return p.name
	}
	return p.parent.String() + "." + p.name
}

func (p *path) wrong(format string, args ...any) error {
	return &ArgumentError{Argument: p.String(), Text: fmt.Sprintf(format, args...)}
}
