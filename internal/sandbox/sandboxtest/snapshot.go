package sandboxtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/sandbox"
)

func snapshotTests() []test {
	return []test{
		{"SaveAndGoOn", testSaveAndGoOn},
		{"SaveAndEnd", testSaveAndEnd},
		{"SaveConnections", testSaveConnections},
		{"SaveOutbound", testSaveOutbound},
		{"SaveUnsavable", testSaveUnsavable},
		{"SaveTooLarge", testSaveTooLarge},
		{"SaveGivenUp", testSaveGivenUp},
		{"SaveWhileStopping", testSaveWhileStopping},
		{"SnapshotStream", testSnapshotStream},
		{"SnapshotMismatch", testSnapshotMismatch},
		{"ResumeConcurrently", testResumeConcurrently},
		{"RestoreHook", testRestoreHook},
		{"CopiesOfPython", testCopiesOfPython},
		{"CopiesOfNode", testCopiesOfNode},
	}
}

// A drawing is what guest/draw_linux.go describes.
type drawing struct {
	Started, Now              float64
	Unique, Cloned, Env, Same map[string]string
}

// ask has a guest draw.
func ask(t testing.TB, s sandbox.Sandbox) drawing {
	t.Helper()
	var d drawing
	if text := get(t, s, "/"); json.Unmarshal([]byte(text), &d) != nil {
		t.Fatalf("sandbox %s draws %q", s.ID(), text)
	}
	if off := math.Abs(d.Now - float64(time.Now().UnixNano())/1e9); off > 30 {
		t.Errorf("the clock of sandbox %s is off by %.1f s", s.ID(), off)
	}
	return d
}

// get asks over a connection of its own.
func get(t testing.TB, s sandbox.Sandbox, path string) string {
	t.Helper()
	client, closeIdle := Client(s, 8080)
	defer closeIdle()
	resp, err := client.Get("http://guest" + path)
	if err != nil {
		t.Fatalf("GET %s of sandbox %s: %v", path, s.ID(), err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("GET %s of sandbox %s: %v", path, s.ID(), err)
	}
	return string(text)
}

// drawer is a guest that draws. It cannot be told that it is a copy.
func (b *bench) drawer(t *testing.T) sandbox.Spec {
	t.Helper()
	needsSnapshots(t, b)
	spec := b.spec(t, "draw", "127.0.0.1:8080")
	spec.SafeToCopy = true
	return spec
}

// needsSnapshots skips a test of an engine that makes none.
func needsSnapshots(t *testing.T, b *bench) {
	t.Helper()
	if !b.engine.Capabilities().Snapshots {
		t.Skip("Capabilities().Snapshots is false")
	}
}

// ready starts a guest and waits until it says so.
func (b *bench) ready(t *testing.T, spec sandbox.Spec) sandbox.Sandbox {
	t.Helper()
	out := new(Buffer)
	spec.Stdout = out
	s := b.start(t, spec)
	out.WaitFor(t, "ready\n")
	return s
}

// save saves a guest; its snapshot ends with the test.
func save(t testing.TB, s sandbox.Sandbox, keep bool) sandbox.Snapshot {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	snapshot, err := s.Save(ctx, keep)
	if err != nil {
		t.Fatalf("Save(%t) = %v", keep, err)
	}
	t.Cleanup(func() { snapshot.Close() })
	return snapshot
}

// copies resumes n guests at the same time.
func (b *bench) copies(t *testing.T, spec sandbox.Spec, snapshot sandbox.Snapshot, n int) []sandbox.Sandbox {
	t.Helper()
	id := spec.ID
	all := make([]sandbox.Sandbox, n)
	var wg sync.WaitGroup
	for i := range all {
		spec := spec
		spec.ID, spec.Snapshot = fmt.Sprintf("%s-%d", id, i), snapshot
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			s, err := b.engine.Start(ctx, spec)
			if err != nil {
				t.Errorf("Start(%s) of a snapshot = %v", spec.ID, err)
				return
			}
			all[i] = s
		})
	}
	wg.Wait()
	for _, s := range all {
		if s == nil {
			t.FailNow()
		}
		t.Cleanup(func() { stop(t, s, 0) })
	}
	return all
}

