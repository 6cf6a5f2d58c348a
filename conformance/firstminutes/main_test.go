//go:build linux

package firstminutes

// The cases, and the tests that hold them. Where a unit test covers a case, only
// what takes the real program or the real scripts is tested here.
//
//	case                                 here                             elsewhere
//	Go, make, cc, pip, venv missing      TestMissingTools                 README.md (make itself)
//	make demo                            -                                scripts/demo-times in .ci/run: both times, its server stopped;
//	                                                                      scripts/as-user scripts/demo in scripts/test
//	8642 taken                           TestPortTaken                    cli: TestServeTwice, TestPortTakenByAnother, TestPortTakenByAnotherUser
//	second terminal, other directory     TestSecondTerminal               cli: TestConnectFindsTheServer, TestConnectFails; statefile
//	eval "$(outcrop env)"                TestEnvForPython                 cli: TestEnvRoundTrip (five shells), TestEnvText
//	ordinary user, user namespaces off   TestUserNamespacesOff*           gvisor: TestUserNamespacesOff; image: TestStandsForRoot
//	data of root, ordinary client        TestDataOfRoot                   cli: TestKeyOfAnotherUser
//	Python differs                       TestPythonDiffers, TestRuntimeThatIsAbsent, TestPackageWithoutWheel
//	                                                                      bundle: TestChoose, TestVendor*
//	python is a venv's or pyenv's        TestShimAndEnvironmentStayOutside, TestDeclaredPrefix
//	                                                                      image: TestInterpretersNeverTrustShimsAndEnvironments
//	deploy .                             TestDeployHere, TestDeployTooLarge
//	                                                                      bundle: TestBuildLeavesOutWhatDoesNotBelong, TestBuildRefuses
//	server ends, agent deleted meanwhile TestTroubleIsToldInWords         cli: TestTheServerEndsInTheMiddle, TestInvokeLosesItsSession, TestDeployInterrupted
//	endpoint of something else           TestTroubleIsToldInWords         cli: TestWhatAnswersIsNoOutcrop; client: network_test.go
//	deployed again, two servers          TestDeployAgain                  cli: TestDeployUnchanged, TestSeveralServersAreTold
//	macOS, Windows                       TestOtherSystems, TestAddressOfTheNetwork
//	                                                                      cli: TestCannotServe; make cross in .ci/run; scripts/lint vets both
//	disk, mount, clock                   TestDiskNearlyFull, TestDiskFull, TestNoexec, TestClock
//	                                                                      cli: TestClockOff, TestCheckMount; pipeline: full_test.go

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/conformance/server"
)

// systemPath is the PATH of somebody who has installed nothing.
const systemPath = "/usr/local/bin:/usr/bin:/bin"

// person is somebody with a home of their own, and nothing of the environment
// that the tests run in.
type person struct {
	t    *testing.T
	home string
	// path is their PATH, env what else they have set.
	path string
	env  []string
	// binary is the program under test.
	binary string
}

func newPerson(t *testing.T) *person {
	t.Helper()
	home, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &person{t: t, home: home, path: systemPath, binary: server.Binary(t)}
}

func (p *person) data() string { return filepath.Join(p.home, ".local", "share", "outcrop") }

func (p *person) environ() []string {
	base := []string{"HOME=" + p.home, "PATH=" + p.path, "LANG=C.UTF-8", "TMPDIR=" + os.TempDir()}
	if dir := os.Getenv("GOCOVERDIR"); dir != "" {
		base = append(base, "GOCOVERDIR="+dir)
	}
	return append(base, p.env...)
}

// result is what a command did.
type result struct {
	stdout, stderr string
	code           int
}

func (r result) String() string {
	return fmt.Sprintf("--- stdout\n%s--- stderr\n%s--- exit %d\n", r.stdout, r.stderr, r.code)
}

// run runs outcrop in a directory.
func (p *person) run(dir string, args ...string) result {
	p.t.Helper()
	return p.exec(dir, append([]string{p.binary}, args...)...)
}

