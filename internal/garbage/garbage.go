// Package garbage collects what a server keeps on its disk and nobody needs any
// more. What that is, those know who keep it, one for each Kind; this package asks
// them in turn, whenever somebody wants it and by itself now and then.
package garbage

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// Options say what a collection takes. Nothing that is in use is ever taken.
type Options struct {
	// All also takes what is of use but not in use: caches, which are filled
	// again, and of a kind that cannot be made again only if it is asked for by
	// its name.
	All bool
	// Unused is how long nobody may have used what is taken.
	Unused time.Duration
	// DryRun takes nothing and tells what would be taken.
	DryRun bool
	// Survey tells the size of what is left too, which takes a look at all files.
	Survey bool
}

// Amount is a number of things and what their files have, in bytes.
type Amount struct{ Items, Bytes int64 }

// Add counts one more thing.
func (a *Amount) Add(bytes int64) {
	a.Items++
	a.Bytes += bytes
}

// Report is what became of a kind.
type Report struct {
	Kind string
	// Taken is what was removed, or would be. Left is all else, if a survey was
	// asked for.
	Taken, Left Amount
	// Err is what kept some of it from being removed.
	Err error
}

// Kind is one kind of things. Its Collect may run beside anything else that uses
// them, and counts in its report what it has done before an error.
type Kind struct {
	Name string
	// Kept says that what of it is of use cannot be made again.
	Kept bool
	// Routine says that Run collects it.
	Routine bool
	Collect func(context.Context, Options) (Report, error)
}

// Collector collects, one collection at a time.
type Collector struct {
	kinds []Kind
	log   *slog.Logger
	turn  chan struct{} // holds one token
}

// New returns a Collector of these kinds, which are collected in this order.
func New(kinds []Kind, log *slog.Logger) *Collector {
	c := &Collector{kinds: kinds, log: log, turn: make(chan struct{}, 1)}
	c.turn <- struct{}{}
	return c
}

// Collect collects the named kinds, or all when none is named, and reports on
// each. What goes wrong with one keeps no other from being collected. The error is
// that of ctx, or says that there is no such kind.
func (c *Collector) Collect(ctx context.Context, names []string, o Options) ([]Report, error) {
	for _, name := range names {
		if !slices.ContainsFunc(c.kinds, func(k Kind) bool { return k.Name == name }) {
			return nil, fmt.Errorf("collect garbage: there is no kind %q", name)
		}
	}
	return c.collect(ctx, o, func(k Kind) (wanted, named bool) {
		named = slices.Contains(names, k.Name)
		return named || len(names) == 0, named
	})
}

func (c *Collector) collect(ctx context.Context, o Options, wants func(Kind) (wanted, named bool)) ([]Report, error) {
	select {
	case <-c.turn:
		defer func() { c.turn <- struct{}{} }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	var all []Report
	for _, k := range c.kinds {
		wanted, named := wants(k)
		if !wanted {
			continue
		}
		mine := o
		mine.All = o.All && (!k.Kept || named)
		r, err := k.Collect(ctx, mine)
		if ctx.Err() != nil {
			return all, context.Cause(ctx)
		}
		if err != nil {
			c.log.Error("collect garbage", "kind", k.Name, "error", err)
		}
		if r.Taken.Items > 0 && !o.DryRun {
			c.log.Info("garbage collected", "kind", k.Name, "number", r.Taken.Items, "bytes", r.Taken.Bytes)
		}
		r.Kind, r.Err = k.Name, err
		all = append(all, r)
	}
	return all, nil
}

// The pauses of Run. The first is long enough for a server to have started and
// its clients to have come back.
const (
	firstAfter = 5 * time.Minute
	every      = time.Hour
)

// Run collects what is routine, now and then, until ctx ends.
func (c *Collector) Run(ctx context.Context) error {
	timer := time.NewTimer(firstAfter)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		// What goes wrong is logged, and tried again.
		_, _ = c.collect(ctx, Options{}, func(k Kind) (wanted, named bool) { return k.Routine, false })
		timer.Reset(every)
	}
}
