package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/outcrop/outcrop/internal/garbage"
	"github.com/outcrop/outcrop/internal/image/oci"
)

// interrupted is how long layers of a pull that did not end wait for the next.
const interrupted = time.Hour

// PruneImages removes unpacked images that no version has, and layers that no image
// has. With o.All also the images of versions that no endpoint and no session runs,
// if their registry has them still. What a session holds stays in any case.
func (s *Service) PruneImages(ctx context.Context, o garbage.Options) (r garbage.Report, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("prune images: %w", err)
		}
	}()
	spare := map[string]bool{} // digests that can be pulled again
	unused := max(o.Unused, interrupted)
	if o.All {
		unused = o.Unused
		if spare, err = s.spareImages(ctx, o); err != nil {
			return r, err
		}
	}
	keep, failed := s.keepImages(ctx, spare)
	done, err := s.cfg.Images.Prune(ctx, oci.PruneOptions{Unused: unused, DryRun: o.DryRun, Keep: keep})
	if err := errors.Join(err, failed()); err != nil {
		return r, err
	}
	left, err := s.cfg.Images.Usage()
	if err != nil {
		return r, err
	}
	r.Taken = garbage.Amount{Items: int64(len(done.Images)), Bytes: done.Bytes}
	r.Left = garbage.Amount{Items: int64(len(left.Images)), Bytes: left.Bytes}
	if o.DryRun {
		r.Left.Items -= r.Taken.Items
		r.Left.Bytes -= r.Taken.Bytes
	}
	return r, nil
}

// spareImages are those of versions that nobody runs and that could be pulled again.
func (s *Service) spareImages(ctx context.Context, o garbage.Options) (map[string]bool, error) {
	stored, err := s.cfg.Images.Usage()
	if err != nil {
		return nil, err
	}
	usage, err := s.codeUsage(ctx)
	if err != nil {
		return nil, err
	}
	spare := map[string]bool{}
	for _, i := range stored.Images {
		versions := usage.idle[i.Digest]
		if i.Held || len(versions) == 0 || s.cfg.Now().Sub(i.Used) < o.Unused {
			continue
		}
		if spare[i.Digest], err = s.fetchable(ctx, versions); err != nil {
			return nil, err
		}
	}
	return spare, nil
}

// keepImages tells what Prune leaves. It looks once, when it is asked first: whoever
// gave an image up before that has said in the store why. Where it cannot look, all
// stays.
func (s *Service) keepImages(ctx context.Context, spare map[string]bool) (keep func(string) bool, failed func() error) {
	var needed map[string]bool
	var err error
	keep = func(digest string) bool {
		if needed == nil && err == nil {
			needed, err = s.needed(ctx, spare)
		}
		return err != nil || needed[digest]
	}
	return keep, func() error { return err }
}

// dropImages removes those among some digests that nobody needs any more. It reports
// whether one is still held.
func (s *Service) dropImages(ctx context.Context, digests []string) (held bool, err error) {
	needed, failed := s.keepImages(ctx, nil)
	keep := func(digest string) bool { return !slices.Contains(digests, digest) || needed(digest) }
	if _, err := s.cfg.Images.Prune(ctx, oci.PruneOptions{Keep: keep}); err != nil {
		return false, err
	}
	for _, digest := range digests {
		if needed(digest) {
			continue
		}
		i, err := s.cfg.Images.Open(digest)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return false, err
		}
		i.Release()
		held = true // by who lets go soon, such as a snapshot in the making
	}
	return held, failed()
}
