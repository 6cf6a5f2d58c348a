package oci

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/image/wheel"
)

// maxShebang is how much of a script's first line tells who runs it (execve(2)).
const maxShebang = 255

// errUnknown says that what is at a path is known once the guest runs.
var errUnknown = errors.New("not known before the guest runs")

// CheckCommand refuses a command that the image could not execute, as far as its files
// tell; searchPath is where its program looks for itself. A refusal is a fault.Error.
func (i *Image) CheckCommand(l Launch, searchPath string) error {
	name, file, err := i.program(l, searchPath)
	switch {
	case errors.Is(err, errUnknown):
		return nil
	case err != nil:
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return nil //nolint:nilerr // the guest may read more than we
	}
	defer f.Close()
	head, _ := bufio.NewReaderSize(f, 2*maxShebang).Peek(maxShebang) // as much as there is
	script, is := bytes.CutPrefix(head, []byte("#!"))
	if is {
		return i.checkScript(name, script)
	}
	this := "linux " + wheel.ThisMachine()
	switch platform := wheel.PlatformOf(head); platform {
	case this:
		return nil
	case "":
		return i.unusable("its command %s is neither a program for Linux nor a script that begins with #!. Correct its ENTRYPOINT or CMD.", quote(name))
	default:
		return i.unusable("its command %s is a program for %s, and this machine is %s. Build it for this machine (docker build --platform linux/%s).", quote(name), platform, this, runtime.GOARCH)
	}
}

func (i *Image) unusable(format string, args ...any) error {
	return fault.Validation("The image %s cannot be started: %s", i.Reference, fmt.Sprintf(format, args...))
}

// program finds the file of a command as the engine will: what it is called in the
// image, and where that is on disk.
func (i *Image) program(l Launch, searchPath string) (name, file string, err error) {
	name = l.Args[0]
	places := []string{name}
	switch {
	case path.IsAbs(name):
	case strings.Contains(name, "/"):
		places = []string{path.Join("/", l.Dir, name)}
	default:
		places = nil
		for dir := range strings.SplitSeq(searchPath, ":") {
			if path.IsAbs(dir) {
				places = append(places, path.Join(dir, name))
			}
		}
	}
	found := i.unusable("its command %s is in none of the directories of its PATH (%s). Correct its ENTRYPOINT or CMD, or write the whole path of the program there.", quote(name), searchPath)
	if strings.Contains(name, "/") {
		found = i.unusable("its command %s is not in it. Correct its ENTRYPOINT or CMD, or copy the file there.", quote(places[0]))
	}
	for _, at := range places {
		file, info, err := i.find(at)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ELOOP):
			continue
		case err != nil:
			return at, "", errUnknown
		case info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0:
			return at, file, nil
		case info.IsDir():
			found = i.unusable("its command %s is a directory. Correct its ENTRYPOINT or CMD.", quote(at))
		default:
			found = i.unusable("its command %s is not executable. Make it so in the image (RUN chmod +x %s).", quote(at), at)
		}
	}
	return name, "", found
}

// checkScript looks for the interpreter in a script's first line.
func (i *Image) checkScript(name string, line []byte) error {
	line, _, _ = bytes.Cut(line, []byte("\n"))
	interpreter, _, _ := strings.Cut(strings.TrimLeft(string(line), " \t"), " ")
	interpreter, _, _ = strings.Cut(interpreter, "\t")
	if !path.IsAbs(interpreter) {
		return nil
	}
	_, _, err := i.find(interpreter)
	if !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if strings.HasSuffix(interpreter, "\r") {
		return i.unusable("the lines of its command %s end as Windows ends them, so that it looks for %s. Save it with the line ends of Linux (LF).", quote(name), quote(interpreter))
	}
	return i.unusable("its command %s is a script for %s, which is not in it. Install that in the image, or correct the first line of the script.", quote(name), quote(interpreter))
}

// find returns the file of the image that a process would find at an absolute path:
// links are followed, and neither they nor .. lead out.
func (i *Image) find(p string) (file string, info fs.FileInfo, err error) {
	var at []string
	rest := strings.Split(p, "/")
	file = i.Root
	if info, err = os.Lstat(file); err != nil {
		return file, nil, errUnknown
	}
	for hops := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			at = at[:max(0, len(at)-1)]
			continue
		}
		here := append(slices.Clone(at), name)
		if slices.Contains(filled(), here[0]) {
			return "", nil, errUnknown
		}
		file = filepath.Join(i.Root, filepath.Join(here...))
		if info, err = os.Lstat(file); err != nil {
			return file, nil, err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			at = here
			continue
		}
		if hops++; hops > maxHops {
			return file, nil, syscall.ELOOP
		}
		target, err := os.Readlink(file)
		if err != nil {
			return file, nil, err
		}
		if path.IsAbs(target) {
			at = nil
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return file, info, nil
}

// filled are the directories of an image in which a guest may find other files.
func filled() []string { return []string{"dev", "mnt", "proc", "run", "sys", "tmp"} }
