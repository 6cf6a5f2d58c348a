package cli

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestEventText(t *testing.T) {
	tests := map[string]struct{ stream, want string }{
		"strings are one text":      {"data: \"Hello\"\n\ndata: \", world\"\n\n", "Hello, world\n"},
		"escapes are undone":        {`data: "a\n\u00e9\"b"` + "\n\n", "a\né\"b\n"},
		"no line end is doubled":    {"data: \"a\\n\"\n\n", "a\n"},
		"objects have a line each":  {"data: {\"a\": 1}\n\ndata: [2]\n\n", "{\"a\": 1}\n[2]\n"},
		"text then object":          {"data: \"a\"\n\ndata: {\"b\":1}\n\ndata: \"c\"\n\n", "a\n{\"b\":1}\nc\n"},
		"words that are no JSON":    {"data: hello\n\ndata: [DONE]\n\n", "hello\n[DONE]\n"},
		"several data lines":        {"data: a\ndata: b\n\n", "a\nb\n"},
		"CRLF and CR":               {"data: \"a\"\r\n\r\ndata: \"b\"\r\rdata: \"c\"\n\r\n", "abc\n"},
		"comments and names":        {": hi\nevent: x\nid: 1\nretry: 5\ndata: \"a\"\n\n: bye\n\n", "a\n"},
		"byte order mark":           {"\xef\xbb\xbfdata: \"a\"\n\n", "a\n"},
		"no space after the colon":  {"data:\"a\"\n\n", "a\n"},
		"only one space is taken":   {"data:   x\n\n", "  x\n"},
		"data without colon":        {"data\n\n", "\n"},
		"an unfinished event":       {"data: \"a\"\n\ndata: \"b\"", "ab\n"},
		"nothing":                   {"", ""},
		"an empty string":           {"data: \"\"\n\n", ""},
		"an error that is no agent": {"data: {\"error\":\"x\"}\n\n", "{\"error\":\"x\"}\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for _, step := range []int{1, 3, 1 << 20} {
				var out bytes.Buffer
				text := &eventText{w: &out}
				if err := feed(&eventReader{emit: text.event}, test.stream, step); err != nil {
					t.Fatal(err)
				}
				if err := text.end(); err != nil {
					t.Fatal(err)
				}
				if out.String() != test.want {
					t.Errorf("in pieces of %d: %q, want %q", step, out.String(), test.want)
				}
			}
		})
	}
}

func feed(e *eventReader, stream string, step int) error {
	for b := []byte(stream); len(b) > 0; b = b[min(step, len(b)):] {
		if n, err := e.Write(b[:min(step, len(b))]); err != nil || n != min(step, len(b)) {
			return errors.Join(err, errors.New("short write"))
		}
	}
	return e.Close()
}

func TestAgentFailsInTheMiddle(t *testing.T) {
	var out bytes.Buffer
	err := printEvents(&out, strings.NewReader("data: \"so far\"\n\ndata: {\"error\":\"boom\",\"error_type\":\"ValueError\",\"message\":\"m\"}\n\n"), invocation{ref: "hello", session: "S"})
	var f *failure
	if !errors.As(err, &f) || f.text != "the agent failed: ValueError: boom" || !strings.Contains(f.fix, "outcrop logs hello -s S") {
		t.Errorf("error %#v", err)
	}
	if out.String() != "so far\n" {
		t.Errorf("printed %q", out.String())
	}
}

