package pipeline

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// TestFullDisk: whoever meets it, the caller is told what it is, in an answer
// that no SDK tries again.
func TestFullDisk(t *testing.T) {
	full := []error{
		fmt.Errorf("commit update: %w", store.ErrFull),
		fmt.Errorf("write body spool: %w", &os.PathError{Op: "write", Path: "spool", Err: syscall.ENOSPC}),
		fmt.Errorf("unpack: %w", syscall.EDQUOT),
		fault.Internal(fmt.Errorf("read body: %w", syscall.ENOSPC)),
	}
	for _, err := range full {
		k := newKit(t)
		fail := func(context.Context, any) (any, error) { return nil, err }
		k.serve["ListAgentRuntimes"], k.serve["ListBuckets"] = fail, fail
		w := k.call(t, "bedrock-agentcore", "POST", "/runtimes/", "{}")
		if w.Code != 402 || !strings.Contains(w.Body.String(), "disk of this server is full") ||
			!strings.HasPrefix(w.Header().Get("X-Amzn-Errortype"), "ServiceQuotaExceededException") {
			t.Errorf("%v: %d %v %s", err, w.Code, w.Header(), w.Body)
		}
		w = k.do(sign(t, httptest.NewRequest("GET", "http://localhost:8642/", nil), "s3", ""))
		if w.Code != 507 || !strings.Contains(w.Body.String(), "<Code>InsufficientStorage</Code>") || strings.Contains(w.Body.String(), "spool") {
			t.Errorf("%v: %d %s", err, w.Code, w.Body)
		}
	}
	// A refusal that says something else keeps its words.
	k := newKit(t)
	k.serve["ListAgentRuntimes"] = func(context.Context, any) (any, error) {
		return nil, fault.Conflict("taken").Because(store.ErrFull)
	}
	if w := k.call(t, "bedrock-agentcore", "POST", "/runtimes/", "{}"); w.Code != 409 {
		t.Errorf("a conflict became %d %s", w.Code, w.Body)
	}
}

// TestFullDiskDrains: over a real connection, a client that is still sending when
// its body is refused gets the answer and not a reset.
func TestFullDiskDrains(t *testing.T) {
	k := newKit(t)
	k.serve["PutObject"] = func(context.Context, any) (any, error) { return nil, store.ErrFull }
	server := httptest.NewServer(k)
	defer server.Close()
	body := strings.Repeat("x", 16<<20)
	r := httptest.NewRequest(http.MethodPut, server.URL+"/bucket/key", strings.NewReader(body))
	r.RequestURI = ""
	r = signHash(t, r, testKey, "s3", "UNSIGNED-PAYLOAD")
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusInsufficientStorage {
		t.Errorf("status %s", resp.Status)
	}
}

// TestDeletesAreFreeing: what makes room says so to the store, and nothing else does.
func TestDeletesAreFreeing(t *testing.T) {
	k := newKit(t)
	got := map[string]bool{}
	for _, name := range []string{"DeleteBucket", "DeleteObject", "AbortMultipartUpload", "DeleteAgentRuntime", "PutObject", "ListBuckets"} {
		k.serve[name] = func(ctx context.Context, _ any) (any, error) {
			got[name] = store.IsFreeing(ctx)
			return nil, fault.Conflict("enough")
		}
	}
	for _, c := range []struct{ service, method, target string }{
		{"s3", "DELETE", "/bucket"}, {"s3", "DELETE", "/bucket/key"}, {"s3", "DELETE", "/bucket/key?uploadId=u"}, {"s3", "PUT", "/bucket/key"}, {"s3", "GET", "/"},
		{"bedrock-agentcore", "DELETE", "/runtimes/hello-AbCdEf1234/"},
	} {
		k.do(sign(t, newRequest(c.method, c.target, ""), c.service, ""))
	}
	want := map[string]bool{"DeleteBucket": true, "DeleteObject": true, "AbortMultipartUpload": true, "DeleteAgentRuntime": true, "PutObject": false, "ListBuckets": false}
	if !maps.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}
