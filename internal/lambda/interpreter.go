package lambda

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/image"
)

// codeNoInterpreter marks the refusal of a runtime that nothing here can run.
const codeNoInterpreter = "InvalidRuntimeException"

// interpreter finds what runs a version: its own interpreter, else the nearest of its
// language with a warning. A version that was prepared keeps what it was prepared with
// for as long as the machine has it.
func (s *Service) interpreter(ctx context.Context, v *version) (in image.Interpreter, warnings []string, err error) {
	found, err := s.cfg.Interpreters(ctx)
	if err != nil {
		return in, nil, err
	}
	language, version, _ := languageOf(v.Settings.Runtime)
	best, distance := -1, 0
	var names []string
	for i, have := range found {
		l, other, err := image.ParseRuntime(have.Runtime)
		if err != nil || l != language {
			continue
		}
		names = append(names, have.Version)
		d := apart(version, other)
		if v.Interpreter == have.Runtime {
			d = -1
		}
		if best < 0 || d < distance {
			best, distance = i, d
		}
	}
	if best < 0 {
		kind, fix := "Python 3", "install one, or name it with `outcrop serve --interpreter`"
		if language == image.Node {
			kind = "Node.js"
		}
		return in, nil, fault.New(codeNoInterpreter, http.StatusBadRequest, "This host has no interpreter for %s: it has no %s at all. To add one: %s. `outcrop doctor` shows where they were looked for", v.Settings.Runtime, kind, fix)
	}
	in = found[best]
	if _, other, _ := image.ParseRuntime(in.Runtime); other != version {
		warnings = []string{fmt.Sprintf("This host has no interpreter for %s; the function is run by the nearest, %s %s (%s of: %s).", v.Settings.Runtime, language, in.Version, in.Runtime, strings.Join(names, ", "))}
	}
	return in, warnings, nil
}

// apart says how far two versions of a language are from each other; of two as far away
// the newer is nearer.
func apart(want, have string) int {
	d := last(have) - last(want)
	if d < 0 {
		return -2*d + 1
	}
	return 2 * d
}

// last is the last number of a version: 13 of 3.13, 22 of 22.
func last(version string) int {
	n, _ := strconv.Atoi(version[strings.LastIndexByte(version, '.')+1:])
	return n
}
