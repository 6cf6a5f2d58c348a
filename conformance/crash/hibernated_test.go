package crash

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	data "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"

	"github.com/outcrop/outcrop/conformance/agent"
	"github.com/outcrop/outcrop/conformance/server"
)

// hibernatedBar is what a machine with 24 GiB holds (DESIGN 10). Each may take so
// many bytes of server and supervisor, beyond what their heaps do by themselves, and
// all together the default of --snapshot-disk.
const (
	hibernatedBar    = 1000
	hibernatedMemory = 128 << 10
	hibernatedDisk   = 16 << 30
)

// TestThousandHibernated makes sessions of an agent on the SDK on one server, asks
// each once, has all hibernate, and wakes some.
func TestThousandHibernated(t *testing.T) {
	if !nightly() && os.Getenv("OUTCROP_HIBERNATED") == "" {
		t.Skip("it takes a quarter of an hour; OUTCROP_NIGHTLY=1 runs it, and OUTCROP_HIBERNATED=N with N sessions")
	}
	n := setting(t, "OUTCROP_HIBERNATED", strconv.Atoi, hibernatedBar)
	random := newRand(t)
	h := startHibernating(t)
	// What grows once has grown with the first ones.
	first := min(n/10, 50)
	h.make(t, 0, first)
	before := h.measure(t)
	begun := time.Now()
	h.make(t, first, n)
	made := time.Since(begun)
	after := h.measure(t)
	each := func(more, less int64) int64 { return (more - less) / int64(n-first) }
	memory, disk := each(after.memory, before.memory), each(after.disk, before.disk)
	t.Logf("figure: %d sessions hibernate, made in %v; each took %d KiB of server and supervisor (%d -> %d MiB) and %d KiB of the disk; %d descriptors more",
		n, made.Round(time.Second), memory>>10, before.memory>>20, after.memory>>20, disk>>10, after.descriptors-before.descriptors)
	if grown := after.memory - before.memory; grown > spareMemory+hibernatedMemory*int64(n-first) {
		t.Errorf("%d hibernated sessions take %d MiB of memory", n-first, grown>>20)
	}
	if disk*hibernatedBar > hibernatedDisk {
		t.Errorf("a hibernated session takes %d KiB of the disk: the default bound does not hold %d", disk>>10, hibernatedBar)
	}
	if after.descriptors > before.descriptors+spareFiles {
		t.Errorf("server and supervisor have %d descriptors, %d before", after.descriptors, before.descriptors)
	}
	var took []time.Duration
	for _, i := range random.Perm(n)[:min(n, 20)] {
		begun := time.Now()
		if err := h.turn(t.Context(), i, 2); err != nil {
			t.Fatalf("%v\n%s", err, tail(h.Log()))
		}
		took = append(took, time.Since(begun))
	}
	slices.Sort(took)
	t.Logf("figure: %d of them, chosen at random, woke as they were; they answered in %v (P50), %v (P75), %v (longest)",
		len(took), took[len(took)/2], took[len(took)*3/4], took[len(took)-1])
}

// sdkSessions is a server with the benchmarks' agent on the SDK, which counts its
// turns.
type sdkSessions struct {
	*rig
	arn *string
}

func startHibernating(t *testing.T) *sdkSessions {
	t.Helper()
	// Sessions that are made first must not be over when the last is.
	h := &sdkSessions{rig: &rig{Server: server.Start(t, server.Options{Args: []string{"--hibernate-after", "2s", "--keep-hibernated", "6h"}})}}
	h.connect()
	code, python := h.Pack("../bench/sdk", "")
	if err := h.account.Store(t.Context(), codeBucket, agent.Key, code); err != nil {
		t.Fatal(err)
	}
	in := h.account.Input(codeBucket, "sdk", python)
	got, err := h.account.Create(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	h.arn = got.AgentRuntimeArn
	h.haveSnapshots(t, 1)
	return h
}

// turn asks a session for its next turn.
func (h *sdkSessions) turn(ctx context.Context, i, turn int) error {
	id := server.SessionID("hibernated", i)
	out, err := h.agents.InvokeAgentRuntime(ctx, &data.InvokeAgentRuntimeInput{AgentRuntimeArn: h.arn, RuntimeSessionId: &id, Payload: []byte("{}")})
	if err != nil {
		return fmt.Errorf("ask session %s: %w", id, err)
	}
	defer out.Response.Close()
	text, err := io.ReadAll(out.Response)
	if err != nil {
		return fmt.Errorf("ask session %s: %w", id, err)
	}
	if want := fmt.Sprintf("data: \"turn %d\"", turn); string(bytes.TrimSpace(text)) != want {
		return fmt.Errorf("session %s answers %s, want %s", id, text, want)
	}
	return nil
}

// make starts sessions and waits until all there are hibernate.
func (h *sdkSessions) make(t *testing.T, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if err := h.turn(t.Context(), i, 1); err != nil {
			t.Fatalf("%v\n%s", err, tail(h.Log()))
		}
	}
	eventually(t, 2*time.Minute, func() error {
		all, err := h.sessions(t.Context())
		if err != nil {
			return err
		}
		if n := hibernating(all); n != to {
			return fmt.Errorf("%d of %d sessions hibernate", n, to)
		}
		return nil
	})
}

// standing is what server and supervisor take while all hibernate.
type standing struct {
	memory, disk int64
	descriptors  int
}

func (h *sdkSessions) measure(t *testing.T) standing {
	t.Helper()
	h.quiet(t)
	f, err := h.footprint(t)
	if err != nil {
		t.Fatal(err)
	}
	_, disk, err := h.sealed("sessions")
	if err != nil {
		t.Fatal(err)
	}
	return standing{f.serverMemory + f.supervisorMemory, disk, f.serverFiles + f.supervisorFiles}
}
