package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/outcrop/outcrop/internal/backup"
	"github.com/outcrop/outcrop/internal/client"
	"github.com/outcrop/outcrop/internal/client/statefile"
	"github.com/outcrop/outcrop/internal/durable"
	"github.com/outcrop/outcrop/internal/store"
)

// Backup writes an archive of a data directory.
type Backup func(ctx context.Context, opt BackupOptions) (BackupReport, error)

// BackupOptions say what Backup writes where.
type BackupOptions struct {
	// DataDir is absolute. A server may run on it.
	DataDir string
	Version string
	Key     backup.Key
	Out     io.Writer
}

// BackupReport says what an archive holds.
type BackupReport struct {
	Account      string
	Files, Bytes int64
	// Unreadable and Unknown are paths beneath the data directory that were left
	// out, and Changed counts files that were shortened while they were read.
	Unreadable, Unknown []string
	Changed             int
}

const backupLong = `Writes one archive of the server's data directory to FILE, or with - to standard output, while the server runs: the store,
objects, images that were pushed, code, session storage, logs, keys and the private CA, as they are in one moment. Session
storage is copied while agents write to it. Snapshots and pulled images are left out: they are made again. Hibernating
sessions begin anew, with their storage.

The archive holds the keys to all secrets of the account, so it is always sealed: with a passphrase, which is asked for or
is the first line of --passphrase-file, or for the age keys that --recipient names. Without them nobody can read it. It is
an age file: age -d FILE | zstd -d | tar tv shows it without outcrop.

It reads the data directory itself, and so runs on the server's machine, as the user who owns it.`

func newBackup(p *Program, f *flags) *cobra.Command {
	var k keyFlags
	var recipients []string
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write all that the server keeps to one sealed archive",
		Long:  backupLong,
		Example: `  outcrop backup outcrop.backup
  outcrop backup --passphrase-file /etc/outcrop/passphrase /backups/outcrop-$(date +%F)
  outcrop backup --recipient age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p - | ssh other 'cat > outcrop.backup'`,
		Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(recipients) > 0 && k.file != "" {
				return below(cmd, "--recipient and --passphrase-file exclude each other")
			}
			return p.backup(cmd, f, args[0], recipients, k)
		},
	}
	cmd.Flags().StringArrayVar(&recipients, "recipient", nil, "public age `KEY` to seal it for (may be repeated)")
	k.register(cmd)
	return cmd
}

// keyFlags say where a passphrase is.
type keyFlags struct{ file string }

func (k *keyFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&k.file, "passphrase-file", "", "`FILE` whose first line is the passphrase")
}

// maxPassphrase bounds the first line of a file, in bytes.
const maxPassphrase = 4096

// passphrase reads the passphrase from its file, or asks for it; twice where a
// mistake would be found out too late.
func (p *Program) passphrase(cmd *cobra.Command, k keyFlags, twice bool, otherwise string) (backup.Key, error) {
	if k.file == "" && p.ReadSecret == nil {
		f := misuse("which passphrase? Nobody is at a terminal to be asked")
		f.fix = "Give " + otherwise + " or --passphrase-file FILE.\nSee: " + cmd.CommandPath() + " --help"
		return backup.Key{}, f
	}
	var text string
	var err error
	if k.file != "" {
		text, err = firstLine(k.file)
	} else {
		text, err = p.ask(cmd.Context(), twice)
	}
	if err != nil {
		return backup.Key{}, err
	}
	key, err := backup.Passphrase(text)
	if err != nil {
		return backup.Key{}, misuse("%w", err)
	}
	return key, nil
}

func firstLine(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", unreadable("passphrase", err)
	}
	defer func() { _ = f.Close() }() // it was read
	b, err := io.ReadAll(io.LimitReader(f, maxPassphrase))
	if err != nil {
		return "", fmt.Errorf("read passphrase: %w", err)
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return strings.TrimSuffix(line, "\r"), nil
}

