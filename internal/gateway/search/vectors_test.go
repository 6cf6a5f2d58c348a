package search_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway/search"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// topics is an embedder whose vectors say which of some topics a text is about.
type topics struct {
	mu    sync.Mutex
	asked []string
	fails error
	// hangs has it wait for the end of the context.
	hangs bool
	bad   []float32
}

func (e *topics) Model() string { return "topics" }

func (e *topics) vector(ctx context.Context, text string) ([]float32, error) {
	e.mu.Lock()
	e.asked = append(e.asked, text)
	fails, hangs, bad := e.fails, e.hangs, e.bad
	e.mu.Unlock()
	if strings.Contains(text, "too long") {
		return nil, fault.Validation("more than 512 tokens")
	}
	if hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if fails != nil || bad != nil {
		return bad, fails
	}
	out := []float32{0.01, 0, 0, 0}
	for i, words := range []string{"contact somebody", "forecast umbrella", "restart 再起動 frozen", "経費 dinner"} {
		for _, word := range strings.Fields(words) {
			if strings.Contains(text, word) {
				out[i] += 2
			}
		}
	}
	return out, nil
}

func (e *topics) Query(ctx context.Context, text string) ([]float32, error) {
	return e.vector(ctx, "query "+text)
}

func (e *topics) Documents(ctx context.Context, texts []string) ([][]float32, error) {
	var out [][]float32
	for _, text := range texts {
		v, err := e.vector(ctx, text)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func (e *topics) set(fails error, hangs bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fails, e.hangs = fails, hangs
}

func (e *topics) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.asked)
}

// probes is how many texts tell whether a model knows Japanese.
const probes = 24

// started are vectors that are made until the test ends, and their log.
func started(t *testing.T, e search.Embedder) (*search.Vectors, *strings.Builder) {
	log := &strings.Builder{}
	v := search.NewVectors(search.Config{Embedder: e, Log: slog.New(slog.NewTextHandler(log, nil)), Now: time.Now})
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error)
	go func() { stopped <- v.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
	return v, log
}

func first(f *search.Finder, query string) string {
	got := f.Find(context.Background(), query, 1, nil)
	if len(got) == 0 {
		return ""
	}
	return entries[got[0]].ID
}

// TestFinder answers by words at once and by vectors when they have come, which are made
// once for each text.
func TestFinder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &topics{}
		v, log := started(t, e)
		f := v.Finder("g", entries)
		if got := first(f, "umbrella weather"); got != "weather___get_forecast" {
			t.Errorf("by words at once: %q", got)
		}
		<-f.Embedded()
		made := e.count() // the first question is among them where vectors came before it
		if made != len(entries)+probes && made != len(entries)+probes+1 {
			t.Errorf("%d texts embedded", made)
		}
		if got := first(f, "frozen"); got != "infra___restartServer" || e.count() != made+1 {
			t.Errorf("by vectors: %q, %d texts embedded", got, e.count())
		}
		changed := append(entries[:len(entries):len(entries)], entry("new___tool", "somebody", `{}`))
		g := v.Finder("g", changed)
		<-g.Embedded()
		if got := first(g, "frozen"); got != "infra___restartServer" || e.count() != made+2 {
			t.Errorf("%q, %d texts embedded", got, e.count())
		}
		if h := v.Finder("other", entries[:2]); h.Find(t.Context(), "x", 1, nil) == nil {
			t.Error("what is known already is not used at once")
		}
		if strings.Contains(log.String(), "WARN") {
			t.Error(log)
		}
	})
}

// TestWithoutEmbedder has words alone.
func TestWithoutEmbedder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, _ := started(t, nil)
		f := v.Finder("g", entries)
		if got := first(f, "forecast"); got != "weather___get_forecast" {
			t.Error(got)
		}
		if got := first(f, "zzz"); got != "" {
			t.Error(got)
		}
	})
}

