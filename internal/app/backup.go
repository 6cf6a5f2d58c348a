package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/backup"
	"github.com/outcrop/outcrop/internal/client"
	"github.com/outcrop/outcrop/internal/client/statefile"
	"github.com/outcrop/outcrop/internal/image/registry"
	"github.com/outcrop/outcrop/internal/object"
	"github.com/outcrop/outcrop/internal/object/segment"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite"
	"github.com/outcrop/outcrop/internal/store/sqlite/dbfile"
)

// What of a data directory is in an archive, and how it is copied while a server
// writes to it (docs/backup.md). What is in none of these lists is left out.

// backedUpDatabases are copied by SQLite.
func backedUpDatabases() []string { return []string{storeName, "telemetry.db"} }

// backedUpFiles are replaced whole when they change.
func backedUpFiles() []string { return []string{keyName, client.CredentialsName} }

// optionalFiles are backedUpFiles that the operator may have made.
func optionalFiles() []string { return []string{modelsName, connectorsName} }

// backedUpSegments are trees of segments, whose bytes never change and of which
// the store says which are needed.
func backedUpSegments() []segments {
	return []segments{{"objects", object.Segments}, {"registry", registry.Segments}}
}

// backedUpTrees are taken as they are found.
func backedUpTrees() []string { return []string{"ca", guestCA, storageName} }

// leftOut are caches, and what belongs to a running server.
func leftOut() []string {
	return []string{"images", "snapshots", "sandbox", "spool", functionsName, stagingDir, statefile.Name}
}

const (
	storeName   = "outcrop.db"
	keyName     = "key.json"
	codeName    = "code" // unpacked zips, whose objects may be gone
	storageName = "session-storage"
	// functionsName has the programs that load functions, and AWS's SDKs for them: both
	// are had again.
	functionsName = "functions"
)

// segments is one tree of them, beneath the data directory.
type segments struct {
	name  string
	named func(context.Context, store.Store, func(segment.ID) error) error
}

// BackupReport tells what an archive holds, and what it lacks.
type BackupReport struct {
	Head backup.Head
	backup.End
	// Unreadable are files that could not be read: their owner, a guest, has
	// forbidden it.
	Unreadable []string
	// Changed counts files of session storage that were shortened while they were
	// read.
	Changed int
	// Unknown are names in the data directory that say nothing to this version.
	Unknown []string
}

// Backup writes an archive of a data directory to w, whether a server runs on it
// or not. What it holds is the state of one moment, as kill -9 would leave it, but
// for session storage, which is read while agents write to it.
func Backup(ctx context.Context, dir, version string, w io.Writer, key backup.Key) (_ BackupReport, err error) {
	b := &backingUp{ctx: ctx, dir: dir}
	creds, err := client.ReadCredentials(dir)
	if err != nil {
		return b.report, fmt.Errorf("back up %s: %w", dir, err)
	}
	// Of what no server could start from there would be an archive that looks whole.
	if err := checkData(dir); err != nil {
		return b.report, err
	}
	if _, err := secret.OpenKeyFile(filepath.Join(dir, keyName)); err != nil {
		return b.report, err
	}
	head := backup.Head{Version: version, Account: creds.AccountID, Region: creds.Region, Created: time.Now().UTC().Truncate(time.Second)}
	if b.stage, err = openStage(dir); err != nil {
		return b.report, err
	}
	defer func() { err = errors.Join(err, b.stage.close()) }()
	if err := b.freeze(); err != nil {
		return b.report, err
	}
	if b.out, err = backup.NewWriter(w, key, head); err != nil {
		return b.report, err
	}
	for _, step := range []func() error{b.databases, b.files, b.segments, b.code, b.trees, b.unknown} {
		if err := step(); err != nil {
			b.out.Abort()
			return b.report, err
		}
	}
	b.report.Head = head
	b.report.End, err = b.out.Close()
	return b.report, err
}

// backingUp is one backup under way.
type backingUp struct {
	ctx    context.Context // of the one call of Backup
	dir    string
	stage  *stage
	out    *backup.Writer
	made   map[string]bool // directories that are in the archive
	report BackupReport
}

