package sandboxtest

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/sandbox"
)

// limitTests are about what guests may use. What they take too much of ends inside
// the sandbox, and no other notices.
func limitTests() []test {
	return []test{
		{"LimitsDeclared", testLimitsDeclared},
		{"MemoryBomb", testMemoryBomb},
		{"MemoryBombInNamespaces", testMemoryBombInNamespaces},
		{"MemoryBombOfTables", testMemoryBombOfTables},
		{"MemoryBelowLimit", testMemoryBelowLimit},
		{"TmpIsNoMemory", testTmpIsNoMemory},
		{"Processes", testProcesses},
		{"ProcessesOfUsers", testProcessesOfUsers},
		{"Threads", testThreads},
		{"ForkBomb", testForkBomb},
		{"OpenFiles", testOpenFiles},
		{"DescriptorExhaustion", testDescriptorExhaustion},
		{"OutputFlood", testOutputFlood},
		{"CPU", testCPU},
		{"Visible", testVisible},
		{"Usage", testUsage},
		{"Neighbour", testNeighbour},
	}
}

// nightly says that what takes long is run too.
func nightly() bool { return os.Getenv("OUTCROP_NIGHTLY") != "" }

// often is how often something is repeated for every change, and nightly.
func often(always, atNight int) int {
	if nightly() {
		return atNight
	}
	return always
}

// endsWithin is how soon a sandbox has ended that exceeded a limit, on a machine
// that is busy with tests.
const endsWithin = 20 * time.Second

// testLimitsDeclared prints what differs from machine to machine.
func testLimitsDeclared(t *testing.T, b *bench) {
	l := b.engine.Capabilities().Limits
	t.Logf("Capabilities().Limits: memory %q, CPU %q, processes %q", l.Memory, l.CPU, l.Processes)
	for name, e := range map[string]sandbox.Enforcement{"memory": l.Memory, "CPU": l.CPU, "processes": l.Processes} {
		switch e {
		case sandbox.NotHeld, sandbox.ByKernel, sandbox.BySandbox, sandbox.ByWatch, sandbox.ByAffinity:
		default:
			t.Errorf("%s is held by %q", name, e)
		}
	}
}

// held skips what the engine does not do.
func held(t *testing.T, what string, e sandbox.Enforcement) {
	t.Helper()
	if e == sandbox.NotHeld || e == "" {
		t.Skipf("Capabilities().Limits.%s is %q", what, e)
	}
}

const bombLimit = 256 << 20 // bytes

func testMemoryBomb(t *testing.T, b *bench) {
	held(t, "Memory", b.engine.Capabilities().Limits.Memory)
	bomb(t, b, b.spec(t, "devour", fmt.Sprint(64<<20)))
}

// testMemoryBombInNamespaces: a guest that mounts its own file systems in memory
// is held by its memory's limit, not by their size.
func testMemoryBombInNamespaces(t *testing.T, b *bench) {
	held(t, "Memory", b.engine.Capabilities().Limits.Memory)
	bomb(t, b, b.spec(t, "devourtmpfs"))
}

// testMemoryBombOfTables: processes that share memory have page tables each.
func testMemoryBombOfTables(t *testing.T, b *bench) {
	held(t, "Memory", b.engine.Capabilities().Limits.Memory)
	spec := b.spec(t, "devourtables", fmt.Sprint(200<<20))
	spec.Limits.Processes = 4000
	bomb(t, b, spec)
}

// bomb runs a guest that takes memory until it is stopped.
func bomb(t *testing.T, b *bench, spec sandbox.Spec) {
	t.Helper()
	var out Buffer
	spec.Stdout = &out
	spec.Limits.MemoryBytes = bombLimit
	spec.Limits.CPUs = 1
	neighbour, ask := b.neighbour(t)
	s := b.start(t, spec)
	out.WaitFor(t, "ready\n")
	begin := time.Now()
	var most int64
	for ended := false; !ended; {
		select {
		case <-s.Done():
			ended = true
		case <-time.After(5 * time.Millisecond): // how much it takes, meanwhile
			if u, err := s.Usage(t.Context()); err == nil {
				most = max(most, u.MemoryBytes)
			}
		}
		if time.Since(begin) > endsWithin {
			t.Fatalf("it has not ended after %v; it said %q", endsWithin, out.String())
		}
	}
	u, err := s.Usage(t.Context())
	if err != nil {
		t.Error(err)
	}
	most = max(most, u.MemoryBytes)
	t.Logf("of %d MiB that it may have it was seen with %d MiB, its engine's part included; gone after %v", bombLimit>>20, most>>20, time.Since(begin).Round(time.Millisecond))
	if got := s.Exit(); got.Cause != sandbox.OutOfMemory {
		t.Errorf("Exit() = %+v, want out of memory; it said %q", got, out.String())
	}
	if got := neighbour.Exit(); got != (sandbox.Status{}) {
		t.Errorf("its neighbour ended: %+v", got)
	}
	ask()
}

