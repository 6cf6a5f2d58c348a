//go:build linux

package firstminutes

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/outcrop/outcrop/conformance/server"
)

func TestPortTaken(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	s := p.serve()
	address := strings.TrimPrefix(s.URL, "http://")
	for name, args := range map[string][]string{
		"again": {"serve"}, "same address": {"serve", "--listen", address}, "same data": {"serve", "--data", p.data()},
	} {
		r := p.run("/", args...)
		want := fmt.Sprintf("Outcrop is already running: %s, pid %d, data directory %s\n", s.URL, s.Cmd.Process.Pid, p.data())
		if r.code != 0 || r.stderr != want {
			t.Errorf("%s: %swant %s", name, r, want)
		}
	}

	foreign, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	other := filepath.Join(p.home, "other")
	r := p.run("/", "serve", "--data", other, "--listen", foreign.Addr().String())
	wants(t, r.stderr, fmt.Sprintf("is taken by %s (pid %d, user ", filepath.Base(os.Args[0]), os.Getpid()), "serve --listen 127.0.0.1:")
	if _, err := os.Stat(other); r.code != 1 || err == nil {
		t.Errorf("exit code %d, data directory there: %v", r.code, err == nil)
	}
}

func TestSecondTerminal(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	s := p.serve()
	elsewhere := filepath.Join(p.home, "somewhere", "else")
	if err := os.MkdirAll(elsewhere, 0o755); err != nil {
		t.Fatal(err)
	}
	folder := p.agent("mine", nil)
	p.must(elsewhere, "deploy", folder)
	if r := p.must("/", "env"); !strings.Contains(r.stdout, "AWS_ENDPOINT_URL="+s.URL+";") || r.stderr != "" {
		t.Errorf("%s", r)
	}
	var two int
	p.evaluate("mine", "print('I was asked', flush=True) or 1 + 1", &two)
	if two != 2 {
		t.Errorf("1 + 1 is %d", two)
	}
	for deadline := time.Now().Add(server.Wait); ; time.Sleep(100 * time.Millisecond) { // the log is written behind
		r := p.must(elsewhere, "logs", "mine")
		if strings.Contains(r.stdout, "I was asked") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s", r)
		}
	}
	account := s.Account

	// Killed, it leaves its record behind.
	s.Kill()
	list := filepath.Join(p.home, ".local", "state", "outcrop", "server.json")
	if text, err := os.ReadFile(list); err != nil || !strings.Contains(string(text), s.URL) {
		t.Errorf("the list of a killed server: %s, %v", text, err)
	}
	down(t, p, s)

	// The same data directory is the same account, found again.
	s.Restart()
	if r := p.must("/", "ls"); s.Account != account || !strings.Contains(r.stdout, "mine") {
		t.Errorf("after the restart account %s, was %s; %s", s.Account, account, r)
	}
	if err := s.End(syscall.SIGTERM, time.Minute); err != nil {
		t.Errorf("the server ended with %v", err)
	}
	if text, err := os.ReadFile(list); err != nil || strings.Contains(string(text), s.URL) {
		t.Errorf("the list after an orderly end: %s, %v", text, err)
	}
	if r := p.run("/", "ls"); r.code != 1 {
		t.Errorf("%s", r)
	} else {
		wants(t, r.stderr, "no server is running", "serve")
	}
}

// down wants every command to say that there is no server, and to make nothing.
func down(t *testing.T, p *person, s *server.Server) {
	t.Helper()
	before := tree(t, p.home)
	for _, args := range [][]string{{"env"}, {"ls"}, {"invoke", "mine"}, {"logs", "mine"}, {"sessions"}, {"deploy", filepath.Join(p.home, "mine")}} {
		r := p.run("/", args...)
		if r.code != 1 || r.stdout != "" {
			t.Errorf("%v: %s", args, r)
		}
		wants(t, r.stderr, "no server is running; the last one was at "+s.URL, "Start it again: ", " serve")
	}
	if after := tree(t, p.home); after != before {
		t.Errorf("clients made files:\n%s\nbefore:\n%s", after, before)
	}
}

