package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// printJSON writes v, indented, and a line end.
func (p *Program) printJSON(v any) error {
	e := json.NewEncoder(p.Stdout)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// printTable writes rows under a head, in columns.
func (p *Program) printTable(head []string, rows [][]string) error {
	t := tabwriter.NewWriter(p.Stdout, 0, 8, 3, ' ', 0)
	if head != nil {
		rows = append([][]string{head}, rows...)
	}
	for _, row := range rows {
		if _, err := io.WriteString(t, strings.Join(row, "\t")+"\n"); err != nil {
			return err
		}
	}
	return t.Flush()
}

// age writes how long ago at was, as one number, for tables.
func (p *Program) age(at *time.Time) string {
	if at == nil || at.IsZero() {
		return "-"
	}
	return span(p.Now().Sub(*at)) + " ago"
}

// until writes how long it is until at.
func (p *Program) until(at *time.Time) string {
	if at == nil || at.IsZero() {
		return "-"
	}
	return "in " + span(at.Sub(p.Now()))
}

func span(d time.Duration) string {
	switch d = max(d, 0); {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// size writes bytes for a person, in units of 1024.
func size(n int64) string {
	const units = "kMGT"
	if n < 1024 {
		return fmt.Sprintf("%d bytes", n)
	}
	f, i := float64(n)/1024, 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	return fmt.Sprintf("%.1f %cB", f, units[i])
}

// indent puts n spaces before each line of s and ends the last one.
func indent(s string, n int) string {
	pad := strings.Repeat(" ", n)
	return pad + strings.ReplaceAll(strings.TrimSuffix(s, "\n"), "\n", "\n"+pad) + "\n"
}
