package wheels

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"

	"github.com/outcrop/outcrop/conformance/agent"
	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/conformance/server"
)

// simple is a package index (PEP 503) of the files of a directory, which keeps silent
// until it may speak.
type simple struct {
	*httptest.Server
	dir   string
	asked chan struct{} // closed at the first request
	first atomic.Bool
	speak atomic.Bool
}

func newSimple(t *testing.T) *simple {
	s := &simple{dir: t.TempDir(), asked: make(chan struct{})}
	s.Server = httptest.NewServer(http.HandlerFunc(s.answer))
	t.Cleanup(s.Close)
	return s
}

func (s *simple) answer(w http.ResponseWriter, r *http.Request) {
	if !s.first.Swap(true) {
		close(s.asked)
	}
	if !s.speak.Load() {
		<-r.Context().Done()
		return
	}
	name := path.Base(r.URL.Path)
	if strings.HasSuffix(name, ".whl") {
		http.ServeFile(w, r, filepath.Join(s.dir, name))
		return
	}
	files, err := os.ReadDir(s.dir)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html")
	for _, f := range files {
		if project, _, _ := strings.Cut(strings.ToLower(f.Name()), "-"); strings.ReplaceAll(project, "_", "-") == name {
			fmt.Fprintf(w, "<a href=\"/files/%s\">%s</a>\n", f.Name(), f.Name())
		}
	}
}

// installers are the processes that run with a path in their arguments.
func installers(t *testing.T, marker string) (found []int) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range all {
		text, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(text), marker) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
			found = append(found, pid)
		}
	}
	return found
}

// TestKilledWhileFetching: the index that the operator configured is asked, an
// installer ends with its server, and the next server goes on.
func TestKilledWhileFetching(t *testing.T) {
	index := newSimple(t)
	s := server.Start(t, server.Options{Env: []string{"PIP_INDEX_URL=" + index.URL + "/simple/", "PIP_FIND_LINKS=", "PIP_NO_CACHE_DIR=1"}})
	python := s.Python()
	code := vendor(t, python)
	version := strings.ReplaceAll(strings.TrimPrefix(string(python), "PYTHON_"), "_", ".")
	args := append([]string{"-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:", "--python-version", version, "--dest", index.dir}, packages()...)
	if out, err := exec.CommandContext(t.Context(), pinned.Program(t, "python"), args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := s.Agents().Store(t.Context(), bucket, agent.Key, code); err != nil {
		t.Fatal(err)
	}
	out, err := control.NewFromConfig(s.AWS()).CreateAgentRuntime(t.Context(), s.Agents().Input(bucket, "killed", python))
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-index.asked:
	case <-t.Context().Done():
		t.Fatal("the index was not asked")
	}
	marker := filepath.Join(s.DataDir, "code", "fitted")
	if len(installers(t, marker)) == 0 {
		t.Error("no installer runs while the index is asked")
	}
	s.Kill()
	s.Until("the installer has ended with its server", func() bool { return len(installers(t, marker)) == 0 })
	index.speak.Store(true)
	s.Restart()
	got, err := s.Agents().Settle(t.Context(), *out.AgentRuntimeId)
	if err != nil {
		t.Fatalf("%v\n%s", err, s.Log())
	}
	if a := invoke(t, s, *got.AgentRuntimeArn); a.Escaped != "&lt;b&gt;" {
		t.Errorf("%+v", a)
	}
	left, err := os.ReadDir(marker)
	if err != nil || len(left) != 1 {
		t.Errorf("below %s: %v, %v", marker, left, err)
	}
}
