package cli

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/outcrop/outcrop/internal/client"
)

// pretendedConsole counts how often it is raw and a person's.
type pretendedConsole struct {
	mu            sync.Mutex
	raw, restored int
	resized       chan struct{}
}

func (c *pretendedConsole) Raw() (func() error, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw++
	return func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.restored++
		return nil
	}, nil
}

func (c *pretendedConsole) Size() (columns, rows int)               { return 120, 40 }
func (c *pretendedConsole) Resized(context.Context) <-chan struct{} { return c.resized }

const (
	shellBegins = "\x03" + `{"metadata":{"shellId":"mine","reconnected":false},"status":"Success"}`
	shellAgain  = "\x03" + `{"metadata":{"shellId":"mine","reconnected":true},"status":"Success"}`
	shellLossy  = "\x03" + `{"metadata":{"shellId":"mine","reconnected":true,"bytesDropped":2048},"status":"Success"}`
	shellEnds   = "\x03" + `{"metadata":{},"status":"Success"}`
	shellFails  = "\x03" + `{"metadata":{},"status":"Failure","reason":"NonZeroExitCode","message":"x","details":{"causes":[{"reason":"ExitCode","message":"7"}]}}`
	shellBreaks = "\x03" + `{"metadata":{},"status":"Failure","reason":"InternalError","message":"the sandbox ended","code":500}`
)

// say sends frames.
func say(t *testing.T, conn *websocket.Conn, frames ...string) {
	for _, frame := range frames {
		if err := conn.WriteMessage(websocket.BinaryMessage, []byte(frame)); err != nil {
			t.Error(err)
		}
	}
}

// hear reads what a client types until it is want, and wants its size first.
func hear(t *testing.T, conn *websocket.Conn, want string) {
	typed, size := "", ""
	for typed != want || size == "" {
		_, frame, err := conn.ReadMessage()
		if err != nil || len(frame) == 0 {
			t.Errorf("typed %q, want %q: %v", typed, want, err)
			return
		}
		switch frame[0] {
		case 0:
			typed += string(frame[1:])
		case 4:
			size = string(frame[1:])
		}
	}
	if size != `{"width":120,"height":40}` {
		t.Errorf("its size is %s", size)
	}
}

func closeWith(conn *websocket.Conn, code int, text string) {
	_ = conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(code, text))
}

// shellScript plays one part for each connection.
func shellScript(t *testing.T, connections ...func(*websocket.Conn)) func(*websocket.Conn, *http.Request) {
	var mu sync.Mutex
	n := 0
	return func(conn *websocket.Conn, r *http.Request) {
		mu.Lock()
		i := n
		n++
		mu.Unlock()
		if i >= len(connections) {
			t.Errorf("connection %d was not expected", i)
			return
		}
		if id := r.URL.Query().Get("shellId"); i > 0 && id != "made-by-the-server" && id != "mine" {
			t.Errorf("connection %d asks for shell %q", i, id)
		}
		connections[i](conn)
	}
}

func TestInteract(t *testing.T) {
	begins := func(rest ...func(*websocket.Conn)) func(*websocket.Conn) {
		return func(conn *websocket.Conn) {
			say(t, conn, shellBegins, "\x01$ ")
			for _, do := range rest {
				do(conn)
			}
		}
	}
	frames := func(all ...string) func(*websocket.Conn) {
		return func(conn *websocket.Conn) { say(t, conn, all...) }
	}
	typed := func(want string) func(*websocket.Conn) {
		return func(conn *websocket.Conn) { hear(t, conn, want) }
	}
	closes := func(code int) func(*websocket.Conn) {
		return func(conn *websocket.Conn) { closeWith(conn, code, "so it is") }
	}
	gone := func(conn *websocket.Conn) { _, _, _ = conn.ReadMessage() }
	left := func(conn *websocket.Conn) { // by somebody who may not wait for what it says
		_ = conn.WriteMessage(websocket.BinaryMessage, []byte(shellAgain))
		gone(conn)
	}
	drops := func(*websocket.Conn) {}
	for name, test := range map[string]struct {
		types       string
		args        []string
		connections []func(*websocket.Conn)
	}{
		"exits":    {"exit\r", nil, []func(*websocket.Conn){begins(typed("exit\r"), frames("\x01bye\r\n", shellEnds), closes(1000))}},
		"fails":    {"exit 7\r", nil, []func(*websocket.Conn){begins(typed("exit 7\r"), frames(shellFails), closes(1000))}},
		"detaches": {"~?~.", []string{"-s", aSession, "--shell", "mine", "--qualifier", "prod"}, []func(*websocket.Conn){left}},
		"anew":     {"", []string{"-s", aSession, "--shell", "mine"}, []func(*websocket.Conn){begins(frames(shellEnds), closes(1000))}},
		"replaced": {"", []string{"-s", aSession}, []func(*websocket.Conn){begins(closes(4000))}},
		"stopped":  {"", []string{"-s", aSession}, []func(*websocket.Conn){begins(frames("\x02it ends\x1b[2J", "\xff"), closes(1001))}},
		"broken":   {"", []string{"-s", aSession}, []func(*websocket.Conn){begins(frames(shellBreaks), closes(1000))}},
		"newer":    {"", []string{"-s", aSession}, []func(*websocket.Conn){begins(closes(1003))}},
		"reconnects": {"ls\r", nil, []func(*websocket.Conn){
			begins(typed("ls\r"), frames("\x01ls\r\n"), drops),
			func(conn *websocket.Conn) {
				say(t, conn, shellAgain, "\x01a b\r\n")
				closeWith(conn, 1008, "the connection has lived as long as it may")
			},
			func(conn *websocket.Conn) { say(t, conn, shellLossy, "\x01$ "); closeWith(conn, 1001, "restart") },
			func(conn *websocket.Conn) { say(t, conn, shellBegins, "\x01$ ", shellEnds) },
		}},
	} {
		t.Run(name, func(t *testing.T) {
			u, f := withServer(t)
			f.add("hello")
			u.terminal = true
			console := &pretendedConsole{resized: make(chan struct{})}
			u.console = console
			u.in = io.MultiReader(strings.NewReader(test.types), endless{t.Context()})
			f.shell = shellScript(t, test.connections...)
			r := u.run(append([]string{"exec", "hello"}, test.args...)...)
			u.golden("shell/"+name, r)
			if console.raw != 1 || console.restored == 0 {
				t.Errorf("the terminal was raw %d times, and a person's again %d times", console.raw, console.restored)
			}
		})
	}
}