// neighbour starts a guest that answers requests, and returns how to ask it and
// learn how long the answer took.
func (b *bench) neighbour(t *testing.T) (sandbox.Sandbox, func() time.Duration) {
	t.Helper()
	spec := b.spec(t, "serve", "127.0.0.1:8080")
	spec.ID += "-neighbour"
	s := b.ready(t, spec)
	client, done := Client(s, 8080)
	t.Cleanup(done)
	return s, func() time.Duration {
		t.Helper()
		begin := time.Now()
		if got := post(t, client, "/", "hello"); got != "hello" {
			t.Fatalf("the neighbour answers %q", got)
		}
		return time.Since(begin)
	}
}

// testMemoryBelowLimit: what a guest may have, it gets.
func testMemoryBelowLimit(t *testing.T, b *bench) {
	spec := b.spec(t, "fill", "/dev/shm/x")
	spec.Limits.MemoryBytes = 256 << 20
	spec.TmpBytes = 192 << 20
	stdout, _, status := b.output(t, spec)
	if want := fmt.Sprintf("%d no space left on device\n", 192<<20); stdout != want || status.Cause != sandbox.Exited {
		t.Errorf("it wrote %q and ended with %+v, want %q", stdout, status, want)
	}
}

// testTmpIsNoMemory: what a guest has in /tmp does not count as its memory.
func testTmpIsNoMemory(t *testing.T, b *bench) {
	const size = 400 << 20
	spec := b.spec(t, "fill", "/tmp/x")
	spec.Limits.MemoryBytes, spec.TmpBytes = 128<<20, size
	stdout, _, status := b.output(t, spec)
	if want := fmt.Sprintf("%d no space left on device\n", size); stdout != want || status.Cause != sandbox.Exited {
		t.Errorf("with 128 MiB of memory it wrote %q and ended with %+v, want %q", stdout, status, want)
	}
}

const fewProcesses = 64

func testProcesses(t *testing.T, b *bench) {
	held(t, "Processes", b.engine.Capabilities().Limits.Processes)
	spec := b.spec(t, "forks")
	spec.Limits.Processes = fewProcesses
	stdout, _, status := b.output(t, spec)
	text, reason, _ := strings.Cut(strings.TrimSpace(stdout), " ")
	// The runtime of the program that counts has some threads of its own.
	n, err := strconv.Atoi(text)
	if err != nil || n < fewProcesses/2 || n >= fewProcesses || reason != "resource temporarily unavailable" || status.Code != 0 {
		t.Errorf("it could make %q and ended with %+v, want somewhat fewer than %d and then EAGAIN", stdout, status, fewProcesses)
	}
}

// testProcessesOfUsers: all users of a guest count together, or an image's root
// could have as many as it has users.
func testProcessesOfUsers(t *testing.T, b *bench) {
	held(t, "Processes", b.engine.Capabilities().Limits.Processes)
	spec := b.rooted(t, b.root(t), "forksofusers")
	spec.Limits.Processes = fewProcesses
	stdout, stderr, status := b.output(t, spec)
	text, reason, _ := strings.Cut(strings.TrimSpace(stdout), " ")
	n, err := strconv.Atoi(text)
	if err != nil || n == 0 || n > fewProcesses-20 || reason != "resource temporarily unavailable" {
		t.Errorf("beside 20 of another user it could make %q and ended with %+v, want fewer than %d: %s", stdout, status, fewProcesses-20, stderr)
	}
}

func testThreads(t *testing.T, b *bench) {
	held(t, "Processes", b.engine.Capabilities().Limits.Processes)
	spec := b.spec(t, "threads")
	spec.Limits.Processes = fewProcesses
	stdout, stderr, _ := b.output(t, spec)
	n := strings.Count(stdout, "\n")
	if n < fewProcesses/2 || n >= fewProcesses || !strings.Contains(stderr, "failed to create new OS thread") {
		t.Errorf("it could make %d threads, want somewhat fewer than %d and then none:\n%s", n, fewProcesses, stderr[:min(len(stderr), 300)])
	}
}

