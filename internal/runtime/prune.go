package runtime

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/garbage"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/store"
)

// PruneCode removes unpacked code that no version has, such as that of a version
// whose entry point was not there. With o.All also the code of versions that no
// endpoint and no session runs, if it is fetched again when it is needed: their
// zips must still be where they were. What a session holds stays in any case.
func (s *Service) PruneCode(ctx context.Context, o garbage.Options) (r garbage.Report, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("prune code: %w", err)
		}
	}()
	all, err := s.cfg.Code.List()
	if err != nil {
		return r, err
	}
	usage, err := s.codeUsage(ctx)
	if err != nil {
		return r, err
	}
	spare := map[string]bool{} // digests that can be fetched again
	var wanted []string
	for _, c := range all {
		switch versions := usage.idle[c.Digest]; {
		case c.Held || usage.runs[c.Digest] || s.cfg.Now().Sub(c.Used) < o.Unused:
		case len(versions) == 0:
			wanted = append(wanted, c.Digest)
		case o.All:
			if spare[c.Digest], err = s.fetchable(ctx, versions); err != nil {
				return r, err
			}
			if spare[c.Digest] {
				wanted = append(wanted, c.Digest)
			}
		}
	}
	gone := wanted
	if !o.DryRun {
		pruned, err := s.cfg.Code.Prune(ctx, wanted, func() (map[string]bool, error) { return s.needed(ctx, spare) })
		if err != nil {
			return r, err
		}
		gone = pruned.Digests
	}
	for _, c := range all {
		if slices.Contains(gone, c.Digest) {
			r.Taken.Add(c.Size)
		} else {
			r.Left.Add(c.Size)
		}
	}
	return r, nil
}

// needed is the code that stays: that of all versions but what is spare, and of
// those that run in any case.
func (s *Service) needed(ctx context.Context, spare map[string]bool) (map[string]bool, error) {
	usage, err := s.codeUsage(ctx)
	if err != nil {
		return nil, err
	}
	for digest := range usage.idle {
		if !spare[digest] {
			usage.runs[digest] = true
		}
	}
	return usage.runs, nil
}

// codeUsage says by digest whose code it is.
type codeUsage struct {
	// runs is the code of versions that an endpoint or a session runs, also one
	// that hibernates, and idle has the versions of all other code.
	runs map[string]bool
	idle map[string][]versionDoc
}

func (s *Service) codeUsage(ctx context.Context) (codeUsage, error) {
	u := codeUsage{runs: map[string]bool{}, idle: map[string][]versionDoc{}}
	type name struct {
		scope store.Scope
		id    string
	}
	busy := map[name]bool{}
	// A session that begins to run a version after this was asked finds its code,
	// and holds it, or fetches it again.
	starting := map[name]bool{} // runtimes, of which a version is about to run
	for _, i := range s.cfg.Sessions.List(func(session.Key) bool { return true }) {
		if n, err := strconv.Atoi(i.Version); err == nil {
			busy[name{i.Key.Scope, versionID(i.Key.Owner, n)}] = true
		} else {
			starting[name{i.Key.Scope, i.Key.Owner}] = true
		}
	}
	others := map[string]bool{}
	if s.cfg.OtherCode != nil {
		var err error
		if others, err = s.cfg.OtherCode(ctx); err != nil {
			return u, err
		}
	}
	err := s.cfg.Store.View(ctx, func(r store.Reader) error {
		clear(u.runs)
		clear(u.idle)
		maps.Copy(u.runs, others)
		for e, err := range s.docs.endpoints.All(r) {
			if err != nil {
				return err
			}
			for _, n := range []int{e.State.Live, e.State.Target} {
				busy[name{e.Scope, versionID(e.Parent, n)}] = true
			}
		}
		for v, err := range s.docs.versions.All(r) {
			if err != nil {
				return err
			}
			digest := v.State.Digest
			switch {
			case digest == "":
			case busy[name{v.Scope, v.ID}] || starting[name{v.Scope, v.Parent}] || v.State.Status == agentcorecontrol.AgentRuntimeStatusCREATING:
				u.runs[digest] = true
			default:
				u.idle[digest] = append(u.idle[digest], v)
			}
		}
		for digest := range u.runs {
			delete(u.idle, digest)
		}
		return nil
	})
	return u, err
}

// fetchable reports whether all of some versions with the same code could fetch
// it again.
func (s *Service) fetchable(ctx context.Context, versions []versionDoc) (bool, error) {
	for _, v := range versions {
		made, err := s.artifactOf(v)
		if err != nil {
			return false, err
		}
		there, err := made.again(ctx, v)
		if !there || err != nil {
			return false, err
		}
	}
	return true, nil
}

// CodeObject names a zip in object storage.
type CodeObject struct{ Bucket, Key string }

// CodeObjects are the zips that versions of any runtime were made from, whatever
// state they are in. It is asked anew for each removal.
func (s *Service) CodeObjects(ctx context.Context) (map[CodeObject]bool, error) {
	all := map[CodeObject]bool{}
	err := s.cfg.Store.View(ctx, func(r store.Reader) error {
		clear(all)
		for v, err := range s.docs.versions.All(r) {
			if err != nil {
				return err
			}
			spec, err := s.configuration(v)
			if err != nil {
				return err // nothing is unreferenced that cannot be told
			}
			if a := spec.AgentRuntimeArtifact; a != nil && a.CodeConfiguration != nil && a.CodeConfiguration.Code != nil && a.CodeConfiguration.Code.S3 != nil {
				at := a.CodeConfiguration.Code.S3
				all[CodeObject{wire.Text(at.Bucket), wire.Text(at.Prefix)}] = true
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list code objects: %w", err)
	}
	return all, nil
}

// Known names all endpoints that sessions may be started for; ID is empty.
func (s *Service) Known(ctx context.Context) ([]session.Key, error) {
	var all []session.Key
	err := s.cfg.Store.View(ctx, func(r store.Reader) error {
		all = nil
		for e, err := range s.docs.endpoints.All(r) {
			if err != nil {
				return err
			}
			all = append(all, session.Key{Scope: e.Scope, Owner: e.Parent, Endpoint: e.Name})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list endpoints: %w", err)
	}
	return all, nil
}

// Basis is what a session of a version is made from now, as in session.Plan.Basis,
// and empty where it cannot be told; session.ErrNotFound says that there is no such
// version or endpoint any more.
func (s *Service) Basis(ctx context.Context, key session.Key, version string) (string, error) {
	n, err := strconv.Atoi(version)
	if err != nil {
		return "", session.ErrNotFound
	}
	var v versionDoc
	err = s.cfg.Store.View(ctx, func(r store.Reader) error {
		if _, err := s.docs.endpoints.Get(r, key.Scope, endpointID(key.Owner, key.Endpoint)); err != nil {
			return err
		}
		v, err = s.docs.versions.Get(r, key.Scope, versionID(key.Owner, n))
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return "", session.ErrNotFound
	}
	if err != nil {
		return "", err
	}
	made, err := s.artifactOf(v)
	if err != nil {
		return "", err
	}
	b, err := made.basis(ctx, v)
	if err != nil {
		return "", ctx.Err() // it may be back soon
	}
	return b, nil
}
