package server

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// childVariable marks the test program that is killed, and is its directory.
const childVariable = "OUTCROP_TEST_KILLED"

// TestServersDieWithTheirTests kills a test program that runs a server.
func TestServersDieWithTheirTests(t *testing.T) {
	if dir := os.Getenv(childVariable); dir != "" {
		fmt.Println(Start(t, Options{DataDir: filepath.Join(dir, "data")}).URL)
		select {}
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), childVariable+"="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	address, ok := strings.CutPrefix(strings.TrimSpace(line), "http://")
	if err != nil || !ok {
		t.Fatalf("the test program said %q, %v", line, err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return
		}
		_ = conn.Close() // only a look
		if time.Now().After(deadline) {
			t.Fatal("the server outlives its test program")
		}
	}
}
