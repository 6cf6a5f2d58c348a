package toolsearch_test

import (
	"embed"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/gateway/search"
	"github.com/outcrop/outcrop/internal/gateway/tool"
)

//go:embed testdata/tools.txt testdata/queries.txt testdata/later.txt
var files embed.FS

// question is what somebody asks, and the tools that help.
type question struct {
	Text     string
	Japanese bool
	// Relevant are positions of tools.
	Relevant []int
}

// load reads the benchmark with the questions of a file.
func load(t *testing.T, file string) (tools []search.Entry, questions []question) {
	t.Helper()
	tools, questions, err := read("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	if len(tools) < 200 || len(questions) < 60 {
		t.Fatalf("%d tools, %d questions", len(tools), len(questions))
	}
	return tools, questions
}

func read(file string) ([]search.Entry, []question, error) {
	var tools []search.Entry
	positions := map[string]int{}
	err := lines("testdata/tools.txt", 3, func(part []string) error {
		positions[part[0]] = len(tools)
		e, err := entry(part)
		tools = append(tools, e)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	var questions []question
	err = lines(file, 2, func(part []string) error {
		q := question{Text: part[0], Japanese: strings.ContainsFunc(part[0], func(r rune) bool { return r > 0x3000 })}
		for _, id := range strings.Fields(part[1]) {
			i, ok := positions[id]
			if !ok {
				return fmt.Errorf("no tool %s", id)
			}
			q.Relevant = append(q.Relevant, i)
		}
		questions = append(questions, q)
		return nil
	})
	return tools, questions, err
}

// lines calls with the parts of each line that is no comment.
func lines(name string, parts int, with func(part []string) error) error {
	b, err := files.ReadFile(name)
	if err != nil {
		return err
	}
	n := 0
	for line := range strings.Lines(string(b)) {
		n++
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		part := strings.Split(line, "|")
		if len(part) != parts {
			return fmt.Errorf("%s:%d has %d parts", name, n, len(part))
		}
		for i := range part {
			part[i] = strings.TrimSpace(part[i])
		}
		if err := with(part); err != nil {
			return fmt.Errorf("%s:%d: %w", name, n, err)
		}
	}
	return nil
}

// entry makes a tool of its line.
func entry(part []string) (search.Entry, error) {
	properties := map[string]any{}
	for p := range strings.SplitSeq(part[2], ";") {
		name, description, described := strings.Cut(strings.TrimSpace(p), "=")
		property := map[string]any{"type": "string"}
		if described {
			property["description"] = description
		}
		if name != "" {
			properties[name] = property
		}
	}
	schema, err := json.Marshal(map[string]any{"type": "object", "properties": properties})
	_, name, _ := tool.Split(part[0])
	return search.Entry{ID: part[0], Tool: tool.Tool{Name: name, Description: part[1], InputSchema: schema}}, err
}

// score is how well some questions are answered.
type score struct {
	// Recall is how many of the relevant tools are among the first ten, and Rank the mean of
	// one over the rank of the first that is (MRR); both between 0 and 1.
	Recall, Rank float64
	Questions    int
}

// scores are those of all questions and of those in each language.
type scores struct{ All, English, Japanese score }

// measure asks all questions. missed, if set, is told of those of which not everything is found.
func measure(questions []question, find func(query string) []int, missed func(q question, found []int)) scores {
	var s scores
	for _, q := range questions {
		found := find(q.Text)
		recall, rank := judge(q.Relevant, found)
		part := &s.English
		if q.Japanese {
			part = &s.Japanese
		}
		for _, score := range []*score{&s.All, part} {
			score.Recall += recall
			score.Rank += rank
			score.Questions++
		}
		if recall < 1 && missed != nil {
			missed(q, found)
		}
	}
	for _, score := range []*score{&s.All, &s.English, &s.Japanese} {
		score.Recall /= float64(max(1, score.Questions))
		score.Rank /= float64(max(1, score.Questions))
	}
	return s
}

func judge(relevant, found []int) (recall, rank float64) {
	for i, tool := range found[:min(len(found), search.Most)] {
		for _, r := range relevant {
			if r == tool {
				recall += 1 / float64(len(relevant))
				if rank == 0 {
					rank = 1 / float64(i+1)
				}
			}
		}
	}
	return recall, rank
}

func (s score) String() string {
	return fmt.Sprintf("recall@10 %.3f  MRR %.3f  (%d questions)", s.Recall, s.Rank, s.Questions)
}

// show prints scores where all figures are printed.
func show(t *testing.T, file, how string, s scores) {
	t.Helper()
	t.Logf("figure: tool search, %d questions of %s, by %s: recall@10 %.3f (English %.3f, Japanese %.3f), MRR %.3f (English %.3f, Japanese %.3f)", s.All.Questions, file, how,
		s.All.Recall, s.English.Recall, s.Japanese.Recall, s.All.Rank, s.English.Rank, s.Japanese.Rank)
}
