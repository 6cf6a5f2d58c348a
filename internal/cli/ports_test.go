package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestPorts forwards to two ports until Ctrl-C.
func TestPorts(t *testing.T) {
	u, f := withServer(t)
	id := f.add("hello")
	f.runtimes[id]["allowedPorts"] = []any{map[string]any{"port": 8100}, map[string]any{"portRange": map[string]any{"from": 8200, "to": 8210}}}
	f.command = commandAnswer(t, `{"contentStop":{"exitCode":0,"status":"COMPLETED"}}`)
	f.port = func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header()["Content-Security-Policy"] = []string{"sandbox", "default-src 'self'"}
		fmt.Fprintf(w, "%s %s %s %s?%s %s %s", r.PathValue("label"), r.PathValue("port"), r.Method, r.URL.EscapedPath(), r.URL.RawQuery, r.Header.Get("X-Own"), body)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	in, out := io.Pipe()
	p := u.program()
	p.Args, p.Stdout, p.Stderr = []string{"ports", "hello", "-s", aSession, "0:8100", ":8210"}, out, &bytes.Buffer{}
	ended := make(chan int, 1)
	go func() {
		ended <- p.Run(ctx)
		_ = out.Close()
	}()
	for _, port := range []string{"8100", "8210"} {
		var url, arrow, word, number string
		if _, err := fmt.Fscanf(in, "%s %s %s %s\n", &url, &arrow, &word, &number); err != nil || number != port {
			t.Fatalf("%q, %v: %s", number, err, p.Stderr)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/a%2Fb?z=1&a=2", strings.NewReader("text"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Own", "mine")
		req.Header.Set("X-Amz-Security-Token", "theirs")
		req.Header.Set("Authorization", "Bearer theirs")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		label, rest, _ := strings.Cut(string(got), " ")
		if want := port + " POST /_outcrop/sessions/" + label + "/" + port + "/a%2Fb?z=1&a=2 mine text"; resp.StatusCode != 200 || rest != want || len(label) != 26 {
			t.Errorf("%d %s, want %s", resp.StatusCode, got, want)
		}
		if policy := resp.Header.Values("Content-Security-Policy"); len(policy) != 1 || policy[0] != "default-src 'self'" {
			t.Errorf("policies %q", policy)
		}
		req.Host, req.Body = "evil.example:80", nil
		req.ContentLength = 0
		if resp, err = http.DefaultClient.Do(req); err != nil {
			t.Fatal(err)
		}
		if resp.Body.Close(); resp.StatusCode != http.StatusForbidden {
			t.Errorf("by another name: %d", resp.StatusCode)
		}
	}
	interrupt()
	if code := <-ended; code != exitInterrupted {
		t.Errorf("exit code %d", code)
	}
}

func TestPortsRefused(t *testing.T) {
	u, f := withServer(t)
	id := f.add("hello")
	u.golden("ports/none", u.run("ports", "hello", "8100"))
	f.runtimes[id]["allowedPorts"] = []any{map[string]any{"port": 8100}, map[string]any{"portRange": map[string]any{"from": 8200, "to": 8210}}}
	u.golden("ports/other", u.run("ports", "hello", "8100", "8211"))
	taken := httptest.NewServer(nil)
	defer taken.Close()
	u.golden("ports/taken", u.run("ports", "hello", taken.URL[strings.LastIndexByte(taken.URL, ':')+1:]+":8100"))
	f.command = func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusFailedDependency, "RuntimeClientError", "Runtime exited with status 1 before it was ready.")
	}
	free := httptest.NewServer(nil)
	address := free.Listener.Addr().String()
	free.Close()
	_, port, _ := net.SplitHostPort(address)
	u.golden("ports/dead", u.run("ports", "hello", "-s", aSession, port+":8100"))
	again, err := net.Listen("tcp4", address)
	if err != nil {
		t.Fatalf("the port is still taken: %v", err)
	}
	_ = again.Close()
}
