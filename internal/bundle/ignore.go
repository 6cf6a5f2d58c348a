package bundle

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// ignoreFile is the user's own list, in the format of .gitignore.
const ignoreFile = ".outcropignore"

// ignored is what never belongs in a code zip: repositories, environments,
// secrets, caches. A line of .outcropignore that begins with ! takes one back.
const ignored = `
.git/
.hg/
.svn/
.gitignore
.gitattributes
.outcrop*
.bedrock_agentcore/
.bedrock_agentcore.yaml
.env*
.aws/
.ssh/
.netrc
.pypirc
.venv/
venv/
__pycache__/
*.pyc
*.pyo
.pytest_cache/
.mypy_cache/
.ruff_cache/
.tox/
.nox/
.coverage
.ipynb_checkpoints/
*.egg-info/
node_modules/.cache/
cdk.out/
.terraform/
.idea/
.vscode/
.DS_Store
Thumbs.db
`

// rules decide what is left out; the last that matches wins, as git does it.
type rules []rule

type rule struct {
	pattern *regexp.Regexp
	dirOnly bool
	negated bool
}

// readRules returns the built-in rules and those of the folder.
func readRules(folder string) (rules, error) {
	rs, err := parseRules(ignored)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(folder, ignoreFile))
	if errors.Is(err, fs.ErrNotExist) {
		return rs, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", ignoreFile, err)
	}
	own, err := parseRules(string(text))
	if err != nil {
		return nil, &Error{Reason: ignoreFile + ": " + err.Error(), Fix: "Correct the line; the format is that of .gitignore.", Err: err}
	}
	return append(rs, own...), nil
}

// parseRules reads lines in the format of gitignore(5).
func parseRules(text string) (rules, error) {
	var rs rules
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		for strings.HasSuffix(line, " ") && !strings.HasSuffix(line, `\ `) {
			line = strings.TrimSuffix(line, " ")
		}
		if line == "" || line[0] == '#' {
			continue
		}
		var r rule
		line, r.negated = strings.CutPrefix(line, "!")
		line, r.dirOnly = strings.CutSuffix(line, "/")
		anchored := strings.Contains(line, "/")
		line = strings.TrimPrefix(line, "/")
		if line == "" {
			continue
		}
		expression := translate(line)
		if !anchored {
			expression = `(?:.*/)?` + expression
		}
		pattern, err := regexp.Compile(`^` + expression + `$`)
		if err != nil {
			return nil, fmt.Errorf("the pattern %q is not valid", line)
		}
		r.pattern = pattern
		rs = append(rs, r)
	}
	return rs, nil
}

// translate makes a glob a regular expression.
func translate(glob string) string {
	var b strings.Builder
	for i := 0; i < len(glob); i++ {
		rest := glob[i:]
		switch c := glob[i]; {
		case strings.HasPrefix(rest, "**/") && (i == 0 || glob[i-1] == '/'):
			b.WriteString(`(?:.*/)?`)
			i += 2
		case rest == "**" && i > 0 && glob[i-1] == '/':
			b.WriteString(`.+`)
			i++
		case c == '*':
			b.WriteString(`[^/]*`)
		case c == '?':
			b.WriteString(`[^/]`)
		case c == '[':
			class, n := bracket(rest)
			b.WriteString(class)
			i += n - 1
		case c == '\\' && i+1 < len(glob):
			i++
			b.WriteString(regexp.QuoteMeta(glob[i : i+1]))
		case c < 0x80:
			b.WriteString(regexp.QuoteMeta(string(rune(c))))
		default:
			b.WriteByte(c) // part of a UTF-8 sequence
		}
	}
	return b.String()
}

// bracket translates a class such as [!a-c] and returns how much of the glob it
// is. Without an end it matches nothing, as in git.
func bracket(glob string) (expression string, n int) {
	start := 1
	negated := len(glob) > 1 && (glob[1] == '!' || glob[1] == '^')
	if negated {
		start = 2
	}
	end := strings.IndexByte(glob[min(start+1, len(glob)):], ']')
	if end < 0 {
		return `[^\x00-\x{10FFFF}]`, len(glob)
	}
	end += start + 1
	set := strings.NewReplacer(`\`, `\\`, `[`, `\[`, `^`, `\^`).Replace(glob[start:end])
	if strings.HasPrefix(set, "]") {
		set = `\` + set
	}
	if negated {
		return `[^/` + set + `]`, end + 1
	}
	return `[` + set + `]`, end + 1
}

// leaveOut reports whether the file or directory at path, with forward slashes, is
// ignored. A directory that is left out is not looked into, so nothing in it can
// be taken back.
func (rs rules) leaveOut(path string, dir bool) bool {
	out := false
	for _, r := range rs {
		if (dir || !r.dirOnly) && r.pattern.MatchString(path) {
			out = !r.negated
		}
	}
	return out
}
