package main

import (
	"context"
	"fmt"
	"time"

	"github.com/outcrop/outcrop/conformance/bench/figures"
	"github.com/outcrop/outcrop/internal/sandbox"
)

// heaps are what guests hold, in MiB, and resumes how often each is resumed.
func heaps() []int { return []int{0, 50, 200, 400} }

const resumes = 5

// imagesRow saves and resumes guests of several sizes, by the engine alone.
func imagesRow(ctx context.Context, o options, report *figures.Report) error {
	r, err := openRig(ctx, o)
	if err != nil {
		return err
	}
	defer r.close()
	fmt.Printf("\n%-30s %10s %12s %12s %16s\n", "checkpoint and restore", "image", "checkpoint", "restore", "first answer")
	for _, heap := range heaps() {
		i, err := r.image(ctx, heap)
		if err != nil {
			return err
		}
		report.Images = append(report.Images, i)
		fmt.Printf("heap %3d MiB %27d MB %12s %12s %16s\n", heap, i.Size/1e6, ms(time.Duration(i.Save)), ms(time.Duration(i.Resume)), ms(time.Duration(i.Answer)))
	}
	fmt.Printf("medians of %d, in memory, a static Go server that holds noise; restore and first answer count from the same beginning\n", resumes)
	return nil
}

// image measures one size.
func (r *rig) image(ctx context.Context, heap int) (figures.Image, error) {
	spec := r.spec(fmt.Sprint("heap-", heap), heap)
	s, err := r.Start(ctx, spec)
	if err != nil {
		return figures.Image{}, err
	}
	defer s.Stop(ctx, 0)
	t := inside(s)
	if err := answers(ctx, t); err != nil {
		return figures.Image{}, err
	}
	t.CloseIdleConnections()
	var saved sandbox.Snapshot
	var saves, resumed, answered []time.Duration
	for range resumes {
		if saved != nil {
			saved.Close()
		}
		begun := time.Now()
		if saved, err = s.Save(ctx, true); err != nil {
			return figures.Image{}, err
		}
		saves = append(saves, time.Since(begun))
	}
	defer saved.Close()
	spec.Snapshot = saved
	for i := range resumes {
		spec.ID = fmt.Sprint("copy-", heap, "-", i)
		up, all, err := r.resume(ctx, spec)
		if err != nil {
			return figures.Image{}, err
		}
		resumed, answered = append(resumed, up), append(answered, all)
	}
	return figures.Image{
		Heap: int64(heap) << 20, Size: saved.Size(), Save: int64(median(saves)), Resume: int64(median(resumed)), Answer: int64(median(answered)),
	}, nil
}

// resume starts a copy, asks it once and ends it.
func (r *rig) resume(ctx context.Context, spec sandbox.Spec) (up, answered time.Duration, err error) {
	begun := time.Now()
	s, err := r.Start(ctx, spec)
	if err != nil {
		return 0, 0, err
	}
	up = time.Since(begun)
	t := inside(s)
	err = answers(ctx, t)
	answered = time.Since(begun)
	t.CloseIdleConnections()
	if stopErr := s.Stop(ctx, 0); err == nil {
		err = stopErr
	}
	return up, answered, err
}