func testSaveAndGoOn(t *testing.T, b *bench) {
	spec := b.drawer(t)
	s := b.ready(t, spec)
	get(t, s, "/keep?before")
	snapshot := save(t, s, true)
	if snapshot.Size() < 1<<16 {
		t.Errorf("the snapshot has %d bytes", snapshot.Size())
	}
	get(t, s, "/keep?after")
	var out Buffer
	spec.Stdout = &out
	copied := b.copies(t, spec, snapshot, 2)
	first, second, original := ask(t, copied[0]), ask(t, copied[1]), ask(t, s)
	if first.Started != original.Started || second.Started != original.Started {
		t.Errorf("they started at %f, %f and %f", first.Started, second.Started, original.Started)
	}
	// Or this test would prove nothing.
	if first.Cloned["math/rand"] != second.Cloned["math/rand"] {
		t.Errorf("what was seeded before differs: %v, %v", first.Cloned, second.Cloned)
	}
	if first.Unique["crypto/rand"] == second.Unique["crypto/rand"] {
		t.Errorf("crypto/rand gives %v twice", first.Unique)
	}
	for s, want := range map[sandbox.Sandbox]string{s: "after ok", copied[0]: "before ok", copied[1]: "before ok"} {
		if got := get(t, s, "/kept"); got != want {
			t.Errorf("sandbox %s has kept %q, want %q", s.ID(), got, want)
		}
	}
	get(t, copied[0], "/say?words")
	out.WaitFor(t, "words\n")
	if err := snapshot.Close(); err != nil {
		t.Error(err)
	}
	ask(t, copied[1]) // lives on
	spec.ID, spec.Snapshot = spec.ID+"-closed", snapshot
	if _, err := b.engine.Start(t.Context(), spec); !errors.Is(err, sandbox.ErrSnapshot) {
		t.Errorf("Start() of a closed snapshot = %v, want ErrSnapshot", err)
	}
}

func testSaveAndEnd(t *testing.T, b *bench) {
	spec := b.drawer(t)
	spec.SafeToCopy = false // what goes on alone is no copy
	s := b.ready(t, spec)
	get(t, s, "/keep?it")
	before := ask(t, s)
	snapshot := save(t, s, false)
	select {
	case <-s.Done():
	default:
		t.Error("Save() returned before the sandbox had ended")
	}
	if got := s.Exit().Cause; got != sandbox.Saved {
		t.Errorf("the sandbox ended because it was %v", got)
	}
	if _, err := s.Save(t.Context(), true); !errors.Is(err, sandbox.ErrUnsavable) && !errors.Is(err, sandbox.ErrStopped) {
		t.Errorf("Save() of an ended sandbox = %v", err)
	}
	spec.Snapshot = snapshot // with the same id
	again := b.start(t, spec)
	if after := ask(t, again); after.Started != before.Started {
		t.Errorf("it started at %f, and before at %f", after.Started, before.Started)
	}
	if got := get(t, again, "/kept"); got != "it ok" {
		t.Errorf("it has kept %q", got)
	}
	spec.Snapshot = save(t, again, false)
	if got := get(t, b.start(t, spec), "/kept"); got != "it ok" {
		t.Errorf("resumed twice, it has kept %q", got)
	}
}

// testSaveConnections: those that are open end, and new ones are accepted.
func testSaveConnections(t *testing.T, b *bench) {
	s := b.ready(t, b.drawer(t))
	c, err := s.Dial(t.Context(), 8080)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	save(t, s, true)
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, "GET / HTTP/1.0\r\n\r\n"); err == nil {
		answer, err := io.ReadAll(c)
		if errors.Is(err, os.ErrDeadlineExceeded) || len(answer) > 0 {
			t.Errorf("a connection from before answers %q, %v; want its end", answer, err)
		}
	}
	ask(t, s)
}