func TestTerminalWriter(t *testing.T) {
	for in, want := range map[string]string{
		"plain\ttext\r\n":                       "plain\ttext\r\n",
		"\x1b[31mred\x1b[0m \x1b[38;5;1mx":      "\x1b[31mred\x1b[0m \x1b[38;5;1mx",
		"\x1b]0;title\x07":                      "^[]0;title^G",
		"\x1b[2J\x1b[6n":                        "^[[2J^[[6n",
		"\x1bc\x1b":                             "^[c^[",
		"\x1b[31":                               "^[[31",
		"a\bb\x00\x7f":                          "a^Hb^@^?",
		"caf\u00e9 \u65e5\u672c \U0001f600":     "caf\u00e9 \u65e5\u672c \U0001f600",
		"\u009b2J":                              "\uFFFD2J",
		"\xff\xe9":                              "\uFFFD\uFFFD",
		"\x1b[" + strings.Repeat("1", 60) + "m": "^[[" + strings.Repeat("1", 60) + "m",
	} {
		if got := throughTerminal(t, []byte(in), 1<<20); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

func throughTerminal(t *testing.T, in []byte, step int) string {
	t.Helper()
	var out bytes.Buffer
	w := &terminalWriter{w: &out}
	for b := in; len(b) > 0; b = b[min(step, len(b)):] {
		if _, err := w.Write(b[:min(step, len(b))]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

var sgr = regexp.MustCompile("\x1b\\[[0-9;:]*m")

// Whatever an agent writes and however it is cut, a terminal gets the same, and
// no control but line layout and colours.
func FuzzTerminalWriter(f *testing.F) {
	f.Add([]byte("a\x1b[1;31mb\x1b]0;x\x07\u009bc\xff\xe2\x82"), 2)
	f.Fuzz(func(t *testing.T, in []byte, step int) {
		step = max(1, step%16)
		whole := throughTerminal(t, in, 1<<20)
		if cut := throughTerminal(t, in, step); cut != whole {
			t.Fatalf("cut in %d: %q, whole: %q", step, cut, whole)
		}
		rest := sgr.ReplaceAllString(whole, "")
		if i := strings.IndexFunc(rest, func(r rune) bool {
			return r < 0x20 && r != '\n' && r != '\t' && r != '\r' || r >= 0x7f && r < 0xa0
		}); i >= 0 {
			t.Fatalf("%q lets %q through", in, rest[i:])
		}
	})
}

// However a stream is cut, its events are the same, and all of its data is there.
func FuzzEventReader(f *testing.F) {
	f.Add([]byte("data: a\r\ndata\r\r: c\n\xef\xbb\xbfdata:b\n\n"), 3)
	f.Fuzz(func(t *testing.T, in []byte, step int) {
		step = max(1, step%16)
		read := func(step int) (events []string) {
			e := &eventReader{emit: func(b []byte) error { events = append(events, string(b)); return nil }}
			if err := feed(e, string(in), step); err != nil {
				t.Fatal(err)
			}
			return events
		}
		whole, cut := read(1<<20), read(step)
		if strings.Join(whole, "\x00") != strings.Join(cut, "\x00") || len(whole) != len(cut) {
			t.Fatalf("cut in %d: %q, whole: %q", step, cut, whole)
		}
		if n := bytes.Count(in, []byte("data")); len(whole) > n {
			t.Fatalf("%d events of %d data fields", len(whole), n)
		}
	})
}

// However a stream is cut, a person reads the same, and it ends with its line.
func FuzzEventText(f *testing.F) {
	f.Add([]byte("data: \"a\\n\"\n\ndata: {\"error\":\"e\",\"error_type\":\"T\"}\n\ndata: \"\\u001b[2J\"\n\ndata: [1]\n\n"), 3)
	f.Fuzz(func(t *testing.T, in []byte, step int) {
		step = max(1, step%16)
		read := func(step int) (string, *agentError) {
			var out bytes.Buffer
			text := &eventText{w: &out}
			if err := errors.Join(feed(&eventReader{emit: text.event}, string(in), step), text.end()); err != nil {
				t.Fatal(err)
			}
			return out.String(), text.failure
		}
		whole, failure := read(1 << 20)
		cut, again := read(step)
		if cut != whole || (failure == nil) != (again == nil) || failure != nil && *failure != *again {
			t.Fatalf("cut in %d: %q, %v; whole: %q, %v", step, cut, again, whole, failure)
		}
		if whole != "" && !strings.HasSuffix(whole, "\n") {
			t.Fatalf("%q has no line end", whole)
		}
	})
}

func BenchmarkEventText(b *testing.B) {
	stream := []byte(strings.Repeat("data: \"a piece of an answer, as agents send it\"\n\n", 100))
	b.SetBytes(int64(len(stream)))
	for b.Loop() {
		var out bytes.Buffer
		text := &eventText{w: &terminalWriter{w: &out}}
		e := &eventReader{emit: text.event}
		if _, err := e.Write(stream); err != nil {
			b.Fatal(err)
		}
	}
}

// TestSayShowsNoSequences: an agent's error, a server's answer and a file's name
// reach standard error too.
func TestSayShowsNoSequences(t *testing.T) {
	const hostile = "bad\x1b]0;pwned\x07 \x1b[31mred\x1b[0m"
	for terminal, want := range map[bool]string{true: "outcrop: bad^[]0;pwned^G \x1b[31mred\x1b[0m\n", false: "outcrop: " + hostile + "\n"} {
		var out strings.Builder
		p := Program{Stderr: &out, StderrTerminal: terminal}
		p.printFailure(&failure{text: hostile})
		if out.String() != want {
			t.Errorf("terminal %v: %q, want %q", terminal, out.String(), want)
		}
	}
	var out strings.Builder
	show := progress{p: &Program{Stderr: &out, StderrTerminal: true, Now: time.Now}}
	show.update("uploading %s", hostile)
	if strings.Contains(out.String(), "\x1b]") {
		t.Errorf("the progress line shows %q", out.String())
	}
}

// TestFindingsAreAligned whatever path is in the name of one.
func TestFindingsAreAligned(t *testing.T) {
	u := newUser(t)
	u.diagnose = func(context.Context, ServeOptions) []Finding {
		return []Finding{{Name: "kernel", OK: true, Detail: "6.1"}, {Name: "interpreter /a/very/long/path/to/python3.11", OK: true, Detail: "not used: it is a script"}}
	}
	r := u.run("doctor")
	for _, line := range []string{"ok    kernel           6.1\n", "ok    interpreter /a/very/long/path/to/python3.11  not used: it is a script\n"} {
		if !strings.Contains(r.stdout, line) {
			t.Errorf("%q is not in\n%s", line, r)
		}
	}
}
