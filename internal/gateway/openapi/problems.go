package openapi

import (
	"fmt"
	"strings"

	"github.com/outcrop/outcrop/internal/gateway/openapi/node"
)

const (
	// maxProblems is how many reasons a target's status may have.
	maxProblems = 100
	// maxText bounds a reason, in bytes.
	maxText = 1000
	// maxTold bounds how often the same things are told again, which costs their pointers.
	maxTold = 20000
)

// Problem is one thing that is wrong with a document.
type Problem struct {
	// Pointer is where: a JSON pointer as a URL's fragment, "#" for the whole document.
	Pointer string
	// Text says what is wrong and what to do.
	Text string
}

func (p Problem) String() string { return cut(p.Pointer+": "+p.Text, maxText) }

// Problems are all that is wrong with a document.
type Problems struct {
	List []Problem // at most 100
	More int       // how many there are besides
}

func (p *Problems) Error() string { return strings.Join(p.Reasons(), "\n") }

// Reasons are the problems as a target's statusReasons: at most 100, each of at most 1,000
// bytes.
func (p *Problems) Reasons() []string {
	var out []string
	for _, r := range p.List {
		out = append(out, r.String())
	}
	if p.More > 0 && len(out) > 0 {
		out[len(out)-1] = fmt.Sprintf("… and %d more problems", p.More+1)
	}
	return out
}

// ArgumentError says which argument of a call cannot be sent, and why.
type ArgumentError struct {
	Argument string // empty when it is about all of them
	Text     string
}

func (e *ArgumentError) Error() string {
	if e.Argument == "" {
		return e.Text
	}
	return short(e.Argument) + " " + e.Text
}

// findings collects problems and warnings, each once.
type findings struct {
	problems Problems
	warnings []string
	seen     map[Problem]bool
	told     int
}

func newFindings() *findings { return &findings{seen: map[Problem]bool{}} }

func (f *findings) problem(at *node.Path, text string) {
	if f.told++; len(f.problems.List) == maxProblems || f.told > maxTold && len(f.problems.List) > 0 {
		f.problems.More++
		return
	}
	if p := (Problem{Pointer: at.String(), Text: text}); !f.seen[p] {
		f.seen[p] = true
		f.problems.List = append(f.problems.List, p)
	}
}

func (f *findings) warn(at *node.Path, text string) {
	if f.told++; f.told > maxTold || len(f.warnings) == maxProblems {
		return
	}
	if p := (Problem{Pointer: at.String(), Text: text}); !f.seen[p] {
		f.seen[p] = true
		f.warnings = append(f.warnings, p.String())
	}
}

// count is how many problems were told.
func (f *findings) count() int { return len(f.problems.List) + f.problems.More }

func (f *findings) err() error {
	if len(f.problems.List) == 0 {
		return nil
	}
	return &f.problems
}

// short shows a text of the document or of a call where it is named in a sentence.
func short(s string) string { return cut(s, 100) }

func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most-len("…")], "") + "…"
}