// testForkBomb: the bomb finds no room to grow, others work, and it can be ended.
func testForkBomb(t *testing.T, b *bench) {
	held(t, "Processes", b.engine.Capabilities().Limits.Processes)
	spec := b.spec(t, "forkbomb")
	spec.Limits.Processes, spec.Limits.CPUs = often(fewProcesses, 1000), 1
	neighbour, ask := b.neighbour(t)
	s := b.ready(t, spec)
	grown(t, s, spec.Limits.Processes)
	for range 20 {
		ask()
	}
	if u, err := s.Usage(t.Context()); err != nil || u.Processes > spec.Limits.Processes {
		t.Errorf("it has %d processes (%v), %d are allowed", u.Processes, err, spec.Limits.Processes)
	}
	begin := time.Now()
	stop(t, s, 0)
	took := time.Since(begin)
	t.Logf("stopped within %v", took.Round(time.Millisecond))
	if took > endsWithin {
		t.Errorf("it took %v to stop it", took)
	}
	if got := neighbour.Exit(); got != (sandbox.Status{}) {
		t.Errorf("its neighbour ended: %+v", got)
	}
}

// grown waits until a fork bomb has most of the processes that it may have.
func grown(t *testing.T, s sandbox.Sandbox, limit int) {
	t.Helper()
	begin := time.Now()
	for {
		u, err := s.Usage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if u.Processes >= limit*9/10 {
			t.Logf("%d processes after %v, with %d MiB", u.Processes, time.Since(begin).Round(time.Millisecond), u.MemoryBytes>>20)
			return
		}
		if time.Since(begin) > patience {
			t.Fatalf("it has %d processes after %v", u.Processes, patience)
		}
		time.Sleep(5 * time.Millisecond) // polls an engine without events
	}
}

func testOpenFiles(t *testing.T, b *bench) {
	spec := b.spec(t, "opens", "/dev/null")
	spec.Limits.OpenFiles = 100
	stdout, _, _ := b.output(t, spec)
	text, reason, _ := strings.Cut(strings.TrimSpace(stdout), " ")
	if n, err := strconv.Atoi(text); err != nil || n < 80 || n >= 100 || reason != "too many open files" {
		t.Errorf("it could open %q, want somewhat fewer than 100 and then EMFILE", stdout)
	}
}

// testDescriptorExhaustion: a guest that opens all it can of the host's files
// meets an error, and nobody else does.
func testDescriptorExhaustion(t *testing.T, b *bench) {
	count := often(20_000, 100_000)
	dir := b.volume(t)
	spec := b.spec(t, "hoard", "/mnt/data", fmt.Sprint(count))
	spec.Volumes = []sandbox.Volume{{Source: dir, Target: "/mnt/data"}}
	spec.Limits.OpenFiles = 2 * count
	begin := time.Now()
	stdout, stderr, status := b.output(t, spec)
	t.Logf("it kept %s of %d files open, in %v", strings.TrimSpace(stdout), count, time.Since(begin).Round(time.Millisecond))
	if stdout == "" {
		t.Errorf("it said nothing and ended with %+v: %s", status, stderr)
	}
	if stdout, _, _ := b.output(t, sandbox.Spec{ID: "next", Args: []string{"/var/task/guest", "say", "well", ""}, Code: b.code}); stdout != "well" {
		t.Errorf("the next one says %q", stdout)
	}
}

// A dam lets nothing through until it is opened.
type dam struct {
	open  chan struct{}
	taken atomic.Int64
}

func (d *dam) Write(p []byte) (int, error) {
	<-d.open
	d.taken.Add(int64(len(p)))
	return len(p), nil
}

// testOutputFlood: a guest that writes what nobody reads waits, and takes no
// memory of the server's for it.
func testOutputFlood(t *testing.T, b *bench) {
	spec := b.spec(t, "gush")
	d := &dam{open: make(chan struct{})}
	var reports Buffer
	spec.Stdout, spec.Stderr = d, &reports
	s := b.start(t, spec)
	last := -1
	for late := time.Now().Add(patience); ; {
		reports.WaitFor(t, "\n")
		lines := strings.Fields(reports.String())
		n, err := strconv.Atoi(lines[len(lines)-1])
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 && n == last && len(lines) > 5 {
			break
		}
		if last = n; time.Now().After(late) {
			t.Fatalf("it still writes: %d bytes", n)
		}
		time.Sleep(300 * time.Millisecond) // three reports
	}
	if last > 1<<20 {
		t.Errorf("%d bytes were taken that nobody had read", last)
	}
	begin := time.Now()
	close(d.open)
	stop(t, s, 0)
	t.Logf("%d bytes waited; stopped within %v", last, time.Since(begin).Round(time.Millisecond))
	if took := time.Since(begin); took > endsWithin {
		t.Errorf("it took %v to stop it", took)
	}
}

