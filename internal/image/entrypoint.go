package image

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/sandbox"
)

// entryArgs returns the command for an entry point.
func entryArgs(dir string, l Language, executable string, entryPoint []string) ([]string, error) {
	if len(entryPoint) < 1 || len(entryPoint) > 2 {
		return nil, fault.Validation("entryPoint has %d elements; give the file to run, for example main.py, or a program of your packages and that file.", len(entryPoint))
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open code: %w", err)
	}
	defer root.Close()
	main := entryPoint[len(entryPoint)-1]
	if err := checkMain(root, l, main); err != nil {
		return nil, err
	}
	run := []string{executable, path.Join(sandbox.CodePath, main)}
	if len(entryPoint) == 1 {
		return run, nil
	}
	wrapper, err := wrapperArgs(root, l, executable, entryPoint[0])
	if err != nil {
		return nil, err
	}
	return append(wrapper, run...), nil
}

// checkMain looks for the file that the entry point names.
func checkMain(root *os.Root, l Language, name string) error {
	suffixes := []string{".py"}
	if l == Node {
		suffixes = []string{".js", ".mjs", ".cjs"}
	}
	if _, slash, err := cleanName(name); err != nil || slash {
		return fault.Validation("entryPoint %s is not the path of a file in the code zip.", quote(name))
	}
	ok := false
	for _, s := range suffixes {
		ok = ok || strings.HasSuffix(name, s)
	}
	if !ok {
		return fault.Validation("entryPoint %s is not a %s file (%s).", quote(name), l, strings.Join(suffixes, ", "))
	}
	if info, err := root.Stat(name); err == nil && info.Mode().IsRegular() {
		return nil
	} else if err == nil {
		return fault.Validation("entryPoint %s is not a file in the code zip but a directory. Give the path of the file to run.", quote(name))
	}
	top, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return fmt.Errorf("read code: %w", err)
	}
	var names []string
	for _, e := range top {
		if len(names) == 12 {
			names = append(names, "...")
			break
		}
		names = append(names, e.Name())
	}
	return fault.Validation("entryPoint %s is not in the code zip, which holds %s at its top. Zip the content of the agent's folder, not the folder, or give the path inside the zip.", quote(name), quote(strings.Join(names, ", ")))
}

// wrapperArgs finds a program that the zip's packages brought. A script is run by
// our interpreter whatever its first line says: that names the machine where the
// packages were installed.
func wrapperArgs(root *os.Root, l Language, executable, name string) ([]string, error) {
	if clean, slash, err := cleanName(name); err != nil || slash || strings.Contains(clean, "/") {
		return nil, fault.Validation("entryPoint %s is not the name of a program.", quote(name))
	}
	dir := "bin"
	if l == Node {
		dir = "node_modules/.bin"
	}
	file := dir + "/" + name
	if info, err := root.Stat(file); err == nil && info.Mode().IsRegular() {
		if script, err := isScriptOf(root, file, l); err != nil {
			return nil, err
		} else if script {
			return []string{executable, path.Join(sandbox.CodePath, file)}, nil
		}
		if info.Mode()&0o111 == 0 {
			return nil, fault.Validation("entryPoint %s: %s in the code zip is not executable. Zip it with its mode, or deploy from Linux or macOS.", quote(name), file)
		}
		return []string{path.Join(sandbox.CodePath, file)}, nil
	}
	if l == Python {
		if module, function, ok, err := consoleScript(root, name); err != nil {
			return nil, err
		} else if ok {
			code := fmt.Sprintf("import sys; from %s import %s as run; sys.argv[0] = %q; sys.exit(run())", module, function, name)
			return []string{executable, "-c", code}, nil
		}
	}
	hint := "the package that has it"
	if name == "opentelemetry-instrument" {
		hint = "aws-opentelemetry-distro"
	}
	return nil, fault.Validation("entryPoint %s is not in the code zip: it has no %s, and no package in it has a program of that name. Add %s to the requirements and deploy again.", quote(name), quote(file), hint)
}

// isScriptOf reports whether the file's first lines name the language's
// interpreter. Installers write two forms: #!/path/to/python, and for long paths
// a line of sh that Python reads as a string.
func isScriptOf(root *os.Root, file string, l Language) (bool, error) {
	f, err := root.Open(file)
	if err != nil {
		return false, fmt.Errorf("read code: %w", err)
	}
	defer f.Close()
	head, err := bufio.NewReader(f).Peek(512)
	if len(head) == 0 && err != nil {
		return false, nil //nolint:nilerr // an empty file is no script
	}
	first, rest, _ := bytes.Cut(head, []byte("\n"))
	if !bytes.HasPrefix(first, []byte("#!")) {
		return false, nil
	}
	return bytes.Contains(first, []byte(l)) || bytes.HasPrefix(rest, []byte("'''exec'")), nil
}

// consoleScript looks a program up in what the packages declare, for zips made
// where installers write .exe files instead of scripts.
func consoleScript(root *os.Root, name string) (module, function string, ok bool, err error) {
	files, err := fs.Glob(root.FS(), "*.dist-info/entry_points.txt")
	if err != nil {
		return "", "", false, fmt.Errorf("read code: %w", err)
	}
	reference := regexp.MustCompile(`^([A-Za-z_][\w.]*):([A-Za-z_]\w*)$`)
	for _, file := range files {
		text, err := readHead(root, file)
		if err != nil {
			return "", "", false, err
		}
		inScripts := false
		for line := range strings.Lines(text) {
			line = strings.TrimSpace(line)
			if strings.HasPrefix(line, "[") {
				inScripts = line == "[console_scripts]"
				continue
			}
			key, value, found := strings.Cut(line, "=")
			if !inScripts || !found || strings.TrimSpace(key) != name {
				continue
			}
			if m := reference.FindStringSubmatch(strings.TrimSpace(value)); m != nil {
				return m[1], m[2], true, nil
			}
		}
	}
	return "", "", false, nil
}

// readHead reads a file of the zip up to a size that no honest one of its kind
// reaches.
func readHead(root *os.Root, file string) (string, error) {
	f, err := root.Open(file)
	if err != nil {
		return "", fmt.Errorf("read code: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return "", fmt.Errorf("read code: %w", err)
	}
	return string(text), nil
}
