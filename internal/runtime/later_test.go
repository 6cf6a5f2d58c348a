package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/work"
)

// TestPruneBacksOff: a session that runs a deleted version for days costs two writes
// a minute at most.
func TestPruneBacksOff(t *testing.T) {
	item := &work.Item{Work: store.Work{Payload: []byte(`{"digests":["sha256:x"]}`)}}
	var got []string
	for range 8 {
		var job payload
		if err := json.Unmarshal(item.Payload, &job); err != nil || len(job.Digests) != 1 {
			t.Fatalf("%v: %s", err, item.Payload)
		}
		got = append(got, prune{}.later(item, job).Error())
	}
	for i, want := range []string{"1s", "2s", "4s", "8s", "16s", "32s", "1m0s", "1m0s"} {
		if got[i] != "not ready, again in "+want {
			t.Errorf("pause %d: %s, want %s", i, got[i], want)
		}
	}
	var job payload
	job.Waits = 1 << 40
	if err := (prune{}).later(item, job); err.Error() != "not ready, again in 1m0s" {
		t.Error(err)
	}
}

// TestNotNow: a rehearsal is repeated where it has shown nothing of the agent.
func TestNotNow(t *testing.T) {
	start := &session.StartError{}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{nil, "<nil>"},
		{fmt.Errorf("make template: %w", session.ErrLimit), work.Later(roomPause).Error()},
		{fmt.Errorf("make template: %w", session.ErrClosed), work.Later(snapshotPause).Error()},
		{start, start.Error()},
		{sandbox.ErrUnsavable, sandbox.ErrUnsavable.Error()},
	} {
		got := notNow(tt.err)
		if fmt.Sprint(got) != tt.want {
			t.Errorf("%v: %v, want %s", tt.err, got, tt.want)
		}
		if repeated := tt.want != fmt.Sprint(tt.err); !repeated && !errors.Is(got, tt.err) {
			t.Errorf("%v became %v", tt.err, got)
		}
	}
}
