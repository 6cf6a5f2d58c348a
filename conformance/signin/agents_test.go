package signin

import (
	"os"
	"testing"

	"github.com/outcrop/outcrop/conformance/chromium"
	"github.com/outcrop/outcrop/conformance/pinned"
)

// TestAgents: agents of frameworks that somebody gave a token call a gateway's tools; and
// line 1 of the Python SDK, which they are made with, signs in as line 2 does.
func TestAgents(t *testing.T) {
	if os.Getenv("OUTCROP_NIGHTLY") == "" {
		t.Skip("it installs a hundred megabytes: nightly (OUTCROP_NIGHTLY=1)")
	}
	h, chrome := newHouse(t), chromium.Start(t)
	packages, python := []string{"PYTHONPATH=" + pinned.Packages(t, "testdata/agents/requirements.txt")}, pinned.Program(t, "python")
	token := h.token("ada")
	for _, name := range []string{"langgraph_agent.py", "strands_agent.py"} {
		t.Run(name, func(t *testing.T) { calls(t, talk(t, "testdata", packages, nil, python, name, h.gateway, token)) })
	}
	t.Run("sdk1.py", func(t *testing.T) {
		h.T, chrome.T = t, t
		h.signsIn(chrome, func(t *testing.T, visit func(string)) []word {
			return talk(t, "testdata", packages, visit, python, "sdk1.py", h.gateway)
		})
	})
}
