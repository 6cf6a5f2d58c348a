package bundle

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

type language string

const (
	python language = "python"
	node   language = "node"
)

// project is what a folder says of itself.
type project struct {
	folder   string
	entry    string // with forward slashes
	language language
	// prefer is the version that .python-version names, requires the range that
	// pyproject.toml allows.
	prefer, requires string
	// needs is the file that lists the dependencies, or nil.
	needs *requirements
}

// pythonEntries and nodeEntries are the names of entry points, best first.
func pythonEntries() []string { return []string{"main.py", "agent.py", "app.py", "server.py"} }

func nodeEntries() []string {
	return []string{"main.js", "index.js", "app.js", "server.js", "main.mjs", "index.mjs"}
}

// inspect reads a folder without running anything of it.
func inspect(folder, entry string) (project, error) {
	p := project{folder: folder}
	info, err := os.Stat(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return p, problem("Give the folder that holds your agent.", "there is no folder %s", folder)
	}
	if err != nil {
		return p, fmt.Errorf("read folder %s: %w", folder, err)
	}
	if !info.IsDir() {
		return p, problem("Deploy its folder: "+filepath.Dir(folder), "%s is a file", folder)
	}
	if p.entry, err = findEntry(folder, entry); err != nil {
		return p, err
	}
	if path.Ext(p.entry) != ".py" {
		p.language = node
		return p, checkNodeModules(folder)
	}
	p.language = python
	if text, err := os.ReadFile(filepath.Join(folder, ".python-version")); err == nil {
		first, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
		p.prefer = minor(strings.TrimSpace(strings.TrimPrefix(first, "cpython-")))
	}
	return p, p.readDependencies()
}

// HasEntry reports whether a folder has a file that Build would find to run.
func HasEntry(folder string) bool {
	entry, err := findEntry(folder, "")
	return err == nil && entry != ""
}

// findEntry returns the file to run.
func findEntry(folder, asked string) (string, error) {
	if asked != "" {
		clean := path.Clean(filepath.ToSlash(asked))
		if !fs.ValidPath(clean) || !isFile(filepath.Join(folder, filepath.FromSlash(clean))) {
			return "", problem("Give its path inside the folder.", "the entry point %s is not a file in %s", asked, folder)
		}
		if !slices.Contains([]string{".py", ".js", ".mjs", ".cjs"}, path.Ext(clean)) {
			return "", problem("Give a .py, .js, .mjs or .cjs file.", "the entry point %s is neither Python nor JavaScript", asked)
		}
		return clean, nil
	}
	for _, name := range pythonEntries() {
		if isFile(filepath.Join(folder, name)) {
			return name, nil
		}
	}
	if main := packageMain(folder); main != "" {
		return main, nil
	}
	for _, name := range nodeEntries() {
		if isFile(filepath.Join(folder, name)) {
			return name, nil
		}
	}
	scripts, err := filepath.Glob(filepath.Join(globQuote(folder), "*.py"))
	if err != nil {
		return "", fmt.Errorf("read folder %s: %w", folder, err)
	}
	if len(scripts) == 1 {
		return filepath.Base(scripts[0]), nil
	}
	looked := strings.Join(slices.Concat(pythonEntries(), nodeEntries()), ", ")
	fix := "Name the file that starts your agent one of these, or name it with --entry."
	if len(scripts) > 1 {
		return "", problem(fix, "%s has %d Python files and none is called %s", folder, len(scripts), looked)
	}
	if ts, err := filepath.Glob(filepath.Join(globQuote(folder), "*.ts")); err == nil && len(ts) > 0 {
		fix = "Compile the TypeScript first, then name the JavaScript file with --entry."
	}
	return "", problem(fix, "%s has no entry point: none of %s", folder, looked)
}

// packageMain returns the main file that package.json names, if it is there.
func packageMain(folder string) string {
	text, err := os.ReadFile(filepath.Join(folder, "package.json"))
	if err != nil {
		return ""
	}
	var pkg struct {
		Main string `json:"main"`
	}
	if err := json.Unmarshal(text, &pkg); err != nil || pkg.Main == "" {
		return "" // npm complains of a damaged one better than we could
	}
	main := path.Clean(pkg.Main)
	if !fs.ValidPath(main) || !isFile(filepath.Join(folder, filepath.FromSlash(main))) {
		return ""
	}
	return main
}

// checkNodeModules asks for what only npm can do.
func checkNodeModules(folder string) error {
	text, err := os.ReadFile(filepath.Join(folder, "package.json"))
	if err != nil {
		return nil //nolint:nilerr // without package.json there are no dependencies
	}
	var pkg struct {
		Dependencies map[string]string `json:"dependencies"`
	}
	if err := json.Unmarshal(text, &pkg); err != nil {
		return &Error{Reason: "package.json is not valid JSON: " + err.Error(), Fix: "Correct it.", Err: err}
	}
	if _, err := os.Stat(filepath.Join(folder, "node_modules")); len(pkg.Dependencies) > 0 && errors.Is(err, fs.ErrNotExist) {
		return problem("Run: npm ci --omit=dev   (or npm install --omit=dev)", "package.json names dependencies, and there is no node_modules")
	}
	return nil
}

// readDependencies finds requirements.txt, or else pyproject.toml.
func (p *project) readDependencies() error {
	var doc struct {
		Project struct {
			RequiresPython string   `toml:"requires-python"`
			Dependencies   []string `toml:"dependencies"`
			Dynamic        []string `toml:"dynamic"`
		} `toml:"project"`
		Tool struct {
			Poetry struct {
				Dependencies map[string]any `toml:"dependencies"`
			} `toml:"poetry"`
		} `toml:"tool"`
	}
	file := filepath.Join(p.folder, "pyproject.toml")
	hasProject := isFile(file)
	if hasProject {
		if _, err := toml.DecodeFile(file, &doc); err != nil {
			return &Error{Reason: "pyproject.toml cannot be read: " + err.Error(), Fix: "Correct it.", Err: err}
		}
		p.requires = doc.Project.RequiresPython
	}
	if isFile(filepath.Join(p.folder, "requirements.txt")) {
		needs, err := readRequirements(p.folder, "requirements.txt")
		p.needs = needs
		return err
	}
	if !hasProject {
		return nil
	}
	if slices.Contains(doc.Project.Dynamic, "dependencies") {
		return problem("Write them to requirements.txt, for example by: uv pip compile pyproject.toml -o requirements.txt", "pyproject.toml computes its dependencies when it is built")
	}
	if len(doc.Project.Dependencies) == 0 && len(doc.Tool.Poetry.Dependencies) > 0 {
		return problem("Run: poetry export -f requirements.txt -o requirements.txt", "pyproject.toml lists its dependencies for poetry alone")
	}
	if len(doc.Project.Dependencies) > 0 {
		p.needs = &requirements{file: "pyproject.toml", lines: doc.Project.Dependencies}
	}
	return nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// globQuote makes a path match itself in filepath.Glob.
func globQuote(path string) string {
	if filepath.Separator == '\\' {
		return path // Glob has no escapes on Windows
	}
	return strings.NewReplacer(`\`, `\\`, `[`, `\[`, `*`, `\*`, `?`, `\?`).Replace(path)
}
