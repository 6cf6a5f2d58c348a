package crash

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"

	"github.com/outcrop/outcrop/conformance/agent"
	"github.com/outcrop/outcrop/conformance/server"
	"github.com/outcrop/outcrop/internal/api/model/outcrop"
)

// footprint is what grows when something leaks.
type footprint struct {
	census census
	// Files are open descriptors, Memory is resident bytes; of the server and
	// of the supervisor of its sandboxes.
	serverFiles, supervisorFiles   int
	serverMemory, supervisorMemory int64
	// mounts and what runsc keeps of sandboxes are in the supervisor's namespace.
	mounts int
	kept   []string
}

// TestStartsAndStops has sessions of every kind begin and end and wants the server,
// its supervisor and the machine to be as they were.
func TestStartsAndStops(t *testing.T) {
	lives, asNobody := 42, 18
	if nightly() {
		lives, asNobody = 1000, 200
	}
	t.Run("as whoever runs the tests", func(t *testing.T) { startAndStop(t, server.Options{}, lives) })
	t.Run("as an ordinary user", func(t *testing.T) { startAndStop(t, server.AsNobody(t), asNobody) })
}

func startAndStop(t *testing.T, opt server.Options, n int) {
	const together = 3
	opt.Args = []string{"--hibernate-after", "1s"}
	c := &comings{rig: newRig(t, opt)}
	c.keeper = c.createKeeper(t, "keeper")
	c.broken = c.createFrom(t, "broken", c.brokenCode(t))
	c.haveSnapshots(t, 1)
	kinds := c.kinds()
	pass := func(from, to int) {
		errs := make(chan error, to-from)
		places := make(chan struct{}, together)
		for i := from; i < to; i++ {
			places <- struct{}{}
			go func() {
				defer func() { <-places }()
				errs <- kinds[i%len(kinds)](t.Context(), server.SessionID("life", i))
			}()
		}
		for range to - from {
			if err := <-errs; err != nil {
				t.Fatalf("%v\n%s", err, tail(c.Log()))
			}
		}
	}
	measure := func() (f footprint, err error) {
		if err := c.prune(t.Context(), outcrop.PruneRequest{Kinds: []string{outcrop.PruneKindSTORAGE}, All: aws.Bool(true)}); err != nil {
			return f, err
		}
		if f, err = c.footprint(t); err != nil {
			return f, err
		}
		if left, _, err := c.sealed("sessions"); left > 0 || err != nil {
			return f, errors.Join(fmt.Errorf("%d files of hibernated sessions are left", left), err)
		}
		stored, err := filepath.Glob(filepath.Join(c.DataDir, "session-storage", "*", "*"))
		if len(stored) > 0 || err != nil {
			return f, errors.Join(fmt.Errorf("session storage is left: %v", stored), err)
		}
		return f, nil
	}
	pass(0, len(kinds))
	c.quiet(t)
	var before footprint
	eventually(t, 30*time.Second, func() (err error) { // storage goes in the background
		before, err = measure()
		return err
	})
	files := inventory(t, c.DataDir)
	begun := time.Now()
	pass(len(kinds), len(kinds)+n)
	took := time.Since(begun)
	var after footprint
	eventually(t, 30*time.Second, func() (err error) {
		if after, err = measure(); err != nil {
			return err
		}
		return errors.Join(after.level(before), inventory(t, c.DataDir).same(files))
	})
	t.Logf("figure: %d sessions in %v: server %d -> %d descriptors, %d -> %d KiB; supervisor %d -> %d descriptors, %d -> %d KiB, %d -> %d mounts, %v kept",
		n, took.Round(time.Millisecond), before.serverFiles, after.serverFiles, before.serverMemory>>10, after.serverMemory>>10,
		before.supervisorFiles, after.supervisorFiles, before.supervisorMemory>>10, after.supervisorMemory>>10, before.mounts, after.mounts, after.kept)
	c.goroutines(t, n/len(kinds))
}

// comings are lives of sessions, from start to end.
type comings struct {
	*rig
	keeper *control.GetAgentRuntimeOutput
	broken *control.CreateAgentRuntimeOutput
}

// kinds are all ways in which a session begins and ends.
func (c *comings) kinds() []func(ctx context.Context, id string) error {
	return []func(context.Context, string) error{c.restored, c.visit, c.woken, c.killed, c.failing, c.asleepAtTheEnd}
}

func (c *comings) brokenCode(t *testing.T) []byte {
	t.Helper()
	code, err := agent.Pack(map[string][]byte{"main.py": []byte("raise SystemExit('it never serves')\n")})
	if err != nil {
		t.Fatal(err)
	}
	return code
}

func (c *comings) restored(ctx context.Context, id string) error {
	if _, err := newKeeper(c.keeper, id).turn(ctx, c.rig, false); err != nil {
		return err
	}
	return c.endOf(ctx, c.keeper.AgentRuntimeArn, id)
}

