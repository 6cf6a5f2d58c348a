package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// PruneOptions say what Prune removes. What is open, and what Config.Keep returns,
// it leaves alone in any case.
type PruneOptions struct {
	// Owners returns all owners there are. It is asked once the directories are
	// known: those of a later owner are left. Nil: all have one.
	Owners func() ([]string, error)
	// All removes what is not too old yet too.
	All bool
	// Unused is how long nobody may have used what is removed.
	Unused time.Duration
	DryRun bool
	// Survey measures what is left.
	Survey bool
}

// Pruned says what Prune removed, or would have, and what is left.
type Pruned struct {
	Places, Left     int
	Bytes, LeftBytes int64
}

// Prune removes the directories that nobody has used for MaxAge and those of
// owners that are gone.
func (s *Store) Prune(o PruneOptions) (Pruned, error) {
	var done Pruned
	places, err := s.places()
	if err != nil {
		return done, fmt.Errorf("prune session storage: %w", err)
	}
	orphaned, err := s.orphaned(o.Owners)
	if err != nil {
		return done, fmt.Errorf("prune session storage: %w", err)
	}
	var errs []error
	for _, place := range places {
		var size int64
		if o.Survey || s.due(place, o, orphaned) {
			size = measure(filepath.Join(place, dataName))
		}
		gone, err := s.prune(place, o, orphaned)
		errs = append(errs, err)
		if gone {
			done.Places++
			done.Bytes += size
		} else if o.Survey {
			done.Left++
			done.LeftBytes += size
		}
	}
	if err := errors.Join(errs...); err != nil {
		return done, fmt.Errorf("prune session storage: %w", err)
	}
	return done, nil
}

// places are the directories of sessions, those of what is being removed and of
// templates left out.
func (s *Store) places() ([]string, error) {
	owners, err := os.ReadDir(s.cfg.Dir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, o := range owners {
		if o.Name() == trashName || o.Name() == scratchName {
			continue
		}
		parent := filepath.Join(s.cfg.Dir, o.Name())
		places, err := os.ReadDir(parent)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // its owner goes
			return nil, err
		}
		for _, p := range places {
			out = append(out, filepath.Join(parent, p.Name()))
		}
	}
	return out, nil
}

// orphaned tells places whose owner is gone.
func (s *Store) orphaned(ask func() ([]string, error)) (func(place string) bool, error) {
	if ask == nil {
		return func(string) bool { return false }, nil
	}
	owners, err := ask()
	if err != nil {
		return nil, err
	}
	dirs := map[string]bool{}
	for _, o := range owners {
		dirs[s.ownerDir(o)] = true
	}
	return func(place string) bool { return !dirs[filepath.Dir(place)] }, nil
}

// due reports whether a place is to be removed, as it looks.
func (s *Store) due(place string, o PruneOptions, orphaned func(string) bool) bool {
	i, err := os.Stat(filepath.Join(place, infoName))
	if errors.Is(err, fs.ErrNotExist) { // a killed process was making it
		i, err = os.Stat(place)
	}
	if err != nil {
		return false
	}
	age := s.cfg.Now().Sub(i.ModTime())
	return age >= o.Unused && (o.All || age >= s.cfg.MaxAge || orphaned(place))
}

// prune removes one place if it is to be, and nobody has it or comes back to it.
func (s *Store) prune(place string, o PruneOptions, orphaned func(string) bool) (gone bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[place] > 0 || !s.due(place, o, orphaned) {
		return false, nil
	}
	if s.cfg.Keep != nil {
		for _, k := range s.cfg.Keep() {
			if s.place(k) == place {
				return false, nil
			}
		}
	}
	if o.DryRun {
		return true, nil
	}
	if err := s.discard(place); err != nil {
		return false, err
	}
	_ = os.Remove(filepath.Dir(place)) // if it was its owner's last
	return true, nil
}
