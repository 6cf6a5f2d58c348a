package work_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite"
	"github.com/outcrop/outcrop/internal/work"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	us    = store.Owner{Node: "node", Process: "1"}
	next  = store.Owner{Node: "node", Process: "2"}
	errNo = errors.New("no")
)

// handler is made of two functions.
type handler struct {
	do     func(ctx context.Context, item *work.Item) error
	failed func(tx store.Tx, item store.Work, cause error) error
}

func (h handler) Do(ctx context.Context, item *work.Item) error { return h.do(ctx, item) }

func (h handler) Failed(tx store.Tx, item store.Work, cause error) error {
	if h.failed == nil {
		return nil
	}
	return h.failed(tx, item, cause)
}

// bench is a store and a runner inside a bubble of synctest.
type bench struct {
	t     *testing.T
	store store.Store
	log   journal
	stop  context.CancelFunc
	ended chan error
}

// journal is what handlers say, with the seconds of the bubble's clock.
type journal struct {
	mu    sync.Mutex
	lines []string
	begin time.Time
}

func (j *journal) note(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf("%g ", time.Since(j.begin).Seconds())+fmt.Sprintf(format, args...))
}

func (j *journal) text() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.lines, ", ")
}

func run(t *testing.T, test func(t *testing.T, b *bench)) {
	synctest.Test(t, func(t *testing.T) {
		s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "outcrop.db"), sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		b := &bench{t: t, store: s, log: journal{begin: time.Now()}}
		test(t, b)
		b.end()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// begin starts a runner with one handler for the kind "k".
func (b *bench) begin(o work.Options, h handler, p work.Policy) {
	if !o.Owner.Valid() {
		o.Owner = us
	}
	if o.Random == nil {
		o.Random = func() float64 { return 0 }
	}
	r := work.New(b.store, o)
	if err := r.Register("k", h, p); err != nil {
		b.t.Fatal(err)
	}
	var ctx context.Context
	ctx, b.stop = context.WithCancel(context.Background())
	b.ended = make(chan error, 1)
	go func() { b.ended <- r.Run(ctx) }()
}

// end stops the runner, which must have gone well.
func (b *bench) end() {
	b.t.Helper()
	if b.stop == nil {
		return
	}
	b.stop()
	if err := <-b.ended; err != nil {
		b.t.Errorf("run: %v", err)
	}
	b.stop = nil
}

func (b *bench) enqueue(keys ...string) {
	b.t.Helper()
	b.update(func(tx store.Tx) error {
		for _, key := range keys {
			if _, err := tx.EnqueueWork(store.Work{Kind: "k", Key: key, Payload: json.RawMessage(`{}`)}); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *bench) update(fn func(store.Tx) error) {
	b.t.Helper()
	if err := b.store.Update(context.Background(), fn); err != nil {
		b.t.Fatal(err)
	}
}

// left is what is still to be done.
func (b *bench) left(key string) (items []store.Work) {
	b.t.Helper()
	err := b.store.View(context.Background(), func(r store.Reader) (err error) {
		items, err = r.WorkOf(key)
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return items
}

func (b *bench) expect(want string) {
	b.t.Helper()
	if got := b.log.text(); got != want {
		b.t.Errorf("journal:\n got %s\nwant %s", got, want)
	}
}

// pass lets the bubble's clock run, and everything come to rest.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestRunsAtOnceWhatIsEnqueued(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		b.begin(work.Options{}, handler{do: func(_ context.Context, item *work.Item) error {
			b.log.note("%s", item.Key)
			return nil
		}}, work.Policy{})
		pass(time.Hour)
		b.enqueue("a")
		synctest.Wait()
		b.expect("3600 a")
		if left := b.left("a"); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
	})
}

func TestRunsWhenDue(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		b.begin(work.Options{}, handler{do: func(_ context.Context, item *work.Item) error {
			b.log.note("%s", item.Key)
			return nil
		}}, work.Policy{})
		b.update(func(tx store.Tx) error {
			_, err := tx.EnqueueWork(store.Work{Kind: "k", Key: "a", NotBefore: tx.Now().Add(90 * time.Second)})
			return err
		})
		pass(2 * time.Minute)
		b.expect("90 a")
	})
}

func TestTriesAgainWithGrowingPauses(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		b.begin(work.Options{}, handler{do: func(_ context.Context, item *work.Item) error {
			b.log.note("%d %s %q", item.Attempt, item.Payload, item.LastError)
			if item.Attempt == 4 {
				return nil
			}
			item.Payload = json.RawMessage(fmt.Sprintf(`{"done":%d}`, item.Attempt))
			return fmt.Errorf("attempt %d", item.Attempt)
		}}, work.Policy{MaxPause: 3 * time.Second})
		b.enqueue("a")
		pass(time.Minute)
		b.expect(`0 1 {} "", 1 2 {"done":1} "attempt 1", 3 3 {"done":2} "attempt 2", 6 4 {"done":3} "attempt 3"`)
	})
}

