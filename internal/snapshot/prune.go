package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/durable"
)

// PruneOptions say what Prune removes. What is being used, loaded or written it
// leaves alone in any case.
type PruneOptions struct {
	// Known returns the owners and parts that there are; IDs are not looked at. It
	// is asked once the files are known: what is made later is left. Nil: all are.
	Known func() ([]Key, error)
	// All removes what is of use too.
	All bool
	// Unused is how long nobody may have used what is removed. Before this process
	// it is not known when that was, and the time of making counts.
	Unused time.Duration
	DryRun bool
}

// Pruned says what Prune removed, or would have.
type Pruned struct {
	Files int
	Bytes int64
}

// Prune removes the snapshots that are too old to be used and those of owners and
// parts that are gone. Guests that were resumed from them live on.
func (s *Store) Prune(o PruneOptions) (Pruned, error) {
	var done Pruned
	s.mu.Lock()
	var all []*file
	for _, f := range s.files {
		all = append(all, f)
	}
	s.mu.Unlock()
	known, err := s.known(o.Known)
	if err != nil {
		return done, fmt.Errorf("prune snapshots: %w", err)
	}
	var errs []error
	for _, f := range all {
		gone, err := s.prune(f, o, known)
		errs = append(errs, err)
		if gone {
			done.Files++
			done.Bytes += f.size
		}
	}
	if !o.DryRun && done.Files > 0 {
		errs = append(errs, durable.Dir(s.cfg.Dir))
	}
	if err := errors.Join(errs...); err != nil {
		return done, fmt.Errorf("prune snapshots: %w", err)
	}
	return done, nil
}

// known are the beginnings of the names of what there is; nil: all.
func (s *Store) known(ask func() ([]Key, error)) (map[string]bool, error) {
	if ask == nil {
		return nil, nil
	}
	keys, err := ask()
	if err != nil {
		return nil, err
	}
	out := map[string]bool{}
	for _, k := range keys {
		out[s.prefix(k)] = true
	}
	return out, nil
}

// prefix begins the names of all files of an owner's part.
func (s *Store) prefix(k Key) string { return s.hash(k.Owner) + "-" + s.hash(k.Owner, k.Part) + "-" }

// prune removes one file if it is to be, and nobody has to do with it now. The
// file goes with the mutex held: whoever makes another of its name waits for it.
func (s *Store) prune(f *file, o PruneOptions, known map[string]bool) (gone bool, err error) {
	var idle []*loaded
	defer func() { s.close(idle) }()
	s.mu.Lock()
	defer s.mu.Unlock()
	busy := s.files[f.name] != f || s.writing[f.name] > 0 || f.load != nil || f.loaded != nil && f.loaded.users > 0
	needed := !o.All && !s.expired(f) && (known == nil || known[f.name[:strings.LastIndexByte(f.name, '-')+1]])
	if busy || needed || s.cfg.Now().Sub(f.used) < o.Unused {
		return false, nil
	}
	if o.DryRun {
		return true, nil
	}
	if err := os.Remove(filepath.Join(s.cfg.Dir, f.name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	idle = s.forget(f.name)
	return true, nil
}

// PruneAbandoned removes what was half-written and has not been written to for a
// time, which is longer than a write takes.
func (s *Store) PruneAbandoned(unused time.Duration, dryRun bool) (Pruned, error) {
	var done Pruned
	entries, err := os.ReadDir(s.cfg.Dir)
	if err != nil {
		return done, fmt.Errorf("prune snapshots: %w", err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !strings.HasPrefix(e.Name(), tmpPrefix) || s.cfg.Now().Sub(info.ModTime()) < unused {
			continue // it has its name by now, or is being written
		}
		if !dryRun {
			if err := os.Remove(filepath.Join(s.cfg.Dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return done, fmt.Errorf("prune snapshots: %w", err)
			}
		}
		done.Files++
		done.Bytes += info.Size()
	}
	return done, nil
}
