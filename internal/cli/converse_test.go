package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// echo answers each message until it has answered n, and then closes.
func echo(t *testing.T, n, code int) func(*websocket.Conn) {
	return func(conn *websocket.Conn) {
		for range n {
			kind, message, err := conn.ReadMessage()
			if err != nil {
				t.Error(err)
				return
			}
			if err := conn.WriteMessage(kind, fmt.Appendf(nil, "%d:%s", kind, message)); err != nil {
				t.Error(err)
			}
		}
		if code > 0 {
			closeWith(conn, code, "so it is")
		}
		if _, _, err := conn.ReadMessage(); code == 0 && !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
			t.Errorf("it left with %v", err)
		}
	}
}

func TestConverse(t *testing.T) {
	for name, test := range map[string]struct {
		stdin    string
		args     []string
		agent    func(*websocket.Conn)
		terminal bool
	}{
		"lines":    {stdin: "one\n\ntwo\r\nlast", agent: echo(t, 4, 1000)},
		"terminal": {stdin: "one\x1b[2J\n", args: []string{"-s", aSession}, agent: echo(t, 1, 0), terminal: true},
		"binary":   {stdin: "\x00\xff", args: []string{"--binary"}, agent: echo(t, 1, 1000)},
		"linger":   {stdin: "one\n", args: []string{"--linger", "50ms"}, agent: echo(t, 1, 0)},
		"fails":    {stdin: "one\n", args: []string{"-s", aSession, "--qualifier", "prod"}, agent: echo(t, 1, 1011)},
		"own-code": {stdin: "one\n", agent: echo(t, 1, 4444)},
		"breaks":   {stdin: "one\n", agent: func(conn *websocket.Conn) { _, _, _ = conn.ReadMessage() }},
	} {
		t.Run(name, func(t *testing.T) {
			u, f := withServer(t)
			f.add("hello")
			u.stdin, u.terminal, f.socket = test.stdin, test.terminal, test.agent
			u.golden("converse/"+name, u.run(append([]string{"invoke", "--ws", "hello"}, test.args...)...))
		})
	}
	u, f := withServer(t)
	f.add("hello")
	f.refuseSockets(func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusFailedDependency, "RuntimeClientError", "Received error (404) from runtime. Please check your CloudWatch logs for more information.")
	})
	u.golden("converse/refused", u.run("invoke", "--ws", "hello"))
}

// TestConverseLong sends a line that takes several frames whole, and refuses one
// that is too long for a message.
func TestConverseLong(t *testing.T) {
	u, f := withServer(t)
	f.add("hello")
	long := strings.Repeat("x", 3*frameBytes+7)
	f.socket = echo(t, 1, 1000)
	u.stdin = long + "\n"
	if r := u.run("invoke", "--ws", "hello"); r.code != 0 || r.stdout != "1:"+long+"\n" {
		t.Errorf("%d bytes came back\n%s", len(r.stdout), r.stderr)
	}
	f.socket = func(conn *websocket.Conn) { _, _, _ = conn.ReadMessage() }
	u.in = io.LimitReader(zeros{}, maxMessage+1)
	if r := u.run("invoke", "--ws", "hello"); r.code != exitUsage || !strings.Contains(r.stderr, "longer than 8.0 MB") {
		t.Errorf("%s", r)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

func TestConverseInterrupted(t *testing.T) {
	u, f := withServer(t)
	f.add("hello")
	ctx, interrupt := context.WithCancel(t.Context())
	left := make(chan error, 1)
	f.socket = func(conn *websocket.Conn) {
		interrupt()
		_, _, err := conn.ReadMessage()
		left <- err
	}
	u.in = endless{t.Context()}
	if r := u.runContext(ctx, "invoke", "--ws", "hello"); r.code != exitInterrupted {
		t.Errorf("%s", r)
	}
	if err := <-left; !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
		t.Errorf("the agent was told %v", err)
	}
}