// endless is a terminal at which nobody types.
type endless struct{ ctx context.Context }

func (e endless) Read([]byte) (int, error) {
	<-e.ctx.Done()
	return 0, io.EOF
}

// TestInteractInterrupted: a signal leaves the terminal as it was.
func TestInteractInterrupted(t *testing.T) {
	u, f := withServer(t)
	f.add("hello")
	ctx, interrupt := context.WithCancel(t.Context())
	console := &pretendedConsole{}
	u.terminal, u.console, u.in = true, console, endless{t.Context()}
	f.shell = func(conn *websocket.Conn, _ *http.Request) {
		say(t, conn, shellBegins)
		hear(t, conn, "")
		interrupt()
		_, _, _ = conn.ReadMessage()
	}
	u.golden("shell/interrupted", u.runContext(ctx, "exec", "hello"))
	if console.raw != 1 || console.restored == 0 {
		t.Errorf("the terminal was raw %d times, and a person's again %d times", console.raw, console.restored)
	}
}

// TestInteractGivesUp: who waits for a connection may leave, and a session that
// has gone is not waited for.
func TestInteractGivesUp(t *testing.T) {
	u, f := withServer(t)
	f.add("hello")
	typed, types := io.Pipe()
	u.terminal, u.console, u.in = true, &pretendedConsole{}, typed
	f.shell = func(conn *websocket.Conn, _ *http.Request) {
		say(t, conn, shellBegins)
		f.refuseSockets(func(w http.ResponseWriter, _ *http.Request) {
			refuse(w, http.StatusServiceUnavailable, "ServiceUnavailableException", "later")
			go func() { _, _ = types.Write([]byte{0x03}) }()
		})
	}
	u.golden("shell/gives-up", u.run("exec", "hello"))
	_ = types.Close()

	u, f = withServer(t)
	f.add("hello")
	u.terminal, u.console, u.in = true, &pretendedConsole{}, endless{t.Context()}
	f.shell = func(conn *websocket.Conn, _ *http.Request) {
		say(t, conn, shellBegins)
		f.refuseSockets(func(w http.ResponseWriter, _ *http.Request) {
			refuse(w, http.StatusFailedDependency, "RuntimeClientError", "The session was stopped")
		})
	}
	u.golden("shell/refused-again", u.run("exec", "hello"))
}

func TestWorthAnother(t *testing.T) {
	for _, err := range []error{
		&client.Error{Status: 409, Code: "ConflictException"}, &client.Error{Status: 500}, &client.UnreachableError{Err: io.EOF}, &client.LostError{Err: io.EOF}, io.ErrUnexpectedEOF,
	} {
		if !worthAnother(err) {
			t.Errorf("%v is no reason to try again", err)
		}
	}
	for _, err := range []error{&client.Error{Status: 404}, &client.Error{Status: 403}, &client.Error{Status: 424}, &client.NotOutcropError{}, context.Canceled} {
		if worthAnother(err) {
			t.Errorf("%v is a reason to try again", err)
		}
	}
}
