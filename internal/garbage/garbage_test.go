package garbage_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/outcrop/outcrop/internal/garbage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// call is one that a kind got.
type call struct {
	name string
	o    garbage.Options
}

// calls are those that kinds got. What Run does and what its test reads are not
// ordered by synctest.Wait alone.
type calls struct {
	mu   sync.Mutex
	list []call
}

func (c *calls) add(v call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, v)
}

func (c *calls) all() []call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.list)
}

// kinds are a cache, something that is kept, and one that fails.
func kinds(got *calls) []garbage.Kind {
	kind := func(name string, err error) garbage.Kind {
		return garbage.Kind{Name: name, Collect: func(_ context.Context, o garbage.Options) (garbage.Report, error) {
			got.add(call{name, o})
			return garbage.Report{Taken: garbage.Amount{Items: 2, Bytes: 7}, Left: garbage.Amount{Items: 1, Bytes: 3}}, err
		}}
	}
	cache, broken, kept := kind("cache", nil), kind("broken", errors.New("disk on fire")), kind("kept", nil)
	cache.Routine, kept.Kept = true, true
	return []garbage.Kind{cache, broken, kept}
}

func TestCollect(t *testing.T) {
	old := garbage.Options{All: true, Unused: time.Hour, Survey: true}
	spared := old
	spared.All = false
	for name, test := range map[string]struct {
		names []string
		o     garbage.Options
		want  []call
	}{
		"everything":     {nil, garbage.Options{DryRun: true}, []call{{"cache", garbage.Options{DryRun: true}}, {"broken", garbage.Options{DryRun: true}}, {"kept", garbage.Options{DryRun: true}}}},
		"all":            {nil, old, []call{{"cache", old}, {"broken", old}, {"kept", spared}}},
		"named":          {[]string{"kept", "cache"}, old, []call{{"cache", old}, {"kept", old}}},
		"something else": {[]string{"kept", "elsewhere"}, old, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got calls
			var log bytes.Buffer
			reports, err := garbage.New(kinds(&got), slog.New(slog.NewTextHandler(&log, nil))).Collect(t.Context(), test.names, test.o)
			if !slices.Equal(got.all(), test.want) || (err == nil) != (test.want != nil) {
				t.Errorf("calls %+v, %v; want %+v", got.all(), err, test.want)
			}
			for i, r := range reports {
				if r.Kind != test.want[i].name || r.Taken.Bytes != 7 || r.Left.Items != 1 || (r.Err != nil) != (r.Kind == "broken") {
					t.Errorf("report %+v", r)
				}
			}
			if told := strings.Contains(log.String(), "garbage collected"); told != (len(reports) > 0 && !test.o.DryRun) {
				t.Errorf("log: %s", &log)
			}
		})
	}
}

// TestTurns: two collections do not run at once, and whoever waits may leave.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, end := make(chan struct{}), make(chan struct{})
		c := garbage.New([]garbage.Kind{{Name: "slow", Collect: func(context.Context, garbage.Options) (garbage.Report, error) {
			begun <- struct{}{}
			<-end
			return garbage.Report{}, nil
		}}}, slog.New(slog.DiscardHandler))
		done := make(chan error, 2)
		for range 2 {
			go func() {
				_, err := c.Collect(t.Context(), nil, garbage.Options{})
				done <- err
			}()
		}
		<-begun
		synctest.Wait()
		select {
		case <-begun:
			t.Fatal("two at once")
		default:
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Collect(ctx, nil, garbage.Options{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a third: %v", err)
		}
		end <- struct{}{}
		<-begun
		end <- struct{}{}
		if err := errors.Join(<-done, <-done); err != nil {
			t.Error(err)
		}
	})
}

// TestRun collects what is routine, not at once, and again.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got calls
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- garbage.New(kinds(&got), slog.New(slog.DiscardHandler)).Run(ctx) }()
		for _, step := range []struct {
			after time.Duration
			calls int
		}{{4 * time.Minute, 0}, {2 * time.Minute, 1}, {time.Hour, 2}} {
			time.Sleep(step.after)
			synctest.Wait()
			if n := len(got.all()); n != step.calls {
				t.Errorf("%d calls after another %v, want %d", n, step.after, step.calls)
			}
		}
		for _, c := range got.all() {
			if c.name != "cache" || c.o != (garbage.Options{}) {
				t.Errorf("%+v", c)
			}
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}
