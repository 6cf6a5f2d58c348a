package npm

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// host is a machine whose npm is a script.
func host(t *testing.T, script string) Config {
	t.Helper()
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "npm"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return Config{Env: []string{"PATH=" + bin + ":/usr/bin:/bin", "AWS_SECRET_ACCESS_KEY=canary", "npm_config_registry=http://registry.test", "HTTPS_PROXY=p"}, Home: "/home/of/test"}
}

func TestInstall(t *testing.T) {
	dir := t.TempDir()
	r := New(host(t, `env > env.txt; echo "$@" > args.txt`))
	if err := r.Install(t.Context(), dir, []string{"@aws-sdk/client-s3@3"}); err != nil {
		t.Fatal(err)
	}
	env, _ := os.ReadFile(filepath.Join(dir, "env.txt"))
	for text, want := range map[string]bool{"canary": false, "npm_config_registry=http://registry.test": true, "HOME=/home/of/test": true, "HTTPS_PROXY=p": true} {
		if strings.Contains(string(env), text) != want {
			t.Errorf("%q in npm's environment: %v\n%s", text, !want, env)
		}
	}
	args, _ := os.ReadFile(filepath.Join(dir, "args.txt"))
	if !strings.Contains(string(args), "--ignore-scripts") || !strings.HasSuffix(string(args), "-- @aws-sdk/client-s3@3\n") {
		t.Errorf("npm was asked %s", args)
	}
}

func TestUnavailable(t *testing.T) {
	dir := t.TempDir()
	for _, one := range []struct{ script, want string }{
		{`echo "npm error code E404"; echo "npm error 404 Not Found" >&2; exit 1`, "npm failed: npm error code E404 npm error 404 Not Found"},
		{`sleep 60`, "the package registry did not answer in time"},
	} {
		cfg := host(t, one.script)
		cfg.Timeout = 300 * time.Millisecond
		var u *Unavailable
		if err := New(cfg).Install(t.Context(), dir, []string{"x"}); !errors.As(err, &u) || u.Reason != one.want {
			t.Errorf("%v, want %s", err, one.want)
		}
	}
	cfg := host(t, "exit 0")
	cfg.Trusted = func(string) bool { return false }
	var u *Unavailable
	if err := New(cfg).Install(t.Context(), dir, []string{"x"}); !errors.As(err, &u) || !strings.Contains(u.Reason, "no npm") {
		t.Errorf("one that others can change: %v", err)
	}
}
