package sdk

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outcrop/outcrop/internal/image"
	"github.com/outcrop/outcrop/internal/image/npm"
	"github.com/outcrop/outcrop/internal/image/wheel"
)

// fetcher makes a tree for each distribution, or fails.
type fetcher struct {
	fail  error
	calls atomic.Int32
}

func (f *fetcher) Fetch(_ context.Context, r wheel.Request) (out []wheel.Fetched, err error) {
	f.calls.Add(1)
	if f.fail != nil {
		return nil, f.fail
	}
	for _, p := range r.Wanted {
		tree := filepath.Join(r.Dir, "tree-"+p.Name)
		for _, dir := range []string{p.Name, p.Name + "-1.dist-info", "bin"} {
			if err := os.MkdirAll(filepath.Join(tree, dir), 0o700); err != nil {
				return nil, err
			}
		}
		if err := os.WriteFile(filepath.Join(tree, p.Name, "__init__.py"), nil, 0o600); err != nil {
			return nil, err
		}
		out = append(out, wheel.Fetched{Pin: p, Tree: tree})
	}
	return out, nil
}

// registry writes down what is installed.
type registry struct {
	fail     error
	packages []string
}

func (r *registry) Install(_ context.Context, dir string, packages []string) error {
	r.packages = packages
	if r.fail != nil {
		return r.fail
	}
	return os.MkdirAll(filepath.Join(dir, "node_modules", "@aws-sdk"), 0o700)
}

func tree(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		path := filepath.Join(dir, files[i])
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(files[i+1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func open(t *testing.T, w image.Fetcher, r Registry) *SDKs {
	t.Helper()
	s, err := New(Config{Dir: filepath.Join(t.TempDir(), "sdk"), Wheels: w, Packages: r, Log: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var (
	python = image.Interpreter{Runtime: "PYTHON_3_13"}
	node   = image.Interpreter{Runtime: "NODE_22"}
)

func TestPython(t *testing.T) {
	f := &fetcher{}
	s := open(t, f, nil)
	for _, one := range []struct {
		files []string
		want  bool
	}{
		{[]string{"m.py", "import json"}, false},
		{[]string{"m.py", "import boto3"}, true},
		{[]string{"m.py", "from lib import x", "lib/x.py", "import botocore.session"}, true},
		{[]string{"m.py", "import boto3", "boto3/__init__.py", ""}, false},
		{[]string{"README.txt", "boto3"}, false},
	} {
		dir, warning := s.For(t.Context(), tree(t, one.files...), python)
		if (dir != "") != one.want || warning != "" {
			t.Errorf("%q: %q %q", one.files, dir, warning)
		}
		if dir == "" {
			continue
		}
		for _, name := range []string{"boto3/__init__.py", "urllib3/__init__.py"} {
			if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o644 {
				t.Errorf("%s: %v %v", name, info, err)
			}
		}
		if _, err := os.Stat(filepath.Join(dir, "bin")); err == nil {
			t.Error("scripts came along")
		}
	}
	if n := f.calls.Load(); n != 1 {
		t.Errorf("fetched %d times", n)
	}
}

func TestNode(t *testing.T) {
	r := &registry{}
	s := open(t, nil, r)
	code := tree(t, "index.mjs", `import { S3 } from "@aws-sdk/client-s3"; const { x } = require('@smithy/types'); import("@aws-sdk/lib-dynamodb/commands")`,
		"node_modules/@aws-sdk/client-s3/package.json", "{}", "node_modules/other/index.js", `require("@aws-sdk/client-sqs")`)
	dir, warning := s.For(t.Context(), code, node)
	if dir == "" || warning != "" || strings.Join(r.packages, " ") != "@aws-sdk/lib-dynamodb@3 @smithy/types" {
		t.Errorf("%q %q %q", dir, warning, r.packages)
	}
	if dir, warning := s.For(t.Context(), tree(t, "index.js", "exports.handler = 1"), node); dir != "" || warning != "" {
		t.Errorf("%q %q", dir, warning)
	}
}

// TestFailures tells why, and does not ask again at once.
func TestFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fetcher{fail: &wheel.Unavailable{Reason: "the package index could not be asked: timed out"}}
		s := open(t, f, &registry{fail: &npm.Unavailable{Reason: "this host has no npm"}})
		code := tree(t, "m.py", "import boto3")
		const want = "boto3 1.44.5 is not importable: the package index could not be asked: timed out. Put it into the zip, or change the function when that is mended."
		for range 3 {
			if dir, warning := s.For(t.Context(), code, python); dir != "" || warning != want {
				t.Errorf("%q %q", dir, warning)
			}
		}
		if n := f.calls.Load(); n != 1 {
			t.Errorf("asked %d times at once", n)
		}
		f.fail = nil
		time.Sleep(failedFor)
		if dir, warning := s.For(t.Context(), code, python); dir == "" || warning != "" {
			t.Errorf("later: %q %q", dir, warning)
		}
		if _, warning := s.For(t.Context(), tree(t, "i.js", `require("@aws-sdk/client-sts")`), node); warning != "@aws-sdk/client-sts cannot be loaded: this host has no npm. Put it into the zip, or change the function when that is mended." {
			t.Errorf("%q", warning)
		}
		none := open(t, nil, nil)
		if _, warning := none.For(t.Context(), code, python); !strings.Contains(warning, "(--no-index)") {
			t.Errorf("%q", warning)
		}
	})
}
