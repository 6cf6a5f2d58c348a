package tool_test

import (
	"encoding/json"
	"testing"

	"github.com/outcrop/outcrop/internal/gateway/tool"
)

func TestSplit(t *testing.T) {
	for name, want := range map[string]struct {
		target, tool string
		ok           bool
	}{
		"T1___get_time":       {"T1", "get_time", true},
		"a-b___x___y":         {"a-b", "x___y", true},
		"a____x":              {"a", "_x", true},
		"get_time":            {},
		"___get_time":         {},
		"T1___":               {},
		tool.Search:           {},
		tool.Prefixed("", ""): {},
	} {
		target, name2, ok := tool.Split(name)
		if ok != want.ok || ok && (target != want.target || name2 != want.tool) {
			t.Errorf("%s: %q, %q, %v", name, target, name2, ok)
		}
		if ok && tool.Prefixed(target, name2) != name {
			t.Errorf("%s is not what it was made of", name)
		}
	}
}

func TestToolOfANewerServer(t *testing.T) {
	const text = `{"name":"a","title":"A","inputSchema":{"type":"object"},"_meta":{"x":1},"Name":"other","DEſCRIPTION":"other","soon":[1,2]}`
	var one tool.Tool
	if err := json.Unmarshal([]byte(text), &one); err != nil {
		t.Fatal(err)
	}
	one.Name = "T___a"
	b, err := json.Marshal(one)
	want := `{"name":"T___a","title":"A","inputSchema":{"type":"object"},"_meta":{"x":1},"soon":[1,2]}`
	if err != nil || string(b) != want {
		t.Errorf("%s, %v; want %s", b, err, want)
	}
	for _, bad := range []string{"7", `{"name":7}`, `{"description":{}}`} {
		if err := json.Unmarshal([]byte(bad), &one); err == nil {
			t.Errorf("%s is a tool", bad)
		}
	}
}
