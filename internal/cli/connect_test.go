package cli

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/client/statefile"
)

func TestConnectFindsTheServer(t *testing.T) {
	key := []string{"AWS_ACCESS_KEY_ID=" + testKey, "AWS_SECRET_ACCESS_KEY=" + testSecret}
	tests := map[string]struct {
		environ func(f *fake) []string
		args    func(u *account, f *fake) []string
		known   bool
	}{
		"state file":              {known: true},
		"--data":                  {known: true, args: func(u *account, _ *fake) []string { return []string{"--data", u.data()} }},
		"--endpoint of a known":   {known: true, args: func(_ *account, f *fake) []string { return []string{"--endpoint", f.url + "/"} }},
		"variables of a remote":   {environ: func(f *fake) []string { return append(key, "AWS_ENDPOINT_URL="+f.url, "AWS_REGION=us-east-1") }},
		"--endpoint and key":      {environ: func(*fake) []string { return key }, args: func(_ *account, f *fake) []string { return []string{"--endpoint", f.url} }},
		"endpoint, key of a file": {known: true, environ: func(f *fake) []string { return []string{"AWS_ENDPOINT_URL=" + f.url} }},
		"AWS key of something else": {known: true, environ: func(*fake) []string {
			return []string{"AWS_ACCESS_KEY_ID=AKIAOTHER", "AWS_SECRET_ACCESS_KEY=x", "AWS_PROFILE=work"}
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			u, f := newUser(t), newFake(t)
			f.add("hello")
			args := []string{"ls"}
			if test.known {
				u.knows(f.url, u.data())
			}
			if test.environ != nil {
				u.environ = append(u.environ, test.environ(f)...)
			}
			if test.args != nil {
				args = append(args, test.args(u, f)...)
			}
			if r := u.run(args...); r.code != 0 || !strings.Contains(r.stdout, "hello") {
				t.Errorf("%s", r)
			}
		})
	}
}

func TestConnectRegion(t *testing.T) {
	u, f := newUser(t), newFake(t)
	u.knows(f.url, u.data())
	for want, args := range map[string][]string{"us-east-1": nil, "eu-west-1": {"--region", "eu-west-1"}} {
		u.environ = []string{"HOME=" + u.home, "AWS_REGION=ap-south-1"} // of other work, not of outcrop env
		if r := u.run(append([]string{"ls"}, args...)...); !strings.Contains(r.stderr, "region "+want) {
			t.Errorf("%v: %s", args, r)
		}
	}
}

func TestConnectFails(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + free.Addr().String()
	_ = free.Close()
	page := httptest.NewServer(http.NotFoundHandler())
	defer page.Close()
	stale := func(u *account, dir string) {
		r := u.knows("http://127.0.0.1:8642", dir)
		r.ProcessStart = "another boot/1"
		if err := u.program().state().Add(r); err != nil {
			t.Fatal(err)
		}
	}
	key := []string{"AWS_ACCESS_KEY_ID=" + testKey, "AWS_SECRET_ACCESS_KEY=" + testSecret}
	tests := map[string]struct {
		prepare func(u *account)
		args    []string
	}{
		"stale":            {prepare: func(u *account) { stale(u, u.data()) }, args: []string{"ls"}},
		"stale-other-data": {prepare: func(u *account) { stale(u, filepath.Join(u.home, "my data")) }, args: []string{"ls"}},
		"stale-data":       {prepare: func(u *account) { stale(u, u.data()) }, args: []string{"ls", "--data", "HOME/.local/share/outcrop"}},
		"no-key": {prepare: func(u *account) {
			u.knows(nobody, u.data())
			_ = os.Remove(filepath.Join(u.data(), "credentials.json"))
		}, args: []string{"ls"}},
		"does-not-answer":  {prepare: func(u *account) { u.knows(nobody, u.data()) }, args: []string{"ls"}},
		"variable-down":    {prepare: func(u *account) { u.environ = append(append(u.environ, key...), "AWS_ENDPOINT_URL="+nobody) }, args: []string{"ls"}},
		"flag-down":        {prepare: func(u *account) { u.environ = append(u.environ, key...) }, args: []string{"ls", "--endpoint", nobody}},
		"flag-without-key": {args: []string{"ls", "--endpoint", nobody}},
		"other-server": {prepare: func(u *account) { u.environ = append(append(u.environ, key...), "AWS_ENDPOINT_URL="+page.URL) },
			args: []string{"deploy", "HOME"}},
		"broken-list": {prepare: func(u *account) {
			u.knows(nobody, u.data())
			_ = os.WriteFile(u.program().state().Path, []byte("{"), 0o600)
		}, args: []string{"ls"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			u := newUser(t)
			if test.prepare != nil {
				test.prepare(u)
			}
			before := files(t, u.home)
			for i, arg := range test.args {
				test.args[i] = strings.Replace(arg, "HOME", u.home, 1)
			}
			r := u.run(test.args...)
			u.golden("connect/"+name, r)
			if r.code != exitFailure {
				t.Errorf("exit code %d", r.code)
			}
			if after := files(t, u.home); after != before {
				t.Errorf("a client made files:\n%s\nbefore:\n%s", after, before)
			}
		})
	}
}

