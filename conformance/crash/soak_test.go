package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"

	"github.com/outcrop/outcrop/conformance/server"
	"github.com/outcrop/outcrop/internal/api/model/outcrop"
)

// soakRests is how often a soak rests: what a server takes at work depends on how busy
// its machine is.
const soakRests = 20

// TestSoak has sessions begin, end, store, hibernate and wake, with WebSockets, shells
// and commands in some, and runtimes and images come, change and go, for half an hour
// or OUTCROP_SOAK, and wants memory and descriptors of server and supervisor to be flat
// over the second half.
func TestSoak(t *testing.T) {
	if !nightly() && os.Getenv("OUTCROP_SOAK") == "" {
		t.Skip("it takes half an hour; OUTCROP_NIGHTLY=1 runs it, and OUTCROP_SOAK=5m for five minutes")
	}
	length := setting(t, "OUTCROP_SOAK", time.ParseDuration, 30*time.Minute)
	random := newRand(t)
	s := &soak{comings: comings{rig: newRig(t, server.Options{Args: []string{"--hibernate-after", "1s"}})}}
	s.keeper = s.createKeeper(t, "keeper")
	s.broken = s.createFrom(t, "broken", s.brokenCode(t))
	for i := range 6 {
		s.keepers = append(s.keepers, newKeeper(s.keeper, server.SessionID("keeper", i)))
	}
	s.rolled = s.createKeeper(t, "rolled")
	s.haveSnapshots(t, 2)
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	l := &load{rig: s.rig, t: t, journal: newJournal()}
	l.spread(ctx, random, []workers{
		{len(s.keepers), s.resting(s.keeperWorker(l))}, {2, s.resting(s.lifeWorker(l))}, {1, s.resting(s.connectionWorker(l))},
		{1, s.resting(s.imageWorker(l))}, {1, s.resting(s.deployWorker(l))}, {1, s.resting(s.tidyWorker(l))},
	})
	var samples []footprint
	for ticks := time.NewTicker(length / soakRests); ctx.Err() == nil; {
		select {
		case <-ticks.C:
			samples = append(samples, s.rest(t))
		case <-ctx.Done():
			ticks.Stop()
		}
	}
	l.workers.Wait()
	if t.Failed() {
		t.Fatalf("the server said:\n%s", tail(s.Log()))
	}
	t.Logf("figure: %d calls in %v, of which %d turns of sessions that went on and %d new versions", l.acks.Load(), length, s.turns(), s.rolls)
	s.flat(t, samples)
}

// soak is a load that goes on.
type soak struct {
	comings
	keepers []*keeper
	rolled  *control.GetAgentRuntimeOutput
	rolls   int
	// working is held by workers, and wanted alone by rest.
	working sync.RWMutex
}

// resting is a worker that waits while the soak rests.
func (s *soak) resting(w worker) worker {
	return func(ctx context.Context, r *rand.Rand, i int) error {
		s.working.RLock()
		defer s.working.RUnlock()
		return w(ctx, r, i)
	}
}

// rest waits until the server and its supervisor have nothing to do, and looks at what
// they take: the least of a few looks, since freed memory is given back by and by.
func (s *soak) rest(t *testing.T) footprint {
	t.Helper()
	s.working.Lock()
	defer s.working.Unlock()
	s.quiet(t)
	var least footprint
	for look := range 5 {
		f, err := s.footprint(t)
		if err != nil {
			t.Fatal(err)
		}
		if look > 0 {
			f.serverMemory, f.supervisorMemory = min(f.serverMemory, least.serverMemory), min(f.supervisorMemory, least.supervisorMemory)
			f.serverFiles, f.supervisorFiles = min(f.serverFiles, least.serverFiles), min(f.supervisorFiles, least.supervisorFiles)
		}
		least = f
		time.Sleep(time.Second)
	}
	return least
}

func (s *soak) turns() int {
	n := 0
	for _, k := range s.keepers {
		n += len(k.kept)
	}
	return n
}

