package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// host is a user of a system that can serve, with a program that is there.
func host(t *testing.T) *account {
	u := newUser(t)
	u.serve = func(context.Context, ServeOptions) error { return nil }
	u.systemUnits = filepath.Join(u.home, "etc")
	u.executable = filepath.Join(u.home, "bin", "outcrop")
	if err := os.MkdirAll(filepath.Dir(u.executable), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(u.executable, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return u
}

func TestServiceShow(t *testing.T) {
	for name, args := range map[string][]string{
		"user": {"--user"}, "system": {"--system"},
		"flags": {"--system", "--data", `/srv/a b"$HOME%h\name`, "--region", "eu-west-1", "--", "--listen", "127.0.0.1:9000", "--grace", "90s", "--passthrough", "hello", "--passthrough", "*",
			"--interpreter", "/", "--tls-listen", "0.0.0.0:8644", "--tls-name", "agents.example.com", "--aws-hosts", "--log-json"},
	} {
		u := host(t)
		r := u.run(append([]string{"service", "show"}, args...)...)
		u.golden("service/"+name, r)
		verifyUnit(t, u, r.stdout, name == "user")
	}
}

// verifyUnit has systemd itself read a unit, and one like it with mistakes, which
// it only mentions.
func verifyUnit(t *testing.T, u *account, unit string, user bool) {
	t.Helper()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("there is no systemd-analyze: apt-get install -y systemd")
		}
		t.Skip("there is no systemd-analyze (apt-get install systemd): what systemd makes of the unit is not tested")
	}
	verify := func(unit string) string {
		path := filepath.Join(t.TempDir(), "outcrop.service")
		if err := os.WriteFile(path, []byte(unit), 0o644); err != nil {
			t.Fatal(err)
		}
		args := []string{"verify", "--man=no", path}
		if user {
			args = append([]string{"--user"}, args...)
		}
		cmd := exec.Command(analyze, args...)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + u.home, "XDG_RUNTIME_DIR=" + t.TempDir()}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("systemd-analyze: %v\n%s", err, out)
		}
		var ours strings.Builder
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, "outcrop") { // it has something to say of other units, too
				ours.WriteString(line)
			}
		}
		return ours.String()
	}
	if said := verify(unit); said != "" {
		t.Errorf("systemd says\n%sof\n%s", said, unit)
	}
	if said := verify(strings.Replace(unit, "KillMode=mixed", "KillMode=mixd", 1)); !strings.Contains(said, "mixd") {
		t.Errorf("systemd does not mind a mistake: %s", said)
	}
}