// freezeAttempts bounds how often the store is copied until all is there that it
// names: something must be written and removed again within the copying each time.
const freezeAttempts = 5

// freeze copies the databases and links the segments that they name, so that
// nothing that the archive needs can go while it is written.
func (b *backingUp) freeze() error {
	for _, tree := range backedUpSegments() {
		if err := b.stage.linkAll(b.ctx, tree.name); err != nil {
			return err
		}
	}
	var err error
	for range freezeAttempts {
		for _, name := range backedUpDatabases() {
			to := b.stage.path(name)
			if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			if err := dbfile.Copy(b.ctx, filepath.Join(b.dir, name), to); err != nil {
				return err
			}
		}
		if err = b.eachSegment(func(tree string, id segment.ID) error { return b.stage.link(filepath.Join(tree, segment.Path(id))) }); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return fmt.Errorf("back up %s: what the store names is not there: %w", b.dir, err)
}

// eachSegment calls fn with the segments that the copied store names.
func (b *backingUp) eachSegment(fn func(tree string, id segment.ID) error) (err error) {
	st, err := sqlite.Open(b.ctx, b.stage.path(storeName), sqlite.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	for _, tree := range backedUpSegments() {
		if err := tree.named(b.ctx, st, func(id segment.ID) error { return fn(tree.name, id) }); err != nil {
			return err
		}
	}
	return nil
}

func (b *backingUp) databases() error {
	for _, name := range backedUpDatabases() {
		if err := b.add(name, b.stage.path(name)); err != nil {
			return err
		}
	}
	return nil
}

func (b *backingUp) files() error {
	for _, name := range backedUpFiles() {
		if err := b.add(name, filepath.Join(b.dir, name)); err != nil {
			return err
		}
	}
	for _, name := range optionalFiles() {
		if err := b.late(name); err != nil {
			return err
		}
	}
	return nil
}

func (b *backingUp) segments() error {
	return b.eachSegment(func(tree string, id segment.ID) error {
		name := filepath.Join(tree, segment.Path(id))
		if err := b.parents(name); err != nil {
			return err
		}
		return b.add(name, b.stage.path(name))
	})
}

// parents adds the directories above a file that are not in the archive yet.
func (b *backingUp) parents(name string) error {
	dir := filepath.Dir(name)
	if dir == "." || b.made[dir] {
		return nil
	}
	if err := b.parents(dir); err != nil {
		return err
	}
	if b.made == nil {
		b.made = map[string]bool{}
	}
	if err := b.add(dir, filepath.Join(b.dir, dir)); err != nil {
		return err
	}
	b.made[dir] = true
	return nil
}

// code adds the unpacked zips, and what was made of them for this machine.
func (b *backingUp) code() error {
	if err := b.entries(filepath.Join(codeName, "sha256")); err != nil {
		return err
	}
	fitted := filepath.Join(codeName, "fitted")
	zips, err := listing(filepath.Join(b.dir, fitted))
	if err != nil {
		return err
	}
	for _, zip := range zips {
		name := filepath.Join(fitted, zip.Name())
		if err := b.entries(name); err != nil {
			return err
		}
		verdicts, err := listing(filepath.Join(b.dir, name))
		if err != nil {
			return err
		}
		for _, v := range verdicts { // after the trees that they name, with which they go
			if v.IsDir() {
				continue
			}
			if err := b.late(filepath.Join(name, v.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// entries adds the trees of a cache. One that was removed meanwhile was removed as
// a whole, and is nothing without its manifest, which comes last.
func (b *backingUp) entries(dir string) error {
	const manifest = "manifest.json"
	all, err := listing(filepath.Join(b.dir, dir))
	if err != nil {
		return err
	}
	for _, e := range all {
		name := filepath.Join(dir, e.Name())
		if !e.IsDir() || strings.HasPrefix(e.Name(), "tmp-") {
			continue
		}
		if err := b.tree(name, manifest); err != nil {
			return err
		}
		if err := b.late(filepath.Join(name, manifest)); err != nil {
			return err
		}
	}
	return nil
}

// late adds a file, if it is still there.
func (b *backingUp) late(name string) error {
	err := b.parents(name)
	if err == nil {
		err = b.add(name, filepath.Join(b.dir, name))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// listing is a directory's entries, none where it is not there.
func listing(dir string) ([]fs.DirEntry, error) {
	all, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return all, err
}

func (b *backingUp) trees() error {
	for _, name := range backedUpTrees() {
		if err := b.tree(name, ""); err != nil {
			return err
		}
	}
	return nil
}

// tree adds what is beneath a directory, without files of a name, as it is found:
// what goes meanwhile is left out, and so is what cannot be read.
func (b *backingUp) tree(root, without string) error {
	if err := b.parents(filepath.Join(root, "x")); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return filepath.WalkDir(filepath.Join(b.dir, root), func(at string, e fs.DirEntry, err error) error {
		if err := b.ctx.Err(); err != nil {
			return err
		}
		name, relErr := filepath.Rel(b.dir, at)
		switch {
		case relErr != nil:
			return relErr
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case errors.Is(err, fs.ErrPermission):
			b.report.Unreadable = append(b.report.Unreadable, name)
			return nil
		case err != nil:
			return err
		case name == root || without != "" && name == filepath.Join(root, without):
			return nil
		}
		switch name { // what is being removed, and what templates are booted with
		case storageName + "/trash", storageName + "/scratch":
			return fs.SkipDir
		}
		err = b.add(name, at)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case errors.Is(err, fs.ErrPermission):
			b.report.Unreadable = append(b.report.Unreadable, name)
			return nil
		}
		return err
	})
}

// add adds one file, directory or link. What is none of these says nothing to a
// session that comes back.
func (b *backingUp) add(name, at string) error {
	if err := b.ctx.Err(); err != nil {
		return err
	}
	info, err := os.Lstat(at)
	if err != nil {
		return err
	}
	name = filepath.ToSlash(name)
	switch {
	case info.IsDir():
		_, err = b.out.Add(name, info, "", nil)
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(at)
		if err != nil {
			return err
		}
		_, err = b.out.Add(name, info, target, nil)
		return err
	case !info.Mode().IsRegular():
		return nil
	}
	f, err := openPlain(at)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was read
	if info, err = f.Stat(); err != nil {
		return err
	}
	short, err := b.out.Add(name, info, "", f)
	if short {
		b.report.Changed++
	}
	return err
}

// unknown notes what this version does not know, so that whoever adds something
// to a data directory says what becomes of it.
func (b *backingUp) unknown() error {
	all, err := os.ReadDir(b.dir)
	if err != nil {
		return err
	}
	for _, e := range all {
		if !known(e.Name()) {
			b.report.Unknown = append(b.report.Unknown, e.Name())
		}
	}
	return nil
}

// known reports whether a name in a data directory is in one of the lists.
func known(name string) bool {
	for _, file := range append(backedUpDatabases(), statefile.Name) {
		if strings.HasPrefix(name, file+"-") || strings.HasPrefix(name, file+".") { // its log, lock, reserve
			return true
		}
	}
	return belongs(name) || slices.Contains(leftOut(), name) || strings.HasSuffix(name, ".new")
}

// accepts is belongs for what is extracted. Owners, which are a guest's, count in
// session storage alone.
func accepts(name string) (belonging, owned bool) {
	return belongs(name), strings.HasPrefix(name, storageName+"/")
}

// belongs reports whether an archive may have an entry of that name.
func belongs(name string) bool {
	first, _, beneath := strings.Cut(path.Clean(name), "/")
	if !beneath && (slices.Contains(backedUpDatabases(), first) || slices.Contains(slices.Concat(backedUpFiles(), optionalFiles()), first)) {
		return true
	}
	return first == codeName || slices.Contains(backedUpTrees(), first) ||
		slices.ContainsFunc(backedUpSegments(), func(s segments) bool { return s.name == first })
}
