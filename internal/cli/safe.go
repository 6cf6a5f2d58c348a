package cli

import (
	"bytes"
	"io"
	"strings"
	"unicode/utf8"
)

// terminalWriter shows what an agent wrote on a terminal. An agent's words are
// not ours: a control sequence could rename the window, fake a prompt or make
// the terminal answer, so all but colours and line layout come out visible, as
// ^[ and the like. A sequence or character cut between two writes is kept whole.
type terminalWriter struct {
	w    io.Writer
	rest []byte // the beginning of a character or sequence
}

func (t *terminalWriter) Write(b []byte) (int, error) {
	in := append(t.rest, b...)
	out := make([]byte, 0, len(in)+16)
	for len(in) > 0 {
		n, whole := t.take(&out, in)
		if !whole {
			break
		}
		in = in[n:]
	}
	t.rest = bytes.Clone(in)
	if _, err := t.w.Write(out); err != nil {
		return 0, err
	}
	return len(b), nil
}

// harmless is text as terminalWriter shows it.
func harmless(text string) string {
	var b strings.Builder
	t := terminalWriter{w: &b}
	_, _ = t.Write([]byte(text)) // a Builder takes everything
	_ = t.Flush()
	return b.String()
}

// Flush shows what is left of a cut sequence.
func (t *terminalWriter) Flush() error {
	var out []byte
	for _, c := range t.rest {
		if c == 0x1b {
			out = append(out, "^["...)
			continue
		}
		out = visible(out, min(rune(c), 0x80)) // of a cut character nothing can be shown
	}
	t.rest = nil
	_, err := t.w.Write(out)
	return err
}

// take moves one character or colour sequence from in to out and returns its
// length; whole is false when its end has not come yet.
func (t *terminalWriter) take(out *[]byte, in []byte) (n int, whole bool) {
	if in[0] == 0x1b {
		n, colour, whole := colourSequence(in)
		if !whole {
			return 0, false
		}
		if colour {
			*out = append(*out, in[:n]...)
			return n, true
		}
		*out = append(*out, "^["...)
		return 1, true
	}
	if in[0] < utf8.RuneSelf {
		*out = visible(*out, rune(in[0]))
		return 1, true
	}
	if !utf8.FullRune(in) {
		return 0, false
	}
	r, n := utf8.DecodeRune(in)
	if r == utf8.RuneError && n == 1 {
		*out = append(*out, "\uFFFD"...)
	} else {
		*out = visible(*out, r)
	}
	return n, true
}

// visible appends r, or what stands for it.
func visible(out []byte, r rune) []byte {
	switch {
	case r == '\n' || r == '\t' || r == '\r':
		return append(out, byte(r))
	case r < 0x20:
		return append(out, '^', byte(r)+'@')
	case r == 0x7f:
		return append(out, "^?"...)
	case r >= 0x80 && r < 0xa0: // C1 controls do what ESC sequences do
		return append(out, "\uFFFD"...)
	}
	return utf8.AppendRune(out, r)
}

// maxColour bounds ESC [ 38;2;255;255;255;48;2;255;255;255 m with room to spare.
const maxColour = 48

// colourSequence measures ESC [ digits and semicolons m (ECMA-48 SGR).
func colourSequence(in []byte) (n int, colour, whole bool) {
	for i := 1; i < len(in); i++ {
		switch c := in[i]; {
		case i == 1 && c == '[':
		case i > 1 && i < maxColour && (c >= '0' && c <= '9' || c == ';' || c == ':'):
		case i > 1 && c == 'm':
			return i + 1, true, true
		default:
			return 1, false, true
		}
	}
	return 0, false, false
}
