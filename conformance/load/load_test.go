package load

import (
	"context"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/conformance/server"
)

// rate is how many calls of the tool are due a second, and aside how many of each other
// kind.
const (
	rate  = 1000
	aside = 5
)

// How much what a server takes may differ between two looks at it while it rests.
const (
	spareMemory = 24 << 20
	spareFiles  = 8
)

// nightly tells whether there is time.
func nightly() bool { return os.Getenv("OUTCROP_NIGHTLY") != "" }

// TestLoad calls at a fixed rate for a minute, ten minutes at night, or OUTCROP_LOAD.
// A machine that does not keep the rate is told of and fails nothing: an error does, a call
// that is lost or doubled, and growth of the server between the first half and the second.
func TestLoad(t *testing.T) {
	linux(t)
	length, rounds := time.Minute, 4
	if nightly() {
		length, rounds = 10*time.Minute, 20
	}
	if text := os.Getenv("OUTCROP_LOAD"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	r := newRig(t, 2*rate*int(length/time.Second))
	standstills(t)
	ctx := t.Context()
	kinds := []struct {
		what string
		*pace
		call func(context.Context) error
	}{
		{"calls of the tool", &pace{rate: rate, atOnce: atOnce}, r.number},
		{"calls of the HTTP API", &pace{rate: aside, atOnce: aside}, r.item},
		{"lists", &pace{rate: aside, atOnce: aside}, r.list},
		{"sessions from beginning to end", &pace{rate: aside, atOnce: aside}, r.visit},
		{"calls whose caller hangs up", &pace{rate: aside, atOnce: aside}, r.hangUp},
	}
	round := func(length time.Duration) server.Usage {
		var all sync.WaitGroup
		for _, k := range kinds {
			all.Go(func() { k.run(length, 1<<30, func() error { return k.call(ctx) }) })
		}
		all.Wait()
		return r.rest(t)
	}
	before := round(length / 8) // what is made once and kept is there then
	var samples []server.Usage
	for range rounds {
		samples = append(samples, round(length/time.Duration(rounds)))
	}
	for _, k := range kinds {
		k.report(t, k.what)
	}
	r.exact(t)
	r.level(t, before, samples)
}

// TestMillion loses none of a million calls, and sends none twice.
func TestMillion(t *testing.T) {
	linux(t)
	if !nightly() {
		t.Skip("it takes minutes; OUTCROP_NIGHTLY=1 runs it")
	}
	const million = 1_000_000
	r := newRig(t, million)
	p := &pace{atOnce: 32}
	p.run(time.Hour, million, func() error { return r.number(t.Context()) })
	p.report(t, "calls of the tool")
	r.exact(t)
}

func linux(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the server needs Linux")
	}
}

// rest waits until the server has nothing to do, and looks at what it takes: of memory the
// least of a few looks, since what is freed is given back by and by.
func (r *rig) rest(t *testing.T) server.Usage {
	t.Helper()
	r.client.CloseIdleConnections()
	r.Until("all stuck calls are left", func() bool { return r.up.begun.Load() == r.up.left.Load() })
	r.Until("all sessions upstream have ended, but one that listens", func() bool { return r.up.sessions() <= 1 })
	least := r.Usage()
	for range 5 {
		time.Sleep(time.Second)
		least.Memory = min(least.Memory, r.Usage().Memory)
	}
	// Connections upstream are kept for a few seconds.
	r.Until("descriptors are as few as before", func() bool {
		least.Files = r.Usage().Files
		return least.Files <= r.open+spareFiles
	})
	return least
}

// exact wants each call to have arrived once, in one request of the gateway.
func (r *rig) exact(t *testing.T) {
	t.Helper()
	r.up.calls.exact(t, "calls of the tool")
	r.up.items.exact(t, "calls of the HTTP API")
	if posts, sent := r.up.posts.Load(), r.up.calls.next.Load(); posts != sent {
		t.Errorf("%d requests upstream for %d calls", posts, sent)
	}
	if n := r.up.other.Load(); n > 16 {
		t.Errorf("%d requests upstream that are no calls; what is agreed is agreed once", n)
	}
}

// level wants a server that rests to take no more after the second half than after the
// first, and no goroutines to be left.
func (r *rig) level(t *testing.T, before server.Usage, samples []server.Usage) {
	t.Helper()
	t.Logf("figure: at rest before %+v, after each round %+v", before, samples)
	middle := func(of []server.Usage) int64 {
		var all []int64
		for _, u := range of {
			all = append(all, u.Memory)
		}
		slices.Sort(all)
		return all[(len(all)-1)/2]
	}
	half := len(samples) / 2
	first, second := middle(samples[:half]), middle(samples[half:])
	t.Logf("figure: bytes of memory at rest: %d in the first half, %d in the second", first, second)
	if second > first+spareMemory {
		t.Errorf("memory at rest grew from %d bytes in the first half to %d in the second", first, second)
	}
	all, begun := r.Goroutines()
	for name, n := range begun {
		if n >= 25 {
			t.Errorf("%d goroutines begun by %s are left", n, name)
		}
	}
	t.Logf("figure: %d goroutines at rest", all)
}
