package image

import (
	"fmt"
	"strconv"
	"strings"
)

// Language is what an interpreter interprets.
type Language string

// The languages of direct code.
const (
	Python Language = "python"
	Node   Language = "node"
)

// Runtimes returns the modelled runtimes of direct code (spec/runtime.md 2.3),
// oldest Python first.
func Runtimes() []string {
	return []string{"PYTHON_3_10", "PYTHON_3_11", "PYTHON_3_12", "PYTHON_3_13", "PYTHON_3_14", "NODE_22"}
}

// ParseRuntime splits PYTHON_3_11 into Python and 3.11, NODE_22 into Node and 22.
func ParseRuntime(runtime string) (Language, string, error) {
	name, version, _ := strings.Cut(runtime, "_")
	version = strings.ReplaceAll(version, "_", ".")
	parts := strings.Split(version, ".")
	for _, p := range parts {
		if _, err := strconv.ParseUint(p, 10, 16); err != nil {
			return "", "", fmt.Errorf("runtime %q is none of %s", runtime, strings.Join(Runtimes(), ", "))
		}
	}
	switch {
	case name == "PYTHON" && len(parts) == 2:
		return Python, version, nil
	case name == "NODE" && len(parts) == 1:
		return Node, version, nil
	}
	return "", "", fmt.Errorf("runtime %q is none of %s", runtime, strings.Join(Runtimes(), ", "))
}
