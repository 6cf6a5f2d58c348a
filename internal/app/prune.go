package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/garbage"
	"github.com/outcrop/outcrop/internal/image"
	"github.com/outcrop/outcrop/internal/image/registry"
	"github.com/outcrop/outcrop/internal/lambda"
	"github.com/outcrop/outcrop/internal/operator"
	"github.com/outcrop/outcrop/internal/runtime"
	"github.com/outcrop/outcrop/internal/sandbox/gvisor"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/session/storage"
	"github.com/outcrop/outcrop/internal/snapshot"
)

// abandonedAfter is the age from which a file that is being made is taken for
// abandoned: far longer than any is made. A start removes them all.
const abandonedAfter = 24 * time.Hour

// caches is where everything lies that can be garbage.
type caches struct {
	dataDir               string
	code                  *image.Cache
	templates, hibernated *snapshot.Store
	directories           *storage.Store
	sessions              *session.Manager
	engine                gvisor.Config
	// runtimes and functions are the services that have sessions; another one's must be
	// known to the methods below before it gets any.
	runtimes  *runtime.Service
	functions *lambda.Service
	uploads   uploads
	images    *registry.Storage
}

// collector knows all kinds of garbage.
func (c *caches) collector(cfg Config) *garbage.Collector {
	return garbage.New([]garbage.Kind{
		{Name: operator.KindCode, Routine: true, Collect: c.runtimes.PruneCode},
		{Name: operator.KindSnapshots, Routine: true, Collect: c.collectSnapshots},
		// They end by themselves soon enough, and an operator who goes back to the
		// version before finds them again.
		{Name: operator.KindHibernated, Kept: true, Collect: c.collectHibernated},
		{Name: operator.KindStorage, Kept: true, Routine: true, Collect: c.collectStorage},
		{Name: operator.KindExecutables, Routine: true, Collect: c.collectExecutables},
		{Name: operator.KindTemporary, Routine: true, Collect: c.collectTemporary},
		{Name: operator.KindImages, Routine: true, Collect: c.runtimes.PruneImages},
		{Name: operator.KindLayers, Collect: c.collectLayers}, // the registry does it by itself
		// Objects are the account's: only who asks for it has some removed.
		{Name: operator.KindUploads, Collect: c.uploads.collect},
	}, cfg.Log)
}

func (c *caches) collectSnapshots(ctx context.Context, o garbage.Options) (garbage.Report, error) {
	done, err := c.templates.Prune(snapshot.PruneOptions{All: o.All, Unused: o.Unused, DryRun: o.DryRun, Known: func() ([]snapshot.Key, error) {
		known, err := c.known(ctx)
		var keys []snapshot.Key
		for _, k := range known {
			keys = append(keys, session.TemplateOf(k))
		}
		return keys, err
	}})
	left := c.templates.Stats()
	r := garbage.Report{
		Taken: garbage.Amount{Items: int64(done.Files), Bytes: done.Bytes}, Left: garbage.Amount{Items: int64(left.Files), Bytes: left.Bytes},
	}
	if o.DryRun {
		r.Left.Items -= r.Taken.Items
		r.Left.Bytes -= r.Taken.Bytes
	}
	return r, err
}

func (c *caches) collectHibernated(ctx context.Context, o garbage.Options) (garbage.Report, error) {
	done, err := c.sessions.Prune(ctx, session.PruneOptions{Basis: c.basis, All: o.All, Unused: o.Unused, DryRun: o.DryRun})
	return garbage.Report{
		Taken: garbage.Amount{Items: int64(done.Ended), Bytes: done.Bytes}, Left: garbage.Amount{Items: int64(done.Left), Bytes: done.LeftBytes},
	}, err
}

func (c *caches) collectStorage(ctx context.Context, o garbage.Options) (garbage.Report, error) {
	done, err := c.directories.Prune(storage.PruneOptions{
		All: o.All, Unused: o.Unused, DryRun: o.DryRun, Survey: o.Survey,
		Owners: func() ([]string, error) {
			known, err := c.known(ctx)
			var owners []string
			for _, k := range known {
				owners = append(owners, session.Resource(k))
			}
			return owners, err
		},
	})
	return garbage.Report{
		Taken: garbage.Amount{Items: int64(done.Places), Bytes: done.Bytes}, Left: garbage.Amount{Items: int64(done.Left), Bytes: done.LeftBytes},
	}, err
}

// known names all that sessions may be started for.
func (c *caches) known(ctx context.Context) ([]session.Key, error) {
	agents, err := c.runtimes.Known(ctx)
	if err != nil {
		return nil, err
	}
	functions, err := c.functions.Known(ctx)
	return append(agents, functions...), err
}

// basis is what a session of a version is made from now.
func (c *caches) basis(ctx context.Context, key session.Key, version string) (string, error) {
	if _, ok := lambda.FunctionOf(key.Owner); ok {
		return c.functions.Basis(ctx, key, version)
	}
	return c.runtimes.Basis(ctx, key, version)
}

func (c *caches) collectExecutables(_ context.Context, o garbage.Options) (garbage.Report, error) {
	var r garbage.Report
	files, err := gvisor.FilesOf(c.engine, time.Now().Add(-max(o.Unused, time.Hour)))
	if err != nil {
		return r, err
	}
	if files.Used > 0 {
		r.Left.Add(files.Used)
	}
	var errs []error
	for _, f := range files.Leftovers {
		if !f.Half {
			errs = append(errs, take(&r, f.Path, f.Bytes, o.DryRun))
		}
	}
	return r, errors.Join(errs...)
}

func (c *caches) collectTemporary(_ context.Context, o garbage.Options) (garbage.Report, error) {
	var r garbage.Report
	age := max(o.Unused, abandonedAfter)
	before := time.Now().Add(-age)
	var errs []error
	code, err := c.code.PruneAbandoned(before, o.DryRun)
	errs = append(errs, err)
	count(&r, code.Trees, code.Bytes)
	for _, s := range []*snapshot.Store{c.templates, c.hibernated} {
		files, err := s.PruneAbandoned(age, o.DryRun)
		errs = append(errs, err)
		count(&r, files.Files, files.Bytes)
	}
	unpacked, err := gvisor.FilesOf(c.engine, before)
	errs = append(errs, err)
	for _, f := range unpacked.Leftovers {
		if f.Half {
			errs = append(errs, take(&r, f.Path, f.Bytes, o.DryRun))
		}
	}
	errs = append(errs, takeOld(&r, filepath.Join(c.dataDir, "spool"), "", before, o.DryRun))
	errs = append(errs, takeOld(&r, c.dataDir, ".key-", before, o.DryRun))
	return r, errors.Join(errs...)
}

func count(r *garbage.Report, items int, bytes int64) {
	r.Taken.Items += int64(items)
	r.Taken.Bytes += bytes
}

// takeOld takes the files of a directory whose names begin with a prefix and that
// nobody has written to since a time.
func takeOld(r *garbage.Report, dir, prefix string, before time.Time, dryRun bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("look for abandoned files: %w", err)
	}
	var errs []error
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && info.Mode().IsRegular() && strings.HasPrefix(e.Name(), prefix) && info.ModTime().Before(before) {
			errs = append(errs, take(r, filepath.Join(dir, e.Name()), info.Size(), dryRun))
		}
	}
	return errors.Join(errs...)
}

// take removes one file.
func take(r *garbage.Report, path string, bytes int64, dryRun bool) error {
	if !dryRun {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	r.Taken.Add(bytes)
	return nil
}
