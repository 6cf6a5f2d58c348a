package pipeline

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
)

// TestTooLargeIsTold: a client that reads the answer only when it has sent all, as many do,
// reads that its request is too large, and not that the connection broke.
func TestTooLargeIsTold(t *testing.T) {
	k := newKit(t)
	const words = "The request has more than 7 bytes"
	refuse := false
	k.serve["InvokeGateway"] = func(context.Context, any) (any, error) {
		if refuse {
			return nil, fault.New("ValidationException", http.StatusRequestEntityTooLarge, words)
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.CopyN(io.Discard, r.Body, 7); err != nil {
				t.Error(err)
			}
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			_, _ = io.WriteString(w, words) // read below
		}), nil
	}
	const own = "as the operation words it"
	for op, h := range k.Pipeline.handlers {
		if op.Name == "InvokeGateway" { // it words what was refused before anything was read
			h.Refuse = func(ctx context.Context, _ any, f *fault.Error) *fault.Error {
				c := *f
				c.Message += " " + own + " at " + From(ctx).Path
				return &c
			}
			k.Pipeline.handlers[op] = h
		}
	}
	server := httptest.NewServer(k)
	defer server.Close()
	const size = 32 << 20
	for name, c := range map[string]struct {
		path    string
		chunked bool
		refuse  bool
		want    string
	}{
		"an operation":          {"/runtimes/", false, false, "The request body exceeds the limit of"},
		"an operation, chunked": {"/runtimes/", true, false, "The request body exceeds the limit of"},
		"a gateway":             {"/gw/g-0123456789/mcp", false, false, "The request body exceeds the limit of 6291456 bytes. " + own + " at /gw/g-0123456789/mcp"},
		"a gateway, chunked":    {"/gw/g-0123456789/mcp", true, false, words},
		"a target of a gateway": {"/gw/g-0123456789/t/x", false, true, "The request body exceeds the limit of"},
		"a target, chunked":     {"/gw/g-0123456789/t/x", true, true, words},
	} {
		t.Run(name, func(t *testing.T) {
			refuse = c.refuse
			r := httptest.NewRequest(http.MethodPost, server.URL+c.path, bytes.NewReader(make([]byte, size)))
			if c.chunked {
				r.ContentLength = -1
			}
			r = signHash(t, r, testKey, "bedrock-agentcore", "UNSIGNED-PAYLOAD")
			conn := dial(t, server)
			defer conn.Close()
			if err := r.Write(conn); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(conn), r)
			if err != nil {
				t.Fatal(err)
			}
			if body := readAll(t, resp.Body); resp.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(body, c.want) || !resp.Close {
				t.Errorf("%s %v %s", resp.Status, resp.Header, body)
			}
		})
	}
}

// TestTooLargeIsToldAtOnce: who waits to be told to send is told not to.
func TestTooLargeIsToldAtOnce(t *testing.T) {
	server := httptest.NewServer(newKit(t))
	defer server.Close()
	r := httptest.NewRequest(http.MethodPost, server.URL+"/runtimes/", nil)
	r.ContentLength = 32 << 20
	r.Header.Set("Expect", "100-continue")
	r = signHash(t, r, testKey, "bedrock-agentcore", "UNSIGNED-PAYLOAD")
	var head bytes.Buffer
	fmt.Fprintf(&head, "POST /runtimes/ HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", r.Host, r.ContentLength)
	if err := r.Header.Write(&head); err != nil {
		t.Fatal(err)
	}
	head.WriteString("\r\n")
	conn, begun := dial(t, server), time.Now()
	defer conn.Close()
	if _, err := head.WriteTo(conn); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), r)
	if err != nil {
		t.Fatal(err)
	}
	if body := readAll(t, resp.Body); resp.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(body, "exceeds the limit") {
		t.Errorf("%s %s", resp.Status, body)
	}
	if took := time.Since(begun); took >= lingering {
		t.Errorf("after %s", took)
	}
}

// dial is a connection to a server.
func dial(t *testing.T, server *httptest.Server) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return conn
}