// testSaveOutbound: connections that the guest has opened end as well, in itself
// and in copies, and those get new ones from a Network of their own.
func testSaveOutbound(t *testing.T, b *bench) {
	needsOutbound(t, b)
	spec := b.drawer(t)
	spec.Args = []string{sandbox.CodePath + "/guest", "redial", "192.0.2.1:80"}
	network := func(name string) sandbox.Network {
		return networkFunc(func(context.Context, string, netip.AddrPort) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() {
				_, _ = io.WriteString(theirs, name+"\n")
				_, _ = io.Copy(io.Discard, theirs) // until the guest goes away
				theirs.Close()
			}()
			return ours, nil
		})
	}
	var out, copied Buffer
	spec.Network, spec.Stdout = network("first"), &out
	s := b.start(t, spec)
	out.WaitFor(t, "first\n")
	spec.Snapshot = save(t, s, true)
	out.WaitFor(t, "ended\nfirst\n")
	spec.ID += "-copy"
	spec.Network, spec.Stdout = network("second"), &copied
	b.start(t, spec)
	copied.WaitFor(t, "ended\nsecond\n")
}

func testSaveUnsavable(t *testing.T, b *bench) {
	spec := b.drawer(t)
	spec.SafeToCopy = false
	s := b.ready(t, spec)
	if _, err := s.Save(t.Context(), true); !errors.Is(err, sandbox.ErrUnsavable) {
		t.Errorf("Save() of a guest that is not Savable = %v, want ErrUnsavable", err)
	}
	ask(t, s)
	spec.ID += "-savable"
	spec.Savable = true
	s = b.ready(t, spec)
	spec.ID += "-shell"
	spec.Args = []string{"sh", "-c", "echo ready; sleep 1000; true"}
	shell := b.ready(t, spec)
	var both sync.WaitGroup // each waits for answers as long as may be
	for name, guest := range map[string]sandbox.Sandbox{"process 1 (guest)": s, "(sh)": shell} {
		both.Go(func() {
			if _, err := guest.Save(t.Context(), true); !errors.Is(err, sandbox.ErrUnsavable) || !strings.Contains(err.Error(), name) {
				t.Errorf("Save() of a guest that cannot be told = %v, want ErrUnsavable and %s", err, name)
			}
		})
	}
	both.Wait()
	ask(t, s)
	save(t, s, false) // alone it may go on
}

