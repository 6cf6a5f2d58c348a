package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
)

type ledgerService struct {
	name, version   string
	served, refused int
	rows            []ledgerRow
	notes           []string
}

type ledgerRow struct{ op, group, status, requires string }

// ledger describes one service for docs/operations.md.
func (g *generator) ledger() ledgerService {
	l := ledgerService{name: g.overlay.Model, version: g.model.Metadata.APIVersion}
	l.served, l.refused = g.counts()
	for _, op := range g.ops {
		status := "real"
		switch {
		case g.refused[op] != "":
			status = "refused: " + g.refused[op]
		case g.metadata[op] != "":
			status = "metadata only: " + g.metadata[op]
		}
		var reqs []string
		for _, r := range g.requires[op] {
			text := "`" + r.action + "` on `" + r.resource + "`"
			for i, member := range r.when {
				name, absent := strings.CutPrefix(member, "!")
				text += []string{" when `", " and `"}[min(i, 1)] + name + "` is " + map[bool]string{true: "not set", false: "set"}[absent]
			}
			if r.inferred {
				text += " (inferred)"
			}
			reqs = append(reqs, text)
		}
		if reqs == nil {
			reqs = []string{"no permission"}
			if lines := g.overlay.Requires[op]; len(lines) > 0 && lines[0] != "none" {
				reqs[0] = strings.TrimPrefix(lines[0], nothingBecause)
			}
		}
		if slices.Contains(strings.Fields(g.overlay.Bearer), op) {
			reqs = append(reqs, "or a token that the resource's customJWTAuthorizer accepts")
		}
		if keys := g.keys[op]; len(keys) > 0 {
			reqs = append(reqs, "conditions may ask for "+keyNames(keys))
		}
		l.rows = append(l.rows, ledgerRow{op, g.overlay.Groups[g.group[op]].Name, status, strings.Join(reqs, "; ")})
	}
	for _, k := range sortedKeys(g.overlay.RefusedMembers) {
		l.notes = append(l.notes, fmt.Sprintf("`%s` is refused: %s.", k, g.overlay.RefusedMembers[k]))
	}
	for _, k := range sortedKeys(g.overlay.RefusedValues) {
		l.notes = append(l.notes, fmt.Sprintf("`%s` is refused: %s.", k, g.overlay.RefusedValues[k]))
	}
	for _, k := range sortedKeys(g.overlay.Patterns) {
		o := g.overlay.Patterns[k]
		l.notes = append(l.notes, fmt.Sprintf("`%s` is held to `%s`: %s.", k, o.pattern, o.reason))
	}
	for _, k := range sortedKeys(g.overlay.Former) {
		l.notes = append(l.notes, fmt.Sprintf("`%s` is also answered at `%s`, where other clients send it.", k, strings.ReplaceAll(g.overlay.Former[k], ", ", "` and `")))
	}
	for _, k := range sortedKeys(g.overlay.Streaming) {
		l.notes = append(l.notes, fmt.Sprintf("`%s` is streamed, not held in memory.", k))
	}
	return l
}

// writeLedger writes docs/operations.md.
func writeLedger(path string, services []ledgerService) error {
	var b strings.Builder
	b.WriteString("<!-- Written by tools/apigen; do not edit. -->\n# Operations\n\n" +
		"Every operation of the service models (botocore " + botocorePin.version + ", and our own API) and what Outcrop does with it. *Real*: it does the work. " +
		"*Metadata only*: it is stored and echoed without effect. *Refused*: it is routed, authenticated, authorised and validated like any " +
		"other, then answered with 400 ValidationException and the header `x-outcrop-refused`.\n\n" +
		"| service | operations | real or metadata | refused |\n|---|---|---|---|\n")
	for _, s := range services {
		fmt.Fprintf(&b, "| [%s](#%s) | %d | %d | %d |\n", s.name, s.name, s.served+s.refused, s.served, s.refused)
	}
	for _, s := range services {
		fmt.Fprintf(&b, "\n## %s\n\nAPI version %s.\n\n", s.name, s.version)
		if len(s.notes) > 0 {
			b.WriteString("Where Outcrop differs from the model:\n\n")
			for _, n := range s.notes {
				b.WriteString("* " + n + "\n")
			}
			b.WriteString("\n")
		}
		sort.SliceStable(s.rows, func(i, j int) bool { return s.rows[i].group < s.rows[j].group })
		b.WriteString("| group | operation | status | the caller needs |\n|---|---|---|---|\n")
		for _, r := range s.rows {
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", r.group, r.op, r.status, r.requires)
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return writeIfChanged(path, []byte(b.String()))
}