// TestFailingEmbedder leaves words, tries again, and says so.
func TestFailingEmbedder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &topics{fails: errors.New("planted")}
		v, log := started(t, e)
		f := v.Finder("g", entries)
		synctest.Wait()
		if got := first(f, "forecast"); got != "weather___get_forecast" {
			t.Error(got)
		}
		time.Sleep(time.Minute) // two more tries
		synctest.Wait()
		if n := strings.Count(log.String(), "planted"); n != 3 || !strings.Contains(log.String(), "gateway=g") {
			t.Errorf("%d lines: %s", n, log)
		}
		// Another gateway does not wait for this one, and a newer one takes its place.
		e.set(nil, false)
		other := v.Finder("other", entries[:3])
		synctest.Wait()
		select {
		case <-other.Embedded():
		default:
			t.Error("one gateway waits for another")
		}
		f = v.Finder("g", entries)
		synctest.Wait()
		select {
		case <-f.Embedded():
		default:
			t.Error("a change waits for an earlier failure")
		}
		v.Forget("g")
	})
}

// TestRefusedText leaves its tool to words, and the others have their vectors.
func TestRefusedText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, log := started(t, &topics{})
		f := v.Finder("g", append(entries[:len(entries):len(entries)], entry("new___tool", "too long for the model", `{}`)))
		<-f.Embedded()
		if got := first(f, "frozen"); got != "infra___restartServer" {
			t.Errorf("by vectors: %q", got)
		}
		if got := f.Find(t.Context(), "model too long", 1, nil); fmt.Sprint(got) != fmt.Sprint([]int{len(entries)}) {
			t.Errorf("by words: %v", got)
		}
		if got := first(f, "frozen solid"); got != "infra___restartServer" {
			t.Errorf("after a query that is refused: %q", got)
		}
		if n := strings.Count(log.String(), "refuses the text"); n != 1 || !strings.Contains(log.String(), "512 tokens") {
			t.Errorf("%d lines: %s", n, log)
		}
	})
}

// TestSlowQuery takes no longer than the budget, and the next ones nothing at all.
func TestSlowQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &topics{}
		v, log := started(t, e)
		f := v.Finder("g", entries)
		<-f.Embedded()
		e.set(nil, true)
		begun := time.Now()
		for range 3 {
			if got := first(f, "forecast"); got != "weather___get_forecast" {
				t.Error(got)
			}
		}
		if took := time.Since(begun); took != time.Second {
			t.Errorf("three searches took %v", took)
		}
		e.set(nil, false)
		if got := first(f, "frozen"); got != "" {
			t.Errorf("asked while resting: %s", got)
		}
		time.Sleep(16 * time.Second)
		if got := first(f, "frozen"); got != "infra___restartServer" {
			t.Errorf("after it: %q", got)
		}
		if n := strings.Count(log.String(), "no embedding"); n != 1 {
			t.Errorf("%d lines: %s", n, log)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		e.set(nil, true)
		if got := f.Find(gone, "contact", 1, nil); len(got) != 1 || strings.Count(log.String(), "no embedding") != 1 {
			t.Errorf("a caller that has gone: %v %s", got, log)
		}
	})
}

// TestBadVectors are refused: they would find anything.
func TestBadVectors(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for i, bad := range [][]float32{{}, {0, 0}, {nan, 1}, {inf, 1}, make([]float32, 1<<15)} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v, log := started(t, &topics{bad: bad})
				f := v.Finder("g", entries)
				synctest.Wait()
				if got := first(f, "forecast"); got != "weather___get_forecast" || !strings.Contains(log.String(), "a vector has") {
					t.Errorf("%s %s", got, log)
				}
			})
		})
	}
}

func BenchmarkFind(b *testing.B) {
	v := search.NewVectors(search.Config{Embedder: constant{}, Log: slog.New(slog.DiscardHandler), Now: time.Now})
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error)
	go func() { done <- v.Run(ctx) }()
	f := v.Finder("g", thousand())
	<-f.Embedded()
	b.ReportAllocs()
	for b.Loop() {
		f.Find(ctx, "please list the open pull requests of the repository", search.Most, nil)
	}
	cancel()
	<-done
}

// constant has vectors as long as those of small models.
type constant struct{}

func (constant) Model() string { return "constant" }

func (constant) Query(context.Context, string) ([]float32, error) {
	return append(make([]float32, 383), 1), nil
}

func (c constant) Documents(ctx context.Context, texts []string) ([][]float32, error) {
	out := make([][]float32, len(texts))
	for i, text := range texts {
		out[i], _ = c.Query(ctx, text)
		out[i][0] = float32(len(text))
	}
	return out, nil
}
