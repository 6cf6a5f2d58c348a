package toolsearch_test

import (
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/gateway/search"
)

// TestWords measures search without a model.
func TestWords(t *testing.T) {
	for _, tt := range []struct {
		file                   string
		all, english, japanese float64
	}{
		{"queries.txt", 0.60, 0.44, 0.88},
		{"later.txt", 0.68, 0.57, 0.87},
	} {
		tools, questions := load(t, tt.file)
		x := search.New(tools)
		s := measure(questions, func(query string) []int { return x.Search(query, search.Most, nil) }, missed(t, tools))
		show(t, tt.file, "words", s)
		floor(t, "all", s.All.Recall, tt.all)
		floor(t, "English", s.English.Recall, tt.english)
		floor(t, "Japanese", s.Japanese.Recall, tt.japanese)
	}
}

// missed logs, if asked for it, what was not found.
func missed(t *testing.T, tools []search.Entry) func(question, []int) {
	return func(q question, found []int) {
		if testing.Verbose() {
			t.Logf("%s: wanted %s, found %s", q.Text, names(tools, q.Relevant), names(tools, found))
		}
	}
}

func floor(t *testing.T, what string, got, want float64) {
	t.Helper()
	if got < want {
		t.Errorf("%s: recall@10 is %.3f, less than %.3f", what, got, want)
	}
}

func names(tools []search.Entry, at []int) string {
	var out []string
	for _, i := range at {
		out = append(out, tools[i].ID)
	}
	return strings.Join(out, " ")
}
