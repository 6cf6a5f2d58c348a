package rules_test

import (
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/gateway/smithy/rules"
)

// TestGuard has rules where callers say A; B is the operator's.
func TestGuard(t *testing.T) {
	rule := func(url, conditions string) string {
		if !strings.HasPrefix(url, "{\"") {
			url = `"` + url + `"`
		}
		return `{"parameters":{"A":{"type":"string"},"B":{"type":"string"}},"rules":[{"type":"tree","conditions":[` + conditions + `],"rules":[{"type":"endpoint","endpoint":{"url":` + url + `}}]}]}`
	}
	split := `{"fn":"getAttr","argv":[{"ref":"V"},"[0]"],"assign":"W"},{"fn":"split","argv":[{"ref":"A"},".",0],"assign":"V"}`
	for _, c := range []struct{ url, conditions, want string }{
		{"https://{A}.example.com/x", "", ""},
		{"https://{A}.example.com:8443/{A}", "", ""},
		{"https://example.com/{A}", "", ""},
		{"https://example.com", "", ""},
		{"https://{B}/x", "", ""},
		{"https://{A}.{B}", "", ""},
		{"https://x-{A}-{A}.example.com", "", ""},
		{"https://{A}-example.com", "", "choose the host"},
		{"https://{A}-{B}.com", "", "choose the host"},
		{"https://{A}{A}", "", "choose the host"},
		{"https://a-{A}.b.{B}/{A}", "", ""},
		{"https://{A}.s3.{P#dnsSuffix}", `{"fn":"aws.partition","argv":[{"ref":"A"}],"assign":"P"}`, ""},
		{"{U#scheme}://{U#authority}{U#normalizedPath}{A}", `{"fn":"parseURL","argv":[{"ref":"B"}],"assign":"U"}`, ""},
		{"{U#scheme}://{A}.{U#authority}{U#path}", `{"fn":"parseURL","argv":[{"ref":"B"}],"assign":"U"}`, ""},
		{"{U#scheme}://{U#authority}{U#path}{A}", `{"fn":"parseURL","argv":[{"ref":"B"}],"assign":"U"}`, "choose the host"},
		{"https://{A}{U#normalizedPath}", `{"fn":"parseURL","argv":[{"ref":"B"}],"assign":"U"}`, "choose the host"},
		{`{"ref":"B"}`, "", ""},
		{"{B}{A}", "", "choose the host"},
		{"https://{A}", "", "callers choose the host of https://{A} (A); end it in a domain of its own"},
		{"https://{A}/x.example.com", "", "choose the host"},
		{"https://{A}example.com", "", "choose the host"},
		{"https://{A}.com", "", "choose the host"},
		{"https://{A}.com/a.b", "", "choose the host"},
		{"https://example.com{A}", "", "choose the host"},
		{"https://example.{A}", "", "choose the host"},
		{"https://{A}{B}", "", "choose the host"},
		{"{A}://example.com", "", "choose the host"},
		{`{"ref":"A"}`, "", "callers choose the whole URL (A)"},
		{`{"fn":"coalesce","argv":[{"ref":"B"},{"ref":"A"}]}`, "", "choose the whole URL"},
		{"https://{W}", split, "callers choose the host of https://{W} (A, V, W)"},
		{"https://{U#authority}/", `{"fn":"parseURL","argv":[{"ref":"A"}],"assign":"U"}`, "{U#authority}"},
		{"https://{U#authority}/", `{"fn":"parseURL","argv":["https://{A}"],"assign":"U"}`, "{U#authority}"},
		{"https://{U#authority}/", `{"fn":"parseURL","argv":[{"ref":"B"}],"assign":"U"}`, ""},
	} {
		set, err := rules.Parse([]byte(rule(c.url, c.conditions)))
		if err != nil {
			t.Fatalf("%s: %v", c.url, err)
		}
		if err := set.Guard(nil); err != nil {
			t.Errorf("%s: %v, and callers say nothing", c.url, err)
		}
		err = set.Guard([]string{"A"})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.url, err, c.want)
		}
	}
}

// TestGuarded says what ends a host, which the rules do not look at.
func TestGuarded(t *testing.T) {
	set, err := rules.Parse([]byte(`{"parameters":{"A":{"type":"string"}},"rules":[{"type":"endpoint","endpoint":{"url":"https://{A}.example.com/{A}"}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := set.Guard([]string{"A"}); err != nil {
		t.Fatal(err)
	}
	for _, v := range []string{"evil.com/", "evil.com?", "evil.com#", "a@evil", "evil.com:80", `evil.com\`, "a b", "a\n", "é", "%2f"} {
		if e, err := set.Resolve(map[string]any{"A": v}); err == nil {
			t.Errorf("%q is called at %s", v, e.URL)
		}
	}
	if e, err := set.Resolve(map[string]any{"A": "a.b"}); err != nil || e.URL != "https://a.b.example.com/a.b" {
		t.Errorf("%s, %v", e.URL, err)
	}
}

func TestGuardDiagram(t *testing.T) {
	set, err := rules.ParseDiagram([]byte(diagram(2, [3]int32{0, 100_000_001, 100_000_002})))
	if err != nil {
		t.Fatal(err)
	}
	if err := set.Guard([]string{"A"}); err == nil || !strings.Contains(err.Error(), "https://{A}") {
		t.Error(err)
	}
	if err := set.Guard([]string{"B"}); err != nil {
		t.Error(err)
	}
}