// tree lists what is below a directory.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		fmt.Fprintln(&all, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// envScript is a shell that was set up for something else. What it prints of the
// environment is compared.
const envScript = `set -u
export AWS_PROFILE=work AWS_SESSION_TOKEN=theirs AWS_ENDPOINT_URL_S3=http://127.0.0.1:1 AWS_REGION=eu-north-1 AWS_ENDPOINT_URL=http://127.0.0.1:2
env -0 | sort -z > "$HOME/before"
code=$("$OUTCROP" env) || exit 1
eval "$code"
[ -z "${AWS_PROFILE-}${AWS_SESSION_TOKEN-}${AWS_ENDPOINT_URL_S3-}" ] || { echo "left: $AWS_PROFILE"; exit 1; }
[ "$AWS_REGION" = "$AWS_DEFAULT_REGION" ] || exit 1
"$CLIENTS" - <<'PYTHON' || exit 1
import boto3
print("account", boto3.client("sts").get_caller_identity()["Account"])
print("runtimes", len(boto3.client("bedrock-agentcore-control").list_agent_runtimes()["agentRuntimes"]))
print("buckets", len(boto3.client("s3").list_buckets()["Buckets"]))
PYTHON
eval "$("$OUTCROP" env --unset)"
unset code
env -0 | sort -z > "$HOME/after"
cmp "$HOME/before" "$HOME/after" && echo restored
`

// TestEnvForPython has unmodified boto3 follow the variables, in a shell that
// led it elsewhere, and wants the shell back as it was.
func TestEnvForPython(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	python := clients(t)
	s := p.serve()
	p.env = append(p.env, "OUTCROP="+p.binary, "CLIENTS="+python)
	r := p.exec("/", "bash", "-c", envScript)
	if want := "account " + s.Account + "\nruntimes 0\nbuckets 0\nrestored\n"; r.code != 0 || r.stdout != want || r.stderr != "" {
		t.Errorf("%swant %s", r, want)
	}
	// Only shell code, whoever reads it: a shell that executes nothing parses it all.
	if r := p.exec("/", "bash", "-c", `"$OUTCROP" env 2>/dev/null | bash -n && "$OUTCROP" env | grep -vE '^(export [A-Z_a-z0-9]+=|unset [A-Z_0-9]+;)'`); r.stdout != "" || r.stderr != "" {
		t.Errorf("%s", r)
	}
}

// TestDataOfRoot runs the client as somebody who may not read root's key.
func TestDataOfRoot(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root, to have data that is root's")
	}
	root := newPerson(t)
	s := root.serve()
	key := filepath.Join(s.DataDir, "credentials.json")
	before, err := os.Stat(key)
	if err != nil {
		t.Fatal(err)
	}
	const nobody = 65534
	dir := publicCopies(t)
	home := filepath.Join(dir, "home")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(home, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	as := func(args ...string) result {
		argv := append([]string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", filepath.Join(dir, "outcrop")}, args...)
		p := &person{t: t, home: home, path: systemPath}
		return p.exec("/", argv...)
	}
	for _, args := range [][]string{{"env"}, {"ls"}, {"invoke", "hello"}, {"deploy", "/usr/share"}} {
		r := as(append(args, "--data", s.DataDir)...)
		if r.code != 1 || r.stdout != "" {
			t.Errorf("%v: %s", args, r)
		}
		wants(t, r.stderr, "key is readable by root only", "serve --data DIRECTORY", "let root run", "env and give you what it prints")
		avoids(t, r.stderr, "chmod")
	}
	if after, err := os.Stat(key); err != nil || after.Mode() != before.Mode() || after.Mode().Perm() != 0o600 {
		t.Errorf("the key's mode is %v, was %v (%v)", after.Mode(), before.Mode(), err)
	}
	// The way out that it names: what root exports works.
	export := root.must("/", "env", "--data", s.DataDir).stdout
	p := &person{t: t, home: home, path: systemPath}
	r := p.exec("/", "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "bash", "-c", export+filepath.Join(dir, "outcrop")+" ls")
	if r.code != 0 {
		t.Errorf("with what root exported: %s", r)
	}
}
