package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/client"
	"github.com/outcrop/outcrop/internal/client/statefile"
)

var update = flag.Bool("update", false, "write the golden files")

// account is somebody with a home of their own, who runs commands.
type account struct {
	t       *testing.T
	home    string
	environ []string
	// terminal puts a person before the command's three streams.
	terminal bool
	columns  int // of the terminal
	stdin    string
	in       io.Reader // in place of stdin
	console  Console
	serve    Server
	diagnose Diagnose
	backup   Backup
	// interpreter checks what --interpreter names.
	interpreter InterpreterCheck
	restore     Restore
	// executable is where the program is, and systemUnits where root's services are.
	executable, systemUnits string

	secret  func(context.Context, string) (string, error)
	now     func() time.Time
	address string // where serve listens unless told otherwise
}

func newUser(t *testing.T) *account {
	t.Helper()
	home := canonical(t.TempDir())
	return &account{t: t, home: home, environ: []string{"HOME=" + home, "PATH="}, address: "127.0.0.1:1"}
}

// result is what a command did.
type result struct {
	stdout, stderr string
	code           int
}

func (u *account) run(args ...string) result { return u.runContext(u.t.Context(), args...) }

func (u *account) runContext(ctx context.Context, args ...string) result {
	var stdout, stderr bytes.Buffer
	in := u.in
	if in == nil {
		in = strings.NewReader(u.stdin)
	}
	p := Program{
		Args: args, Stdin: in, Console: u.console, Stdout: &stdout, Stderr: &stderr, Environ: u.environ, Version: "1.2.3",
		StdinTerminal: u.terminal, StdoutTerminal: u.terminal, StderrTerminal: u.terminal,
		Columns: func() int { return u.columns },
		Backup:  u.backup, Restore: u.restore, ReadSecret: u.secret, Executable: u.executable, systemUnits: u.systemUnits,
		Serve: u.serve, Interpreter: u.interpreter, Diagnose: u.diagnose, Now: u.now, address: u.address,
	}
	code := p.Run(ctx)
	return result{stdout.String(), stderr.String(), code}
}

// program is a Program of this user, for tests of its parts.
func (u *account) program() *Program {
	return &Program{Environ: u.environ, Stdout: &bytes.Buffer{}, Stderr: &bytes.Buffer{}, Now: time.Now, Version: "1.2.3", address: u.address}
}

func (u *account) data() string { return filepath.Join(u.home, ".local", "share", "outcrop") }

// knows makes a server at url, as this process, known to the user, with the
// test's key in dir.
func (u *account) knows(url, dir string) statefile.Record {
	u.t.Helper()
	writeKey(u.t, dir)
	start, _ := statefile.Process(os.Getpid())
	r := statefile.Record{
		URL: url, PID: os.Getpid(), ProcessStart: start, DataDirectory: dir, Account: testAccount, Region: testRegion, StartedAt: time.Now(),
	}
	if err := u.program().state().Add(r); err != nil {
		u.t.Fatal(err)
	}
	return r
}

const (
	testAccount = "123456789012"
	testRegion  = "us-east-1"
	testKey     = "AKIAIOSFODNN7EXAMPLE"
	testSecret  = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
)

func writeKey(t *testing.T, dir string) {
	t.Helper()
	b, err := json.Marshal(client.Credentials{AccountID: testAccount, AccessKeyID: testKey, SecretAccessKey: testSecret, Region: testRegion})
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, client.CredentialsName), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// String is the whole outcome, for golden files.
func (r result) String() string {
	return fmt.Sprintf("--- stdout\n%s--- stderr\n%s--- exit %d\n", r.stdout, r.stderr, r.code)
}

var changing = []struct {
	pattern *regexp.Regexp
	as      string
}{
	{regexp.MustCompile(`http://127\.0\.0\.1:\d+`), "http://127.0.0.1:PORT"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "127.0.0.1:PORT"},
	{regexp.MustCompile(`\[::1\]:\d+`), "[::1]:PORT"},
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "SESSION"},
	{regexp.MustCompile(`\b[0-9a-f]{64}\b`), "DIGEST"},
	{regexp.MustCompile(`pid \d+`), "pid PID"},
	{regexp.MustCompile(`kill \d+`), "kill PID"},
	{regexp.MustCompile(`\d+ bytes`), "N bytes"},
}

// golden compares got, with what differs from run to run replaced, to a file.
func (u *account) golden(name string, r result) {
	u.t.Helper()
	got := strings.ReplaceAll(r.String(), u.home, "HOME")
	for _, c := range changing {
		got = c.pattern.ReplaceAllString(got, c.as)
	}
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			u.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			u.t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		u.t.Fatal(err)
	}
	if got != string(want) {
		u.t.Errorf("%s differs (go test -update writes it):\n%s\nwant:\n%s", path, got, want)
	}
}
