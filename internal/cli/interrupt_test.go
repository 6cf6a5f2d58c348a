package cli

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDeployInterrupted wants whoever presses Ctrl-C to read what was done.
func TestDeployInterrupted(t *testing.T) {
	for name, at := range map[string]string{
		"packing": "GET /_outcrop/v1/server", "uploading": "PUT /outcrop-deploy-123456789012-us-east-1/hello/", "uploaded": "PUT /runtimes/",
		"creating": "GET /runtimes/hello-0123456789/",
	} {
		t.Run(name, func(t *testing.T) {
			u, f := withServer(t)
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			f.before = func(r *http.Request) {
				if call := r.Method + " " + r.URL.Path; strings.HasPrefix(call, at) {
					interrupt()
					if name == "uploading" || name == "uploaded" {
						unanswered(r)
					}
				}
			}
			r := u.runContext(ctx, "deploy", agentFolder(t, u, "hello"))
			u.golden("deploy/interrupted-"+name, r)
			if r.code != exitInterrupted {
				t.Errorf("exit code %d", r.code)
			}
		})
	}
}

// unanswered keeps a caller who is interrupted without an answer: it may come
// before he notices.
func unanswered(r *http.Request) {
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

// A deployment that the server leaves alone says what stands, too.
func TestDeployLosesItsServer(t *testing.T) {
	u, f := withServer(t)
	f.before = func(r *http.Request) {
		if r.Method == http.MethodPut && r.URL.Path == "/runtimes/" {
			_ = f.closeAll()
		}
	}
	u.golden("deploy/server-ends", u.run("deploy", agentFolder(t, u, "hello")))
}

// TestDeployUnchanged sends nothing for what the agent runs already, and all
// that did change.
func TestDeployUnchanged(t *testing.T) {
	u, f := withServer(t)
	dir := agentFolder(t, u, "hello")
	puts := func() (zips, updates int) {
		for _, call := range f.calls {
			if strings.HasPrefix(call, "PUT /outcrop-deploy-123456789012-us-east-1/hello/") {
				zips++
			}
			if call == "PUT /runtimes/hello-0123456789/" {
				updates++
			}
		}
		f.calls = nil
		return zips, updates
	}
	for _, step := range []struct {
		name          string
		change        func()
		args          []string
		zips, updates int
	}{
		{"creates", nil, []string{"--env", "A=1", "--role", "arn:aws:iam::123456789012:role/mine"}, 1, 0},
		{"unchanged", nil, nil, 0, 0},
		{"unchanged-json", nil, []string{"--json", "--env", "A=1"}, 0, 0},
		{"environment", nil, []string{"--env", "A=2"}, 0, 1},
		{"cleared", nil, []string{"--clear-env"}, 0, 1},
		{"description", nil, []string{"--description", "x"}, 0, 1},
		{"role", nil, []string{"--role", "arn:aws:iam::123456789012:role/other"}, 0, 1},
		{"runtime", nil, []string{"--runtime", "3.11"}, 0, 1},
		{"failed before", func() { f.runtimes["hello-0123456789"]["status"], f.looks["hello-0123456789"] = "UPDATE_FAILED", -9 }, []string{"--runtime", "3.11"}, 0, 1},
		{"zip lost", func() { clear(f.objects) }, []string{"--env", "B=1", "--runtime", "3.11"}, 1, 1},
		{"zip damaged", func() {
			for key := range f.sums {
				f.sums[key] = "other"
			}
		}, []string{"--env", "B=2", "--runtime", "3.11"}, 1, 1},
		{"code", func() { _ = os.WriteFile(filepath.Join(dir, "main.py"), []byte("print('ho')\n"), 0o644) }, []string{"--runtime", "3.11"}, 1, 1},
	} {
		if step.change != nil {
			step.change()
		}
		if len(step.args) == 0 || step.args[0] != "--runtime" && step.args[len(step.args)-1] != "3.11" {
			step.args = append(step.args, "--runtime", "PYTHON_3_12")
		}
		r := u.run(append([]string{"deploy", dir}, step.args...)...)
		if zips, updates := puts(); r.code != 0 || zips != step.zips || updates != step.updates {
			t.Errorf("%s: %d uploads, %d updates\n%s", step.name, zips, updates, r)
		}
		if strings.HasPrefix(step.name, "unchanged") {
			u.golden("deploy/"+step.name, r)
		}
	}
}
