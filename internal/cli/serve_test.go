package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/client/statefile"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
)

// serving runs serve with a server that is ready at once, calls during, and ends
// it as Ctrl-C does.
func serving(t *testing.T, u *account, during func(ServeOptions), args ...string) result {
	t.Helper()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	u.serve = func(ctx context.Context, opt ServeOptions) error {
		defer func() { _ = opt.Listener.Close() }()
		writeKey(t, opt.DataDir)
		opt.Ready(Ready{Account: testAccount, Region: opt.Region})
		during(opt)
		interrupt()
		<-ctx.Done()
		return nil
	}
	return u.runContext(ctx, append([]string{"serve"}, args...)...)
}

func TestServeCanBeFoundWhileItRuns(t *testing.T) {
	u := newUser(t)
	other := *u
	r := serving(t, u, func(opt ServeOptions) {
		if opt.DataDir != u.data() || opt.Region != testRegion || opt.Version != "1.2.3" || len(opt.InterpreterPrefixes) != 1 {
			t.Errorf("options %+v", opt)
		}
		for _, path := range []string{u.program().state().Path, filepath.Join(opt.DataDir, statefile.Name)} {
			live, err := statefile.File{Path: path}.Live()
			if err != nil || len(live) != 1 || live[0].URL != opt.URL || live[0].PID != os.Getpid() || live[0].Account != testAccount {
				t.Errorf("%s: %+v, %v", path, live, err)
			}
		}
		for _, args := range [][]string{{"env"}, {"env", "--data", u.data()}} {
			if r := other.run(args...); r.code != 0 || !strings.Contains(r.stdout, "AWS_ENDPOINT_URL="+opt.URL) {
				t.Errorf("%v: %s", args, r)
			}
		}
		if !slices.Equal(opt.Passthrough, []string{"hello", "*"}) {
			t.Errorf("passed through: %q", opt.Passthrough)
		}
	}, "--listen", "127.0.0.1:0", "--interpreter", u.home, "--passthrough", "hello", "--passthrough", "*")
	u.golden("serve/runs", r)
	if live, err := u.program().state().List(); err != nil || len(live) != 0 {
		t.Errorf("after the end: %+v, %v", live, err)
	}
}

func TestServeAccessPoints(t *testing.T) {
	const arn = "arn:aws:elasticfilesystem:us-east-1:111122223333:access-point/fsap-01234567"
	u := newUser(t)
	models := t.TempDir()
	r := serving(t, u, func(opt ServeOptions) {
		if len(opt.AccessPoints) != 1 || opt.AccessPoints[arn] != canonical(models) {
			t.Errorf("access points %v", opt.AccessPoints)
		}
	}, "--listen", "127.0.0.1:0", "--access-point", arn+"="+models)
	if r.code != 0 {
		t.Errorf("%s", r)
	}
	for _, dir := range []string{u.home, filepath.Join(u.data(), "code"), u.data()} { // around, in, and the data directory
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if r := u.run("serve", "--access-point", arn+"="+dir); r.code != exitUsage || !strings.Contains(r.stderr, "agents would reach the server's own files") {
			t.Errorf("%s: %s", dir, r)
		}
	}
	if r := u.run("serve", "--access-point", arn+"="+models, "--access-point", arn+"="+models); r.code != exitUsage || !strings.Contains(r.stderr, "given twice") {
		t.Errorf("%s", r)
	}
}

