package examples

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// step is one command of a README and what the README says it prints. In that,
// "..." stands for anything: on a line of its own for any lines, or none, and
// else for the rest of a word or a line.
type step struct {
	line     int // of the README, from 1
	command  string
	expected string
}

// parse returns the commands of the blocks of a README that are marked console:
// lines that begin with "$ ", "> " where they go on, and below them what they print. A
// block marked "console if PROGRAM" is passed over where there is no such program.
func parse(readme string, has func(program string) bool) (steps []step, err error) {
	inside := false
	for i, line := range strings.Split(readme, "\n") {
		switch {
		case strings.HasPrefix(line, "```"):
			program, conditional := strings.CutPrefix(line, "```console if ")
			inside = !inside && (line == "```console" || conditional && has(program))
		case !inside:
		case strings.HasPrefix(line, "$ "):
			steps = append(steps, step{line: i + 1, command: line[2:]})
		case len(steps) == 0:
			return nil, fmt.Errorf("line %d: output of no command", i+1)
		case strings.HasPrefix(line, "> ") && steps[len(steps)-1].expected == "":
			steps[len(steps)-1].command += "\n" + line[2:]
		default:
			steps[len(steps)-1].expected += line + "\n"
		}
	}
	return steps, nil
}

// blanks at the end of a line are seen in no README.
var blanks = regexp.MustCompile(`(?m)[ \t]+$`)

// matches reports whether a command printed what the README says.
func (s step) matches(printed string) bool {
	var pattern strings.Builder
	for line := range strings.Lines(s.expected) {
		if line == "...\n" {
			pattern.WriteString(`(?:.*\n)*?`)
			continue
		}
		pattern.WriteString(strings.ReplaceAll(regexp.QuoteMeta(line), `\.\.\.`, `.*`))
	}
	return regexp.MustCompile(`\A` + pattern.String() + `\z`).MatchString(blanks.ReplaceAllString(printed, ""))
}

// shell is the terminal in which somebody types the commands of one README.
type shell struct {
	t   *testing.T
	dir string
	env []string
}

// has reports whether the shell finds a program.
func (sh shell) has(program string) bool {
	cmd := exec.CommandContext(sh.t.Context(), "bash", "-c", "command -v "+program)
	cmd.Env = sh.env
	return cmd.Run() == nil
}

// marker ends the output of a command; the nul byte is in no output.
const marker = "\x00"

// follow types all commands of a README, one after another, into one shell.
func (sh shell) follow(path string) {
	sh.t.Helper()
	readme, err := os.ReadFile(path)
	if err != nil {
		sh.t.Fatal(err)
	}
	steps, err := parse(string(readme), sh.has)
	if err != nil || len(steps) == 0 {
		sh.t.Fatalf("%s: %d commands, %v", path, len(steps), err)
	}
	var script strings.Builder
	for _, s := range steps {
		fmt.Fprintf(&script, "%s\nprintf '%%d\\0' $?\n", s.command)
	}
	cmd := exec.CommandContext(sh.t.Context(), "bash", "-s")
	cmd.Dir, cmd.Env, cmd.Stdin, cmd.WaitDelay = sh.dir, sh.env, strings.NewReader(script.String()), time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		sh.t.Errorf("bash: %v", err)
	}
	printed := strings.Split(string(out), marker)
	for i, s := range steps {
		if i >= len(printed)-1 {
			sh.t.Fatalf("%s:%d: the shell ended: %s", path, s.line, printed[len(printed)-1])
		}
		text, status := cutStatus(printed[i])
		if status != "0" || !s.matches(text) {
			sh.t.Fatalf("%s:%d: $ %s\nprinted, with status %s:\n%s\nand the README says:\n%s", path, s.line, s.command, status, text, s.expected)
		}
	}
}

// cutStatus divides what a command printed from its status, the digits at the end.
func cutStatus(out string) (text, status string) {
	text = strings.TrimRight(out, "0123456789")
	status = out[len(text):]
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n" // such as the answer of an agent that ends no line
	}
	return text, status
}

func TestParse(t *testing.T) {
	steps, err := parse("# x\n```\n$ not this\n```\n```console\n$ a\n$ b \\\n> c\none\n...\nend ... of it\n```\ntext\n```console\n$ d\n```\n```console if x\n$ x\n```\n```console if y\n$ y\n```\n",
		func(program string) bool { return program == "x" })
	if err != nil {
		t.Fatal(err)
	}
	want := []step{{6, "a", ""}, {7, "b \\\nc", "one\n...\nend ... of it\n"}, {15, "d", ""}, {18, "x", ""}}
	if fmt.Sprint(steps) != fmt.Sprint(want) {
		t.Errorf("%v", steps)
	}
	for text, is := range map[string]bool{
		"one \nend 1 of it\n": true, "one\ntwo\nthree\nend x y of it\n": true,
		"one\nend of it\n": false, "one\nend 1 of it\nmore\n": false, "end 1 of it\n": false, "": false,
	} {
		if steps[1].matches(text) != is {
			t.Errorf("%q: not %v", text, is)
		}
	}
	if !steps[0].matches("") || steps[0].matches("x\n") {
		t.Error("a command of which nothing is said may print nothing")
	}
	if _, err := parse("```console\nx\n```\n", nil); err == nil {
		t.Error("output of no command is taken")
	}
}
