package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/backup"
	"github.com/outcrop/outcrop/internal/client"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
)

const aRecipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"

// answers types these at the terminal, one for each question.
func answers(texts ...string) func(context.Context, string) (string, error) {
	return func(context.Context, string) (string, error) {
		text := texts[0]
		texts = texts[1:]
		return text, nil
	}
}

func TestBackupPrints(t *testing.T) {
	whole := BackupReport{Account: testAccount, Files: 7, Bytes: 12345678}
	partly := BackupReport{Account: testAccount, Files: 7, Unreadable: []string{"session-storage/a/b/data/x"}, Unknown: []string{"later"}, Changed: 2}
	for name, test := range map[string]struct {
		args   []string
		report BackupReport
		err    error
		secret func(context.Context, string) (string, error)
		left   bool // the archive is there
		person bool // at the terminal
	}{
		"works":     {args: []string{"FILE", "--recipient", aRecipient}, report: whole, left: true},
		"asks":      {args: []string{"FILE"}, report: whole, secret: answers("correct horse", "correct horse"), left: true},
		"differ":    {args: []string{"FILE"}, secret: answers("correct horse", "correct house")},
		"short":     {args: []string{"FILE"}, secret: answers("short")},
		"watched":   {args: []string{"FILE"}, report: whole, secret: answers("correct horse", "correct horse"), left: true, person: true},
		"nobody":    {args: []string{"FILE"}},
		"recipient": {args: []string{"FILE", "--recipient", "me"}},
		"inside":    {args: []string{"DATA/archive", "--recipient", aRecipient}},
		"stdout":    {args: []string{"-", "--recipient", aRecipient}, report: whole},
		"partly":    {args: []string{"FILE", "--recipient", aRecipient}, report: partly, left: true},
		"full":      {args: []string{"FILE", "--recipient", aRecipient}, err: fmt.Errorf("write archive: %w", store.ErrFull)},
		"damaged": {args: []string{"FILE", "--recipient", aRecipient}, err: fmt.Errorf("open store: %w",
			&os.PathError{Op: "open", Path: "HOME/stage/outcrop.db", Err: fmt.Errorf("%w: file is not a database (26)", store.ErrForeign)})},
		"damaged-key":  {args: []string{"FILE", "--recipient", aRecipient, "--verbose"}, err: &os.PathError{Op: "open key file", Path: "key.json", Err: secret.ErrDamaged}},
		"damaged-logs": {args: []string{"FILE", "--recipient", aRecipient}, err: &os.PathError{Op: "back up", Path: "telemetry.db", Err: store.ErrForeign}},
		"nowhere":      {args: []string{"HOME/none/archive", "--recipient", aRecipient}},
		"exists":       {args: []string{"HOME/exists", "--recipient", aRecipient}},
		"no-data":      {args: []string{"FILE", "--data", "HOME/other", "--recipient", aRecipient}},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUser(t)
			writeKey(t, u.data())
			if err := os.WriteFile(filepath.Join(u.home, "exists"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			u.secret, u.terminal = test.secret, test.person
			u.backup = func(_ context.Context, opt BackupOptions) (BackupReport, error) {
				if opt.DataDir != u.data() || !opt.Key.Seals() || opt.Version != "1.2.3" {
					t.Errorf("asked for %+v", opt)
				}
				_, err := io.WriteString(opt.Out, "archive\n")
				return test.report, errors.Join(err, test.err)
			}
			file := filepath.Join(u.home, "archive")
			for i := range test.args {
				test.args[i] = strings.NewReplacer("FILE", file, "DATA", u.data(), "HOME", u.home).Replace(test.args[i])
			}
			u.golden("backup/"+name, u.run(append([]string{"backup"}, test.args...)...))
			if got, err := os.ReadFile(file); test.left != (err == nil) || test.left && string(got) != "archive\n" {
				t.Errorf("the archive is %q, %v", got, err)
			}
			if left, _ := filepath.Glob(filepath.Join(u.home, ".archive*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
	u := newUser(t)
	u.golden("backup/elsewhere", u.run("restore", "x"))
	writeKey(t, u.data())
	key := filepath.Join(u.data(), client.CredentialsName)
	if err := os.Truncate(key, 20); err != nil {
		t.Fatal(err)
	}
	u.backup = func(context.Context, BackupOptions) (BackupReport, error) { return BackupReport{}, errors.New("begun") }
	u.golden("backup/damaged-credentials", u.run("backup", filepath.Join(u.home, "archive"), "--recipient", aRecipient))
	u.backup = nil
	u.environ = append(u.environ, "AWS_ENDPOINT_URL=http://127.0.0.1:1")
	u.golden("backup/other-server", u.run("backup", filepath.Join(u.home, "archive"), "--recipient", aRecipient))
}

// TestBackupOfTheShellsServer: in a shell that `outcrop env` has set, its server's data
// is saved.
func TestBackupOfTheShellsServer(t *testing.T) {
	u := newUser(t)
	dir := filepath.Join(u.home, "other")
	other := *u
	saved := ""
	other.backup = func(_ context.Context, opt BackupOptions) (BackupReport, error) {
		saved = opt.DataDir
		return BackupReport{Account: testAccount}, nil
	}
	serving(t, u, func(opt ServeOptions) {
		other.environ = append(slices.Clone(u.environ), "AWS_ENDPOINT_URL="+opt.URL+"/")
		if r := other.run("backup", filepath.Join(u.home, "archive"), "--recipient", aRecipient); r.code != 0 {
			t.Errorf("%s", r)
		}
	}, "--listen", "127.0.0.1:0", "--data", dir)
	if saved != canonical(dir) {
		t.Errorf("saved %q, want %q", saved, dir)
	}
}

// TestBackupFindsTheServer: without a word about which, the data of the server that runs
// are saved, and where none does, those of the last one are named.
func TestBackupFindsTheServer(t *testing.T) {
	u := newUser(t)
	dir := filepath.Join(u.home, "other")
	other := *u
	var saved []string
	other.backup = func(_ context.Context, opt BackupOptions) (BackupReport, error) {
		saved = append(saved, opt.DataDir)
		return BackupReport{Account: testAccount}, nil
	}
	record := u.knows("http://127.0.0.1:1", filepath.Join(u.home, "older"))
	serving(t, u, func(opt ServeOptions) {
		u.golden("backup/one-of-two", other.run("backup", filepath.Join(u.home, "archive"), "--recipient", aRecipient))
	}, "--listen", "127.0.0.1:0", "--data", dir)
	if !slices.Equal(saved, []string{canonical(dir)}) {
		t.Errorf("saved %q, want %q", saved, dir)
	}
	record.PID = 0 // it has ended
	if err := u.program().state().Add(record); err != nil {
		t.Fatal(err)
	}
	u.golden("backup/ended", other.run("backup", filepath.Join(u.home, "archive2"), "--recipient", aRecipient))
	writeKey(t, u.data())
	if r := other.run("backup", filepath.Join(u.home, "archive2"), "--recipient", aRecipient); r.code != 0 || saved[len(saved)-1] != u.data() {
		t.Errorf("saved %q\n%s", saved, r)
	}
	u.golden("backup/no-directory", other.run("backup", filepath.Join(u.home, "archive", "x"), "--recipient", aRecipient))
}

func TestRestorePrints(t *testing.T) {
	done := RestoreReport{Account: testAccount, Version: "1.2.2", Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Files: 7, Bytes: 12345678}
	for name, test := range map[string]struct {
		err    error
		secret func(context.Context, string) (string, error)
		args   []string
	}{
		"works":   {secret: answers("correct horse")},
		"data":    {secret: answers("correct horse"), args: []string{"--data", "HOME/other"}},
		"nobody":  {},
		"wrong":   {secret: answers("correct horse"), err: fmt.Errorf("open archive: %w", backup.ErrWrongKey)},
		"damaged": {secret: answers("correct horse"), err: fmt.Errorf("read archive: %w: unexpected EOF", backup.ErrDamaged)},
		"newer":   {secret: answers("correct horse"), err: fmt.Errorf("open archive: %w (9.9)", backup.ErrNewer)},
		"full":    {secret: answers("correct horse"), err: &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}},
		"mount":   {secret: answers("correct horse"), err: &os.LinkError{Op: "rename", Old: "a", New: "b", Err: syscall.EBUSY}},
		"taken":   {secret: answers("correct horse"), args: []string{"--data", "HOME"}},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUser(t)
			u.secret = test.secret
			u.restore = func(_ context.Context, opt RestoreOptions) (RestoreReport, error) {
				if got, err := io.ReadAll(opt.In); err != nil || string(got) != "archive" {
					t.Errorf("read %q, %v", got, err)
				}
				return done, test.err
			}
			file := filepath.Join(u.home, "archive")
			if err := os.WriteFile(file, []byte("archive"), 0o600); err != nil {
				t.Fatal(err)
			}
			for i := range test.args {
				test.args[i] = strings.ReplaceAll(test.args[i], "HOME", u.home)
			}
			u.golden("restore/"+name, u.run(append([]string{"restore", file}, test.args...)...))
		})
	}
}
