//go:build linux

package terminal

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/outcrop/outcrop/conformance/server"
)

// fixture is a server with the agent of testdata, called hello.
type fixture struct {
	*server.Server
	*testing.T
}

// outcome is what a command did.
type outcome struct {
	out, err string
	code     int
}

func (f *fixture) command(stdin string, args ...string) *exec.Cmd {
	cmd := exec.Command(server.Binary(f.T), append(args[:1:1], append([]string{"--data", f.DataDir}, args[1:]...)...)...)
	cmd.Env, cmd.Stdin = f.Cmd.Env, strings.NewReader(stdin)
	return cmd
}

func (f *fixture) run(stdin string, args ...string) outcome {
	f.Helper()
	var stdout, stderr bytes.Buffer
	cmd := f.command(stdin, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		f.Fatal(err)
	}
	return outcome{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// at opens a terminal with `outcrop exec hello`, at another endpoint if one is given.
func (f *fixture) at(endpoint string, args ...string) *terminal {
	f.Helper()
	env := f.Cmd.Env
	if endpoint == "" {
		args = append(args, "--data", f.DataDir)
	} else {
		env = append(env[:len(env):len(env)], "AWS_ENDPOINT_URL="+endpoint, "AWS_ACCESS_KEY_ID="+f.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+f.SecretAccessKey, "AWS_REGION="+f.Region)
	}
	return open(f.T, env, server.Binary(f.T), append([]string{"exec", "hello"}, args...)...)
}

func TestTerminal(t *testing.T) {
	f := &fixture{server.Start(t, server.Options{}), t}
	if r := f.run("", "deploy", "testdata/agent", "--name", "hello"); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	for name, part := range map[string]func(*fixture){"exec": execs, "exec interrupted": interrupts, "shell": shells, "connection lost": loses, "terminated": terminates, "websocket": converses} {
		t.Run(name, func(t *testing.T) { part(&fixture{f.Server, t}) })
	}
}

// execs: streams apart, arguments whole, the command's code, files that stay.
func execs(f *fixture) {
	id := server.SessionID("exec")
	for _, test := range []struct {
		args []string
		want outcome
	}{
		{[]string{"--", "echo out; echo err >&2; exit 3"}, outcome{"out\n", "err\n", 3}},
		{[]string{"--", "printf", "%s|", "a b", "", "it's", "$HOME"}, outcome{"a b||it's|$HOME|", "", 0}},
		{[]string{"--", "echo kept > /tmp/kept"}, outcome{}},
		{[]string{"--", "cat /tmp/kept"}, outcome{"kept\n", "", 0}},
		{[]string{"--", "kill -9 $$"}, outcome{"", "", 137}},
		{[]string{"--", "cat"}, outcome{}}, // has no standard input
	} {
		if got := f.run("typed", append([]string{"exec", "hello", "-s", id}, test.args...)...); got != test.want {
			f.Errorf("%q: %+v, want %+v", test.args, got, test.want)
		}
	}
	begun := time.Now()
	if r := f.run("", "exec", "hello", "-s", id, "--timeout", "1s", "--", "echo begun; sleep 100"); r.code != 124 || r.out != "begun\n" || time.Since(begun) > 30*time.Second {
		f.Errorf("a command that takes too long: %+v after %v", r, time.Since(begun))
	}
	if r := f.run("", "exec", "hello", "--", "head -c 3000000 /dev/zero | tr '\\0' x"); r.code != 0 || len(r.out) != 3_000_000 || !strings.Contains(r.err, "To go on in it: ") {
		f.Errorf("a long output: %d bytes, code %d, %s", len(r.out), r.code, r.err)
	}
}

// interrupts: Ctrl-C ends the command in the sandbox, too.
func interrupts(f *fixture) {
	id := server.SessionID("interrupted")
	cmd := f.command("", "exec", "hello", "-s", id, "--", "echo begun; sleep 31415")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		f.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, len("begun\n"))); err != nil {
		f.Fatal(err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		f.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, out)
	if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != 130 {
		f.Errorf("exit code %d", cmd.ProcessState.ExitCode())
	}
	f.Until("the command has ended in the sandbox", func() bool {
		r := f.run("", "exec", "hello", "-s", id, "--", `grep -lc 3141[5] /proc/[0-9]*/cmdline`)
		return r.code == 1 && r.out == ""
	})
}

// shells: size, Ctrl-C, leaving, coming back, exit code.
func shells(f *fixture) {
	id := server.SessionID("shell")
	x := f.at("", "-s", id, "--shell", "mine")
	x.shows("shell mine")
	x.types("stty size; X=remembered\r")
	x.shows("40 120")
	x.resize(90, 20)
	x.types("sleep 1; stty size\r")
	x.shows("20 90")
	x.types(`sh -c 'echo slee""ping; exec sleep 1000'` + "\r")
	x.shows("sleeping") // before that Ctrl-C is the shell's, which has not given its terminal away yet
	x.types("\x03")
	x.shows("^C")
	x.types("echo still $((40 + 2))\r")
	x.shows("still 42")
	x.types("~?")
	x.shows("~. leaves the shell running")
	x.types("\r~.")
	x.shows("--shell mine")
	x.ends(0)

	x = f.at("", "-s", id, "--shell", "mine")
	x.shows("Session ") // from here on the terminal is raw
	x.types("\recho it is $X\r")
	x.shows("it is remembered")
	x.types("exit 7\r")
	x.ends(7)

	// A large paste, to a program that takes it and shows it.
	x = f.at("", "-s", id)
	x.shows("Session ")
	x.types("stty -echo; wc -c\r")
	time.Sleep(time.Second) // until wc reads: nothing shows that
	line := strings.Repeat("y", 999) + "\r"
	for range 100 {
		x.types(line)
	}
	x.types("\x04")
	x.shows("100000")
	x.types("stty echo; exit\r")
	x.ends(0)
}

// loses: a cut connection is made again, and nothing that the shell shows
// afterwards is missing.
func loses(f *fixture) {
	p := newProxy(f, strings.TrimPrefix(f.URL, "http://"))
	x := f.at(p.url, "-s", server.SessionID("lost"))
	x.shows("Session ")
	x.types("X=remembered; echo rea''dy\r")
	x.shows("ready")
	x.types("sleep 2; seq -s, 1 2000; echo do''ne\r")
	x.shows("sleep 2")
	p.cut()
	all := x.shows("done")
	if !strings.Contains(all, "connected again") || !strings.Contains(all, "1999,2000") {
		f.Errorf("after the cut: %s", all)
	}
	x.types("echo it is $X; exit\r")
	x.shows("it is remembered")
	x.ends(0)

	// Who does not want to wait leaves.
	x = f.at(p.url, "-s", server.SessionID("lost"))
	x.shows("Session ")
	p.shut()
	x.shows("connecting again")
	x.types("\x03")
	x.ends(0)
}

// terminates: signals leave the terminal as it was.
func terminates(f *fixture) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGINT} {
		x := f.at("", "-s", server.SessionID("terminated"))
		x.shows("Session ")
		x.types("echo rea''dy\r")
		x.shows("ready")
		if err := x.cmd.Process.Signal(sig); err != nil {
			f.Fatal(err)
		}
		x.ends(130)
	}
	// The session ends while somebody is in its shell.
	id := server.SessionID("ended")
	x := f.at("", "-s", id)
	x.shows("Session ")
	x.types("echo rea''dy\r")
	x.shows("ready")
	if r := f.run("", "stop", "hello", "-s", id); r.code != 0 {
		f.Errorf("%+v", r)
	}
	x.shows("the session ended, and the shell with it")
	x.ends(125)
}

