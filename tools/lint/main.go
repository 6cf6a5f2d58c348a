// Command lint checks the rules of the house that the compiler cannot: which
// package may import which, that every package is documented, that only some
// read the environment, that nobody else exits, and that pages link to what there is.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

func main() {
	complaints, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "lint:", err)
		os.Exit(2)
	}
	for _, c := range complaints {
		fmt.Println(c)
	}
	if len(complaints) > 0 {
		os.Exit(1)
	}
}

const module = "github.com/outcrop/outcrop/"

// pkg is what `go list` tells of a package.
type pkg struct {
	ImportPath, Dir, Doc, Name    string
	Imports, GoFiles, TestGoFiles []string
}

func run() ([]string, error) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Dir,Doc,Name,Imports,GoFiles", "./...").Output()
	if err != nil {
		return nil, fmt.Errorf("list packages: %w", err)
	}
	complaints, err := checkLinks()
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return complaints, nil
		} else if err != nil {
			return nil, err
		}
		found, err := check(p)
		if err != nil {
			return nil, err
		}
		complaints = append(complaints, found...)
	}
}

func check(p pkg) ([]string, error) {
	name := strings.TrimPrefix(p.ImportPath, module)
	var out []string
	if p.Doc == "" && len(p.GoFiles) > 0 { // a folder of tests alone documents itself in them
		out = append(out, fmt.Sprintf("%s: has no package comment; say what the package is for", name))
	}
	for _, imp := range p.Imports {
		if local, ours := strings.CutPrefix(imp, module); ours && forTests(local) && !forTests(name) && !within(name, "conformance") {
			out = append(out, fmt.Sprintf("%s imports %s: packages for tests are imported by tests alone", name, local))
		}
		for _, r := range rules {
			if r.applies(name) && r.forbids(imp) {
				out = append(out, fmt.Sprintf("%s imports %s: %s", name, strings.TrimPrefix(imp, module), r.why))
			}
		}
	}
	lines, err := checkFiles(p, name)
	return append(out, lines...), err
}

var (
	readsEnv = regexp.MustCompile(`\bos\.(Getenv|LookupEnv|Environ|ExpandEnv)\(`)
	exits    = regexp.MustCompile(`\bos\.Exit\(|\blog\.Fatal`)
)

// checkFiles looks for what only some packages may do.
func checkFiles(p pkg, name string) ([]string, error) {
	// Test suites and the guests they run are programs of their own.
	program := within(name, "cmd", "tools", "conformance", "examples") || forTests(name)
	var out []string
	for _, f := range p.GoFiles {
		file, err := os.Open(filepath.Join(p.Dir, f))
		if err != nil {
			return nil, err
		}
		scan := bufio.NewScanner(file)
		scan.Buffer(nil, 1<<20)
		for n := 1; scan.Scan(); n++ {
			line := scan.Text()
			if strings.HasPrefix(strings.TrimSpace(line), "//") {
				continue
			}
			if readsEnv.MatchString(line) && !program && !within(name, "internal/app", "internal/cli") {
				out = append(out, fmt.Sprintf("%s/%s:%d: only app and cli read the environment; take it as a parameter", name, f, n))
			}
			if exits.MatchString(line) && !program {
				out = append(out, fmt.Sprintf("%s/%s:%d: only cmd exits; return an error", name, f, n))
			}
		}
		if err := errors.Join(scan.Err(), file.Close()); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func within(name string, dirs ...string) bool {
	for _, d := range dirs {
		if name == d || strings.HasPrefix(name, d+"/") {
			return true
		}
	}
	return false
}
