package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

var (
	link = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	// heading and named are what a link can lead to within a page.
	heading = regexp.MustCompile(`^#{1,6}\s+(.*)`)
	named   = regexp.MustCompile(`<a (?:name|id)="([^"]+)"`)
	// linked is a link in a heading, and unslugged what its anchor has not.
	linked    = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
	unslugged = regexp.MustCompile(`[^\p{L}\p{N}_\- ]`)
)

// checkLinks looks for what the project's pages link to and there is not: a file, or a
// heading of a page. Links to other sites are left alone.
func checkLinks() ([]string, error) {
	listed, err := exec.Command("git", "ls-files", "-z", "--", "*.md").Output()
	if err != nil {
		return nil, fmt.Errorf("list pages: %w", err)
	}
	pages := map[string][]byte{}
	for name := range bytes.SplitSeq(bytes.TrimRight(listed, "\x00"), []byte{0}) {
		text, err := os.ReadFile(string(name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted, and not committed yet
		}
		if err != nil {
			return nil, err
		}
		pages[filepath.FromSlash(string(name))] = text
	}
	return brokenLinks(pages, func(path string) bool {
		_, err := os.Stat(path)
		return err == nil
	}), nil
}

// brokenLinks are those of pages, by their paths, that lead nowhere.
func brokenLinks(pages map[string][]byte, exists func(path string) bool) (out []string) {
	anchors := map[string]map[string]bool{}
	for path, text := range pages {
		anchors[path] = anchorsOf(string(text))
	}
	for _, path := range slices.Sorted(maps.Keys(pages)) {
		for i, line := range strings.Split(string(pages[path]), "\n") {
			for _, m := range link.FindAllStringSubmatch(line, -1) {
				to, anchor, _ := strings.Cut(m[1], "#")
				at := path
				if to != "" {
					at = filepath.Join(filepath.Dir(path), filepath.FromSlash(to))
				}
				of, page := anchors[at]
				switch {
				case strings.Contains(to, ":"): // another site, or mail
				case !page && !exists(at):
					out = append(out, fmt.Sprintf("%s:%d: links to %s, which is not there", path, i+1, m[1]))
				case page && anchor != "" && !of[anchor]:
					out = append(out, fmt.Sprintf("%s:%d: links to %s, and the page has no such heading", path, i+1, m[1]))
				}
			}
		}
	}
	return out
}

// anchorsOf are the anchors of a page, as forges make them of headings: in lower case,
// with hyphens for spaces and without punctuation, and numbered where one comes again.
func anchorsOf(text string) map[string]bool {
	out, times := map[string]bool{}, map[string]int{}
	code := false
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			code = !code
		}
		if code {
			continue
		}
		for _, m := range named.FindAllStringSubmatch(line, -1) {
			out[m[1]] = true
		}
		if m := heading.FindStringSubmatch(line); m != nil {
			slug := linked.ReplaceAllString(strings.ToLower(strings.TrimSpace(m[1])), "$1")
			slug = strings.ReplaceAll(unslugged.ReplaceAllString(slug, ""), " ", "-")
			if n := times[slug]; n > 0 {
				out[fmt.Sprintf("%s-%d", slug, n)] = true
			} else {
				out[slug] = true
			}
			times[slug]++
		}
	}
	return out
}