// keeperWorker talks with one session, with pauses in which it hibernates. It
// loses nothing.
func (s *soak) keeperWorker(l *load) worker {
	return func(ctx context.Context, r *rand.Rand, i int) error {
		// What was begun is finished: nothing breaks in a soak.
		if err := l.fly(func() error {
			_, err := s.keepers[i].turn(l.t.Context(), s.rig, false)
			return err
		}); err != nil {
			return err
		}
		pause(ctx, time.Duration(r.IntN(8000))*time.Millisecond)
		return nil
	}
}

// lifeWorker has sessions of all kinds begin and end.
func (s *soak) lifeWorker(l *load) worker {
	kinds := s.kinds()
	return func(_ context.Context, r *rand.Rand, i int) error {
		id := server.SessionID("life", i, "-", r.Uint64())
		return l.fly(func() error { return kinds[r.IntN(len(kinds))](l.t.Context(), id) })
	}
}

// deployWorker gives a runtime new versions, and makes and deletes others.
func (s *soak) deployWorker(l *load) worker {
	return func(ctx context.Context, r *rand.Rand, _ int) error {
		within := l.t.Context()
		s.rolls++
		if err := l.fly(func() error { return s.roll(within, s.rolled, s.rolls) }); err != nil {
			return err
		}
		if _, err := s.account.Settle(within, *s.rolled.AgentRuntimeId); err != nil {
			return err
		}
		if r.IntN(4) == 0 {
			made, err := s.account.Create(within, s.account.Input(codeBucket, fmt.Sprintf("passing_%d", s.rolls), s.python()))
			if err != nil {
				return err
			}
			if _, err := s.askOf(within, made.AgentRuntimeArn, server.SessionID("passing"), question{}); err != nil {
				return err
			}
			if err := l.fly(func() error {
				_, err := s.runtimes.DeleteAgentRuntime(within, &control.DeleteAgentRuntimeInput{AgentRuntimeId: made.AgentRuntimeId})
				return err
			}); err != nil {
				return err
			}
		}
		pause(ctx, 3*time.Second)
		return nil
	}
}

// tidyWorker removes what nobody needs.
func (s *soak) tidyWorker(l *load) worker {
	return func(ctx context.Context, _ *rand.Rand, _ int) error {
		if err := l.fly(func() error { return s.prune(l.t.Context(), outcrop.PruneRequest{}) }); err != nil {
			return err
		}
		pause(ctx, 5*time.Second)
		return nil
	}
}

// flat wants what was sampled not to grow over the second half by more than it may
// differ between two looks at a server at rest.
func (s *soak) flat(t *testing.T, samples []footprint) {
	t.Helper()
	half := samples[len(samples)/2:]
	for _, c := range []struct {
		what  string
		of    func(footprint) float64
		spare float64
	}{
		{"server: bytes of memory", func(f footprint) float64 { return float64(f.serverMemory) }, spareMemory},
		{"supervisor: bytes of memory", func(f footprint) float64 { return float64(f.supervisorMemory) }, spareMemory},
		{"server: descriptors", func(f footprint) float64 { return float64(f.serverFiles) }, spareFiles},
		{"supervisor: descriptors", func(f footprint) float64 { return float64(f.supervisorFiles) }, spareFiles},
		{"supervisor: mounts", func(f footprint) float64 { return float64(f.mounts) }, spareFiles},
	} {
		var values []float64
		for _, f := range half {
			values = append(values, c.of(f))
		}
		grown := slope(values) * float64(len(values))
		t.Logf("figure: %s: median %.0f of the second half, in which it grew by %.0f", c.what, median(values), grown)
		if grown > c.spare {
			t.Errorf("%s grew by %.0f over the second half, at most %.0f are allowed", c.what, grown, c.spare)
		}
	}
}

// slope is the median of the slopes between all pairs of values, by their index
// (Theil and Sen): a few that stick out, such as before a collection of garbage, do
// not move it.
func slope(values []float64) float64 {
	var all []float64
	for i := range values {
		for j := i + 1; j < len(values); j++ {
			all = append(all, (values[j]-values[i])/float64(j-i))
		}
	}
	return median(all)
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
