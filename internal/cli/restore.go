package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/outcrop/outcrop/internal/backup"
	"github.com/outcrop/outcrop/internal/store"
)

// Restore makes a data directory of an archive.
type Restore func(ctx context.Context, opt RestoreOptions) (RestoreReport, error)

// RestoreOptions say what Restore reads, and where to.
type RestoreOptions struct {
	// DataDir is absolute, and missing or empty.
	DataDir string
	Key     backup.Key
	In      io.Reader
}

// RestoreReport says what an archive held.
type RestoreReport struct {
	Account, Version string
	Created          time.Time
	Files, Bytes     int64
}

const restoreLong = `Makes a data directory of an archive that outcrop backup wrote, or with - of standard input. The directory, which --data
names, is missing or empty; nothing is ever overwritten. It appears when all was read, checked against the archive's
digests and synced: a restore that fails or is killed leaves none.

Run it as the user who will run the server. Account, keys, agents, objects and images are those of the moment of the
backup: two servers from one archive are the same account twice.`

func newRestore(p *Program, f *flags) *cobra.Command {
	var k keyFlags
	var identity string
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Make a data directory of an archive of outcrop backup",
		Long:  restoreLong,
		Example: `  outcrop restore outcrop.backup
  outcrop restore --identity key.txt --data /srv/outcrop outcrop.backup && outcrop serve --data /srv/outcrop
  ssh other cat outcrop.backup | outcrop restore --passphrase-file /etc/outcrop/passphrase -`,
		Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if identity != "" && k.file != "" {
				return below(cmd, "--identity and --passphrase-file exclude each other")
			}
			return p.restoreData(cmd, f, args[0], identity, k)
		},
	}
	cmd.Flags().StringVar(&identity, "identity", "", "`FILE` with the age key that it was sealed for")
	k.register(cmd)
	return cmd
}

func (p *Program) restoreData(cmd *cobra.Command, f *flags, file, identity string, k keyFlags) error {
	dir, err := p.localData(f, "restore")
	if err != nil {
		return err
	}
	if p.Restore == nil {
		return cannotServe(runtime.GOOS)
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return fail("Name another: --data DIRECTORY. Or move that one away first.", "%s is not empty, and restore overwrites nothing", dir)
	}
	in := p.Stdin
	if file != "-" {
		from, err := os.Open(file)
		if err != nil {
			return unreadable("archive", err)
		}
		defer func() { _ = from.Close() }() // it was read
		in = from
	} else if p.StdinTerminal {
		return misuse("an archive is nothing to be typed; name a file, or let another command write it")
	}
	key, err := p.openingKey(cmd, identity, k)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	show := p.watch("restoring to "+dir, "read")
	r, err := p.Restore(ctx, RestoreOptions{DataDir: dir, Key: key, In: bufio.NewReaderSize(&watchedReader{in, show}, 1<<20)})
	show.end()
	if err != nil {
		return explainRestore(ctx, err, dir, file)
	}
	next := "outcrop serve"
	if dir != canonical(p.defaultData()) {
		next += " --data " + quotePOSIX(dir)
	}
	p.say("Account %s as of %s (outcrop %s): %d files, %s, checked, in %s.", r.Account, r.Created.Format("2006-01-02 15:04:05 MST"), r.Version, r.Files, size(r.Bytes), dir)
	p.say("Start it: %s", next)
	return nil
}

func (p *Program) openingKey(cmd *cobra.Command, identity string, k keyFlags) (backup.Key, error) {
	if identity == "" {
		return p.passphrase(cmd, k, false, "--identity FILE")
	}
	from, err := os.Open(identity)
	if err != nil {
		return backup.Key{}, unreadable("identity", err)
	}
	defer func() { _ = from.Close() }() // it was read
	key, err := backup.Identities(from)
	if err != nil {
		return backup.Key{}, misuse("read identity %s: %w", identity, err)
	}
	return key, nil
}

// explainRestore says why there is no data directory.
func explainRestore(ctx context.Context, err error, dir, file string) error {
	f := &failure{cause: err, text: fmt.Sprintf("nothing was restored: %v", err)}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, backup.ErrWrongKey):
		f.text = "nothing was restored: " + file + " does not open with that passphrase or key"
	case errors.Is(err, backup.ErrNewer), errors.Is(err, store.ErrNewer):
		f.fix = "Restore it with the version that wrote it, or a later one."
	case errors.Is(err, backup.ErrDamaged):
		f.text = "nothing was restored: " + file + " is no archive of Outcrop, or is damaged or cut off"
		f.fix = "--verbose shows where."
	case store.IsFull(err):
		f.text, f.fix = "nothing was restored: the disk of "+dir+" is full", "Free some space, or choose another place with --data."
	case errors.Is(err, syscall.EBUSY), errors.Is(err, syscall.EXDEV):
		f.fix = "Where " + dir + " is a disk of its own, restore to a directory on it: --data " + quotePOSIX(dir+"/data")
	}
	return f
}