// exec runs any command in a directory.
func (p *person) exec(dir string, argv ...string) result {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = dir, p.environ()
	cmd.WaitDelay = time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatalf("%v: %v", argv, err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// must is run for what has to work.
func (p *person) must(dir string, args ...string) result {
	p.t.Helper()
	r := p.run(dir, args...)
	if r.code != 0 {
		p.t.Fatalf("outcrop %s:\n%s", strings.Join(args, " "), r)
	}
	return r
}

// serve runs this person's server until the test ends, on their usual data
// directory.
func (p *person) serve(args ...string) *server.Server {
	p.t.Helper()
	return p.serveOn(p.data(), args...)
}

func (p *person) serveOn(data string, args ...string) *server.Server {
	p.t.Helper()
	unset := []string{"XDG_STATE_HOME=", "XDG_DATA_HOME=", "XDG_CACHE_HOME="} // relative, and so ignored
	return server.Start(p.t, server.Options{Binary: p.binary, DataDir: data, Args: args, Env: append(unset, p.environ()...)})
}

// agentCode answers with the value of the expression that it is sent.
const agentCode = `import glob, importlib, json, os, subprocess, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def written(path):
    try:
        open(path, "w").close()
        return "written"
    except OSError as error:
        return type(error).__name__


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer({"status": "Healthy"})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(eval(asked["eval"]))

    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("", 8080), Handler).serve_forever()
`

// agent makes a folder with the agent, and further files, in the home.
func (p *person) agent(name string, files map[string]string) string {
	p.t.Helper()
	dir := filepath.Join(p.home, name)
	write(p.t, dir, map[string]string{"main.py": agentCode})
	write(p.t, dir, files)
	return dir
}

// evaluate has a deployed agent evaluate a Python expression.
func (p *person) evaluate(name, expression string, value any) {
	p.t.Helper()
	payload, err := json.Marshal(map[string]string{"eval": expression})
	if err != nil {
		p.t.Fatal(err)
	}
	r := p.must(p.home, "invoke", name, string(payload), "--raw")
	if err := json.Unmarshal([]byte(r.stdout), value); err != nil {
		p.t.Fatalf("%s: %v\n%s", expression, err, r)
	}
}

// write makes files below dir; a name that ends in ! is executable.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		name, exec := strings.CutSuffix(name, "!")
		file := filepath.Join(dir, name)
		mode := os.FileMode(0o644)
		if exec {
			mode = 0o755
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), mode)); err != nil {
			t.Fatal(err)
		}
	}
}

// finding is one line of doctor.
type finding struct {
	Name        string
	OK          bool
	Detail, Fix string
}

// doctor returns what doctor finds of one name.
func (p *person) doctor(name string, args ...string) finding {
	p.t.Helper()
	r := p.run(p.home, append([]string{"doctor", "--json"}, args...)...)
	var all []finding
	if err := json.Unmarshal([]byte(r.stdout), &all); err != nil {
		p.t.Fatalf("%v\n%s", err, r)
	}
	i := slices.IndexFunc(all, func(f finding) bool { return f.Name == name })
	if i < 0 {
		p.t.Fatalf("doctor does not look at %s: %+v", name, all)
	}
	return all[i]
}

// wants fails unless text has every part.
func wants(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in\n%s", part, text)
		}
	}
}

// avoids fails if text has any part.
func avoids(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if strings.Contains(text, part) {
			t.Errorf("%q is in\n%s", part, text)
		}
	}
}

// checkout is the root of the source tree.
func checkout(t *testing.T) string {
	t.Helper()
	if dir, err := filepath.Abs("../.."); err == nil {
		if _, err := os.Stat(filepath.Join(dir, "scripts", "preflight")); err == nil {
			return dir
		}
	}
	_, here, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(here), "..", "..")
}

// clients is the Python that has the pinned clients, boto3 and pip among them.
func clients(t *testing.T) string {
	t.Helper()
	python := os.Getenv("OUTCROP_PYTHON")
	if python == "" {
		python = filepath.Join(checkout(t), ".venv", "bin", "python")
	}
	if _, err := os.Stat(python); err != nil {
		if os.Getenv("OUTCROP_PYTHON") != "" {
			t.Fatal(err)
		}
		t.Skipf("the pinned Python clients are not installed: run `make clients` (%v)", err)
	}
	return python
}
