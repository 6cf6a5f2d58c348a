package mcp

import "testing"

func TestCapabilities(t *testing.T) {
	for name, c := range map[string]struct {
		of   session
		want string
	}{
		"nothing":    {session{}, ""},
		"url alone":  {session{ElicitsURL: true}, ""},
		"forms":      {session{Elicits: true}, `{"elicitation":{"form":{}}}`},
		"pages":      {session{Elicits: true, ElicitsURL: true}, `{"elicitation":{"form":{},"url":{}}}`},
		"a model":    {session{Samples: true}, `{"sampling":{}}`},
		"roots":      {session{Roots: true}, `{"roots":{}}`},
		"everything": {session{Elicits: true, Samples: true, Roots: true}, `{"elicitation":{"form":{}},"sampling":{},"roots":{}}`},
	} {
		if got := string(c.of.capabilities()); got != c.want {
			t.Errorf("%s: targets are told %q, not %q", name, got, c.want)
		}
	}
}
