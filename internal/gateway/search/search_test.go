package search_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/gateway/search"
	"github.com/outcrop/outcrop/internal/gateway/tool"
)

func entry(id, description, schema string) search.Entry {
	_, name, _ := tool.Split(id)
	return search.Entry{ID: id, Tool: tool.Tool{Name: name, Description: description, InputSchema: json.RawMessage(schema)}}
}

var entries = []search.Entry{
	entry("crm___createContact", "Adds a person to the CRM.", `{"type":"object","properties":{"emailAddress":{"type":"string","description":"Where to write to"}}}`),
	entry("github___list_pull_requests", "Lists pull requests of a repository.", `{"type":"object","properties":{"repo":{"type":"string"}}}`),
	entry("weather___get_forecast", "Returns the forecast of the next days.", `{"type":"object","properties":{"city":{"type":"string"}}}`),
	entry("keihi___submit", "経費精算を申請します。領収書のファイルを添付できます。", `{"type":"object","properties":{"金額":{"type":"number","description":"税込みの金額"}}}`),
	entry("infra___restartServer", "サーバーを再起動する", `{}`),
	entry("s3___putObjectV2", "Stores bytes under a key", `{"properties":{"body":true,"tags":{"type":"array","items":{"type":"object","properties":{"tagKey":{"description":"café menu"}}}}}}`),
}

// found are the names of the tools that a query finds.
func found(x *search.Index, query string) string {
	var out []string
	for _, i := range x.Search(query, search.Most, nil) {
		out = append(out, entries[i].ID)
	}
	return strings.Join(out, " ")
}

// TestSearch finds tools by each of their fields, however the words are written.
func TestSearch(t *testing.T) {
	x := search.New(entries)
	for query, want := range map[string]string{
		"contact":                        "crm___createContact",
		"CONTACTS":                       "crm___createContact",
		"email address":                  "crm___createContact",
		"What's the forecast?":           "weather___get_forecast",
		"forecasting":                    "weather___get_forecast",
		"open pull request on GitHub":    "github___list_pull_requests",
		"ＧｉｔＨｕｂ":                         "github___list_pull_requests",
		"領収書":                            "keihi___submit",
		"税込":                             "keihi___submit",
		"サーバ":                            "infra___restartServer",
		"ｻｰﾊﾞｰを再起動":                      "infra___restartServer",
		"restart a machine":              "infra___restartServer",
		"明日の天気予報を教えて":                    "weather___get_forecast",
		"cafe":                           "s3___putObjectV2",
		"tag key":                        "s3___putObjectV2",
		"S3":                             "s3___putObjectV2",
		"object v2":                      "s3___putObjectV2",
		"reimbursement of business trip": "keihi___submit",
	} {
		if got, _, _ := strings.Cut(found(x, query), " "); got != want {
			t.Errorf("%s: %q, want %s first", query, found(x, query), want)
		}
	}
	for _, query := range []string{"", "   ", "?!", "zzzz", "\xff\xfe"} {
		if got := found(x, query); got != "" {
			t.Errorf("%q finds %s", query, got)
		}
	}
	if got := search.New(nil).Search("x", 10, nil); got != nil {
		t.Errorf("no tools: %v", got)
	}
}

// TestAllowed asks of no more tools than it takes, best first.
func TestAllowed(t *testing.T) {
	var many []search.Entry
	for i := range 40 {
		many = append(many, entry(fmt.Sprintf("t___tool%d", i), "reads mail", `{}`))
	}
	var asked []int
	got := search.New(many).Search("read mail", 3, func(i int) bool { asked = append(asked, i); return i%2 == 1 })
	if fmt.Sprint(got, asked) != "[1 3 5] [0 1 2 3 4 5]" {
		t.Errorf("%v, asked of %v", got, asked)
	}
}

// TestFew returns all tools that are allowed where those are no more than are wanted, those
// that match first.
func TestFew(t *testing.T) {
	f := search.NewVectors(search.Config{Now: time.Now}).Finder("g", entries)
	odd := func(i int) bool { return i%2 == 1 }
	for _, c := range []struct {
		query   string
		most    int
		allowed func(int) bool
		want    string
	}{
		{"forecast", search.Most, nil, "[2 0 1 3 4 5]"},
		{"zzzz", search.Most, nil, "[0 1 2 3 4 5]"},
		{"zzzz", 6, nil, "[0 1 2 3 4 5]"},
		{"forecast", 5, nil, "[2]"},
		{"zzzz", 5, nil, "[]"},
		{"forecast", 3, odd, "[1 3 5]"},
		{"restart or submit", 3, odd, "[3 1 5]"},
		{"restart or submit", 2, odd, "[3]"},
		{"forecast", search.Most, func(int) bool { return false }, "[]"},
	} {
		if got := fmt.Sprint(f.Find(t.Context(), c.query, c.most, c.allowed)); got != c.want {
			t.Errorf("%s, %d: %s, want %s", c.query, c.most, got, c.want)
		}
	}
	asked := map[int]int{}
	f.Find(t.Context(), "forecast", search.Most, func(i int) bool { asked[i]++; return true })
	if fmt.Sprint(asked) != "map[0:1 1:1 2:1 3:1 4:1 5:1]" {
		t.Errorf("policies are asked %v times", asked)
	}
}

// TestDeterministic builds the same index twice.
func TestDeterministic(t *testing.T) {
	a, b := search.New(entries), search.New(slices.Clone(entries))
	for _, query := range []string{"create get list", "申請 予報", "tool"} {
		if x, y := found(a, query), found(b, query); x != y {
			t.Errorf("%s: %s and %s", query, x, y)
		}
	}
}

// TestLongQuery reads as much of a query as is allowed.
func TestLongQuery(t *testing.T) {
	x := search.New(entries)
	if got := found(x, strings.Repeat("経", search.MaxQuery)+" forecast"); strings.Contains(got, "forecast") {
		t.Errorf("what stands behind the bound is found: %s", got)
	}
	if got := found(x, strings.Repeat("? ", 1000)+"forecast"); got != "weather___get_forecast" {
		t.Errorf("before the bound: %s", got)
	}
}

func thousand() []search.Entry {
	var out []search.Entry
	for i := range 1000 {
		e := entries[i%len(entries)]
		e.ID = fmt.Sprintf("target%d___tool_number_%d", i%20, i)
		e.Tool.Description = strings.Repeat(e.Tool.Description+" ", 4)
		out = append(out, e)
	}
	return out
}

func BenchmarkNew(b *testing.B) {
	many := thousand()
	b.ReportAllocs()
	for b.Loop() {
		search.New(many)
	}
}

func BenchmarkSearch(b *testing.B) {
	x := search.New(thousand())
	b.ReportAllocs()
	for b.Loop() {
		x.Search("please list the open pull requests of the repository 領収書", search.Most, nil)
	}
}
