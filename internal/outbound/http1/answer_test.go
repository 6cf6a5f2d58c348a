package http1

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// taken are answers of the common kind, and others are not.
var (
	taken = []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\ndate: x\r\ncontent-length:\t2 \r\nX-empty:\r\nmcp-Session-id: a:b \t c\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nvary: a\r\nX: 1\r\nVary: b\r\nvary: c\r\nY: 2\r\nContent-Length: 007\r\n\r\n1234567",
		"HTTP/1.1 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 205 \r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 404\r\nContent-Length: 2\r\n\r\nno",
		"HTTP/1.1 503 \xe9\r\nX: \x80\r\nContent-Length: 9223372036854775807\r\n\r\ncut off",
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n",
	}
	others = []string{
		"",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n",
		"HTTP/1.1 200 OK\r\n\r\nuntil it ends",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTrailer: X\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\ncontent-length: 3\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nConnection: keep-alive, close\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nPragma: no-cache\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\n: 2\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nX: a\r\n folded\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\n X: a\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nX: a\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\nX: a\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nX: \x00\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 103 Early Hints\r\nContent-Length: 2\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200\tOK\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 +20 OK\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 0200 OK\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1\r\nContent-Length: 2\r\n\r\nok",
		"\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("longer than the buffer ", 256) + "\r\nContent-Length: 2\r\n\r\nok",
	}
)

// TestCommon: the common kind is taken here, and nothing else, nor any to HEAD.
func TestCommon(t *testing.T) {
	for i, text := range append(taken, others...) {
		for method, want := range map[string]bool{"": i < len(taken), "POST": i < len(taken), "HEAD": false} {
			in := bufio.NewReader(strings.NewReader(text))
			_, _ = in.Peek(1)
			if got := common(in, &http.Request{Method: method}) != nil; got != want {
				t.Errorf("%s %q: %v", method, text, got)
			}
		}
	}
}

// FuzzReadResponse holds what is made of an answer, of which a part comes first, against what
// net/http makes of it. Either body is read some bytes at a time.
func FuzzReadResponse(f *testing.F) {
	for _, text := range append(taken, others...) {
		f.Add(text, len(text), 512, false)
		f.Add(text, len(text)-1, 1, false)
		f.Add(text, 20, 2, false)
		f.Add(text, len(text), 512, true)
	}
	f.Fuzz(func(t *testing.T, text string, first, size int, head bool) {
		r := &http.Request{Method: http.MethodPost}
		if head {
			r.Method = http.MethodHead
		}
		first = max(0, min(first, len(text)))
		size = max(1, min(size, 8<<10))
		source := func() *bufio.Reader {
			return bufio.NewReader(io.MultiReader(strings.NewReader(text[:first]), strings.NewReader(text[first:])))
		}
		in, wantIn := source(), source()
		a, err := readResponse(in, r)
		want, wantErr := http.ReadResponse(wantIn, r)
		if fmt.Sprint(err) != fmt.Sprint(wantErr) {
			t.Fatalf("%v, and by net/http %v", err, wantErr)
		}
		if err != nil {
			return
		}
		b, wantB := make([]byte, size), make([]byte, size)
		for err == nil {
			var n, wantN int
			n, err = a.Body.Read(b)
			wantN, wantErr = want.Body.Read(wantB)
			if string(b[:n]) != string(wantB[:wantN]) || fmt.Sprint(err) != fmt.Sprint(wantErr) {
				t.Fatalf("%q, %v, and by net/http %q, %v", b[:n], err, wantB[:wantN], wantErr)
			}
		}
		left, _ := io.ReadAll(in)
		if wantLeft, _ := io.ReadAll(wantIn); string(left) != string(wantLeft) {
			t.Errorf("%q is left, and by net/http %q", left, wantLeft)
		}
		a.Body, want.Body = nil, nil
		for _, values := range a.Header {
			_ = append(values, "another") // which is in no other header's place
		}
		if !reflect.DeepEqual(a, want) {
			t.Errorf("%+v, and by net/http %+v", a, want)
		}
	})
}

// BenchmarkReadResponse is what a tool answers, beside net/http's reading of it.
func BenchmarkReadResponse(b *testing.B) {
	const body = `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"hello"}]}}`
	text := fmt.Sprintf("HTTP/1.1 200 OK\r\ndate: Mon, 01 Jan 2024 00:00:00 GMT\r\nserver: uvicorn\r\ncache-control: no-cache, no-transform\r\nmcp-session-id: 1868a90c5a9c4b6a8d3b0d0f4f0e6f6e\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s", len(body), body)
	r := &http.Request{Method: http.MethodPost}
	for name, read := range map[string]func(*bufio.Reader, *http.Request) (*http.Response, error){"direct": readResponse, "net/http": http.ReadResponse} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			source := strings.NewReader(text)
			in := bufio.NewReader(source)
			for b.Loop() {
				source.Reset(text)
				in.Reset(source)
				a, err := read(in, r)
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, a.Body); n != int64(len(body)) || err != nil {
					b.Fatal(n, err)
				}
			}
		})
	}
}