// TestServeInterpreters: one that brings nothing is refused before anything is made.
func TestServeInterpreters(t *testing.T) {
	u := host(t)
	for _, name := range []string{"good", "empty"} {
		if err := os.Mkdir(filepath.Join(u.home, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	u.interpreter = func(_ context.Context, path, data string) string {
		if data != u.data() {
			t.Errorf("the data directory is %s", data)
		}
		if path == filepath.Join(u.home, "good") {
			return ""
		}
		return "there is no interpreter in it"
	}
	u.serve = func(_ context.Context, opt ServeOptions) error {
		if len(opt.InterpreterPrefixes) != 1 || opt.InterpreterPrefixes[0] != filepath.Join(u.home, "good") {
			t.Errorf("served with %v", opt.InterpreterPrefixes)
		}
		return opt.Listener.Close()
	}
	if r := u.run("serve", "--listen", "127.0.0.1:0", "--interpreter", u.home+"/good"); r.code != 0 {
		t.Errorf("%s", r)
	}
	u.golden("serve/no-interpreter", u.run("serve", "--interpreter", u.home+"/good", "--interpreter", u.home+"/empty"))
	u.golden("service/no-interpreter", u.run("service", "show", "--user", "--", "--interpreter", u.home+"/empty"))
}

func TestServeWithoutHome(t *testing.T) {
	u := newUser(t)
	dir := filepath.Join(u.home, "data")
	u.environ = nil
	if r := u.run("env"); r.code != exitFailure || !strings.Contains(r.stderr, "no server is running") {
		t.Errorf("%s", r)
	}
	other := *u
	r := serving(t, u, func(opt ServeOptions) {
		if r := other.run("env", "--data", dir); r.code != 0 || !strings.Contains(r.stdout, opt.URL) {
			t.Errorf("%s", r)
		}
	}, "--listen", "127.0.0.1:0", "--data", dir)
	if r.code != 0 {
		t.Errorf("%s", r)
	}
	if r := u.run("serve"); r.code != exitUsage || !strings.Contains(r.stderr, "--data") {
		t.Errorf("%s", r)
	}
}

func TestServeFails(t *testing.T) {
	u := newUser(t)
	u.serve = func(_ context.Context, opt ServeOptions) error {
		_ = opt.Listener.Close()
		return errors.New("open store: it is broken")
	}
	u.golden("serve/fails", u.run("serve", "--listen", "127.0.0.1:0"))
	if live, _ := u.program().state().List(); len(live) != 0 {
		t.Errorf("a server that never ran is listed: %+v", live)
	}
	u.serve = func(_ context.Context, opt ServeOptions) error {
		_ = opt.Listener.Close()
		return fmt.Errorf("open store: %w", store.ErrFull)
	}
	u.golden("serve/full", u.run("serve", "--listen", "127.0.0.1:0"))
	u.golden("serve/no-address", u.run("serve", "--listen", "nonsense"))
	u.golden("serve/not-ours", u.run("serve", "--listen", "192.0.2.1:9999"))
}

func TestServeWarnsOfTheWire(t *testing.T) {
	u := newUser(t)
	r := serving(t, u, func(opt ServeOptions) {
		if !strings.HasPrefix(opt.URL, "http://127.0.0.1:") {
			t.Errorf("URL for this machine is %s", opt.URL)
		}
	}, "--listen", "0.0.0.0:0")
	if !strings.Contains(r.stderr, "plain HTTP") || r.code != 0 {
		t.Errorf("%s", r)
	}
}

func TestServeTwice(t *testing.T) {
	u := newUser(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	u.address = l.Addr().String()
	u.knows("http://"+u.address, u.data())
	u.serve = func(context.Context, ServeOptions) error { t.Error("a second server ran"); return nil }
	elsewhere := filepath.Join(u.home, "elsewhere")
	tests := map[string][]string{
		"again":                {"serve"},
		"again-same-address":   {"serve", "--listen", u.address},
		"again-other-flags":    {"serve", "--allow-private", "127.0.0.1", "--strict", "-v"},
		"again-other-address":  {"serve", "--listen", "127.0.0.1:0"},
		"again-third-address":  {"serve", "--listen", "127.0.0.1:2"},
		"taken-by-ours":        {"serve", "--data", elsewhere},
		"taken-by-ours-listen": {"serve", "--data", elsewhere, "--listen", u.address},
	}
	for name, args := range tests {
		u.golden("serve/"+name, u.run(args...))
	}
	if _, err := os.Stat(elsewhere); err == nil {
		t.Error("a server that did not run made its data directory")
	}
	// Its list says another data directory, but none was asked for.
	u.environ = append(u.environ, "XDG_DATA_HOME="+filepath.Join(u.home, "share2"))
	if r := u.run("serve"); r.code != exitOK || !strings.Contains(r.stderr, "already running") {
		t.Errorf("%s", r)
	}
}

func TestPortTakenByAnother(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("serve runs on Linux")
	}
	addr, pid := listener(t)
	u := newUser(t)
	u.serve = func(context.Context, ServeOptions) error { t.Error("the server ran"); return nil }
	for _, args := range [][]string{{"serve", "--listen", addr}, {"serve", "--listen", strings.Replace(addr, "127.0.0.1", "localhost", 1)}} {
		r := u.run(args...)
		want := fmt.Sprintf("is taken by cli.test (pid %d, user ", pid)
		if r.code != exitFailure || !strings.Contains(r.stderr, want) || !strings.Contains(r.stderr, "outcrop serve --listen ") || strings.Contains(r.stderr, "--listen "+addr) {
			t.Errorf("says\n%s, want %q", r, want)
		}
	}
	if live, _ := u.program().state().List(); len(live) != 0 {
		t.Errorf("listed: %+v", live)
	}
	if _, err := os.Stat(u.data()); err == nil {
		t.Error("the data directory was made")
	}
}

func TestCannotServe(t *testing.T) {
	for _, goos := range []string{"darwin", "windows", "freebsd"} {
		f := cannotServe(goos)
		u := newUser(t)
		u.golden("serve/on-"+goos, result{stderr: "outcrop: " + f.text + "\n" + indent(f.fix, 2), code: exitFailure})
	}
}

// TestServeDamage says which file is damaged and what can be done, in no library's words.
func TestServeDamage(t *testing.T) {
	u := newUser(t)
	u.serve = func(_ context.Context, opt ServeOptions) error {
		_ = opt.Listener.Close()
		return fmt.Errorf("open key file: %w", &os.PathError{Op: "open key file", Path: filepath.Join(opt.DataDir, "key.json"), Err: fmt.Errorf("%w: invalid keyset", secret.ErrDamaged)})
	}
	u.golden("serve/damaged-key", u.run("serve", "--listen", "127.0.0.1:0"))
	u, f := withServer(t)
	if err := os.WriteFile(filepath.Join(u.data(), "credentials.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	u.golden("connect/damaged-key", u.run("ls"))
	if len(f.calls) > 0 {
		t.Errorf("called %v", f.calls)
	}
}