func (p *Program) ask(ctx context.Context, twice bool) (string, error) {
	if !twice {
		return p.ReadSecret(ctx, "Passphrase: ")
	}
	text, err := p.ReadSecret(ctx, fmt.Sprintf("Passphrase, of %d characters at least: ", backup.MinPassphrase))
	if err != nil {
		return "", err
	}
	if _, err := backup.Passphrase(text); err != nil { // before it is typed again
		return "", misuse("%w", err)
	}
	again, err := p.ReadSecret(ctx, "The same again: ")
	if err == nil && again != text {
		return "", fail("", "the two differ; nothing was written")
	}
	return text, err
}

// localData is the data directory for commands that read it themselves.
func (p *Program) localData(f *flags, command string) (string, error) {
	if f.endpoint != "" {
		return "", misuse("%s works on the data directory of this machine, which --data names, and asks no server", command)
	}
	dir := cmp.Or(f.data, p.defaultData())
	if dir == "" {
		return "", misuse("neither XDG_DATA_HOME nor HOME is set: name the data directory with --data")
	}
	return canonical(dir), nil
}

// dataToSave is the data directory that a flag names, or that of the server which this
// user's other commands speak to, or the default one.
func (p *Program) dataToSave(f *flags) (string, error) {
	if f.endpoint != "" || f.data != "" {
		return p.localData(f, "backup")
	}
	records, err := p.records()
	if err != nil {
		return "", err
	}
	given := p.env("AWS_ENDPOINT_URL")
	if given == "" {
		return p.newestData(f, records)
	}
	_, live, err := p.serverAt(records, given)
	switch {
	case err != nil:
		return "", err
	case live == nil:
		return "", fail("Name the data directory to save: --data DIRECTORY", "this shell speaks to %s (AWS_ENDPOINT_URL), and no running server of yours is there", given)
	}
	return live.DataDirectory, nil
}

// newestData is the data directory of the newest server that runs, and the default one
// where none does.
func (p *Program) newestData(f *flags, records []statefile.Record) (string, error) {
	live := slices.DeleteFunc(slices.Clone(records), func(r statefile.Record) bool { return !p.state().Alive(r) })
	if len(live) > 0 {
		if len(live) > 1 {
			p.say("%d servers of yours run; this saves the newest, with data in %s. Others:", len(live), live[0].DataDirectory)
			for _, r := range live[1:] {
				p.say("  --data %s", quotePOSIX(r.DataDirectory))
			}
		}
		return live[0].DataDirectory, nil
	}
	dir, err := p.localData(f, "backup")
	if err != nil || len(records) == 0 || records[0].DataDirectory == dir {
		return dir, err
	}
	if _, err := client.ReadCredentials(dir); errors.Is(err, fs.ErrNotExist) {
		return "", fail("Save that: --data "+quotePOSIX(records[0].DataDirectory), "%s is no data directory of a server; your last one, which has ended, used %s", dir, records[0].DataDirectory)
	}
	return dir, nil
}

func (p *Program) backup(cmd *cobra.Command, f *flags, file string, recipients []string, k keyFlags) error {
	dir, err := p.dataToSave(f)
	if err != nil {
		return err
	}
	if p.Backup == nil {
		return cannotServe(runtime.GOOS)
	}
	if _, err := client.ReadCredentials(dir); err != nil {
		return p.explainNoData(dir, err)
	}
	out, err := p.openArchive(file, dir)
	if err != nil {
		return err
	}
	defer out.drop()
	key, err := backup.Recipients(recipients)
	if err != nil {
		return misuse("%w", err)
	}
	if !key.Seals() {
		if key, err = p.passphrase(cmd, k, true, "--recipient KEY"); err != nil {
			return err
		}
	}
	ctx := cmd.Context()
	show := p.watch("backing up "+dir, "written")
	report, err := p.Backup(ctx, BackupOptions{DataDir: dir, Version: p.Version, Key: key, Out: &watchedWriter{out, show}})
	show.end()
	if err == nil {
		err = out.keep()
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && explainDamage(err, dir) != nil:
		return explainDamage(err, dir)
	case store.IsFull(err):
		return fail("Free some space, or write it elsewhere: outcrop backup - | ssh HOST 'cat > FILE'", "the disk is full: %w", err)
	case err != nil:
		return err
	}
	return p.sayBackup(report, dir, file)
}

