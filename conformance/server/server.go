// Package server runs the real program for tests: on a free port, with a data
// directory of its own.
package server

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"

	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/internal/client"
)

// Options of a server; the zero value is good.
type Options struct {
	// Args are further arguments of `outcrop serve`.
	Args []string
	// DataDir is an existing data directory; empty makes one.
	DataDir string
	// Env is added to the server's environment.
	Env []string
	// Binary is the program; empty is Binary().
	Binary string
	// User runs the server; nil is whoever runs the test.
	User *syscall.Credential
}

// Server is a running `outcrop serve`.
type Server struct {
	URL, DataDir                                  string
	Account, AccessKeyID, SecretAccessKey, Region string
	Cmd                                           *exec.Cmd

	t       testing.TB
	opt     Options
	mu      sync.Mutex
	log     strings.Builder
	control *control.Client
	drained chan struct{}
}

// Binary is the program under test: OUTCROP_BINARY, or bin/outcrop of this
// checkout.
func Binary(t testing.TB) string {
	if b := os.Getenv("OUTCROP_BINARY"); b != "" {
		return b
	}
	_, here, _, _ := runtime.Caller(0)
	b := filepath.Join(filepath.Dir(here), "..", "..", "bin", "outcrop")
	if _, err := os.Stat(b); err != nil {
		t.Fatalf("there is no %s: run `make build`, or set OUTCROP_BINARY", b)
	}
	return b
}

// Start runs a server until the test ends.
func Start(t testing.TB, opt Options) *Server {
	t.Helper()
	if opt.Binary == "" {
		opt.Binary = Binary(t)
	}
	s := &Server{t: t, opt: opt, DataDir: opt.DataDir}
	if s.DataDir == "" {
		s.DataDir = filepath.Join(t.TempDir(), "data")
	}
	t.Cleanup(s.stop)
	s.start("127.0.0.1:0")
	return s
}

// start runs the program and waits until it answers.
func (s *Server) start(listen string) {
	s.t.Helper()
	args := append([]string{"serve", "--listen", listen, "--data", s.DataDir}, s.opt.Args...)
	s.Cmd = exec.Command(s.opt.Binary, args...)
	// The state file of whoever runs the tests is left alone.
	s.Cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+filepath.Join(s.DataDir, "..", "state"))
	s.Cmd.Env = append(s.Cmd.Env, s.opt.Env...)
	if s.opt.User != nil {
		s.Cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.opt.User}
	}
	stderr, err := s.Cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	s.drained = make(chan struct{})
	if err := spawn(s.Cmd, s.drained); err != nil {
		s.t.Fatal(err)
	}
	ready := make(chan string, 1)
	go s.read(bufio.NewScanner(stderr), ready)
	select {
	case s.URL = <-ready:
	case <-s.drained:
		s.t.Fatalf("the server did not start:\n%s", s.Log())
	case <-time.After(30 * time.Second):
		s.t.Fatalf("the server did not start within 30 s:\n%s", s.Log())
	}
	creds, err := client.ReadCredentials(s.DataDir)
	if err != nil {
		s.t.Fatal(err)
	}
	s.Account, s.AccessKeyID, s.SecretAccessKey, s.Region = creds.AccountID, creds.AccessKeyID, creds.SecretAccessKey, creds.Region
}

// read keeps what the server says and finds its address in it.
func (s *Server) read(lines *bufio.Scanner, ready chan<- string) {
	defer close(s.drained)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		s.mu.Lock()
		s.log.WriteString(line + "\n")
		s.mu.Unlock()
		if _, rest, ok := strings.Cut(line, " listens on "); ok {
			url, _, _ := strings.Cut(rest, " ")
			ready <- url
		}
	}
}

// Log is what the server has said so far.
func (s *Server) Log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// Kill ends the server as a power failure would (SIGKILL) and returns when the
// process is gone.
func (s *Server) Kill() {
	s.t.Helper()
	if err := s.Cmd.Process.Kill(); err != nil {
		s.t.Fatal(err)
	}
	<-s.drained
	_ = s.Cmd.Wait() // it was killed
}

// End sends the server a signal and returns how it ended, nil for status 0. A
// server that is still there after limit is killed, which is an error.
func (s *Server) End(sig os.Signal, limit time.Duration) error {
	if err := s.Cmd.Process.Signal(sig); err != nil {
		return err
	}
	select {
	case <-s.drained:
	case <-time.After(limit):
		_ = s.Cmd.Process.Kill() // it may be gone after all
		<-s.drained
		_ = s.Cmd.Wait() // it was killed
		return fmt.Errorf("the server did not end within %v of %v", limit, sig)
	}
	return s.Cmd.Wait()
}

// Restart runs a killed server again, on the same port and data.
func (s *Server) Restart() {
	s.t.Helper()
	s.start(strings.TrimPrefix(s.URL, "http://"))
}

// stop ends the server in order. A server that has to be killed is a failure.
func (s *Server) stop() {
	if s.Cmd == nil || s.Cmd.Process == nil || s.Cmd.ProcessState != nil {
		return
	}
	if err := s.End(syscall.SIGTERM, 60*time.Second); err != nil {
		s.t.Errorf("the server ended with %v:\n%s", err, s.Log())
	}
}

// RSS is the server's resident memory in bytes, without its sandboxes.
func (s *Server) RSS() int64 {
	s.t.Helper()
	return s.Usage().Memory
}

// AWS is a configuration for the Go SDK.
func (s *Server) AWS() aws.Config {
	return aws.Config{
		Region: s.Region, BaseEndpoint: aws.String(s.URL),
		Credentials: credentials.NewStaticCredentialsProvider(s.AccessKeyID, s.SecretAccessKey, ""),
		HTTPClient:  client.ForSDK(awshttp.NewBuildableClient()),
	}
}

// Env is the environment of a client process, made by `outcrop env` as a user
// would: everything the shell exports. flags are further ones of that command.
func (s *Server) Env(flags ...string) []string {
	s.t.Helper()
	cmd := exec.Command("bash", append([]string{"-c", `eval "$("$0" env --data "$@")" && env -0`, s.opt.Binary, s.DataDir}, flags...)...)
	cmd.Env = s.Cmd.Env
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("outcrop env: %v", err)
	}
	return strings.Split(strings.TrimRight(string(out), "\x00"), "\x00")
}

// CLI runs an outcrop command against the server and returns its output.
func (s *Server) CLI(ctx context.Context, args ...string) (stdout, stderr string, err error) {
	cmd := exec.CommandContext(ctx, s.opt.Binary, append(args, "--data", s.DataDir)...)
	cmd.Env = s.Cmd.Env
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	if err != nil {
		err = fmt.Errorf("outcrop %s: %w: %s", strings.Join(args, " "), err, errs.String())
	}
	return out.String(), errs.String(), err
}

// Run runs a client's program, or a script that calls the pinned ones, as env and the
// server's own environment say, and returns what it prints. One that fails, or says
// something on standard error, fails the test.
func (s *Server) Run(t testing.TB, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(s.Env(), env...)
	cmd.Env = append(cmd.Env, "PATH="+filepath.Dir(pinned.Program(t, "aws"))+":"+os.Getenv("PATH"))
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil || errs.Len() > 0 {
		t.Fatalf("%s: %v\n%s\n%s\n%s", name, err, out, errs.String(), s.Log())
	}
	return string(out)
}

// Healthy reports whether the server answers.
func (s *Server) Healthy() bool {
	resp, err := http.Get(s.URL + "/_outcrop/health")
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}
