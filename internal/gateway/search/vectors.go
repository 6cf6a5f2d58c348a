package search

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
)

// The bounds of embedding.
const (
	// batch is how many texts are embedded in one call, which servers bound (Text Embeddings
	// Inference at 32); batchBudget is how long it may take.
	batch       = 32
	batchBudget = 2 * time.Minute
	// firstRetry is how long a gateway's tools wait after a failure; the wait doubles up
	// to lastRetry.
	firstRetry = 15 * time.Second
	lastRetry  = 10 * time.Minute
	// queryRest is how long no query is embedded after one could not be: a provider that
	// hangs would slow each search down.
	queryRest = 15 * time.Second
	// maxCached is how much memory the vectors of texts may have that no gateway has at
	// present, or that several have, in bytes.
	maxCached = 64 << 20
)

// Config is what Vectors need. Log and Now are required.
type Config struct {
	// Embedder is nil where no model is configured: words alone find tools then.
	Embedder Embedder
	// Budget is how long a search waits for the vector of its query; 0 is a second.
	Budget time.Duration
	Log    *slog.Logger
	Now    func() time.Time
}

// Vectors are those of all gateways' tools. They are made in the background, by Run, once
// for each text: a target that changes costs what is new of it.
type Vectors struct {
	cfg Config
	// changed has something in it when jobs have come.
	changed chan struct{}
	// resting is until when no query is embedded, in Unix nanoseconds.
	resting atomic.Int64
	// probed is set when the model has been asked what japanese says: whether it knows it.
	probed, japanese atomic.Bool

	mu    sync.Mutex
	cache cache
	jobs  []*job // in the order in which they came
}

// job is a gateway whose tools lack vectors.
type job struct {
	gateway string
	finder  *Finder
	due     time.Time
	wait    time.Duration // after the next failure
}

// NewVectors returns vectors of which there are none yet.
func NewVectors(cfg Config) *Vectors {
	return &Vectors{cfg: cfg, changed: make(chan struct{}, 1), cache: newCache(maxCached)}
}

// Finder indexes the tools of a gateway, which can be found by words as soon as it returns;
// vectors come when Run has made them. It takes the place of the gateway's earlier one.
func (v *Vectors) Finder(gateway string, entries []Entry) *Finder {
	f := &Finder{Index: New(entries), vectors: v, embedded: make(chan struct{})}
	if v.cfg.Embedder == nil {
		return f
	}
	v.Forget(gateway)
	if v.known(f) || f.Len() == 0 {
		return f // nothing is new to us
	}
	v.mu.Lock()
	v.jobs = append(v.jobs, &job{gateway: gateway, finder: f, due: v.cfg.Now(), wait: firstRetry})
	v.mu.Unlock()
	select {
	case v.changed <- struct{}{}:
	default: // Run has it before it already
	}
	return f
}

// Forget makes no more vectors for a gateway that is gone.
func (v *Vectors) Forget(gateway string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	kept := v.jobs[:0]
	for _, j := range v.jobs {
		if j.gateway != gateway {
			kept = append(kept, j)
		}
	}
	clear(v.jobs[len(kept):])
	v.jobs = kept
}

// Run makes vectors until ctx ends.
func (v *Vectors) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		j, wait := v.next()
		if j == nil {
			v.sleep(ctx, wait)
			continue
		}
		err := v.embed(ctx, j.finder)
		if ctx.Err() != nil {
			break
		}
		v.done(ctx, j, err)
	}
	return nil
}

// next is the first job that is due, or how long to wait for one; 0 is for ever.
func (v *Vectors) next() (*job, time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now, wait := v.cfg.Now(), time.Duration(0)
	for _, j := range v.jobs {
		left := j.due.Sub(now)
		if left <= 0 {
			return j, 0
		}
		if wait == 0 || left < wait {
			wait = left
		}
	}
	return nil, wait
}

func (v *Vectors) sleep(ctx context.Context, wait time.Duration) {
	var due <-chan time.Time
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-ctx.Done():
	case <-v.changed:
	case <-due:
	}
}

// done ends a job, or tells when it is tried again.
func (v *Vectors) done(ctx context.Context, j *job, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err == nil {
		for i, other := range v.jobs {
			if other == j { // and not a newer one of the gateway's
				v.jobs = append(v.jobs[:i], v.jobs[i+1:]...)
				break
			}
		}
		return
	}
	v.cfg.Log.WarnContext(ctx, "tools have no embeddings yet; words alone find them", "gateway", j.gateway,
		"model", v.cfg.Embedder.Model(), "tools", j.finder.Len(), "again", j.wait, "error", err)
	j.due, j.wait = v.cfg.Now().Add(j.wait), min(2*j.wait, lastRetry)
}