// explainNoData says why there is nothing to back up.
func (p *Program) explainNoData(dir string, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return p.keyUnreadable(dir, err)
	case errors.Is(err, fs.ErrNotExist):
		return fail("Name the one that the server uses: --data DIRECTORY", "%s is no data directory of a server", dir)
	}
	return damagedKey(dir, err)
}

func (p *Program) sayBackup(r BackupReport, dir, file string) error {
	where := file
	if file == "-" {
		where = "standard output"
	}
	p.say("Account %s, %d files, %s, from %s to %s.", r.Account, r.Files, size(r.Bytes), dir, where)
	p.say("It opens with the passphrase or key that it was sealed with alone. Keep that elsewhere.")
	if r.Changed > 0 {
		p.say("%d files of session storage were shortened while they were read; their ends are zeros.", r.Changed)
	}
	for _, name := range r.Unknown {
		p.say("Left out, since this version does not know what it is: %s", name)
	}
	if n := len(r.Unreadable); n > 0 {
		for _, name := range r.Unreadable[:min(n, 10)] {
			p.say("  %s", name)
		}
		return fail("An agent took itself the right to read them. All else is in the archive.", "%d files of session storage cannot be read, and are not in the archive", n)
	}
	return nil
}

// archiveFile is a file that appears under its name when it is whole.
type archiveFile struct {
	io.Writer
	file *os.File // nil is standard output
	name string
	kept bool
}

// openArchive refuses names that are taken, and a terminal.
func (p *Program) openArchive(name, dataDir string) (*archiveFile, error) {
	if name == "-" {
		if p.StdoutTerminal {
			return nil, misuse("an archive is nothing for a terminal; name a file, or let another command read it")
		}
		return &archiveFile{Writer: p.Stdout}, nil
	}
	if _, err := os.Lstat(name); err == nil {
		return nil, fail("Name another, or move that one away first.", "%s exists, and backup overwrites nothing", name)
	}
	if within(canonical(name), dataDir) {
		return nil, misuse("%s would be in the data directory, which it is to save; choose another place, on another disk if there is one", name)
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".partial-*") // mode 0600
	if errors.Is(err, fs.ErrNotExist) {
		return nil, misuse("there is no directory %s to write the archive to", filepath.Dir(name))
	}
	if err != nil {
		reason := err
		if failed := (*fs.PathError)(nil); errors.As(err, &failed) { // of a name that nobody gave
			reason = failed.Err
		}
		f := fail("Choose a directory that you can write to.", "write archive into %s: %w", filepath.Dir(name), reason)
		return nil, f
	}
	return &archiveFile{Writer: f, file: f, name: name}, nil
}

func within(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// unreadable is misuse where a file is named that is not there, and else a failure.
func unreadable(what string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return misuse("read %s: %w", what, err)
	}
	return fmt.Errorf("read %s: %w", what, err)
}

// keep gives the file its name, durably.
func (a *archiveFile) keep() error {
	if a.file == nil {
		return nil
	}
	a.kept = true
	if err := errors.Join(a.file.Sync(), a.file.Close()); err != nil {
		return errors.Join(fmt.Errorf("write archive: %w", err), os.Remove(a.file.Name()))
	}
	if err := os.Rename(a.file.Name(), a.name); err != nil {
		return errors.Join(fmt.Errorf("write archive: %w", err), os.Remove(a.file.Name()))
	}
	if err := durable.Dir(filepath.Dir(a.name)); err != nil {
		return fmt.Errorf("write archive: its name may not outlast a power failure: %w", err)
	}
	return nil
}

// drop removes what was not kept.
func (a *archiveFile) drop() {
	if a.file != nil && !a.kept {
		_ = errors.Join(a.file.Close(), os.Remove(a.file.Name())) // the reason was said before
	}
}
