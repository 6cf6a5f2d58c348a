package supervisor

import (
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/sandbox/gvisor/cgroup"
)

func TestProcessorsAreShared(t *testing.T) {
	p := processors{used: map[int]int{0: 0, 1: 0, 2: 0, 5: 0}}
	a, b, c := p.take(2), p.take(2), p.take(1)
	if !slices.Equal(a, []int{0, 1}) || !slices.Equal(b, []int{2, 5}) || !slices.Equal(c, []int{0}) {
		t.Errorf("take() = %v, %v, %v; the least used come first", a, b, c)
	}
	p.give(b)
	if got := p.take(2); !slices.Equal(got, []int{2, 5}) {
		t.Errorf("take() = %v after these were given back", got)
	}
	if got := p.take(4); got != nil {
		t.Errorf("take() of all = %v, want no bound", got)
	}
}

// TestAside: what is changed of a thread is not changed of any other.
func TestAside(t *testing.T) {
	mine := allowed()
	if len(mine) < 2 {
		t.Skip("one processor")
	}
	var one int
	for one = range mine {
		break
	}
	for range 20 {
		cgroup.Aside(func() {
			if err := setAffinity([]int{one}); err != nil {
				t.Error(err)
			}
			if got := allowed(); len(got) != 1 {
				t.Errorf("the thread may use %v, want %d", got, one)
			}
			if unix.Gettid() == unix.Getpid() {
				t.Error("it runs on the program's first thread")
			}
		})
		if got := allowed(); len(got) != len(mine) {
			t.Fatalf("another thread may use %v, want %v", got, mine)
		}
	}
}

func TestSoon(t *testing.T) {
	for left, want := range map[int64]time.Duration{
		1: shortestLook, memoryRate / 20: 50 * time.Millisecond, memoryRate: sandbox.WatchInterval, 1 << 62: sandbox.WatchInterval,
	} {
		if got := soon(left, memoryRate).Round(time.Millisecond); got != want {
			t.Errorf("soon(%d) = %v, want %v", left, got, want)
		}
	}
}

func TestStatm(t *testing.T) {
	for text, want := range map[string]int64{
		"1000 300 100 5 0 200 0\n": 200, "1000 100 300 5 0 200 0\n": 0, "": 0, "a b c": 0, "1 2": 0,
	} {
		if got := statm(text); got != want {
			t.Errorf("statm(%q) = %d, want %d", text, got, want)
		}
	}
	if got := anonymous(os.Getpid(), 4096); got < 1<<20 {
		t.Errorf("this process has %d bytes of its own", got)
	}
}

func BenchmarkWatchLook(b *testing.B) {
	file, err := os.CreateTemp(b.TempDir(), "")
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	w := &watch{g: &guest{}, pid: os.Getpid(), page: 4096, memory: file}
	w.limits.Memory = 1 << 40
	for b.Loop() {
		w.look()
	}
}
