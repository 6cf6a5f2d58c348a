package upstream

import (
	"encoding/json"
	"sync"

	"github.com/outcrop/outcrop/internal/gateway/tool"
)

// mirror is a header that repeats an argument.
type mirror struct{ name, value string }

// mirrors are the arguments that are repeated, by tool.
type mirrors struct {
	mu     sync.RWMutex
	byTool map[string][]tool.Mirror
}

// learn keeps those of tools. A tool whose marks break the rules has none: catalogues
// leave it out.
func (m *mirrors) learn(tools []tool.Tool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range tools {
		list, err := tool.Mirrors(t.InputSchema)
		if err != nil || len(list) == 0 {
			delete(m.byTool, t.Name)
			continue
		}
		if m.byTool == nil {
			m.byTool = map[string][]tool.Mirror{}
		}
		if len(m.byTool) < tool.MaxPerTarget {
			m.byTool[t.Name] = list
		}
	}
}

// learnListed keeps those of a list that passes.
func (m *mirrors) learnListed(result []byte) {
	var list struct {
		Tools []tool.Tool `json:"tools"`
	}
	if json.Unmarshal(result, &list) == nil {
		m.learn(list.Tools)
	}
}

// of are the headers of a call.
func (m *mirrors) of(name string, arguments []byte) []mirror {
	m.mu.RLock()
	list := m.byTool[name]
	m.mu.RUnlock()
	var out []mirror
	for _, at := range list {
		if value, ok := at.Value(arguments); ok {
			out = append(out, mirror{at.Name, value})
		}
	}
	return out
}
