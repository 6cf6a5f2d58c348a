package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"

	"github.com/outcrop/outcrop/conformance/server"
	"github.com/outcrop/outcrop/internal/api/model/outcrop"
)

// TestKillSessions kills the server at random moments while sessions store,
// hibernate and wake, snapshots of new versions are made, and what is not needed
// is removed. What was stored and acknowledged is there after each restart; what
// hibernated wakes as it was, once; what ran begins anew, and its log says so;
// nothing is left over, and nothing is in the clear.
func TestKillSessions(t *testing.T) {
	random := newRand(t)
	rounds := 3
	if nightly() {
		rounds = 20
	}
	s := prepareSleepers(t)
	for round := range rounds {
		s.kill(round, random)
		if t.Failed() {
			t.Fatalf("the server said:\n%s", tail(s.rig.Log()))
		}
	}
	t.Logf("figure: %d hibernated over a kill and woke, %d ran and began anew", s.slept, s.began)
}

// sleepers is what the rounds have in common.
type sleepers struct {
	t *testing.T
	*rig
	rolled  *control.GetAgentRuntimeOutput
	rolls   int
	keepers []*keeper
	idle    census
	files   files

	slept, began int
}

func prepareSleepers(t *testing.T) *sleepers {
	s := &sleepers{t: t, rig: newRig(t, server.Options{Args: []string{"--hibernate-after", "1s"}})}
	of := s.createKeeper(t, "keeper")
	s.rolled = s.createKeeper(t, "rolled")
	for i := range 5 {
		s.keepers = append(s.keepers, newKeeper(of, server.SessionID("keeper", i)))
	}
	s.haveSnapshots(t, 2)
	eventually(t, recovery, func() error {
		s.idle, s.files = take(t, s.DataDir, s.Cmd.Process.Pid), inventory(t, s.DataDir)
		if slices.ContainsFunc(s.files.Others, func(name string) bool { return strings.HasPrefix(name, "session-storage/scratch/") }) {
			return errors.New("there is still the storage of a guest that is saved")
		}
		if s.idle.processes() != 2 {
			return fmt.Errorf("there is still %+v", s.idle)
		}
		return nil
	})
	delete(s.idle.Processes, "outcrop-sandbox") // see rests
	s.idle.Namespaces = map[string]int{}
	return s
}

