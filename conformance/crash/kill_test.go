package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/outcrop/outcrop/conformance/server"
)

// The promises of DESIGN 6 and 9: how many calls are under way at a kill at
// least, and how long the server may take to be as if nothing had happened.
const (
	underWay = 8
	recovery = 30 * time.Second
)

// TestKill kills the server at random moments of a mixed workload. After each
// restart everything acknowledged is there, nothing is half done, and nothing
// that a dead server had is left over.
func TestKill(t *testing.T) {
	random := newRand(t)
	rounds := 3
	if nightly() {
		rounds = 20
	}
	k := prepareKills(t)
	for round := range rounds {
		k.kill(round, random)
		if t.Failed() {
			t.Fatalf("the server said:\n%s", tail(k.rig.Log()))
		}
	}
}

// kills is what the rounds have in common.
type kills struct {
	t *testing.T
	*rig
	journal  *journal
	variants map[string]string // digests by key
	idle     census
	files    files
	found    map[string]string
	rolled   string // the id of a runtime whose endpoints roll
}

func prepareKills(t *testing.T) *kills {
	ctx := t.Context()
	k := &kills{t: t, rig: newRig(t, server.Options{}), journal: newJournal(), found: map[string]string{}}
	var err error
	if k.variants, err = k.putVariants(ctx, 3); err != nil {
		t.Fatal(err)
	}
	k.variants["agent.zip"] = digest(k.zip)
	if k.rolled, err = k.createRolled(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := k.runtimes.CreateWorkloadIdentity(ctx, &control.CreateWorkloadIdentityInput{Name: aws.String(vaultWorkload)}); err != nil {
		t.Fatal(err)
	}
	for _, bucket := range []string{plainBucket, versionedBucket} {
		if _, err := k.objects.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &bucket}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := k.objects.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{
		Bucket: aws.String(versionedBucket), VersioningConfiguration: &s3types.VersioningConfiguration{Status: s3types.BucketVersioningStatusEnabled},
	}); err != nil {
		t.Fatal(err)
	}
	// The first runtime's snapshot is made in the background, and the sandbox
	// executable unpacked for it.
	eventually(t, recovery, func() error {
		k.idle, k.files = take(t, k.DataDir, k.Cmd.Process.Pid), inventory(t, k.DataDir)
		if k.idle.processes() > 1+k.idle.Processes["outcrop-sandbox"] {
			return fmt.Errorf("there is still %+v", k.idle)
		}
		if slices.ContainsFunc(k.files.Others, func(name string) bool { return strings.HasPrefix(name, "sandbox/.unpack-") }) {
			return errors.New("the sandbox executable is being unpacked")
		}
		return nil
	})
	delete(k.idle.Processes, "outcrop-sandbox") // see rests
	k.idle.Namespaces = map[string]int{}
	t.Logf("idle: %+v, %d files besides data", k.idle, len(k.files.Others))
	return k
}

// kill is one round.
func (k *kills) kill(round int, random *rand.Rand) {
	t := k.t
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l := &load{rig: k.rig, t: t, journal: k.journal, round: round, rolled: k.rolled}
	l.begin(ctx, random, k.found)
	time.Sleep(time.Second + time.Duration(random.IntN(3000))*time.Millisecond)
	for deadline := time.Now().Add(20 * time.Second); l.flying.Load() < underWay; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("only %d calls are under way", l.flying.Load())
		}
	}
	before := take(t, k.DataDir, k.Cmd.Process.Pid)
	flying := l.flying.Load()
	l.dead.Store(true)
	k.Kill()
	cancel()
	l.workers.Wait()

	// The machine is clean before anybody cleans up.
	eventually(t, 10*time.Second, func() error {
		none := k.idle
		none.Processes, none.Namespaces = map[string]int{}, map[string]int{}
		return take(t, k.DataDir, 0).same(none)
	})
	begun := time.Now()
	k.Restart()
	if random.IntN(2) == 0 { // dying while recovering is no excuse
		k.Kill()
		k.Restart()
	}
	up := time.Since(begun)
	k.connect()
	ctx = t.Context()
	var s *survey
	eventually(t, recovery, func() error {
		var err error
		if s, err = k.survey(ctx); err != nil {
			return err
		}
		if err := take(t, k.DataDir, k.Cmd.Process.Pid).rests(k.idle); err != nil {
			return err
		}
		return inventory(t, k.DataDir).same(k.expected(s))
	})
	settled := time.Since(begun)
	if settled > recovery/6 {
		t.Logf("round %d took long; the server said:\n%s", round, tail(k.Log()))
	}
	k.found = s.found
	for _, err := range k.journal.reconcile(resources(s.found)) {
		t.Error(err)
	}
	k.replay(ctx, l)
	k.tidy(ctx, s)
	if _, err := k.ask(ctx, server.SessionID("after", round), question{Read: []string{"/tmp"}}); err != nil {
		t.Errorf("invoke after the restart: %v", err)
	}
	if err := k.end(ctx, server.SessionID("after", round)); err != nil {
		t.Error(err)
	}
	t.Logf("round %d: %d acknowledged, %d processes; %d under way at the kill, %d broken; answers again after %v, settled after %v; %d names, %d segments",
		round, l.acks.Load(), before.processes(), flying, l.broken.Load(), up.Round(time.Millisecond), settled.Round(time.Millisecond), len(s.found), s.segments)
}

