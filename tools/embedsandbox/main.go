// Command embedsandbox builds the sandbox executable and puts it, compressed,
// where internal/sandbox/gvisor embeds it. `make build` calls it.
//
// It builds from a copy of the pinned gVisor with the repairs of repairs.go.
// The copy and Go's build cache make later runs short: when the executable has
// not changed, it is not even compressed again.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/klauspost/compress/zstd"
)

func main() {
	arch := flag.String("arch", runtime.GOARCH, "architecture to build for")
	out := flag.String("out", "internal/sandbox/gvisor/embedded", "directory for the compressed executable and its digest")
	plain := flag.String("plain", "", "write the executable here, uncompressed, and nothing else")
	flag.Parse()
	if err := run(*arch, *out, *plain); err != nil {
		fmt.Fprintln(os.Stderr, "embedsandbox:", err)
		os.Exit(1)
	}
}

func run(arch, out, plain string) error {
	gvisor, err := repaired()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "embedsandbox-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	executable := plain
	if executable == "" {
		executable = filepath.Join(dir, "outcrop-sandbox")
	}
	progress("building the sandbox executable (the first time, gVisor takes minutes)")
	if err := build(gvisor, arch, executable); err != nil {
		return err
	}
	if plain != "" {
		return nil
	}
	return embed(executable, filepath.Join(out, "outcrop-sandbox-linux-"+arch))
}

// build compiles cmd/outcrop-sandbox against the repaired gVisor. It is static,
// since the sandbox's process executes itself in an empty root, and the same
// source always gives the same file.
func build(gvisor, arch, executable string) error {
	executable, err := filepath.Abs(executable)
	if err != nil {
		return err
	}
	if err := goCommand(gvisor, arch, "build", "-o", executable, "./cmd/outcrop-sandbox"); err != nil {
		return fmt.Errorf("build sandbox executable: %w", err)
	}
	return nil
}

// goCommand runs the go command in Outcrop's source tree with the gVisor in a
// directory, and always with the same flags, so that nothing is compiled twice.
func goCommand(gvisor, arch, verb string, args ...string) error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "embedsandbox-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for _, name := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return err
		}
		if name == "go.mod" {
			data = fmt.Appendf(data, "\nreplace %s => %s\n", gvisorModule, gvisor)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return err
		}
	}
	cmd := exec.Command("go", append([]string{verb, "-v", "-modfile=" + filepath.Join(dir, "go.mod"), "-tags=outcrop_sandbox",
		"-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid="}, args...)...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOFLAGS=", "GOWORK=off")
	cmd.Stdout, cmd.Stderr = os.Stderr, &packages{w: os.Stderr}
	return cmd.Run()
}

// packages turns the names of compiled packages, which go build -v writes, into
// a line for every fifty, and passes all other lines on.
type packages struct {
	w    io.Writer
	n    int
	rest []byte // a line that has not ended
}

func (p *packages) Write(b []byte) (int, error) {
	p.rest = append(p.rest, b...)
	for {
		line, rest, ended := bytes.Cut(p.rest, []byte("\n"))
		if !ended {
			return len(b), nil
		}
		p.rest = rest
		if bytes.ContainsAny(line, " \t") || len(line) == 0 {
			if _, err := fmt.Fprintf(p.w, "%s\n", line); err != nil {
				return 0, err
			}
			continue
		}
		if p.n++; p.n%50 == 0 {
			if _, err := fmt.Fprintf(p.w, "embedsandbox: %d packages compiled\n", p.n); err != nil {
				return 0, err
			}
		}
	}
}

// embed writes NAME.zst and NAME.sha256. The digest comes last, so that an
// interrupted run is noticed by the next.
func embed(executable, name string) error {
	digest, err := digestOf(executable)
	if err != nil {
		return err
	}
	line := digest + "  " + filepath.Base(name) + "\n"
	if old, err := os.ReadFile(name + ".sha256"); err == nil && string(old) == line {
		if _, err := os.Stat(name + ".zst"); err == nil {
			progress("the sandbox executable has not changed")
			return nil
		}
	}
	if err := os.Remove(name + ".sha256"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	progress("compressing the sandbox executable")
	if err := compress(executable, name+".zst"); err != nil {
		return fmt.Errorf("compress sandbox executable: %w", err)
	}
	return os.WriteFile(name+".sha256", []byte(line), 0o644)
}

func compress(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	w, err := zstd.NewWriter(out, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithWindowSize(8<<20))
	if err != nil {
		out.Close()
		return err
	}
	_, err = io.Copy(w, in)
	return errors.Join(err, w.Close(), out.Close())
}

func digestOf(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func progress(text string) { fmt.Fprintln(os.Stderr, "embedsandbox:", text) }
