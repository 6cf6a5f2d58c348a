package cli

import (
	"bytes"
	"testing"
)

func TestKeyboard(t *testing.T) {
	for typed, want := range map[string]struct {
		keys  string
		found escape
		rest  string
	}{
		"":            {},
		"ls\r":        {keys: "ls\r"},
		"~.":          {found: escapeDetach},
		"ls\r~.rest":  {keys: "ls\r", found: escapeDetach, rest: "rest"},
		"ls ~.":       {keys: "ls ~."},
		"~~.":         {keys: "~."},
		"~~\r~?":      {keys: "~\r", found: escapeHelp},
		"~/bin\r~?":   {keys: "~/bin\r", found: escapeHelp},
		"~\r~.":       {keys: "~\r", found: escapeDetach},
		"\x03~.":      {keys: "\x03~."},
		"a\n~.b":      {keys: "a\n", found: escapeDetach, rest: "b"},
		"\xff~\x00\r": {keys: "\xff~\x00\r"},
	} {
		var k keyboard
		keys, found, rest := k.take([]byte(typed))
		if string(keys) != want.keys || found != want.found || string(rest) != want.rest {
			t.Errorf("%q is %q, %v, %q, want %+v", typed, keys, found, rest, want)
		}
	}
}

// FuzzKeyboard wants the same of keys however they are cut, and nothing lost.
func FuzzKeyboard(f *testing.F) {
	f.Add([]byte("ls\r~.~~\r~?x"), 3)
	f.Fuzz(func(t *testing.T, typed []byte, at int) {
		all := func(parts ...[]byte) (keys []byte, escapes []escape) {
			var k keyboard
			for _, part := range parts {
				for len(part) > 0 {
					sent, found, rest := k.take(part)
					keys, part = append(keys, sent...), rest
					if found != escapeNone {
						escapes = append(escapes, found)
					}
				}
			}
			if k.tilde {
				keys = append(keys, '~')
			}
			return keys, escapes
		}
		at = min(max(at, 0), len(typed))
		keys, escapes := all(typed)
		cut, cutEscapes := all(typed[:at], typed[at:])
		if !bytes.Equal(keys, cut) || len(escapes) != len(cutEscapes) {
			t.Fatalf("%q is %q, %v; cut at %d %q, %v", typed, keys, escapes, at, cut, cutEscapes)
		}
		if len(keys)+2*len(escapes) > len(typed) || len(keys) < len(typed)-2*len(escapes)-bytes.Count(typed, []byte("~~")) {
			t.Fatalf("%q becomes %q with %v", typed, keys, escapes)
		}
	})
}
