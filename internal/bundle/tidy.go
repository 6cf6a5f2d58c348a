package bundle

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
)

// tidy makes an installed tree the same wherever it was made: the first line of
// scripts names the Python that installed them, which no other machine has, and
// Windows makes programs of them, which Linux does not run.
func tidy(dir string) error {
	if err := os.Remove(filepath.Join(dir, ".lock")); err != nil && !errors.Is(err, fs.ErrNotExist) { // uv's
		return err
	}
	if err := tidyRecords(dir); err != nil {
		return err
	}
	bin := filepath.Join(dir, "bin")
	if runtime.GOOS == "windows" {
		return os.RemoveAll(bin)
	}
	scripts, err := os.ReadDir(bin)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, s := range scripts {
		if !s.Type().IsRegular() {
			continue
		}
		if err := tidyScript(filepath.Join(bin, s.Name())); err != nil {
			return err
		}
	}
	return nil
}

// scriptLine is a script's line of RECORD: path, hash, size. uv and pip write the
// path of a target directory's scripts in two ways.
var scriptLine = regexp.MustCompile(`(?m)^((?:\.\./\.\./)?bin/[^,\n]+),[^,\n]*,\d*(\r?)$`)

// tidyRecords takes the scripts' hashes out of the packages' lists of files,
// which may leave them out (PyPA's specification of RECORD): scripts change
// below, and are of another hash wherever another Python installs them.
func tidyRecords(dir string) error {
	records, err := filepath.Glob(filepath.Join(globQuote(dir), "*.dist-info", "RECORD"))
	if err != nil {
		return err
	}
	for _, file := range records {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := os.WriteFile(file, scriptLine.ReplaceAll(text, []byte("$1,,$2")), 0o644); err != nil {
			return err
		}
	}
	return nil
}

const shebang = "#!/usr/bin/env python3\n"

func tidyScript(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	first, rest, _ := strings.Cut(string(text), "\n")
	switch {
	case strings.HasPrefix(first, "#!") && strings.Contains(first, "python"):
	case first == "#!/bin/sh" && strings.HasPrefix(rest, "'''exec' "): // for long paths; ends at the line ' '''
		_, after, ok := strings.Cut(rest, "\n' '''\n")
		if !ok {
			return nil
		}
		rest = after
	default:
		return nil
	}
	return os.WriteFile(file, []byte(shebang+rest), 0o755)
}
