package signin

import (
	"strings"
	"testing"

	"github.com/outcrop/outcrop/conformance/chromium"
	"github.com/outcrop/outcrop/conformance/pinned"
)

// TestSDKs: clients of the official SDKs that know the URL alone sign in by themselves, list
// and call, and go on when their token has expired; whom the gateway does not let in they
// are told so.
func TestSDKs(t *testing.T) {
	h, chrome := newHouse(t), chromium.Start(t)
	python := pinned.Program(t, "python")
	second := pinned.Packages(t, "../upstream/testdata/requirements.txt")
	node, packages := pinned.Node(t, "testdata", "testdata/sdk.mjs")
	for name, run := range map[string]func(t *testing.T, visit func(string)) []word{
		"Python 2": func(t *testing.T, visit func(string)) []word {
			return talk(t, "testdata", []string{"PYTHONPATH=" + second}, visit, python, "sdk2.py", h.gateway)
		},
		"TypeScript 1": func(t *testing.T, visit func(string)) []word {
			return talk(t, packages, nil, visit, node, "sdk.mjs", h.gateway, "1")
		},
		"TypeScript 2": func(t *testing.T, visit func(string)) []word {
			return talk(t, packages, nil, visit, node, "sdk.mjs", h.gateway, "2")
		},
	} {
		t.Run(name, func(t *testing.T) {
			h.T, chrome.T = t, t
			h.signsIn(chrome, run)
		})
	}
}

// signsIn has ada sign in with a client and go on, and bob, who is none of the readers.
func (h *house) signsIn(chrome *chromium.Browser, run func(t *testing.T, visit func(string)) []word) {
	h.Helper()
	var pages []chromium.Page
	said := run(h.T, func(link string) { pages = chrome.Walk(signIn(link, "ada")) })
	if len(said) < 2 || len(pages) != 3 || !strings.Contains(pages[1].Text, "may act for you at") || !strings.Contains(pages[1].Text, h.gateway) || pages[2].Title != "Back" {
		h.Fatalf("it says %+v after the pages %+v", said, pages)
	}
	calls(h.T, said[1:])
	if last := said[len(said)-1]; len(said) != 6 || last.Refreshed == nil || !*last.Refreshed {
		h.Errorf("after its token has expired: %+v", said)
	}
	said = run(h.T, func(link string) { chrome.Walk(signIn(link, "bob")) })
	if last := said[len(said)-1]; !strings.Contains(last.Failed, "403") && !strings.Contains(last.Failed, "value mismatch") {
		h.Errorf("bob is let in: %+v", said)
	}
}
