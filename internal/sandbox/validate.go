package sandbox

import (
	"fmt"
	"math"
	"path"
	"slices"
	"strings"
)

const (
	maxID   = 64
	maxList = 1 << 20 // bytes of all arguments and of all variables, each
)

// Validate tells what no engine can run. Its errors match ErrInvalid and name
// the field.
func (s Spec) Validate() error {
	if err := validID(s.ID); err != nil {
		return err
	}
	if err := validCommand(s.Args, s.Env, s.Dir); err != nil {
		return err
	}
	if s.TmpBytes < 0 {
		return invalid("TmpBytes: %d is negative", s.TmpBytes)
	}
	if err := s.Limits.validate(); err != nil {
		return err
	}
	if err := validList("RestoreHook", s.RestoreHook); err != nil {
		return err
	}
	if slices.ContainsFunc(s.RestoreHook, func(arg string) bool { return arg == "" || strings.ContainsAny(arg, " \t\n") }) {
		return invalid("RestoreHook: an argument is empty or has a space")
	}
	return s.validPlaces()
}

func validCommand(args, env []string, dir string) error {
	if len(args) == 0 || args[0] == "" {
		return invalid("Args: a command is needed")
	}
	if err := validList("Args", args); err != nil {
		return err
	}
	if err := validList("Env", env); err != nil {
		return err
	}
	for _, v := range env {
		if i := strings.IndexByte(v, '='); i < 1 {
			return invalid("Env: %q is not NAME=VALUE", v)
		}
	}
	if dir != "" {
		if err := validPath("Dir", dir); err != nil {
			return err
		}
	}
	return nil
}

func (l Limits) validate() error {
	if l.CPUs < 0 || math.IsNaN(l.CPUs) || math.IsInf(l.CPUs, 0) {
		return invalid("Limits.CPUs: %v is no number of processors", l.CPUs)
	}
	for _, v := range []struct {
		name  string
		value int64
	}{
		{"MemoryBytes", l.MemoryBytes}, {"Processes", int64(l.Processes)}, {"OpenFiles", int64(l.OpenFiles)},
		{"DiskBytes", l.DiskBytes}, {"Connections", int64(l.Connections)}, {"Bandwidth", l.Bandwidth},
	} {
		if v.value < 0 {
			return invalid("Limits.%s: %d is negative", v.name, v.value)
		}
	}
	return nil
}

// validPlaces looks at every path of the host and of the guest.
func (s Spec) validPlaces() error {
	if s.Root != "" {
		if err := validPath("Root", s.Root); err != nil {
			return err
		}
		if s.Overlay != "" {
			if err := validPath("Overlay", s.Overlay); err != nil {
				return err
			}
		}
	} else if s.User != 0 || s.Group != 0 {
		return invalid("User and Group: guests without a Root run as the engine's own")
	} else if s.Overlay != "" {
		return invalid("Overlay: guests without a Root have nothing to lay it over")
	}
	for i, v := range s.Volumes {
		if err := validPath(fmt.Sprintf("Volumes[%d].Source", i), v.Source); err != nil {
			return err
		}
		if err := validPath(fmt.Sprintf("Volumes[%d].Target", i), v.Target); err != nil {
			return err
		}
		if v.Bytes < 0 {
			return invalid("Volumes[%d].Bytes: %d is negative", i, v.Bytes)
		}
	}
	if s.Code != "" {
		if err := validPath("Code", s.Code); err != nil {
			return err
		}
	}
	for i, m := range s.Mounts {
		if err := validPath(fmt.Sprintf("Mounts[%d].Source", i), m.Source); err != nil {
			return err
		}
		if m.Target == "" {
			continue
		}
		if err := validPath(fmt.Sprintf("Mounts[%d].Target", i), m.Target); err != nil {
			return err
		}
	}
	return nil
}

func validID(id string) error {
	if id == "" || len(id) > maxID {
		return invalid("ID: %d characters, 1 to %d are allowed", len(id), maxID)
	}
	for _, c := range []byte(id) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && c != '-' && c != '_' {
			return invalid("ID: %q has a character that is not in [A-Za-z0-9_-]", id)
		}
	}
	return nil
}

func validList(field string, list []string) error {
	size := 0
	for i, v := range list {
		if strings.IndexByte(v, 0) >= 0 {
			return invalid("%s[%d]: a NUL byte", field, i)
		}
		size += len(v) + 1
	}
	if size > maxList {
		return invalid("%s: %d bytes, at most %d are allowed", field, size, maxList)
	}
	return nil
}

// validPath wants an absolute path in its shortest form, not the root itself.
func validPath(field, p string) error {
	if !path.IsAbs(p) || path.Clean(p) != p || p == "/" || strings.IndexByte(p, 0) >= 0 {
		return invalid("%s: %q is not a clean absolute path below /", field, p)
	}
	return nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}