func TestJitterShortensPausesByUpToHalf(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		b.begin(work.Options{Random: func() float64 { return 0.5 }}, handler{do: func(_ context.Context, item *work.Item) error {
			b.log.note("%d", item.Attempt)
			return errNo
		}}, work.Policy{MaxAttempts: 2, FirstPause: 4 * time.Second})
		b.enqueue("a")
		pass(time.Minute)
		b.expect("0 1, 3 2")
	})
}

func TestFailsAfterTheLastAttempt(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"attempts":  {errNo, "0 do 1, 1 do 2, 3 do 3, 3 failed no"},
		"permanent": {work.Permanent(errNo), "0 do 1, 0 failed no"},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, b *bench) {
				b.begin(work.Options{}, handler{
					do: func(_ context.Context, item *work.Item) error { b.log.note("do %d", item.Attempt); return c.err },
					failed: func(tx store.Tx, item store.Work, cause error) error {
						b.log.note("failed %v", cause)
						return tx.PutRow("status", []byte(item.Key), []byte("CREATE_FAILED"))
					},
				}, work.Policy{MaxAttempts: 3})
				b.enqueue("a")
				pass(time.Hour)
				b.expect(c.want)
				b.update(func(tx store.Tx) error {
					status, err := tx.Row("status", []byte("a"))
					if string(status) != "CREATE_FAILED" {
						t.Errorf("status %q", status)
					}
					return err
				})
				if left := b.left("a"); len(left) != 0 {
					t.Errorf("left: %v", left)
				}
			})
		})
	}
}

func TestAFailureThatCannotBeRecordedIsTriedAgain(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		var broken atomic.Bool
		broken.Store(true)
		b.begin(work.Options{}, handler{
			do: func(context.Context, *work.Item) error { b.log.note("do"); return work.Permanent(errNo) },
			failed: func(tx store.Tx, item store.Work, _ error) error {
				if broken.Load() {
					return errors.New("cannot")
				}
				b.log.note("failed")
				return nil
			},
		}, work.Policy{MaxPause: time.Minute})
		b.enqueue("a")
		pass(30 * time.Second)
		if left := b.left("a"); len(left) != 1 || !strings.Contains(left[0].LastError, "cannot") {
			t.Errorf("left: %+v", left)
		}
		broken.Store(false)
		pass(time.Minute)
		if left := b.left("a"); len(left) != 0 || !strings.HasSuffix(b.log.text(), "failed") {
			t.Errorf("left: %+v, journal %s", left, b.log.text())
		}
	})
}

func TestLaterIsNoFailure(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		waits := 0
		b.begin(work.Options{}, handler{do: func(_ context.Context, item *work.Item) error {
			b.log.note("%d", item.Attempt)
			if waits++; waits < 4 {
				return work.Later(10 * time.Second)
			}
			return nil
		}}, work.Policy{MaxAttempts: 1})
		b.enqueue("a")
		pass(time.Hour)
		b.expect("0 1, 10 1, 20 1, 30 1")
	})
}

func TestAPanicIsAFailure(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		b.begin(work.Options{}, handler{
			do: func(context.Context, *work.Item) error { panic("bang") },
			failed: func(_ store.Tx, _ store.Work, cause error) error {
				b.log.note("%s", strings.SplitN(cause.Error(), "\n", 2)[0])
				return nil
			},
		}, work.Policy{MaxAttempts: 1})
		b.enqueue("a")
		pass(time.Minute)
		b.expect("0 handler panicked: bang")
	})
}

func TestAnAttemptTimesOut(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		b.begin(work.Options{}, handler{
			do: func(ctx context.Context, _ *work.Item) error { <-ctx.Done(); return ctx.Err() },
			failed: func(_ store.Tx, _ store.Work, cause error) error {
				b.log.note("%v", cause)
				return nil
			},
		}, work.Policy{MaxAttempts: 1, Timeout: 5 * time.Minute})
		b.enqueue("a")
		pass(time.Hour)
		b.expect("300 context deadline exceeded")
	})
}

// TestOneAtATimeForEachKey gives three keys four items each, of which some fail
// once, to a runner with room for two.
func TestOneAtATimeForEachKey(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		var mu sync.Mutex
		busy := map[string]bool{}
		done := map[string][]int64{}
		most := 0
		b.begin(work.Options{Concurrency: 2}, handler{do: func(_ context.Context, item *work.Item) error {
			mu.Lock()
			if busy[item.Key] {
				t.Errorf("two items of %s at once", item.Key)
			}
			busy[item.Key] = true
			now := 0
			for _, b := range busy {
				if b {
					now++
				}
			}
			most = max(most, now)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			defer mu.Unlock()
			busy[item.Key] = false
			if item.ID%3 == 0 && item.Attempt == 1 {
				return errNo
			}
			done[item.Key] = append(done[item.Key], item.ID)
			return nil
		}}, work.Policy{})
		for range 4 {
			b.enqueue("a", "b", "c")
		}
		pass(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if most != 2 {
			t.Errorf("%d ran at once", most)
		}
		for _, key := range []string{"a", "b", "c"} {
			if len(done[key]) != 4 || !slices.IsSorted(done[key]) {
				t.Errorf("%s: %v", key, done[key])
			}
		}
	})
}