// testSaveTooLarge: what lies on the disk becomes memory in a snapshot, and is held
// against the guest's bound of memory then.
func testSaveTooLarge(t *testing.T, b *bench) {
	needsSnapshots(t, b)
	if b.engine.Capabilities().FilesInMemory {
		t.Skip("Capabilities().FilesInMemory is true")
	}
	const size = 300 << 20
	spec := b.spec(t)
	spec.Args = []string{"sh", "-c", fmt.Sprintf("head -c %d /dev/zero > /tmp/x; echo ready; while [ -e /tmp/x ]; do sleep 0.1; done; echo removed; sleep 1000; true", size)}
	spec.Limits.MemoryBytes, spec.TmpBytes = 128<<20, 400<<20
	var out Buffer
	spec.Stdout = &out
	s := b.start(t, spec)
	out.WaitFor(t, "ready\n")
	u, err := s.Usage(t.Context())
	if err != nil || u.DiskBytes < size || u.DiskBytes > size+size/10 || u.MemoryBytes > 128<<20 {
		t.Errorf("Usage() = %+v, %v; it has %d bytes in /tmp", u, err, size)
	}
	if _, err := s.Save(t.Context(), false); !errors.Is(err, sandbox.ErrUnsavable) || !strings.Contains(err.Error(), " MiB in files") {
		t.Fatalf("Save() = %v, want ErrUnsavable and why", err)
	}
	execute(t, s, shell("rm /tmp/x"))
	out.WaitFor(t, "removed\n") // it has gone on
	for end := time.Now().Add(patience); u.DiskBytes > size/10 && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if u, err = s.Usage(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	save(t, s, false)
}

// testSaveGivenUp: a guest that was to be saved and ended goes on when nobody
// waits for it any more.
func testSaveGivenUp(t *testing.T, b *bench) {
	s := b.ready(t, b.drawer(t))
	cause := errors.New("given up")
	for _, keep := range []bool{false, true} {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		if snapshot, err := s.Save(ctx, keep); err == nil {
			snapshot.Close() // it may be faster
		} else if !errors.Is(err, cause) {
			t.Errorf("Save() with a context that ended = %v, want its cause", err)
		}
	}
	select {
	case <-s.Done():
		return // it was faster
	default:
	}
	// The first save after those waits until they are over, and cuts nobody off
	// who asks after it.
	save(t, s, true).Close()
	ask(t, s)
	save(t, s, false)
}

// testSaveWhileStopping: whatever comes first, nobody waits for ever.
func testSaveWhileStopping(t *testing.T, b *bench) {
	spec := b.drawer(t)
	id := spec.ID
	for i, keep := range []bool{true, false, true, false} {
		spec.ID = fmt.Sprintf("%s-%d", id, i)
		s := b.ready(t, spec)
		var wg sync.WaitGroup
		wg.Go(func() {
			snapshot, err := s.Save(t.Context(), keep)
			if err == nil {
				snapshot.Close()
			} else if !errors.Is(err, sandbox.ErrStopped) {
				t.Errorf("Save() while the sandbox is stopped = %v, want ErrStopped", err)
			}
		})
		wg.Go(func() { stop(t, s, 0) })
		wg.Wait()
		if cause := s.Exit().Cause; cause != sandbox.Stopped && cause != sandbox.Saved {
			t.Errorf("the sandbox ended because it was %v", cause)
		}
	}
}

func testSnapshotStream(t *testing.T, b *bench) {
	spec := b.drawer(t)
	s := b.ready(t, spec)
	started := ask(t, s).Started
	snapshot := save(t, s, false)
	var written bytes.Buffer
	n, err := snapshot.WriteTo(&written)
	if err != nil || n != int64(written.Len()) || n < snapshot.Size() || n > snapshot.Size()+1<<20 {
		t.Fatalf("WriteTo() = %d, %v; it has written %d bytes, and the size is %d", n, err, written.Len(), snapshot.Size())
	}
	snapshot.Close()
	loaded, err := b.engine.Load(t.Context(), bytes.NewReader(written.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	defer loaded.Close()
	if loaded.Size() != snapshot.Size() {
		t.Errorf("what was loaded has the size %d, and was saved with %d", loaded.Size(), snapshot.Size())
	}
	spec.Snapshot = loaded
	again := b.start(t, spec)
	if got := ask(t, again).Started; got != started {
		t.Errorf("it started at %f, want %f", got, started)
	}
	stop(t, again, 0)

	data := written.Bytes()
	flipped := func(at int) []byte {
		d := bytes.Clone(data)
		d[at] ^= 1
		return d
	}
	for name, damaged := range map[string][]byte{
		"nothing":  nil,
		"no head":  data[:10],
		"half":     data[:len(data)/2],
		"all but":  data[:len(data)-1],
		"too much": append(bytes.Clone(data), 0),
		"first":    flipped(0),
		"head":     flipped(60),
		"middle":   flipped(len(data) / 2),
		"last":     flipped(len(data) - 1),
		"noise":    bytes.Repeat([]byte("noise"), 1000),
	} {
		if _, err := b.engine.Load(t.Context(), bytes.NewReader(damaged)); !errors.Is(err, sandbox.ErrSnapshot) {
			t.Errorf("Load() of a damaged snapshot (%s) = %v, want ErrSnapshot", name, err)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("given up")
	cancel(cause)
	if _, err := b.engine.Load(ctx, bytes.NewReader(data)); !errors.Is(err, cause) {
		t.Errorf("Load() with a context that ended = %v, want its cause", err)
	}
}

// testSnapshotMismatch: what may not change makes a cold start necessary, which
// works.
func testSnapshotMismatch(t *testing.T, b *bench) {
	spec := b.drawer(t)
	snapshot := save(t, b.ready(t, spec), false)
	for name, change := range map[string]func(*sandbox.Spec){
		"Args":     func(s *sandbox.Spec) { s.Args = append(s.Args, "more") },
		"Dir":      func(s *sandbox.Spec) { s.Dir = "/tmp" },
		"TmpBytes": func(s *sandbox.Spec) { s.TmpBytes = 1 << 20 },
		"Mounts":   func(s *sandbox.Spec) { s.Mounts = []sandbox.Mount{{Source: b.code, Target: "/opt"}} },
		"Snapshot": func(s *sandbox.Spec) { s.Snapshot = foreign{} },
	} {
		changed := spec
		changed.Snapshot = snapshot
		change(&changed)
		if _, err := b.engine.Start(t.Context(), changed); !errors.Is(err, sandbox.ErrSnapshot) {
			t.Errorf("Start() of a snapshot with other %s = %v, want ErrSnapshot", name, err)
		}
	}
	ask(t, b.ready(t, spec))
}

// foreign is the snapshot of another engine.
type foreign struct{}

func (foreign) WriteTo(io.Writer) (int64, error) { return 0, nil }
func (foreign) Size() int64                      { return 0 }
func (foreign) Close() error                     { return nil }

func testResumeConcurrently(t *testing.T, b *bench) {
	spec := b.drawer(t)
	snapshot := save(t, b.ready(t, spec), false)
	seen := map[string]bool{}
	for _, s := range b.copies(t, spec, snapshot, 20) {
		seen[ask(t, s).Unique["crypto/rand"]] = true
	}
	if len(seen) != 20 {
		t.Errorf("20 copies have drawn %d different numbers", len(seen))
	}
}

func testRestoreHook(t *testing.T, b *bench) {
	spec := b.drawer(t)
	spec.RestoreHook = []string{sandbox.CodePath + "/guest", "write", "/tmp/kept"}
	s := b.ready(t, spec)
	get(t, s, "/keep?it")
	snapshot := save(t, s, true)
	if got := get(t, s, "/kept"); got != "it ok" {
		t.Errorf("the hook has run at the save: %q", got)
	}
	var out Buffer
	spec.Stdout = &out
	if got := get(t, b.copies(t, spec, snapshot, 1)[0], "/kept"); got != "x ok" {
		t.Errorf("after the hook there is %q, want x", got)
	}
	if got := out.String(); got != "/tmp/kept: ok\n" {
		t.Errorf("the hook has said %q", got)
	}
	spec.ID += "-failing"
	spec.RestoreHook = []string{sandbox.CodePath + "/guest", "exit", "3"}
	spec.Snapshot = save(t, b.ready(t, withoutSnapshot(spec)), false)
	for range 2 { // the id is free again
		_, err := b.engine.Start(t.Context(), spec)
		if !errors.Is(err, sandbox.ErrSnapshot) || !strings.Contains(err.Error(), "exit code 3") {
			t.Errorf("Start() with a hook that fails = %v, want ErrSnapshot and the code", err)
		}
	}
}

func withoutSnapshot(spec sandbox.Spec) sandbox.Spec {
	spec.Snapshot = nil
	return spec
}

func testCopiesOfPython(t *testing.T, b *bench) {
	// A sitecustomize of the user's own runs as well.
	custom := filepath.Join(b.code, "custom")
	if err := os.Mkdir(custom, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(custom, "sitecustomize.py"), []byte("CUSTOMIZED = True\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	python := b.Python
	python.Draws = append([]string{"random", "uuid4", "ssl.RAND_bytes", "fork random", "spawn ssl.RAND_bytes"}, python.Draws...)
	path := sandbox.CodePath + "/custom"
	for i, v := range python.Env {
		if rest, ok := strings.CutPrefix(v, "PYTHONPATH="); ok {
			python.Env = append([]string{}, python.Env...)
			python.Env[i] = "X=1"
			path += ":" + rest
		}
	}
	python.Env = append(python.Env, "PYTHONPATH="+path)
	if cold := b.testCopies(t, python, "agent.py"); cold.Same["customized"] != "True" {
		t.Errorf("the user's own sitecustomize has not run: %v", cold.Same)
	}
	// Programs close descriptors that they do not know, and reuse the numbers.
	b.testCopies(t, python, "agent.py", "careless")
}

func testCopiesOfNode(t *testing.T, b *bench) {
	node := b.Node
	node.Draws = append([]string{"randomBytes", "randomUUID", "randomInt", "ECDH", "Math.random", "main randomUUID"}, node.Draws...)
	b.testCopies(t, node, "agent.js")
}

// testCopies holds copies of an agent to being unique, and to answering as a
// guest that was started without a snapshot. It returns what that one draws.
func (b *bench) testCopies(t *testing.T, with Interpreter, agent string, args ...string) drawing {
	t.Helper()
	if with.Path == "" {
		t.Skip("this machine has no interpreter for " + agent)
	}
	text, err := agents.ReadFile("agents/" + agent)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.code, agent), text, 0o644); err != nil {
		t.Fatal(err)
	}
	spec := b.drawer(t)
	spec.SafeToCopy, spec.Savable = false, true
	spec.ID += strings.Join(args, "-")
	spec.Args = append([]string{with.Path, agent}, args...)
	spec.Mounts = with.Mounts
	spec.Env = append([]string{"CHANGES=before", "VANISHES=1", "STAYS=1"}, with.Env...)
	var said Buffer
	spec.Stderr = &said
	s := b.ready(t, spec)
	snapshot := save(t, s, true)
	env := append([]string{"CHANGES=after", "APPEARS=1", "STAYS=1"}, with.Env...)
	spec.Env = env
	copied := b.copies(t, spec, snapshot, 2)
	first, second, original := ask(t, copied[0]), ask(t, copied[1]), ask(t, s)
	spec.ID += "-cold"
	cold := ask(t, b.ready(t, spec))
	for _, d := range []drawing{first, second} {
		if d.Started != original.Started {
			t.Errorf("a copy started at %f, the original at %f", d.Started, original.Started)
		}
		for name, want := range map[string]string{"CHANGES": "after", "VANISHES": "", "APPEARS": "1", "STAYS": "1", "OWN": "kept"} {
			if got := d.Env[name]; got != want {
				t.Errorf("a copy has %s=%s, want %s", name, got, want)
			}
		}
		if fmt.Sprint(d.Same) != fmt.Sprint(cold.Same) || fmt.Sprint(d.Env) != fmt.Sprint(cold.Env) {
			t.Errorf("a copy says\n%v\n%v, and a cold start says\n%v\n%v", d.Same, d.Env, cold.Same, cold.Env)
		}
	}
	for _, name := range with.Draws {
		if first.Unique[name] == "" {
			t.Errorf("%s was not drawn: %v", name, first.Unique)
		}
	}
	for name, value := range first.Unique {
		if value == second.Unique[name] || value == original.Unique[name] || value == cold.Unique[name] {
			t.Errorf("%s is %s, and in others %s, %s, %s", name, value, second.Unique[name], original.Unique[name], cold.Unique[name])
		}
	}
	if got := said.String(); got != "" {
		t.Errorf("they say %q", got)
	}
	return cold
}
