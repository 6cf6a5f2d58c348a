package main

import (
	"fmt"
	"html"
	"strings"
)

// chart is a bar chart: groups of bars, one below the other.
type chart struct {
	title, unit string
	groups      []group
	legend      []string // what the bars of a group are, if there are several
}

type group struct {
	label string
	bars  []bar
}

// bar has a value and, if it is more, how far others went.
type bar struct{ value, reach float64 }

// The measures of a chart, in pixels.
const (
	width, left, right = 760, 170, 110
	barHeight, gap     = 18, 14
	top                = 44
)

// colours are those of the first bar of each group, the second, ...; they read
// well on white and tell apart for all eyes (Okabe and Ito).
func colours() []string { return []string{"#0072b2", "#e69f00", "#009e73"} }

// svg draws it. The same chart makes the same text.
func (c chart) svg() string {
	longest := 0.0
	bars := 0
	for _, g := range c.groups {
		for _, b := range g.bars {
			longest = max(longest, b.value, b.reach)
		}
		bars += len(g.bars)
	}
	height := top + bars*barHeight + len(c.groups)*gap
	if len(c.legend) > 0 {
		height += 2 * gap
	}
	var s strings.Builder
	fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" font-family="system-ui, sans-serif" font-size="13">`+"\n", width, height)
	fmt.Fprintf(&s, "<title>%s</title>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n", html.EscapeString(c.title))
	fmt.Fprintf(&s, "<text x=\"12\" y=\"24\" font-size=\"15\" font-weight=\"600\" fill=\"#222\">%s</text>\n", html.EscapeString(c.title))
	y := top
	scale := func(v float64) float64 { return v / max(longest, 1) * (width - left - right) }
	for _, g := range c.groups {
		fmt.Fprintf(&s, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\" fill=\"#222\">%s</text>\n", left-10, y+(len(g.bars)*barHeight)/2+4, html.EscapeString(g.label))
		for i, b := range g.bars {
			colour := colours()[i%len(colours())]
			end := max(b.value, b.reach)
			fmt.Fprintf(&s, "<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"%s\" fill-opacity=\"0.3\"/>\n", left, y+2, scale(end), barHeight-4, colour)
			fmt.Fprintf(&s, "<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>\n", left, y+2, scale(b.value), barHeight-4, colour)
			fmt.Fprintf(&s, "<text x=\"%.1f\" y=\"%d\" fill=\"#222\">%.0f %s</text>\n", float64(left)+scale(end)+6, y+13, b.value, c.unit)
			y += barHeight
		}
		y += gap
	}
	x := left
	for i, text := range c.legend {
		fmt.Fprintf(&s, "<rect x=\"%d\" y=\"%d\" width=\"12\" height=\"12\" fill=\"%s\"/>\n", x, y, colours()[i%len(colours())])
		fmt.Fprintf(&s, "<text x=\"%d\" y=\"%d\" fill=\"#222\">%s</text>\n", x+18, y+11, html.EscapeString(text))
		x += 40 + 8*len(text)
	}
	s.WriteString("</svg>\n")
	return s.String()
}