// digest stands for a text as a model reads it.
type digest [sha256.Size]byte

func (v *Vectors) digest(kind, text string) digest {
	return sha256.Sum256([]byte(kind + "\x00" + v.cfg.Embedder.Model() + "\x00" + text))
}

// known gives a finder its vectors where all are there already.
func (v *Vectors) known(f *Finder) bool {
	tools, missing := v.lookup(f)
	if len(missing) > 0 {
		return false
	}
	f.tools.Store(&tools)
	close(f.embedded)
	return true
}

// lookup is what is there of a finder's vectors, and the positions of what is not.
func (v *Vectors) lookup(f *Finder) (tools []vector, missing []int) {
	tools = make([]vector, len(f.texts))
	v.mu.Lock()
	defer v.mu.Unlock()
	for i, text := range f.texts {
		if tools[i] = v.cache.get(v.digest("tool", text)); tools[i] == nil {
			missing = append(missing, i)
		}
	}
	return tools, missing
}

// embed makes what a finder lacks. What was made before a failure is kept.
func (v *Vectors) embed(ctx context.Context, f *Finder) error {
	if !v.probed.Load() {
		knows, err := knowsJapanese(ctx, v.documents)
		if err != nil {
			return err
		}
		v.japanese.Store(knows)
		v.probed.Store(true)
		v.cfg.Log.InfoContext(ctx, "tool search has a model for embeddings", "model", v.cfg.Embedder.Model(), "japanese", knows)
	}
	tools, missing := v.lookup(f)
	for len(missing) > 0 {
		some := missing[:min(len(missing), batch)]
		missing = missing[len(some):]
		texts := make([]string, len(some))
		for n, i := range some {
			texts[n] = f.texts[i]
		}
		made, err := v.documents(ctx, texts)
		if fault.Is(err, refusal) {
			made, err = v.oneByOne(ctx, texts)
		}
		if err != nil {
			return err
		}
		for n, i := range some {
			tools[i] = made[n]
		}
	}
	f.tools.Store(&tools)
	close(f.embedded)
	return nil
}

// refusal is the code of what a model does not take: a text that has too many tokens for it.
const refusal = "ValidationException"

// oneByOne embeds texts of which one or more are refused. Those have no vector: words alone
// find their tools, and all others are found by both.
func (v *Vectors) oneByOne(ctx context.Context, texts []string) ([]vector, error) {
	out := make([]vector, len(texts))
	for i, text := range texts {
		made, err := v.documents(ctx, []string{text})
		switch {
		case fault.Is(err, refusal):
			v.cfg.Log.WarnContext(ctx, "the model refuses the text of a tool; words alone find it", "model", v.cfg.Embedder.Model(), "text", clip(text, 80), "error", err)
		case err != nil:
			return nil, err
		default:
			out[i] = made[0]
		}
	}
	return out, nil
}

// documents embeds some texts and keeps their vectors.
func (v *Vectors) documents(ctx context.Context, texts []string) ([]vector, error) {
	ctx, cancel := context.WithTimeout(ctx, batchBudget)
	defer cancel()
	got, err := v.cfg.Embedder.Documents(ctx, texts)
	if err != nil {
		return nil, err
	}
	if len(got) != len(texts) {
		return nil, fmt.Errorf("%d vectors came for %d texts", len(got), len(texts))
	}
	out := make([]vector, len(got))
	for i := range got {
		if out[i], err = unit(got[i]); err != nil {
			return nil, err
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := range out {
		v.cache.put(v.digest("tool", texts[i]), out[i])
	}
	return out, nil
}

// query is the vector of a query, if it can be had in time.
func (v *Vectors) query(ctx context.Context, text string) (vector, bool) {
	key := v.digest("query", text)
	v.mu.Lock()
	known := v.cache.get(key)
	v.mu.Unlock()
	if known != nil {
		return known, true
	}
	if v.cfg.Now().UnixNano() < v.resting.Load() {
		return nil, false
	}
	budget, cancel := context.WithTimeout(ctx, cmp.Or(v.cfg.Budget, queryBudget))
	defer cancel()
	got, err := v.cfg.Embedder.Query(budget, text)
	var made vector
	if err == nil {
		made, err = unit(got)
	}
	if err != nil {
		// Where the caller has gone, or this text alone is refused, the next may be embedded.
		if ctx.Err() == nil && !fault.Is(err, refusal) {
			v.resting.Store(v.cfg.Now().Add(queryRest).UnixNano())
			v.cfg.Log.WarnContext(ctx, "a query has no embedding; words alone find tools for a while", "model", v.cfg.Embedder.Model(), "rest", queryRest, "error", err)
		}
		return nil, false
	}
	v.mu.Lock()
	v.cache.put(key, made)
	v.mu.Unlock()
	return made, true
}
