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
	"strings"

	"github.com/spf13/cobra"

	"github.com/outcrop/outcrop/internal/backup"
	"github.com/outcrop/outcrop/internal/client"
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
		return "", misuse("read passphrase: %w", err)
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
	text, err := p.ReadSecret(ctx, "Passphrase: ")
	if err != nil || !twice {
		return text, err
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
// shell's other commands speak to, or the default one.
func (p *Program) dataToSave(f *flags) (string, error) {
	given := p.env("AWS_ENDPOINT_URL")
	if given == "" || f.endpoint != "" || f.data != "" {
		return p.localData(f, "backup")
	}
	url := strings.TrimRight(given, "/")
	if base, err := client.ParseEndpoint(url); err == nil {
		url = base.String()
	}
	live, err := p.state().Live()
	if err != nil {
		return "", err
	}
	for _, r := range live {
		if r.URL == url {
			return r.DataDirectory, nil
		}
	}
	return "", misuse("this shell speaks to %s (AWS_ENDPOINT_URL), and no running server of yours is there; name the data directory to save with --data", given)
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
	report, err := p.Backup(ctx, BackupOptions{DataDir: dir, Version: p.Version, Key: key, Out: out})
	if err == nil {
		err = out.keep()
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
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
	return err
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
		return nil, misuse("%s exists; backup overwrites nothing", name)
	}
	if within(canonical(name), dataDir) {
		return nil, misuse("%s would be in the data directory, which it is to save; choose another place, on another disk if there is one", name)
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".partial-*") // mode 0600
	if err != nil {
		return nil, misuse("write archive: %w", err)
	}
	return &archiveFile{Writer: f, file: f, name: name}, nil
}

func within(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
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
	return nil
}

// drop removes what was not kept.
func (a *archiveFile) drop() {
	if a.file != nil && !a.kept {
		_ = errors.Join(a.file.Close(), os.Remove(a.file.Name())) // the reason was said before
	}
}
