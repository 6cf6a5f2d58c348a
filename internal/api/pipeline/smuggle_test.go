package pipeline

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestSmuggling sends, behind a body of two lengths, what a proxy before us that
// goes by the other length would take for part of that body. It must never be
// served as a request.
func TestSmuggling(t *testing.T) {
	k := newKit(t)
	reached := 0
	k.cfg.Open = map[string]http.Handler{"/smuggled": http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached++ })}
	s := httptest.NewServer(k)
	defer s.Close()
	const inner = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
	for name, head := range map[string]string{
		"TE and CL":           "Content-Length: 43\r\nTransfer-Encoding: chunked\r\n",
		"CL and TE":           "Transfer-Encoding: chunked\r\nContent-Length: 43\r\n",
		"chunked alone":       "Transfer-Encoding: chunked\r\n",
		"two lengths":         "Content-Length: 5\r\nContent-Length: 43\r\n",
		"TE twice":            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
		"TE that is unknown":  "Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n",
		"TE before the colon": "Transfer-Encoding : chunked\r\nContent-Length: 5\r\n",
		"folded":              "Transfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\n",
	} {
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, "POST /runtimes HTTP/1.1\r\nHost: x\r\n"+head+"\r\n0\r\n\r\n"+inner); err != nil {
			t.Fatal(err)
		}
		said, err := io.ReadAll(bufio.NewReader(conn)) // to its end: the connection is closed
		if err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("%s: the connection stays open: %v", name, err)
		}
		if n := strings.Count(string(said), "HTTP/1.1 "); n > 1 || reached > 0 {
			t.Errorf("%s: %d answers, %d of them to what was smuggled:\n%s", name, n, reached, said)
		}
		_ = conn.Close()
	}
}

// TestOpenRoutesOfBuckets: the host of a bucket has no pages of ours.
func TestOpenRoutesOfBuckets(t *testing.T) {
	k := newKit(t)
	k.cfg.Open = map[string]http.Handler{"/": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "page") })}
	for host, page := range map[string]bool{
		"127.0.0.1:8642": true, "localhost:8642": true, "outcrop.example.com": true, "[::1]:8642": true,
		"my-bucket.localhost:8642": false, "my-bucket.s3.us-east-1.amazonaws.com": false,
	} {
		r := newRequest("GET", "/", "")
		r.Host = host
		if got := k.do(r).Body.String() == "page"; got != page {
			t.Errorf("/ of %s: page %v", host, got)
		}
	}
}