// expected is what the data directory should hold for what the API shows.
func (k *kills) expected(s *survey) files {
	want := files{Segments: s.segments, Others: k.files.Others}
	for key := range s.code {
		want.Code = append(want.Code, k.variants[key])
	}
	slices.Sort(want.Code)
	return want
}

// resources are the names that a journal knows.
func resources(found map[string]string) map[string]string {
	out := map[string]string{}
	for name, state := range found {
		if !strings.HasPrefix(name, "id/") {
			out[name] = state
		}
	}
	return out
}

// replay makes the last call with a token for each runtime again, twice, and
// wants one answer: the one that was given, where there was one.
func (k *kills) replay(ctx context.Context, l *load) {
	last := map[string]*tokened{}
	for _, c := range l.replays {
		last[c.name] = c
	}
	for _, name := range keys(last) {
		c := last[name]
		for range 2 {
			id, version, err := c.call(ctx, k.rig)
			switch {
			case err != nil:
				k.t.Errorf("%s %s again: %v", c.what, name, err)
				return
			case c.id == "":
				c.id, c.version = id, version
			case id != c.id || version != c.version:
				k.t.Errorf("%s %s again gave %s version %q, first %s version %q", c.what, name, id, version, c.id, c.version)
			}
			if known := k.found["id/"+name]; known != "" && id != known {
				k.t.Errorf("%s %s again gave %s, but %s is there", c.what, name, id, known)
			}
		}
	}
	// What was not there has been made, or deleted, by now.
	var s *survey
	eventually(k.t, recovery, func() (err error) {
		s, err = k.survey(ctx)
		return err
	})
	for _, name := range keys(last) {
		c, state := last[name], s.found["runtime/"+name]
		if (c.what == "delete") != (state == absent) || state != absent && !strings.HasPrefix(state, c.version+":") {
			k.t.Errorf("%s is %q after its last call, %s, was made again with version %q", name, state, c.what, c.version)
		}
	}
	k.found = s.found
	for name := range last {
		k.journal.settle("runtime/"+name, s.found["runtime/"+name])
	}
}

// tidy gives up the uploads that their clients have lost.
func (k *kills) tidy(ctx context.Context, s *survey) {
	for _, key := range keys(s.uploads) {
		if _, err := k.objects.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
			Bucket: aws.String(plainBucket), Key: &key, UploadId: aws.String(s.uploads[key]),
		}); err != nil {
			k.t.Error(err)
		}
		k.journal.settle("upload/"+plainBucket+"/"+key, absent)
		for n := range 2 {
			k.journal.settle("part/"+plainBucket+"/"+key+"/"+string(rune('1'+n)), absent)
		}
	}
}

// tail is the end of a text.
func tail(s string) string { return s[max(0, len(s)-8<<10):] }

// TestKillUnpacking kills a server that starts its first session: the sandbox
// executable and the code are then half on the disk.
func TestKillUnpacking(t *testing.T) {
	random := newRand(t)
	r := newRig(t, server.Options{})
	for round := range 3 {
		begun := make(chan struct{})
		go func() {
			close(begun)
			_, _ = r.ask(t.Context(), server.SessionID("unpack"), question{}) // it breaks, or is in time
		}()
		<-begun
		time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond)
		r.Kill()
		r.Restart()
		r.connect()
		for _, name := range inventory(t, r.DataDir).Others {
			if strings.HasPrefix(name, "sandbox/") {
				t.Errorf("round %d: %s is left", round, name)
			}
		}
	}
	if err := r.visit(t.Context(), server.SessionID("after")); err != nil {
		t.Fatalf("%v\n%s", err, tail(r.Log()))
	}
}