func converses(f *fixture) {
	id := server.SessionID("ws")
	if r := f.run("one\ntwo\n", "invoke", "--ws", "hello", "-s", id, "--linger", "1s"); r.code != 0 || r.out != "one\ntwo\n" {
		f.Errorf("%+v", r)
	}
	if r := f.run("\x00\xff\n", "invoke", "--ws", "--binary", "hello", "-s", id, "--linger", "1s"); r.code != 0 || r.out != "\x00\xff\n" {
		f.Errorf("%+v", r)
	}
	if r := f.run("one\nfail\n", "invoke", "--ws", "hello", "-s", id); r.code != 1 || r.out != "one\n" || !strings.Contains(r.err, "code 1011 (the agent failed): as told") {
		f.Errorf("%+v", r)
	}
}

// proxy stands between a client and a server, and cuts what joins them.
type proxy struct {
	url string
	l   net.Listener
	mu  sync.Mutex
	all []net.Conn
}

func newProxy(f *fixture, to string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	p := &proxy{url: "http://" + l.Addr().String(), l: l}
	f.Cleanup(p.shut)
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("tcp", to)
			if err != nil {
				_ = client.Close()
				return
			}
			p.mu.Lock()
			p.all = append(p.all, client, up)
			p.mu.Unlock()
			go func() { _, _ = io.Copy(up, client); _ = up.Close() }()
			go func() { _, _ = io.Copy(client, up); _ = client.Close() }()
		}
	}()
	return p
}

// cut ends all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.all {
		_ = c.Close()
	}
	p.all = nil
}

// shut lets nobody in again.
func (p *proxy) shut() {
	_ = p.l.Close()
	p.cut()
}
