package cli

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
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
		"flags": {"--system", "--data", "/srv/a b", "--region", "eu-west-1", "--", "--listen", "127.0.0.1:9000", "--grace", "90s", "--passthrough", "hello", "--passthrough", "*",
			"--interpreter", "/", "--tls-listen", "0.0.0.0:8644", "--tls-name", `odd"$HOME%h\name`, "--aws-hosts", "--log-json"},
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

func TestQuoteUnit(t *testing.T) {
	for text, want := range map[string]string{
		"--data=/a": "--data=/a", "a b": `"a b"`, "100%": "100%%", "$HOME": "$$HOME", `a"b`: `"a\"b"`, `a\b`: `"a\\b"`, "a'b": `"a'b"`, "a;b": `"a;b"`, "": `""`, "a\nb": `"a\nb"`,
	} {
		if got := quoteUnit(text); got != want {
			t.Errorf("%q becomes %s, want %s", text, got, want)
		}
	}
}
