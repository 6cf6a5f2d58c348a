package mcp

import (
	"encoding/json"
	"testing"
	"time"
)

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

// TestReusedID: a call that ends does not take away the end of a later one with its id.
func TestReusedID(t *testing.T) {
	s, of, ended := newSessions(nil, time.Now), session{Nonce: "n"}, false
	first := s.runs(of, json.RawMessage("1"), func() { t.Error("the call that was over was ended") })
	second := s.runs(of, json.RawMessage("1"), func() { ended = true })
	first()
	s.cancel(of, &message{Params: json.RawMessage(`{"requestId":1}`)})
	if second(); !ended || len(s.calls) != 0 {
		t.Errorf("the later call was ended: %v; %d calls are kept", ended, len(s.calls))
	}
}
