package image

import (
	"fmt"
	"slices"
	"strings"
)

// Absence says in a few words why a runtime that has no interpreter is not
// served, and which commands would mend it. A server and doctor both say it, so that they
// agree. A runtime that is none of Runtimes has no fix.
func Absence(runtime string) (reason, fix string) {
	language, version, err := ParseRuntime(runtime)
	if err != nil {
		return err.Error(), ""
	}
	const otherwise = ", or outcrop serve --interpreter DIRECTORY for one that lies elsewhere; a server looks when it starts"
	if language == Node {
		return "no Node.js " + version + " was found", "nvm install " + version + ", or the package nodejs of NodeSource's node_" + version + ".x" + otherwise
	}
	return "no python" + version + " was found", "uv python install " + version + ", or a package such as python" + version + otherwise
}

// Places says in words where interpreters are looked for.
func Places(s Search) string {
	var dirs, managers []string
	for _, p := range slices.Concat(pythonPlaces(), nodePlaces()) {
		into, name := &dirs, p.pattern
		if strings.HasPrefix(p.pattern, "~") {
			into, name = &managers, p.source
		}
		if !slices.Contains(*into, name) {
			*into = append(*into, name)
		}
	}
	text := strings.Join(slices.Concat(s.Declared, dirs), ", ")
	if s.Home != "" {
		text += fmt.Sprintf(", what %s have installed in %s", strings.Join(managers, ", "), s.Home)
	}
	return text + ", and PATH"
}