func TestServiceInstall(t *testing.T) {
	u := host(t)
	unit := filepath.Join(u.home, ".config", "systemd", "user", "outcrop.service")
	u.golden("service/install", u.run("service", "install", "--user"))
	first, err := os.ReadFile(unit)
	if err != nil || string(first) != u.run("service", "show", "--user").stdout {
		t.Errorf("installed\n%s%v", first, err)
	}
	u.golden("service/install-again", u.run("service", "install", "--user", "--", "--spares", "1"))
	if second, err := os.ReadFile(unit); err != nil || !strings.Contains(string(second), " --spares=1\n") {
		t.Errorf("then\n%s%v", second, err)
	}
	wants := filepath.Join(filepath.Dir(unit), "default.target.wants")
	if err := os.MkdirAll(wants, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(unit, filepath.Join(wants, "outcrop.service")); err != nil {
		t.Fatal(err)
	}
	u.golden("service/uninstall-enabled", u.run("service", "uninstall", "--user"))
	if err := os.RemoveAll(wants); err != nil {
		t.Fatal(err)
	}
	u.golden("service/uninstall", u.run("service", "uninstall", "--user"))
	if _, err := os.Stat(unit); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
	u.golden("service/uninstall-nothing", u.run("service", "uninstall", "--user"))

	u.golden("service/install-system", u.run("service", "install", "--system"))
	if err := os.WriteFile(unit, []byte("[Unit]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	u.golden("service/foreign", u.run("service", "install", "--user"))
	u.golden("service/foreign-uninstall", u.run("service", "uninstall", "--user"))
	u.serve = nil
	u.golden("service/elsewhere", u.run("service", "show"))
}

// TestServiceInTheWay: a server that runs already is named with the way out, and so
// is whoever has the port. The unit is written all the same.
func TestServiceInTheWay(t *testing.T) {
	u := host(t)
	u.knows("http://127.0.0.1:9", u.data())
	r := u.run("service", "install", "--user")
	if want := fmt.Sprintf("Warning: a server already uses these data: http://127.0.0.1:9, pid %d. Stop it before you start the service: kill %[1]d\n", os.Getpid()); r.code != exitOK || !strings.Contains(r.stderr, want) {
		t.Errorf("says\n%s, want %q", r, want)
	}
	addr, pid := listener(t)
	r = u.run("service", "install", "--user", "--data", filepath.Join(u.home, "else"), "--", "--listen", addr)
	want := fmt.Sprintf("Warning: %s is taken by cli.test (pid %d, user ", addr, pid)
	if r.code != exitOK || !strings.Contains(r.stderr, want) || !strings.Contains(r.stderr, "another port: outcrop service install -- --listen 127.0.0.1:") {
		t.Errorf("says\n%s, want %q", r, want)
	}
}

// TestServiceArgumentsAreReadAgain holds that the server of the unit gets what was
// typed: exact numbers, all values of flags that are repeated, absolute paths.
func TestServiceArgumentsAreReadAgain(t *testing.T) {
	u := host(t)
	t.Chdir(u.home)
	if err := errors.Join(os.Mkdir("models", 0o755), os.WriteFile("docker.json", []byte("{}"), 0o600), os.WriteFile("models.json", []byte("{}"), 0o600)); err != nil {
		t.Fatal(err)
	}
	const arn = "arn:aws:elasticfilesystem:us-east-1:111122223333:access-point/fsap-0123456789abcdef0"
	typed := []string{
		"--access-point", arn + "=models", "--registry-config", "docker.json", "--models", "models.json", "--session-memory", "1500000001", "--max-memory", "12GiB", "--session-cpus", "0.5",
		"--quota", "endpoints=50", "--quota", "lists=100", "--hibernate-after", "off", "--keep-hibernated", "0s", "--snapshot-life", "1d", "--grace", "0s", "--spares", "1",
	}
	var direct, unit ServeOptions
	serve := func(to *ServeOptions) Server {
		return func(_ context.Context, opt ServeOptions) error {
			*to = opt
			return nil
		}
	}
	u.serve = serve(&direct)
	if r := u.run(append([]string{"serve", "--listen", "127.0.0.1:0"}, typed...)...); r.code != 0 {
		t.Fatalf("%s", r)
	}
	r := u.run(append([]string{"service", "show", "--user", "--"}, typed...)...)
	_, rest, _ := strings.Cut(r.stdout, " serve ")
	line, _, _ := strings.Cut(rest, "\n")
	t.Chdir("/") // where systemd starts it
	u.serve = serve(&unit)
	if again := u.run(append([]string{"serve", "--listen", "127.0.0.1:0"}, strings.Fields(line)...)...); again.code != 0 {
		t.Fatalf("%s\nof\n%s", again, r)
	}
	for _, opt := range []*ServeOptions{&direct, &unit} {
		opt.Listener, opt.Ready, opt.Log, opt.URL = nil, nil, nil, ""
		opt.Hosts = HostsOptions{}
	}
	if unit.AccessPoints[arn] != filepath.Join(u.home, "models") || unit.Sessions.Memory != 1500000001 || len(unit.Quotas.Given) != 2 {
		t.Errorf("the unit's server has %+v", unit)
	}
	direct.Images.Registry = filepath.Join(u.home, direct.Images.Registry)
	if !reflect.DeepEqual(unit, direct) {
		t.Errorf("the unit's server has\n%+v\nwant\n%+v", unit, direct)
	}
}

func TestQuoteUnit(t *testing.T) {
	for text, want := range map[string]string{
		"--data=/a": "--data=/a", "a b": `"a b"`, "100%": "100%%", "$HOME": "$$HOME", `a"b`: `"a\"b"`, `a\b`: `"a\\b"`, "a'b": `"a'b"`, "a;b": `"a;b"`, "": `""`, "a\nb": `"a\nb"`,
	} {
		if got := quoteUnit(text); got != want {
			t.Errorf("%q becomes %s, want %s", text, got, want)
		}
	}
}
