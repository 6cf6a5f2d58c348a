package runtime

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"github.com/outcrop/outcrop/conformance/server"
)

// forwardPorts: `outcrop ports` begins a session, and passes requests and
// WebSockets on to its port as they are.
func (f *fixture) forwardPorts() {
	cmd := exec.Command(server.Binary(f.T), "ports", "ports", "-s", server.SessionID("forwarded"), "0:8100", ":8201", "--data", f.DataDir)
	cmd.Env = f.Cmd.Env
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		f.Fatal(err)
	}
	defer func() {
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			f.Error(err)
		}
		_, _ = io.Copy(io.Discard, stdout)
		if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != 130 {
			f.Errorf("it ended with %d: %s", cmd.ProcessState.ExitCode(), stderr.String())
		}
	}()
	lines := bufio.NewScanner(stdout)
	at := map[string]string{}
	for len(at) < 2 {
		if !lines.Scan() {
			f.Fatalf("it forwards nothing: %s", stderr.String())
		}
		url, port, _ := strings.Cut(lines.Text(), " -> port ")
		at[port] = url
	}
	req, err := http.NewRequestWithContext(f.Context(), http.MethodPost, at["8100"]+"/a%20b/c?z=1&a=%2F&z=0", strings.NewReader("some text"))
	if err != nil {
		f.Fatal(err)
	}
	req.Header.Set("X-Tenant", "blue")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		f.Fatal(err)
	}
	defer resp.Body.Close()
	var h heard
	if err := json.NewDecoder(resp.Body).Decode(&h); err != nil {
		f.Fatalf("%d: %v", resp.StatusCode, err)
	}
	if h.Counted = 0; h != (heard{Method: "POST", Path: "/a b/c", Query: "z=1&a=%2F&z=0", Host: "localhost:8100", Tenant: "blue", Body: "some text"}) {
		f.Errorf("it arrives as %+v", h)
	}
	if resp.Header.Get("Content-Security-Policy") != "" {
		f.Errorf("a page of the port would be put into a sandbox: %v", resp.Header)
	}
	c, _, err := websocket.DefaultDialer.DialContext(f.Context(), "ws"+strings.TrimPrefix(at["8100"], "http")+"/talk", nil)
	if err != nil {
		f.Fatal(err)
	}
	defer c.Close()
	if err := c.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
		f.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	if _, text, err := c.ReadMessage(); err != nil || string(text) != "heard hello" {
		f.Errorf("%q, %v", text, err)
	}
	silent, err := http.Get(at["8201"] + "/")
	if err != nil {
		f.Fatal(err)
	}
	defer silent.Body.Close()
	if said, _ := io.ReadAll(silent.Body); silent.StatusCode != http.StatusFailedDependency || !strings.Contains(string(said), "Nothing listens on port 8201") {
		f.Errorf("of a port on which nothing listens: %d %s", silent.StatusCode, said)
	}
}