// files lists a tree.
func files(t *testing.T, dir string) string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		all = append(all, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, "\n")
}

func TestWrongKeySaysWhatToDo(t *testing.T) {
	u, f := newUser(t), newFake(t)
	u.environ = append(u.environ, "AWS_ACCESS_KEY_ID=AKIAOTHER", "AWS_SECRET_ACCESS_KEY=x", "AWS_ENDPOINT_URL="+f.url)
	u.golden("connect/wrong-key-sdk", u.run("ls"))
	u.golden("connect/wrong-key-own", u.run("sessions"))
}

// TestKeyOfAnotherUser runs the client as a user who may not read the data
// directory, with and without knowing where it is.
func TestKeyOfAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to have another user's data directory")
	}
	f := newFake(t)
	// Go's temporary directories are closed to others.
	root, err := os.MkdirTemp("", "outcrop-other-user-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	data, home, program := filepath.Join(root, "data"), filepath.Join(root, "home"), filepath.Join(root, "outcrop.test")
	writeKey(t, data)
	start, _ := statefile.Process(os.Getpid())
	own := statefile.File{Path: filepath.Join(data, statefile.Name)}
	if err := own.Add(statefile.Record{URL: f.url, PID: os.Getpid(), ProcessStart: start, DataDirectory: data, StartedAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	self, err := os.ReadFile(os.Args[0])
	if err == nil {
		err = os.WriteFile(program, self, 0o755)
	}
	if err == nil {
		err = os.Mkdir(home, 0o700)
	}
	const nobody = 65534
	if err = firstError(err, os.Chmod(root, 0o755), os.Chown(home, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		cmd := exec.Command(program, args...)
		cmd.Dir = "/"
		cmd.Env = []string{"HOME=" + home, "OUTCROP_TEST_AS_MAIN=1"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Errorf("%v gave no error", args)
		}
		return string(out)
	}
	for _, args := range [][]string{{"ls", "--data", data}, {"env", "--data", data}, {"invoke", "hello", "--data", data}} {
		got := run(args...)
		for _, want := range []string{"its key is readable by root only", "outcrop serve --data", "let root run outcrop env"} {
			if !strings.Contains(got, want) {
				t.Errorf("%v says\n%s\nand not %q", args, got, want)
			}
		}
	}
	// sudo with the user's HOME leaves root's list behind.
	list := filepath.Join(home, ".local", "state", "outcrop")
	if err := firstError(os.MkdirAll(list, 0o755), os.WriteFile(filepath.Join(list, statefile.Name), []byte("{}"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if got := run("ls"); !strings.Contains(got, "belongs to root, most likely because outcrop ran under sudo") {
		t.Errorf("root's list in the user's home: %s", got)
	}
	if info, err := os.Stat(filepath.Join(data, "credentials.json")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's mode is %v, %v", info.Mode(), err)
	}
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// The host is not looked at here: what it allows differs.
func TestDoctor(t *testing.T) {
	u, f := newUser(t), newFake(t)
	u.diagnose = nil
	u.golden("doctor/nothing", u.run("doctor"))
	u.knows(f.url, u.data())
	u.golden("doctor/good", u.run("doctor"))
	var findings []Finding
	if r := u.run("doctor", "--json"); r.code != 0 || json.Unmarshal([]byte(r.stdout), &findings) != nil || len(findings) < 4 {
		t.Errorf("%s", r)
	}
	f.server = `{"version":"9","interpreters":[],"sandbox":{"available":false,"reason":"user namespaces are off","fix":"sudo sysctl -w user.max_user_namespaces=10000\nor run as root"}}`
	u.golden("doctor/bad", u.run("doctor"))
	u.now = func() time.Time { return time.Now().Add(-7*time.Minute - 300*time.Millisecond) }
	r := u.run("doctor")
	if !strings.Contains(r.stdout, "clock") || !strings.Contains(r.stdout, "differs from the server's by ") || r.code != exitFailure {
		t.Errorf("%s", r)
	}
}