func TestAHandlerCompletesWithItsOutcome(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		b.begin(work.Options{}, handler{do: func(ctx context.Context, item *work.Item) error {
			return b.store.Update(ctx, func(tx store.Tx) error {
				if err := item.Complete(tx); err != nil {
					return err
				}
				b.log.note("%s", item.Key)
				return tx.PutRow("status", []byte(item.Key), []byte("READY"))
			})
		}}, work.Policy{})
		b.enqueue("a", "a")
		pass(time.Minute)
		b.expect("0 a, 0 a")
		if left := b.left("a"); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
	})
}

func TestTakesOverFromADeadProcessAtOnce(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		b.enqueue("a")
		b.update(func(tx store.Tx) error {
			_, err := tx.ClaimWork(us, []string{"k"}, time.Hour, 1)
			return err
		})
		b.begin(work.Options{Owner: next}, handler{do: func(_ context.Context, item *work.Item) error {
			b.log.note("%d", item.Attempt)
			return nil
		}}, work.Policy{})
		synctest.Wait()
		b.expect("0 2")
	})
}

func TestGivesUpWhatKillsTheProcess(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		b.enqueue("a")
		for i := range 3 {
			b.update(func(tx store.Tx) error {
				_, err := tx.ClaimWork(store.Owner{Node: "node", Process: fmt.Sprint("dead", i)}, []string{"k"}, time.Hour, 1)
				return err
			})
		}
		b.begin(work.Options{}, handler{
			do:     func(context.Context, *work.Item) error { t.Error("tried again"); return nil },
			failed: func(_ store.Tx, _ store.Work, cause error) error { b.log.note("%v", cause); return nil },
		}, work.Policy{MaxAttempts: 3})
		synctest.Wait()
		b.expect("0 the process ended during attempt 3")
	})
}

func TestStopGivesItemsBack(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		h := handler{do: func(ctx context.Context, item *work.Item) error {
			b.log.note("%d", item.Attempt)
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Minute):
				return nil
			}
		}}
		b.begin(work.Options{}, h, work.Policy{MaxAttempts: 1})
		b.enqueue("a")
		pass(30 * time.Second)
		b.end()
		if left := b.left("a"); len(left) != 1 || left[0].Owner.Valid() || left[0].Attempt != 0 {
			t.Errorf("left: %+v", left)
		}
		b.begin(work.Options{Owner: next}, h, work.Policy{MaxAttempts: 1})
		pass(2 * time.Minute)
		b.expect("0 1, 30 1")
		if left := b.left("a"); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
	})
}

func TestStopDoesNotWaitForEver(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		release := make(chan struct{})
		b.begin(work.Options{Grace: 5 * time.Second}, handler{do: func(context.Context, *work.Item) error {
			<-release
			return nil
		}}, work.Policy{})
		b.enqueue("a")
		synctest.Wait()
		b.stop()
		stopped := time.Now()
		if err := <-b.ended; err == nil || !strings.Contains(err.Error(), "1 handlers") || time.Since(stopped) != 5*time.Second {
			t.Errorf("after %s: %v", time.Since(stopped), err)
		}
		b.stop = nil
		close(release)
		synctest.Wait()
	})
}

func TestLongWorkKeepsItsClaimAndALostOneStops(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		b.begin(work.Options{}, handler{do: func(ctx context.Context, item *work.Item) error {
			<-ctx.Done()
			b.log.note("%v", context.Cause(ctx))
			return ctx.Err()
		}}, work.Policy{Timeout: time.Hour})
		b.enqueue("a")
		other := store.Owner{Node: "other", Process: "1"}
		claim := func(owner store.Owner) (n int) {
			b.update(func(tx store.Tx) error {
				items, err := tx.ClaimWork(owner, []string{"k"}, time.Hour, 1)
				if n = len(items); n == 0 || err != nil {
					return err
				}
				return tx.CompleteWork(items[0])
			})
			return n
		}
		pass(10 * time.Minute)
		if claim(other) != 0 {
			t.Error("another node took an item that is being done")
		}
		b.expect("")
		if claim(next) != 1 { // a process that believes us dead
			t.Error("not taken over")
		}
		pass(time.Minute)
		b.expect("610 the claim on the item was lost") // at the next heartbeat
	})
}

func TestRefusesBadSetUp(t *testing.T) {
	r := work.New(nil, work.Options{})
	if err := r.Run(t.Context()); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("run without an owner: %v", err)
	}
	if err := r.Register("k", handler{}, work.Policy{}); err != nil {
		t.Error(err)
	}
	if err := r.Register("k", handler{}, work.Policy{}); err == nil {
		t.Error("registered twice")
	}
}
