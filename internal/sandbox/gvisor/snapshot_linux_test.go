package gvisor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"testing/iotest"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/sandbox/gvisor/wire"
	"github.com/outcrop/outcrop/internal/sandbox/sandboxtest"
)

// small is a snapshot with some content, as a guest's state is none.
func small(t testing.TB) *snapshot {
	t.Helper()
	s, err := newSnapshot(head{Key: "key", Spec: "spec", Told: []wire.Process{{PID: 1, Name: "python3"}}})
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range s.files {
		if _, err := f.WriteString(strings.Repeat("x", 1000*i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.seal(); err != nil {
		t.Fatal(err)
	}
	return s
}

func written(t testing.TB, s *snapshot) []byte {
	t.Helper()
	var out bytes.Buffer
	if _, err := s.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestSnapshotRoundTrip(t *testing.T) {
	s := small(t)
	defer s.Close()
	if _, err := s.files[1].WriteAt([]byte("y"), 0); err == nil {
		t.Error("a sealed snapshot can be changed")
	}
	data := written(t, s)
	loaded, err := load(t.Context(), iotest.OneByteReader(bytes.NewReader(data)), "key")
	if err != nil {
		t.Fatal(err)
	}
	defer loaded.Close()
	if got, want := fmt.Sprint(loaded.head), fmt.Sprint(s.head); got != want || loaded.Size() != 3000 {
		t.Errorf("what was loaded is %s with %d bytes, want %s with 3000", got, loaded.Size(), want)
	}
	if !bytes.Equal(written(t, loaded), data) {
		t.Error("what was loaded is written differently")
	}
}

// TestLoadRefuses damages every byte, and cuts at each.
func TestLoadRefuses(t *testing.T) {
	s := small(t)
	defer s.Close()
	data := written(t, s)
	refused := func(name string, from io.Reader) {
		t.Helper()
		s, err := load(t.Context(), from, "key")
		if err == nil {
			s.Close()
		}
		if !errors.Is(err, sandbox.ErrSnapshot) {
			t.Errorf("load() with %s = %v, want ErrSnapshot", name, err)
		}
	}
	for i := range data {
		if i > 400 && i%97 != 0 {
			continue
		}
		damaged := bytes.Clone(data)
		damaged[i] ^= 0x40
		refused(fmt.Sprintf("byte %d changed", i), bytes.NewReader(damaged))
		refused(fmt.Sprintf("%d bytes", i), bytes.NewReader(data[:i]))
	}
	refused("more at the end", io.MultiReader(bytes.NewReader(data), strings.NewReader("x")))
	cause := errors.New("the file was cut")
	at := io.MultiReader(bytes.NewReader(data), iotest.ErrReader(cause))
	if _, err := load(t.Context(), at, "key"); !errors.Is(err, cause) || !errors.Is(err, sandbox.ErrSnapshot) {
		t.Errorf("load() whose reader fails at the end = %v, want its error and ErrSnapshot", err)
	}
	if _, err := load(t.Context(), bytes.NewReader(data), "another key"); !errors.Is(err, sandbox.ErrSnapshot) {
		t.Errorf("load() of another build's snapshot = %v, want ErrSnapshot", err)
	}
}

func FuzzLoad(f *testing.F) {
	s := small(f)
	f.Add(written(f, s))
	s.Close()
	f.Add([]byte(magic + "\x00\x00\x00\x02{}\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := load(t.Context(), bytes.NewReader(data), "key")
		if err != nil {
			if !errors.Is(err, sandbox.ErrSnapshot) {
				t.Errorf("load() = %v, want ErrSnapshot", err)
			}
			return
		}
		defer s.Close()
		if s.Size() > int64(len(data)) {
			t.Errorf("%d bytes became %d", len(data), s.Size())
		}
	})
}

// TestSnapshotInUse: its memory is given back when the last user is done.
func TestSnapshotInUse(t *testing.T) {
	s := small(t)
	if !s.use() {
		t.Fatal("it is closed")
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	if s.use() {
		t.Error("it can be used after Close")
	}
	if _, err := s.files[0].Stat(); err != nil {
		t.Errorf("it is gone while it is used: %v", err)
	}
	s.release()
	if _, err := s.files[0].Stat(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after its last use: %v", err)
	}
	if _, err := s.WriteTo(io.Discard); !errors.Is(err, os.ErrClosed) {
		t.Errorf("WriteTo() of a closed snapshot = %v", err)
	}
}

func TestSnapshotKey(t *testing.T) {
	machine := func(change func(fstest.MapFS)) string {
		files, err := pack([]byte("executable"))
		if err != nil {
			t.Fatal(err)
		}
		root := t.TempDir()
		at := fstest.MapFS{
			"proc/cpuinfo":              {Data: []byte("processor\t: 0\nflags\t\t: fpu vme\n\nprocessor\t: 1\nflags\t\t: fpu vme\n")},
			"proc/sys/kernel/osrelease": {Data: []byte("6.1.0\n")},
		}
		for name, file := range files {
			at[name] = file
		}
		if change != nil {
			change(at)
		}
		if err := os.CopyFS(root, at); err != nil {
			t.Fatal(err)
		}
		return makeKey(at, "", host{root: root})
	}
	name := packedName(goarch) + ".sha256"
	want := machine(nil)
	if len(want) != 64 || machine(nil) != want {
		t.Errorf("the key is %q, and of the same machine %q", want, machine(nil))
	}
	for what, change := range map[string]func(fstest.MapFS){
		"processor":  func(m fstest.MapFS) { m["proc/cpuinfo"] = &fstest.MapFile{Data: []byte("flags: fpu\n")} },
		"kernel":     func(m fstest.MapFS) { m["proc/sys/kernel/osrelease"] = &fstest.MapFile{Data: []byte("6.2.0\n")} },
		"executable": func(m fstest.MapFS) { m[name] = &fstest.MapFile{Data: []byte("other")} },
	} {
		if got := machine(change); got == want || got == "" {
			t.Errorf("with another %s the key is %q", what, got)
		}
	}
	if got := machine(func(m fstest.MapFS) { delete(m, name) }); got != "" {
		t.Errorf("without an executable the key is %q", got)
	}
}

// TestResumeDamagedState: a state that only gVisor can find fault with.
func TestResumeDamagedState(t *testing.T) {
	e := open(t)
	defer e.Close(context.Background())
	spec := sandbox.Spec{ID: "a", Args: []string{"sleep", "1000"}, SafeToCopy: true}
	saved := saveSleeper(t, e, spec)
	defer saved.Close()
	for i := range saved.files {
		broken, err := newSnapshot(saved.head)
		if err != nil {
			t.Fatal(err)
		}
		for j, f := range saved.files {
			data, err := io.ReadAll(io.NewSectionReader(f, 0, saved.head.Sizes[j]))
			if err != nil {
				t.Fatal(err)
			}
			if i == j {
				data = data[:len(data)/2]
			}
			if _, err := broken.files[j].Write(data); err != nil {
				t.Fatal(err)
			}
		}
		spec.Snapshot = broken
		if s, err := e.Start(t.Context(), spec); !errors.Is(err, sandbox.ErrSnapshot) {
			t.Errorf("Start() with file %d cut = %v, %v; want ErrSnapshot", i, s, err)
		}
		broken.Close()
	}
	spec.Snapshot = nil
	if s, err := e.Start(t.Context(), spec); err != nil {
		t.Errorf("a cold start afterwards = %v", err)
	} else if err := s.Stop(t.Context(), 0); err != nil {
		t.Error(err)
	}
}

// saveSleeper starts a guest and saves it to end.
func saveSleeper(t testing.TB, e sandbox.Engine, spec sandbox.Spec) *snapshot {
	t.Helper()
	s, err := e.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	saved, err := s.Save(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	return saved.(*snapshot)
}

// TestSaveWhileClosing: an engine that closes leaves neither a save nor a resume
// waiting.
func TestSaveWhileClosing(t *testing.T) {
	leaks := goleak.IgnoreCurrent()
	before := look(t)
	for _, keep := range []bool{true, false} {
		e := open(t)
		spec := sandbox.Spec{ID: "a", Args: []string{"sleep", "1000"}, SafeToCopy: true}
		saved := saveSleeper(t, e, spec)
		s, err := e.Start(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 2)
		go func() {
			snapshot, err := s.Save(t.Context(), keep)
			if err == nil {
				err = snapshot.Close()
			} else if errors.Is(err, sandbox.ErrStopped) {
				err = nil
			}
			ended <- err
		}()
		go func() {
			spec.ID, spec.Snapshot = "b", saved
			_, err := e.Start(t.Context(), spec)
			if errors.Is(err, sandbox.ErrClosed) {
				err = nil
			}
			ended <- err
		}()
		if err := e.Close(t.Context()); err != nil {
			t.Error(err)
		}
		for range 2 {
			select {
			case err := <-ended:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(30 * time.Second):
				t.Fatal("somebody still waits")
			}
		}
		saved.Close()
		awaitTrace(t, before)
	}
	awaitMemories(t)
	goleak.VerifyNone(t, leaks)
}

// awaitMemories polls until no snapshot's memory is left.
func awaitMemories(t testing.TB) {
	t.Helper()
	late := time.After(10 * time.Second)
	for memories(t) != 0 {
		select {
		case <-late:
			t.Fatalf("%d memory files of snapshots are left", memories(t))
		case <-time.After(10 * time.Millisecond): // a last one may be on its way
		}
	}
}

// memories counts the open files of snapshots in this process, and in those that
// run the executable.
func memories(t testing.TB) (n int) {
	t.Helper()
	pids := []string{"self"}
	for _, p := range look(t).processes {
		var pid string
		fmt.Sscan(p, &pid)
		pids = append(pids, pid)
	}
	for _, pid := range pids {
		entries, _ := os.ReadDir("/proc/" + pid + "/fd") // it may just have ended
		for _, entry := range entries {
			if link, _ := os.Readlink("/proc/" + pid + "/fd/" + entry.Name()); strings.Contains(link, "outcrop-snapshot") {
				n++
			}
		}
	}
	return n
}

// TestSnapshotsLeakNothing saves and resumes fifty times.
func TestSnapshotsLeakNothing(t *testing.T) {
	leaks := goleak.IgnoreCurrent()
	e := open(t).(*engine)
	spec := sandbox.Spec{ID: "a", Args: []string{"sleep", "1000"}, SafeToCopy: true, Savable: true}
	last := saveSleeper(t, e, spec)
	round := func(i int) {
		spec.ID, spec.Snapshot = fmt.Sprint(i), last
		s, err := e.Start(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		last.Close() // what was resumed lives on
		saved, err := s.Save(t.Context(), false)
		if err != nil {
			t.Fatal(err)
		}
		last = saved.(*snapshot)
	}
	round(0)
	processes, ours, theirs := counts(t)
	mounts := look(t).mounts
	for i := range 50 {
		round(i + 1)
	}
	late := time.After(10 * time.Second)
	for {
		p, o, s := counts(t)
		if p <= processes && o <= ours && s <= theirs {
			break
		}
		select {
		case <-late:
			t.Fatalf("after fifty rounds: %d processes, %d descriptors here and %d in the supervisor; before %d, %d and %d", p, o, s, processes, ours, theirs)
		case <-time.After(10 * time.Millisecond): // a last descriptor may be on its way
		}
	}
	if got := look(t).mounts; len(got) != len(mounts) {
		t.Errorf("there are %d mounts, before %d", len(got), len(mounts))
	}
	last.Close()
	awaitMemories(t)
	leftInSupervisor(t)
	if err := e.Close(t.Context()); err != nil {
		t.Error(err)
	}
	goleak.VerifyNone(t, leaks)
}

// TestKilledWhileSaving: somebody else kills the sandbox's process.
func TestKilledWhileSaving(t *testing.T) {
	e := open(t)
	defer e.Close(context.Background())
	for _, keep := range []bool{true, false} {
		var out sandboxtest.Buffer
		s, err := e.Start(t.Context(), sandbox.Spec{
			ID: "a", Args: []string{"/opt/guest", "draw", "127.0.0.1:8080"}, Stdout: &out, SafeToCopy: true,
			Mounts: []sandbox.Mount{{Source: os.Getenv(guestVariable), Target: "/opt/guest"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		out.WaitFor(t, "ready\n")
		ended := make(chan error, 1)
		go func() {
			snapshot, err := s.Save(t.Context(), keep)
			if err == nil {
				snapshot.Close()
			}
			ended <- err
		}()
		killSandbox(t)
		if err := <-ended; err != nil && !errors.Is(err, sandbox.ErrStopped) {
			t.Errorf("Save(%t) of a sandbox that is killed = %v, want ErrStopped", keep, err)
		}
		<-s.Done()
	}
	awaitMemories(t)
}

// killSandbox kills the process of the only sandbox there is.
func killSandbox(t *testing.T) {
	t.Helper()
	for _, p := range look(t).processes {
		var pid int
		if strings.Contains(p, "runsc-sandbox") && strings.Contains(p, " boot ") {
			fmt.Sscan(p, &pid)
			if err := unix.Kill(pid, unix.SIGKILL); err != nil {
				t.Errorf("kill sandbox %d: %v", pid, err)
			}
		}
	}
}

// TestSaveNearMemoryLimit: what a guest's snapshot takes is not the guest's, nor
// is it free of its bound afterwards.
func TestSaveNearMemoryLimit(t *testing.T) {
	e := open(t)
	defer e.Close(context.Background())
	const limit = 200 << 20
	var out sandboxtest.Buffer
	spec := sandbox.Spec{
		ID: "a", Args: []string{"/opt/guest", "draw", "127.0.0.1:8080"}, Stdout: &out, SafeToCopy: true,
		Mounts: []sandbox.Mount{{Source: os.Getenv(guestVariable), Target: "/opt/guest"}},
		Limits: sandbox.Limits{MemoryBytes: limit},
	}
	s, err := e.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	out.WaitFor(t, "ready\n")
	client, closeIdle := sandboxtest.Client(s, 8080)
	defer closeIdle()
	hold := func(megabytes int) error {
		resp, err := client.Get(fmt.Sprintf("http://guest/hold?%d", megabytes))
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	if err := hold((limit >> 20) * 9 / 10); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		saved, err := s.Save(t.Context(), true)
		if err != nil {
			t.Fatal(err)
		}
		if saved.Size() < limit*9/10 {
			t.Errorf("the snapshot has %d bytes", saved.Size())
		}
		saved.Close()
	}
	closeIdle()
	_ = hold(2 * limit >> 20)
	<-s.Done()
	if got := s.Exit().Cause; got != sandbox.OutOfMemory {
		t.Errorf("a guest that takes more than it may after a save ended because it was %v", got)
	}
}
