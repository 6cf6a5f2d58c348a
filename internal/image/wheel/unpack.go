package wheel

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
)

// Limits bound the files of one distribution that an index answered with.
type Limits struct {
	Bytes int64 // of all files together
	Files int
}

// ErrBad matches what is wrong with a wheel, an installed distribution or a zip.
var ErrBad = errors.New("refused")

// badError is one that Text words.
type badError string

func (e badError) Error() string        { return ErrBad.Error() + ": " + string(e) }
func (e badError) Is(target error) bool { return target == ErrBad }

// Bad is an error that matches ErrBad; text is a sentence without a final full stop.
func Bad(text string, args ...any) error { return badError(fmt.Sprintf(text, args...)) }

// Text is what an error that matches ErrBad says to who made it, without a final
// full stop.
func Text(err error) string {
	var e badError
	if errors.As(err, &e) {
		return string(e)
	}
	return err.Error()
}

// Unpack writes the wheel of size bytes into dir, which is empty, as an installation
// by --target lays it out: packages at the top, programs in bin (PEP 427). It executes
// nothing and makes no scripts of entry points.
func Unpack(ctx context.Context, wheel io.ReaderAt, size int64, dir string, limits Limits) error {
	r, err := zip.NewReader(wheel, size)
	if err != nil {
		return Bad("it is no zip: %v", err)
	}
	if len(r.File) > limits.Files {
		return Bad("it has %d files; the limit is %d", len(r.File), limits.Files)
	}
	root, err := os.OpenRoot(dir) // refuses whatever leaves dir
	if err != nil {
		return err
	}
	defer root.Close()
	left := limits.Bytes
	for _, f := range r.File {
		if err := ctx.Err(); err != nil {
			return err
		}
		target, ok, err := laidOut(f)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if err := unpackFile(root, f, target, &left); err != nil {
			return err
		}
	}
	return nil
}

// laidOut is where a member of a wheel belongs; ok is false for what is not
// installed.
func laidOut(f *zip.File) (target string, ok bool, err error) {
	name := f.Name
	if strings.HasSuffix(name, "/") {
		return "", false, nil
	}
	if !f.Mode().IsRegular() {
		return "", false, Bad("%q is no regular file", name)
	}
	if clean := path.Clean(name); clean != name || path.IsAbs(name) || name == ".." || strings.HasPrefix(name, "../") || strings.ContainsAny(name, "\\\x00") {
		return "", false, Bad("%q is no path inside it", name)
	}
	top, rest, _ := strings.Cut(name, "/")
	if !strings.HasSuffix(top, ".data") {
		return name, true, nil
	}
	scheme, inside, _ := strings.Cut(rest, "/")
	switch {
	case inside == "":
		return "", false, nil
	case scheme == "purelib" || scheme == "platlib" || scheme == "data":
		return inside, true, nil
	case scheme == "scripts":
		return path.Join("bin", inside), true, nil
	}
	return "", false, nil // headers, which nothing needs at run time
}

func unpackFile(root *os.Root, f *zip.File, target string, left *int64) (err error) {
	if f.UncompressedSize64 > uint64(*left) {
		return Bad("it holds more than is allowed; %q reaches it", f.Name)
	}
	if err := root.MkdirAll(path.Dir(target), 0o755); err != nil {
		return Bad("%q: %v", f.Name, err)
	}
	mode := os.FileMode(0o444)
	if f.Mode()&0o111 != 0 || strings.HasPrefix(target, "bin/") {
		mode = 0o555
	}
	out, err := root.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, os.ErrExist) {
		return Bad("%q is in it twice", f.Name)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	in, err := f.Open()
	if err != nil {
		return Bad("%q: %v", f.Name, err)
	}
	defer in.Close()
	n, err := io.Copy(out, io.LimitReader(in, *left+1))
	if *left -= n; *left < 0 {
		return Bad("it holds more than it announces; %q reaches it", f.Name)
	}
	var disk *os.PathError
	if errors.As(err, &disk) {
		return err
	}
	if err != nil {
		return Bad("%q: %v", f.Name, err)
	}
	return nil
}
