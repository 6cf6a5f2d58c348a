package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/outcrop/outcrop/internal/session/storage"
	"github.com/outcrop/outcrop/internal/snapshot"
)

// PruneOptions say which of the sessions that hibernate Prune ends.
type PruneOptions struct {
	// Basis returns what a version of a session's owner is made from now, as in
	// Plan.Basis, and ErrNotFound when there is no such version any more. Nil: as
	// it was.
	Basis func(ctx context.Context, key Key, version string) (string, error)
	// All ends those that can be resumed too.
	All bool
	// Unused is how long nobody may have asked for it.
	Unused time.Duration
	DryRun bool
}

// Pruned says how many sessions Prune ended, or would have, and how many still
// hibernate, with the sizes of their files in bytes.
type Pruned struct {
	Ended, Left      int
	Bytes, LeftBytes int64
}

// Prune ends the sessions that hibernate and can never be resumed: their engine,
// their code or their version is another by now, or their file is gone. One that
// somebody asks for meanwhile is left alone.
func (m *Manager) Prune(ctx context.Context, o PruneOptions) (Pruned, error) {
	var done Pruned
	m.mu.Lock()
	var all []*sleeper
	for _, d := range m.asleep {
		all = append(all, d)
	}
	m.mu.Unlock()
	for _, d := range all {
		why, err := d.useless(ctx, o)
		if err != nil {
			return done, fmt.Errorf("prune session %s: %w", d.state.Key.ID, err)
		}
		if why != "" && (o.DryRun || d.finish(why)) {
			done.Ended++
			done.Bytes += d.state.Size
			continue
		}
		done.Left++
		done.LeftBytes += d.state.Size
	}
	return done, nil
}

// useless is why a sleeper is to be ended, or empty.
func (d *sleeper) useless(ctx context.Context, o PruneOptions) (why string, err error) {
	if time.Since(d.state.LastUsed) < o.Unused {
		return "", nil
	}
	if o.All {
		return "it was pruned", nil
	}
	m := d.m
	const never = "it hibernated and could not be resumed any more: "
	if d.lost() {
		return never + "its snapshot is gone", nil
	}
	if d.state.Engine != "" && d.state.Engine != m.cfg.Engine.Capabilities().SnapshotKey {
		return never + "the engine is another", nil
	}
	if o.Basis == nil {
		return "", nil
	}
	basis, err := o.Basis(ctx, d.state.Key, d.state.Version)
	switch {
	case errors.Is(err, ErrNotFound):
		return never + "its version is gone", nil
	case err != nil:
		return "", err
	case d.state.Basis != "" && d.state.Basis != basis:
		return never + "what it was made from has changed", nil
	}
	return "", nil
}

// lost reports whether it hibernates in a file that is not there. That does not
// change any more: nobody can wake it.
func (d *sleeper) lost() bool {
	m := d.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.asleep[d.state.Key] != d || d.snapshot != nil {
		return false
	}
	_, there := m.cfg.Hibernated.Stat(d.file())
	return !there
}

// StorageInUse are the directories that sessions have or come back to.
func (m *Manager) StorageInUse() []storage.Key {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []storage.Key
	for key := range m.sessions {
		out = append(out, storageKey(key, ""))
	}
	for key := range m.asleep {
		out = append(out, storageKey(key, ""))
	}
	return out
}

func storageKey(key Key, version string) storage.Key {
	return storage.Key{Owner: Resource(key), Endpoint: key.Endpoint, Session: key.ID, Version: version}
}

// Resource names the owner of a session where its snapshots and its storage are
// kept.
func Resource(key Key) string { return resource(key.Scope, key.Owner) }

// TemplateOf names the snapshots that sessions of an endpoint are restored from.
func TemplateOf(key Key) snapshot.Key {
	return snapshot.Key{Owner: Resource(key), Part: key.Endpoint}
}
