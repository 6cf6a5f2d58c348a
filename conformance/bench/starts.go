package main

import (
	"archive/zip"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/outcrop/outcrop/conformance/bench/figures"
	"github.com/outcrop/outcrop/internal/api/model/outcrop"
)

// The bars of a start without a boot.
const (
	restoredBar = 200 * time.Millisecond
	spareBar    = 50 * time.Millisecond
	fasterBar   = 10
)

// startsRow measures the first byte of a new session of an SDK agent whose
// imports take two seconds: from a spare, restored, cold, and the same agent as a
// plain process of the same Python, in turns.
func startsRow(ctx context.Context, o options, report *figures.Report) error {
	p, err := serve(ctx, o, filepath.Join(o.dir, "starts"))
	if err != nil {
		return err
	}
	defer p.end()
	b, err := p.pack(ctx, o)
	if err != nil {
		return err
	}
	defer b.Close()
	cold, err := p.deploy(ctx, b, "cold", map[string]string{"OUTCROP_SNAPSHOT": "off"})
	if err != nil {
		return err
	}
	restored, err := p.deployRestored(ctx, b)
	if err != nil {
		return err
	}
	keeper, err := serve(ctx, o, filepath.Join(o.dir, "spares"), "--spares", "1")
	if err != nil {
		return err
	}
	defer keeper.end()
	spared, err := keeper.deployRestored(ctx, b)
	if err != nil {
		return err
	}
	folder, err := unpack(b.Path, o.dir)
	if err != nil {
		return err
	}
	ways := []struct {
		figures.Start
		once func(i int) (time.Duration, error)
	}{
		{figures.Start{Way: "plain process"}, func(int) (time.Duration, error) { return plainStart(ctx, b, folder) }},
		{figures.Start{Way: "cold"}, func(i int) (time.Duration, error) { return p.newSession(ctx, cold, i, outcrop.SessionOriginCOLD) }},
		{figures.Start{Way: "restored"}, func(i int) (time.Duration, error) {
			return p.newSession(ctx, restored, i, outcrop.SessionOriginRESTORED)
		}},
		{figures.Start{Way: "from a spare"}, func(i int) (time.Duration, error) {
			if err := keeper.awaitSpare(ctx); err != nil {
				return 0, err
			}
			took, err := keeper.newSession(ctx, spared, i, outcrop.SessionOriginSPARE)
			if err != nil {
				return 0, err
			}
			return took, keeper.awaitSpare(ctx) // which would slow what is measured next
		}},
	}
	for i := range o.starts + 1 { // the first of each warms caches, also those of the plain process
		for w := range ways {
			took, err := ways[w].once(i)
			if err != nil {
				return fmt.Errorf("%s: %w", ways[w].Way, err)
			}
			if i > 0 {
				ways[w].Times = append(ways[w].Times, int64(took))
			}
		}
	}
	fmt.Printf("\n%-30s %12s %12s %12s\n", fmt.Sprintf("first byte, %d starts each", o.starts), "P50", "P75", "longest")
	for _, w := range ways {
		report.Starts = append(report.Starts, w.Start)
		fmt.Printf("%-30s %12s %12s %12s\n", w.Way, ms(w.At(.5)), ms(w.At(.75)), ms(w.At(1)))
	}
	plain, ours, spare := ways[0].Start, ways[2].Start, ways[3].Start
	times := float64(plain.At(.5)) / float64(ours.At(.5))
	fmt.Printf("bars: restored P75 <= %s: %s; %.1f times faster than the plain process, >= %d: %s; from a spare P75 <= %s: %s\n",
		ms(restoredBar), verdict(ours.At(.75) <= restoredBar), times, fasterBar, verdict(times >= fasterBar), ms(spareBar), verdict(spare.At(.75) <= spareBar))
	return nil
}

// awaitSpare waits until a spare is ready.
func (p *program) awaitSpare(ctx context.Context) error {
	return until(ctx, "there is a spare", func() (bool, error) {
		out, err := p.client.Sessions(ctx, outcrop.ListSessionsRequest{})
		return err == nil && len(out.Spares) > 0, err
	})
}

// deployRestored deploys the agent and waits until it has a snapshot.
func (p *program) deployRestored(ctx context.Context, b *packed) (arn string, err error) {
	if arn, err = p.deploy(ctx, b, "restored", nil); err != nil {
		return "", err
	}
	return arn, until(ctx, "there is a snapshot", func() (bool, error) {
		n, _, err := p.sealed("versions")
		return n > 0, err
	})
}

// newSession is the time to the first byte of a session that nobody has asked
// before, and that began as it was meant to. It is stopped after.
func (p *program) newSession(ctx context.Context, arn string, i int, want string) (time.Duration, error) {
	id := sessionName(i)
	took, text, err := p.ask(ctx, arn, id)
	if err != nil {
		return 0, err
	}
	if text != `data: "turn 1"` {
		return 0, fmt.Errorf("a new session answers %q", text)
	}
	origin, why, err := p.origin(ctx, id)
	if err != nil {
		return 0, err
	}
	if origin != want {
		return 0, fmt.Errorf("a session began %s, want %s: %s", origin, want, why)
	}
	return took, p.stop(ctx, arn, id)
}

func sessionName(i int) string { return fmt.Sprintf("benchmark-session-%020d", i) }

// plainStart is the time from the start of a process to the first byte of its
// first answer.
func plainStart(ctx context.Context, b *packed, folder string) (time.Duration, error) {
	addr, err := freeAddress()
	if err != nil {
		return 0, err
	}
	const body = `{"prompt":""}`
	request := fmt.Appendf(nil, "POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, b.python, b.EntryPoint[len(b.EntryPoint)-1])
	cmd.Dir, cmd.Env = folder, append(os.Environ(), "PORT="+portOf(addr))
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	}()
	for ctx.Err() == nil {
		finish, err := firstByte(addr, request)
		if err != nil { // it does not listen yet
			time.Sleep(time.Millisecond)
			continue
		}
		took := time.Since(begun)
		_, err = finish()
		return took, err
	}
	return 0, fmt.Errorf("it does not answer at %s", addr)
}

// unpack makes a folder of a code zip.
func unpack(path, dir string) (string, error) {
	r, err := zip.OpenReader(path)
	if err != nil {
		return "", err
	}
	defer r.Close()
	folder, err := os.MkdirTemp(dir, "plain-")
	if err != nil {
		return "", err
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return "", err
	}
	defer root.Close()
	for _, f := range r.File {
		if f.FileInfo().IsDir() {
			continue
		}
		if err := unpackFile(root, f); err != nil {
			return "", fmt.Errorf("unpack %s: %w", f.Name, err)
		}
	}
	return folder, nil
}

func unpackFile(root *os.Root, f *zip.File) error {
	in, err := f.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	if err := root.MkdirAll(filepath.Dir(f.Name), 0o755); err != nil {
		return err
	}
	out, err := root.OpenFile(f.Name, os.O_CREATE|os.O_WRONLY, f.Mode().Perm())
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