// kill is one round.
func (s *sleepers) kill(round int, random *rand.Rand) {
	t := s.t
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l := &load{rig: s.rig, t: t, journal: newJournal(), round: round}
	l.spread(ctx, random, []workers{{len(s.keepers), s.keeperWorker(l)}, {1, s.rollWorker(l)}, {1, s.pruneWorker(l)}, {1, l.sessionWorker}})
	time.Sleep(2*time.Second + time.Duration(random.IntN(3000))*time.Millisecond)
	asked := make([]int64, len(s.keepers))
	for i, k := range s.keepers {
		asked[i] = k.asked.Load()
	}
	before, err := s.sessions(ctx)
	if err != nil {
		t.Fatal(err)
	}
	l.dead.Store(true)
	s.Kill()
	cancel()
	l.workers.Wait()
	eventually(t, 10*time.Second, func() error {
		none := s.idle
		none.Processes, none.Namespaces = map[string]int{}, map[string]int{}
		return take(t, s.DataDir, 0).same(none)
	})
	if err := s.inTheClear(); err != nil {
		t.Error(err)
	}
	s.Restart()
	if random.IntN(2) == 0 { // dying while recovering is no excuse
		s.Kill()
		s.Restart()
	}
	s.connect()
	ctx = t.Context()
	after, err := s.sessions(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for i, k := range s.keepers {
		if asleep(before[k.id]) && k.asked.Load() == asked[i] && !asleep(after[k.id]) {
			t.Errorf("session %s hibernated, and is lost after the kill", k.id)
		}
	}
	eventually(t, recovery, func() error { return s.tidied(after) })
	slept, began := 0, 0
	for _, k := range s.keepers {
		hibernated, anew := s.back(ctx, k, after)
		slept, began = slept+hibernated, began+anew
	}
	// Sessions of before the kill have one sandbox each, and so has nobody else.
	eventually(t, recovery, func() error {
		all, err := s.sessions(ctx)
		if n := s.sandboxes(); n != len(all)-hibernating(all) {
			return errors.Join(fmt.Errorf("%d sandboxes run for %d sessions of which %d hibernate", n, len(all), hibernating(all)), err)
		}
		return err
	})
	s.slept, s.began = s.slept+slept, s.began+began
	t.Logf("round %d: %d acknowledged, %d broken; %d sessions were alive, %d hibernated; of %d keepers %d woke and %d began anew",
		round, l.acks.Load(), l.broken.Load(), len(before), len(after), len(s.keepers), slept, began)
}

// tidied wants a server that was just started to run nothing, and to keep nothing
// but what sessions hibernate in and what they stored.
func (s *sleepers) tidied(listed map[string]outcrop.Session) error {
	if n, _, err := s.sealed("sessions"); n != len(listed) || hibernating(listed) != len(listed) {
		return errors.Join(fmt.Errorf("there are %d files of %d sessions, of which %d hibernate", n, len(listed), hibernating(listed)), err)
	}
	if err := take(s.t, s.DataDir, s.Cmd.Process.Pid).rests(s.idle); err != nil {
		return err
	}
	return inventory(s.t, s.DataDir).same(s.files)
}

// back asks a session after a restart. Only one that hibernated goes on.
func (s *sleepers) back(ctx context.Context, k *keeper, after map[string]outcrop.Session) (hibernated, anew int) {
	s.t.Helper()
	known := len(k.said) > 0
	begins, err := k.turn(ctx, s.rig, !asleep(after[k.id]))
	switch {
	case err != nil:
		s.t.Errorf("after the kill: %v", err)
	case asleep(after[k.id]):
		return 1, 0
	case known && !begins:
		s.t.Errorf("session %s ran when the server was killed, and goes on", k.id)
	case known:
		if err := k.explained(ctx, s.rig); err != nil {
			s.t.Error(err)
		}
		return 0, 1
	}
	return 0, 0
}

// keeperWorker talks with one session, with pauses in which it may hibernate.
func (s *sleepers) keeperWorker(l *load) worker {
	return func(ctx context.Context, r *rand.Rand, i int) error {
		k := s.keepers[i]
		if err := l.fly(func() error {
			_, err := k.turn(ctx, s.rig, false)
			return err
		}); err != nil {
			return err
		}
		pause(ctx, time.Duration(r.IntN(6000))*time.Millisecond)
		return nil
	}
}

// rollWorker gives a runtime new versions, of which snapshots are made.
func (s *sleepers) rollWorker(l *load) worker {
	return func(ctx context.Context, _ *rand.Rand, _ int) error {
		if _, err := s.account.Settle(ctx, *s.rolled.AgentRuntimeId); err != nil {
			return err
		}
		s.rolls++
		if err := l.fly(func() error { return s.roll(ctx, s.rolled, s.rolls) }); err != nil {
			return err
		}
		pause(ctx, 700*time.Millisecond)
		return nil
	}
}

// roll makes a new version of a keeper.
func (r *rig) roll(ctx context.Context, of *control.GetAgentRuntimeOutput, n int) error {
	as := r.account.Input(codeBucket, *of.AgentRuntimeName, r.python())
	_, err := r.runtimes.UpdateAgentRuntime(ctx, &control.UpdateAgentRuntimeInput{
		AgentRuntimeId: of.AgentRuntimeId, AgentRuntimeArtifact: as.AgentRuntimeArtifact, RoleArn: as.RoleArn, NetworkConfiguration: as.NetworkConfiguration,
		FilesystemConfigurations: keeperFiles(), EnvironmentVariables: keeperEnvironment(strconv.Itoa(n)),
	})
	return err
}

// pruneWorker removes what nobody needs, and snapshots that somebody will.
func (s *sleepers) pruneWorker(l *load) worker {
	return func(ctx context.Context, r *rand.Rand, _ int) error {
		in := outcrop.PruneRequest{}
		if r.IntN(4) == 0 {
			in = outcrop.PruneRequest{Kinds: []string{outcrop.PruneKindSNAPSHOTS}, All: aws.Bool(true)}
		}
		if err := l.fly(func() error { return s.prune(ctx, in) }); err != nil {
			return err
		}
		pause(ctx, 300*time.Millisecond)
		return nil
	}
}

// prune removes what is asked for.
func (r *rig) prune(ctx context.Context, in outcrop.PruneRequest) error {
	out, err := r.own.Prune(ctx, in)
	if err != nil {
		return err
	}
	var errs []error
	for _, row := range out.Results {
		if aws.ToBool(row.Failed) {
			errs = append(errs, fmt.Errorf("prune %s: the server's log says why it failed", aws.ToString(row.Kind)))
		}
	}
	return errors.Join(errs...)
}

// pause waits, unless ctx ends before.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
