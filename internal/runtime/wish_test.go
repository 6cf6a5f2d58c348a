package runtime

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite"
)

// TestWishes: however often sessions wish for a snapshot, the first wish counts its
// wait, and what was planned for another day gives way to it.
func TestWishes(t *testing.T) {
	st, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "outcrop.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	job := payload{Scope: store.Scope{Account: "111122223333", Region: "us-east-1"}, ID: "agent-AbCdEfGh12", Version: 1, Endpoint: DefaultEndpoint}
	enqueue := func(job payload, at time.Time) (planned []store.Work) {
		t.Helper()
		err := st.Update(t.Context(), func(tx store.Tx) (err error) {
			if err = enqueueSnapshot(tx, job, at); err == nil {
				planned, err = tx.WorkOf(snapshotKey(job))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(planned) != 1 {
			t.Fatalf("%d snapshots are planned: %+v", len(planned), planned)
		}
		return planned
	}
	again := job
	again.Again = true
	day := enqueue(again, time.Now().Add(time.Hour))[0]
	first := enqueue(job, time.Time{})[0]
	if first.ID == day.ID || !first.NotBefore.Before(time.Now().Add(time.Second)) {
		t.Errorf("a session wishes for a snapshot, and planned is %+v", first)
	}
	for range 3 {
		if next := enqueue(job, time.Time{})[0]; next.ID != first.ID || !next.Created.Equal(first.Created) {
			t.Errorf("another session wishes for it, and planned is %+v in place of %+v", next, first)
		}
	}
	if failed := enqueue(job, time.Now().Add(failedFor))[0]; failed.ID == first.ID {
		t.Error("a snapshot that could not be resumed is made anew at once")
	}
}
