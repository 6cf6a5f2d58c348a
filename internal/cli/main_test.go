package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"testing"
)

// TestMain makes this executable what tests need as a process of its own: the
// command line, in a shell or as another user, or somebody who has a port.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv("OUTCROP_TEST_AS_MAIN") != "":
		p := Process("1.2.3")
		p.Name = ""
		p.address = os.Getenv("OUTCROP_TEST_ADDRESS")
		p.Serve = func(context.Context, ServeOptions) error { return errors.New("it got as far as serving") }
		os.Exit(p.Run(context.Background()))
	case os.Getenv("OUTCROP_TEST_AS_LISTENER") != "":
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(l.Addr())
		go func() { // no HTTP
			for c, err := l.Accept(); err == nil; c, err = l.Accept() {
				_ = c.Close()
			}
		}()
		_, _ = io.Copy(io.Discard, os.Stdin) // until the test ends
		_ = l.Close()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// listener starts a process that has a port, and returns its address and pid.
func listener(t *testing.T) (addr string, pid int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "OUTCROP_TEST_AS_LISTENER=1")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	if _, err := fmt.Fscanln(stdout, &addr); err != nil {
		t.Fatal(err)
	}
	return addr, cmd.Process.Pid
}