// woken hibernates, and goes on as it was.
func (c *comings) woken(ctx context.Context, id string) error {
	k := newKeeper(c.keeper, id)
	if err := c.hibernates(ctx, k); err != nil {
		return err
	}
	if _, err := k.turn(ctx, c.rig, false); err != nil {
		return err
	}
	return c.endOf(ctx, k.arn, id)
}

// asleepAtTheEnd is stopped while it hibernates.
func (c *comings) asleepAtTheEnd(ctx context.Context, id string) error {
	k := newKeeper(c.keeper, id)
	if err := c.hibernates(ctx, k); err != nil {
		return err
	}
	return c.endOf(ctx, k.arn, id)
}

// hibernates asks once and waits until the session hibernates.
func (c *comings) hibernates(ctx context.Context, k *keeper) error {
	if _, err := k.turn(ctx, c.rig, false); err != nil {
		return err
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		all, err := c.sessions(ctx)
		if err != nil {
			return err
		}
		if asleep(all[k.id]) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("session %s does not hibernate: %v", k.id, aws.ToString(all[k.id].Status))
		}
	}
}

// killed ends in the middle of a request and begins anew.
func (c *comings) killed(ctx context.Context, id string) error {
	k := newKeeper(c.keeper, id)
	if _, err := k.turn(ctx, c.rig, false); err != nil {
		return err
	}
	if _, err := c.askOf(ctx, k.arn, id, question{Die: true}); err == nil {
		return fmt.Errorf("session %s answers after its end", id)
	}
	if began, err := k.turn(ctx, c.rig, true); err != nil || !began {
		return fmt.Errorf("session %s goes on after its guest has died (%v)", id, err)
	}
	return c.endOf(ctx, k.arn, id)
}

// failing never starts.
func (c *comings) failing(ctx context.Context, id string) error {
	if _, err := c.askOf(ctx, c.broken.AgentRuntimeArn, id, question{}); err == nil {
		return fmt.Errorf("session %s of a broken agent answers", id)
	}
	return nil
}

// visit is the life of one session.
func (r *rig) visit(ctx context.Context, session string) error {
	if _, err := r.ask(ctx, session, question{Write: []string{"/tmp/file"}, Text: strings.Repeat("x", 512<<10)}); err != nil {
		return fmt.Errorf("invoke in session %s: %w", session, err)
	}
	if err := r.end(ctx, session); err != nil {
		return fmt.Errorf("stop session %s: %w", session, err)
	}
	return nil
}

func (r *rig) footprint(t *testing.T) (footprint, error) {
	f := footprint{census: take(t, r.DataDir, r.Cmd.Process.Pid)}
	var supervisor int
	for _, p := range below(r.Cmd.Process.Pid) {
		if p.parent == r.Cmd.Process.Pid {
			supervisor = p.pid
		}
	}
	if supervisor == 0 {
		return f, fmt.Errorf("there is no supervisor: %+v", f.census)
	}
	own, err := server.UsageOf(supervisor)
	if err != nil {
		return f, err
	}
	of := r.Usage()
	f.serverFiles, f.serverMemory, f.supervisorFiles, f.supervisorMemory = of.Files, of.Memory, own.Files, own.Memory
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", supervisor))
	if err != nil {
		return f, err
	}
	f.mounts = strings.Count(string(table), "\n")
	for _, dir := range []string{"bundles", "state"} {
		left, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(supervisor), "root", dir))
		if err != nil {
			return f, err
		}
		for _, e := range left {
			f.kept = append(f.kept, dir+"/"+e.Name())
		}
	}
	return f, nil
}

// How much two footprints may differ: kept connections come and go, and what the
// runtime keeps of freed memory varies, with what the server lets gather before it collects.
const (
	spareFiles  = 8
	spareMemory = 48 << 20
)

func (f footprint) level(before footprint) error {
	if err := f.census.same(before.census); err != nil {
		return err
	}
	switch {
	case f.serverFiles > before.serverFiles+spareFiles, f.supervisorFiles > before.supervisorFiles,
		f.serverMemory > before.serverMemory+spareMemory, f.supervisorMemory > before.supervisorMemory+spareMemory,
		f.mounts != before.mounts, !slices.Equal(f.kept, before.kept):
		return fmt.Errorf("it grew from %+v to %+v", before, f)
	}
	return nil
}

// goroutines has the server print them, which ends it, and wants fewer that one
// line of code began than there were sessions of a kind, or than a server has
// that serves.
func (r *rig) goroutines(t *testing.T, sessions int) {
	t.Helper()
	all, creators := r.Goroutines()
	for name, n := range creators {
		if n >= max(sessions, 25) {
			t.Errorf("%d goroutines made by %s are left of %d sessions", n, name, sessions)
		}
	}
	t.Logf("%d goroutines", all)
}
