package hostile

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// question is what a server that means harm was asked: for which harm, and, where it is
// asked as an MCP server, by which message.
type question struct {
	harm string
	id   json.RawMessage
	mcp  bool
}

// harm is what is written to a connection in the place of an answer. over is closed when
// the other end has gone.
type harm func(c net.Conn, q question, over <-chan struct{})

// text is an answer of these bytes, ID being the message's.
func text(answer string) harm {
	return func(c net.Conn, q question, _ <-chan struct{}) {
		_, _ = io.WriteString(c, strings.ReplaceAll(answer, "ID", string(q.id))) // it may have gone
	}
}

// head is that of an answer that is JSON, up to its further headers.
const head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

// whole is a good answer to any question.
func whole(q question, says string) string {
	body := `{"text":"` + says + `"}`
	if q.mcp {
		body = fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,%s}`, q.id, protocol("tools/call", says))
	}
	return fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", head, len(body), body)
}

// endless writes a beginning, and then a block again and again, as fast as a good network.
func endless(begins, block string) harm {
	many := bytes.Repeat([]byte(block), 1+(16<<10)/len(block))
	return func(c net.Conn, q question, _ <-chan struct{}) {
		_, err := io.WriteString(c, strings.ReplaceAll(begins, "ID", string(q.id)))
		for err == nil {
			_, err = c.Write(many)
			time.Sleep(500 * time.Microsecond)
		}
	}
}

// drip writes a beginning, and then a byte a second.
func drip(begins string) harm {
	return func(c net.Conn, _ question, over <-chan struct{}) {
		if _, err := io.WriteString(c, begins); err != nil {
			return
		}
		for tick := time.NewTicker(time.Second); ; {
			select {
			case <-over:
				return
			case <-tick.C:
				if _, err := c.Write([]byte("x")); err != nil {
					return
				}
			}
		}
	}
}

// reset ends the connection with RST.
func reset(c net.Conn, _ question, _ <-chan struct{}) {
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	_ = c.(*net.TCPConn).SetLinger(0) // it is TCP's
	_ = c.Close()
}

// bomb is a body that is a thousand times as large when it is unpacked, without end.
func bomb() harm {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(make([]byte, 16<<20)) // to memory
	_ = z.Close()
	return endless(head+"Content-Encoding: gzip\r\n\r\n", packed.String())
}

// what a caller is told of a harm: has is a part of it, of a tool of an MCP server and of
// an API.
type what struct {
	do        harm
	mcp, rest string
	// web is what the caller of an HTTP target gets: a status, or broken where the answer
	// breaks off after its beginning, or endless where it goes on for as long as the caller
	// reads.
	web string
}

const (
	broken  = "broken"
	passing = "endless"
	bad     = "502"
	good    = "200"
)

// harms are all of them that end by themselves, or by the gateway's limits.
func harms() map[string]what {
	const unreached, large = "could not be reached, or broke off its answer", "more than 6291456 bytes"
	event := "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
	return map[string]what{
		"endless_header":  {endless("HTTP/1.1 200 OK\r\nX-Long: ", "x"), "server response headers exceeded", unreached, bad},
		"endless_headers": {endless("HTTP/1.1 200 OK\r\n", "X-Long: x\r\n"), "", unreached, bad},
		"endless_status":  {endless("HTTP/1.1 200 ", "x"), "", unreached, bad},
		"endless_interim": {endless("", "HTTP/1.1 103 Early Hints\r\n\r\n"), "", unreached, bad},
		"endless_body":    {endless(head+"\r\n", `{"x":[`), large, large, passing},
		"endless_chunks":  {endless(head+"Transfer-Encoding: chunked\r\n\r\n", "10\r\nxxxxxxxxxxxxxxxx\r\n"), large, large, passing},
		"endless_line":    {endless(event+"data: ", "x"), large, large, passing},
		"long_line": {func(c net.Conn, q question, o <-chan struct{}) {
			text(event+"data: "+strings.Repeat("x", 10<<20)+"\n\n")(c, q, o)
		}, large, large, passing},
		"endless_events":  {endless(event, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}\n\n"), "streams without end", large, passing},
		"endless_silence": {endless(event, ":\n\n"), "streams without end", large, passing},
		"promised":        {text(head + "Content-Length: 99999999999\r\n\r\n{"), large, unreached, broken},
		"bomb":            {bomb(), large, large, passing},
		"no_gzip":         {text(head + "Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello"), "", "", good},
		"bad_chunk":       {text(head + "Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n"), "", unreached, broken},
		"huge_chunk":      {text(head + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nhello\r\n0\r\n\r\n"), "", unreached, broken},
		"bad_json":        {text(head + "Content-Length: 9\r\n\r\n{\"jsonrpc"), "it is not JSON", "{\"jsonrpc", good},
		"not_utf8":        {text(head + "\r\n{\"jsonrpc\":\"2.0\",\"id\":ID,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"\xff\xfe\"}]}}"), "it is not JSON", "", good},
		"deep": {func(c net.Conn, q question, o <-chan struct{}) {
			text(head+"\r\n{\"jsonrpc\":\"2.0\",\"id\":ID,\"result\":{\"x\":"+strings.Repeat("[", 1<<19))(c, q, o)
		}, "it is not JSON", "[[[[", good},
		"other_id":     {text(head + "\r\n" + `{"jsonrpc":"2.0","id":"other","result":{"content":[]}}`), "it answers another request", "other", good},
		"other_events": {text(event + "data: " + `{"jsonrpc":"2.0","id":"other","result":{"content":[]}}` + "\n\n"), "ended its stream before", "other", good},
		"two_answers":  {func(c net.Conn, q question, o <-chan struct{}) { text(whole(q, "first")+whole(q, "second"))(c, q, o) }, "first", "first", good},
		"two_messages": {text(head + "\r\n" + `{"jsonrpc":"2.0","id":ID,"result":{}}{"jsonrpc":"2.0","id":ID,"result":{}}`), "it is not JSON", "", good},
		"two_lengths":  {text(head + "Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}HTTP/1.1 200 OK\r\n"), "", unreached, bad},
		"odd_length":   {text(head + "Content-Length: -1\r\n\r\n{}"), "", unreached, bad},
		"both_lengths": {text(head + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), "", "", good},
		"odd_header":   {text("HTTP/1.1 200 OK\r\nContent-Type : application/json\r\nX\r\n\r\n{}"), "", unreached, bad},
		"odd_status":   {text("HTTP/1.1 99999 OK\r\n\r\n"), "", unreached, bad},
		"switches":     {text("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"), "", "", bad},
		"no_http":      {text("SSH-2.0-OpenSSH_9.6\r\n"), "does not speak HTTP", unreached, bad},
		"hangs_up":     {text(""), "closed the connection before it had answered", unreached, bad},
		"half":         {text(head + "Content-Length: 100\r\n\r\n{\"json"), "closed the connection before it had answered", unreached, broken},
		"half_event":   {text(event + "data: {\"jsonrpc\":\"2.0\",\"id\":ID,"), "ended its stream before", "", good},
		"resets":       {reset, "", unreached, bad},
	}
}

// lasting are those that end when the caller leaves.
func lasting() map[string]harm {
	return map[string]harm{
		"silent":       func(_ net.Conn, _ question, over <-chan struct{}) { <-over },
		"slow_header":  drip("HTTP/1.1 200 OK\r\nX-Slow: "),
		"slow_body":    drip(head + "\r\n{"),
		"slow_event":   drip("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: "),
		"slow_refusal": drip("HTTP/1.1 500 Sorry\r\nContent-Type: application/json\r\n\r\n{"),
	}
}

// enemy serves harms at connections, and does what it should besides.
type enemy struct {
	does map[string]harm
	mu   sync.Mutex
	// open counts connections on which a harm is under way, by its name.
	open map[string]int
}

func newEnemy() *enemy {
	e := &enemy{does: lasting(), open: map[string]int{}}
	for name, w := range harms() {
		e.does[name] = w.do
	}
	return e
}

func (e *enemy) serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go e.connection(c)
	}
}

// connection answers greetings, and does harm then.
func (e *enemy) connection(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		q, answer := e.understand(r, body)
		if answer != "" {
			if _, err := io.WriteString(c, answer); err != nil {
				return
			}
			continue
		}
		e.count(q.harm, 1)
		over := make(chan struct{})
		go func() {
			defer close(over)
			_, _ = io.Copy(io.Discard, in) // until the other end has gone
		}()
		e.does[q.harm](c, q, over)
		_ = c.(interface{ CloseWrite() error }).CloseWrite() // the end of the answer, where that says so
		<-over
		e.count(q.harm, -1)
		return
	}
}

// understand tells which harm is asked for, or what is answered.
func (e *enemy) understand(r *http.Request, body []byte) (question, string) {
	var m struct {
		ID            json.RawMessage
		Method, Model string
		Params        struct{ Name string }
	}
	_ = json.Unmarshal(body, &m) // it may be none
	name := strings.Trim(r.URL.Path, "/")
	switch {
	case m.Model != "":
		name = m.Model
	case m.Method == "tools/call":
		return question{harm: m.Params.Name, id: m.ID, mcp: true}, ""
	case strings.HasPrefix(m.Method, "notifications/"):
		return question{}, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
	case m.Method != "":
		says := fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,%s}`, m.ID, protocol(m.Method, "", slices.Sorted(maps.Keys(e.does))...))
		return question{}, fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", head, len(says), says)
	}
	if e.does[name] == nil {
		return question{}, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
	}
	return question{harm: name}, ""
}

func (e *enemy) count(name string, n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.open[name] += n; e.open[name] == 0 {
		delete(e.open, name)
	}
}

// busy are the harms that are still under way.
func (e *enemy) busy() map[string]int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.open)
}
