package main

import (
	"slices"
	"testing"
)

// TestBrokenLinks finds what leads nowhere, and nothing else.
func TestBrokenLinks(t *testing.T) {
	pages := map[string][]byte{
		"README.md": []byte("# Outcrop\n[a](docs/a.md) [limits](docs/a.md#what-is-there-1) [code](cmd) [site](https://example.com/#x) [mail](mailto:a@example.com)\n" +
			"[gone](docs/gone.md) [no heading](docs/a.md#in-code) [own](#outcrop) [not own](#else)\n"),
		"docs/a.md": []byte("## `What` [is](b.md) there?\n```\n# In code\n```\n## What is there\n<a name=\"here\"></a>\n[up](../README.md#outcrop) [b](#here) [c](b.md)\n"),
	}
	got := brokenLinks(pages, func(path string) bool { return path == "cmd" || path == "docs/b.md" })
	want := []string{
		"README.md:3: links to docs/gone.md, which is not there",
		"README.md:3: links to docs/a.md#in-code, and the page has no such heading",
		"README.md:3: links to #else, and the page has no such heading",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
