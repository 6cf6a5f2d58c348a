package lambda

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/outcrop/outcrop/conformance/server"
)

// ask signs and sends a request, and returns the status and the body of its answer.
func ask(ctx context.Context, s *server.Server, method, path string, body any) (int, string, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return 0, "", err
	}
	if body == nil {
		raw = nil
	}
	req, err := http.NewRequestWithContext(ctx, method, s.URL+path, bytes.NewReader(raw))
	if err != nil {
		return 0, "", err
	}
	sum := sha256.Sum256(raw)
	key := aws.Credentials{AccessKeyID: s.AccessKeyID, SecretAccessKey: s.SecretAccessKey}
	if err := v4.NewSigner().SignHTTP(ctx, key, req, hex.EncodeToString(sum[:]), "lambda", s.Region, time.Now()); err != nil {
		return 0, "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(answer), err
}

const functions = "/2015-03-31/functions"

// create asks for a function, which is Pending then.
func create(t testing.TB, s *server.Server, name, code string, timeout int) {
	t.Helper()
	zip, err := os.ReadFile(archive(t, "m.py", code))
	if err != nil {
		t.Fatal(err)
	}
	status, body, err := ask(t.Context(), s, http.MethodPost, functions, map[string]any{
		"FunctionName": name, "Runtime": "python3.13", "Handler": "m.h", "Role": "arn:aws:iam::" + s.Account + ":role/none",
		"Timeout": timeout, "Code": map[string]any{"ZipFile": zip},
	})
	if err != nil || status != http.StatusCreated || !strings.Contains(body, `"State":"Pending"`) {
		t.Fatalf("create %s: %d %s %v", name, status, body, err)
	}
}

// active waits until a function is.
func active(t testing.TB, s *server.Server, name string) {
	t.Helper()
	for {
		status, body, err := ask(t.Context(), s, http.MethodGet, functions+"/"+name+"/configuration", nil)
		switch {
		case err != nil || status != http.StatusOK || strings.Contains(body, `"State":"Failed"`):
			t.Fatalf("%s: %d %s %v", name, status, body, err)
		case strings.Contains(body, `"State":"Active"`):
			return
		}
	}
}

func invoke(t testing.TB, s *server.Server, name string) string {
	t.Helper()
	status, body, err := ask(t.Context(), s, http.MethodPost, functions+"/"+name+"/invocations", map[string]any{})
	if err != nil || status != http.StatusOK {
		t.Fatalf("invoke %s: %d %s %v", name, status, body, err)
	}
	return body
}

// TestKill ends the server without warning while functions are Pending and while one
// runs: nothing that was answered is lost, and nothing stays Pending.
func TestKill(t *testing.T) {
	s := server.Start(t, server.Options{})
	names := []string{"one", "two", "three", "four"}
	for _, name := range names {
		create(t, s, name, "def h(e, c): return '"+name+"'", 3)
	}
	s.Kill()
	s.Restart()
	for _, name := range names {
		active(t, s, name)
		if got := invoke(t, s, name); got != `"`+name+`"` {
			t.Errorf("%s answered %s", name, got)
		}
	}

	create(t, s, "slow", "import time\ndef h(e, c):\n    print('began')\n    time.sleep(e.get('s', 0))\n    return 'slow'", 60)
	active(t, s, "slow")
	gone := make(chan error, 1)
	go func() {
		_, _, err := ask(context.WithoutCancel(t.Context()), s, http.MethodPost, functions+"/slow/invocations", map[string]any{"s": 50})
		gone <- err
	}()
	for !strings.Contains(logs(t, s, "slow"), "began") {
		if t.Context().Err() != nil {
			t.Fatal("the function did not begin")
		}
	}
	s.Kill()
	if err := <-gone; err == nil {
		t.Error("an invocation was answered by a server that was killed")
	}
	s.Restart()
	if got := invoke(t, s, "slow"); got != `"slow"` {
		t.Errorf("after the kill it answered %s", got)
	}

	// An event that was accepted is delivered by the next server.
	status, body, err := askAs(t, s, "Event", "one")
	if err != nil || status != http.StatusAccepted {
		t.Fatalf("event: %d %s %v", status, body, err)
	}
	s.Kill()
	s.Restart()
	for strings.Count(logs(t, s, "one"), "REPORT RequestId") < 2 {
		if t.Context().Err() != nil {
			t.Fatal("the event was not delivered")
		}
	}
}

// askAs invokes a function by an invocation type.
func askAs(t *testing.T, s *server.Server, kind, name string) (int, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+functions+"/"+name+"/invocations", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Amz-Invocation-Type", kind)
	sum := sha256.Sum256([]byte("{}"))
	key := aws.Credentials{AccessKeyID: s.AccessKeyID, SecretAccessKey: s.SecretAccessKey}
	if err := v4.NewSigner().SignHTTP(t.Context(), key, req, hex.EncodeToString(sum[:]), "lambda", s.Region, time.Now()); err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(answer), err
}

// logs is what `outcrop logs` prints of a function.
func logs(t *testing.T, s *server.Server, name string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), server.Binary(t), "logs", "arn:aws:lambda:"+s.Region+":"+s.Account+":function:"+name, "--endpoint", s.URL)
	cmd.Env = s.Env()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("logs %s: %v\n%s", name, err, out)
	}
	return string(out)
}