// testCPU holds what a guest computes against what a processor computes in a time
// of its own, which a busy machine changes little.
func testCPU(t *testing.T, b *bench) {
	e := b.engine.Capabilities().Limits.CPU
	held(t, "CPU", e)
	cpus := 0.25
	if e == sandbox.ByAffinity {
		cpus = 1 // fractions are rounded up
	}
	if float64(runtime.NumCPU()) <= cpus {
		t.Skipf("%d processors", runtime.NumCPU())
	}
	const wall = 3 * time.Second
	spec := b.spec(t, "spin", fmt.Sprint(2*runtime.NumCPU()), fmt.Sprint(wall.Milliseconds()))
	spec.Limits.CPUs = cpus
	stdout, _, _ := b.output(t, spec)
	done, err := strconv.ParseFloat(strings.TrimSpace(stdout), 64)
	if err != nil {
		t.Fatal(err)
	}
	used := done / perSecond() / wall.Seconds()
	t.Logf("of %v processors it used %.2f", cpus, used)
	if used > 1.3*cpus {
		t.Errorf("it used %.2f processors, %v are allowed", used, cpus)
	}
	if e != sandbox.ByAffinity {
		return
	}
	if stdout, _, _ := b.output(t, sandbox.Spec{ID: "count", Args: []string{"/var/task/guest", "processors"}, Code: b.code, Limits: spec.Limits}); stdout != "1\n" {
		t.Errorf("the guest counts %q processors, want 1", stdout)
	}
}

// testVisible: programs choose the size of their heaps by what they see.
func testVisible(t *testing.T, b *bench) {
	spec := b.spec(t, "memory")
	spec.Limits.MemoryBytes = 512 << 20
	if stdout, _, _ := b.output(t, spec); stdout != fmt.Sprintln(512<<20) {
		t.Errorf("the guest sees %q bytes of memory, want %d", stdout, 512<<20)
	}
}

// perSecond is how often the guest's loop is run in a second of a processor.
func perSecond() float64 {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const thread = 1 // RUSAGE_THREAD
	now := func() time.Duration {
		var u syscall.Rusage
		_ = syscall.Getrusage(thread, &u)
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	begin, n, x := now(), 0.0, uint64(1)
	for now()-begin < 300*time.Millisecond {
		for range 100_000 {
			x ^= x << 13
			x ^= x >> 7
			x ^= x << 17
		}
		n += 100_000
	}
	if x == 0 {
		return 0
	}
	return n / (now() - begin).Seconds()
}

func testUsage(t *testing.T, b *bench) {
	spec := b.spec(t, "devour", fmt.Sprint(1<<30))
	spec.Args = []string{"/bin/sh", "-c", "head -c 50000000 /dev/zero > /dev/shm/x; /var/task/guest spin 1 300; sleep 1000 & echo done; wait"}
	var out Buffer
	spec.Stdout = &out
	s := b.start(t, spec)
	out.WaitFor(t, "done\n")
	u, err := s.Usage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", u)
	if u.MemoryBytes < 50_000_000 || u.MemoryBytes > 400<<20 || u.CPU < 100*time.Millisecond || u.CPU > time.Minute || u.Processes != 2 {
		t.Errorf("Usage() = %+v; it has a file of 50 MB in memory, computed 0.3 s, and is two processes", u)
	}
	stop(t, s, 0)
	after, err := s.Usage(t.Context())
	if err != nil || after.CPU < u.CPU {
		t.Errorf("Usage() after its end = %+v, %v; before it was %+v", after, err, u)
	}
}

// testNeighbour measures what a guest that computes as much as it can, held to one
// processor, costs another.
func testNeighbour(t *testing.T, b *bench) {
	if runtime.NumCPU() < 2 {
		t.Skip("one processor")
	}
	_, ask := b.neighbour(t)
	median := func() time.Duration {
		const n = 300
		var all []time.Duration
		for range n {
			all = append(all, ask())
		}
		slices.Sort(all)
		return all[n/2]
	}
	median() // warms up
	before := median()
	for _, kind := range [][]string{{"spin", fmt.Sprint(4 * runtime.NumCPU()), "600000"}, {"forkbomb"}} {
		spec := b.spec(t, kind...)
		spec.ID += "-" + kind[0]
		spec.Limits.CPUs = 1
		if kind[0] == "forkbomb" {
			spec.Limits.Processes = often(fewProcesses, 1000)
		}
		s := b.start(t, spec)
		if kind[0] == "forkbomb" {
			grown(t, s, spec.Limits.Processes)
		}
		during := median()
		ratio := float64(during) / float64(before)
		t.Logf("p50 alone %v, beside %s held to one processor %v: %.1f times", before, kind[0], during, ratio)
		// A machine that others use too tells nothing.
		if nightly() && b.engine.Capabilities().Limits.CPU == sandbox.ByKernel && ratio > 2 {
			t.Errorf("its neighbour's requests take %.1f times as long, at most 2 are allowed", ratio)
		}
		stop(t, s, 0)
	}
}
