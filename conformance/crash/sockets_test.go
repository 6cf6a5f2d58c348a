package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/outcrop/outcrop/conformance/server"
	"github.com/outcrop/outcrop/internal/client"
)

// socketWorker talks on a WebSocket to an agent until it breaks.
func (l *load) socketWorker(ctx context.Context, _ *rand.Rand, i int) error {
	return l.fly(func() error {
		c, err := l.own.AgentSocket(ctx, client.Place{ARN: *l.base.AgentRuntimeArn, Session: server.SessionID("socket", i)})
		if err != nil {
			return err
		}
		defer c.Close()
		for n := 0; ctx.Err() == nil; n++ {
			if err := echoes(c, fmt.Sprintf("%d of %d", n, i)); err != nil {
				return err
			}
			time.Sleep(20 * time.Millisecond)
		}
		return ctx.Err()
	})
}

// shellWorker types into a shell until it breaks.
func (l *load) shellWorker(ctx context.Context, _ *rand.Rand, i int) error {
	return l.fly(func() error {
		sh, err := l.own.Shell(ctx, client.Place{ARN: *l.base.AgentRuntimeArn, Session: server.SessionID("shell", i)}, "")
		if err != nil {
			return err
		}
		defer sh.Close()
		for n := 0; ctx.Err() == nil; n++ {
			if err := typed(sh, fmt.Sprintf("said-%d", n)); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
}

// echoes says something and wants to hear it.
func echoes(c *websocket.Conn, text string) error {
	if err := c.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		return err
	}
	_, got, err := c.ReadMessage()
	if err == nil && string(got) != text {
		err = fmt.Errorf("said %q and heard %q", text, got)
	}
	return err
}

// typed has a shell say a word that it was not typed.
func typed(sh *client.Shell, word string) error {
	if err := sh.Type([]byte("echo 'answer:'" + word + "\n")); err != nil {
		return err
	}
	for shown := ""; !strings.Contains(shown, "answer:"+word); {
		e, err := sh.Next()
		if err != nil {
			return err
		}
		shown += string(e.Shown)
	}
	return nil
}

// connections are a WebSocket and a shell of a server that is told to end.
type connections struct {
	*rig
	idle   census
	socket *websocket.Conn
	shell  *client.Shell
}

func connect(t *testing.T, grace string) *connections {
	t.Helper()
	c := &connections{rig: newRig(t, server.Options{Args: []string{"--grace", grace}})}
	c.idle = take(t, c.DataDir, c.Cmd.Process.Pid)
	at := func(session string) client.Place {
		return client.Place{ARN: *c.base.AgentRuntimeArn, Session: server.SessionID(session)}
	}
	var err error
	if c.socket, err = c.own.AgentSocket(t.Context(), at("graceful-socket")); err != nil {
		t.Fatalf("%v\n%s", err, tail(c.Log()))
	}
	t.Cleanup(func() { _ = c.socket.Close() }) // it is over
	if c.shell, err = c.own.Shell(t.Context(), at("graceful-shell"), "mine"); err != nil {
		t.Fatalf("%v\n%s", err, tail(c.Log()))
	}
	t.Cleanup(c.shell.Close)
	if err := errors.Join(echoes(c.socket, "hello"), typed(c.shell, "hello")); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestGracefulStopOfConnections ends the server by SIGTERM while WebSockets and
// shells are open. http.Server knows nothing of them.
func TestGracefulStopOfConnections(t *testing.T) {
	t.Run("those that end in time are served", func(t *testing.T) {
		c := connect(t, "25s")
		ended := c.terminate(t)
		eventually(t, 20*time.Second, func() error {
			if conn, err := c.own.AgentSocket(t.Context(), client.Place{ARN: *c.base.AgentRuntimeArn, Session: server.SessionID("late")}); err == nil {
				_ = conn.Close()
				return errors.New("a new connection is accepted")
			}
			return nil
		})
		if err := errors.Join(echoes(c.socket, "still there"), typed(c.shell, "still-there")); err != nil {
			t.Errorf("within the grace: %v", err)
		}
		if err := c.socket.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Now().Add(5*time.Second)); err != nil {
			t.Error(err)
		}
		if _, _, err := c.socket.ReadMessage(); !websocket.IsCloseError(err, 1000) {
			t.Errorf("the WebSocket ends with %v", err)
		}
		if err := c.shell.Type([]byte("exit 3\n")); err != nil {
			t.Error(err)
		}
		var end *client.ShellEnd
		for end == nil {
			e, err := c.shell.Next()
			if err != nil {
				t.Fatalf("the shell ends with %v", err)
			}
			end = e.Ended
		}
		c.shell.Close()
		if took := <-ended; took > 22*time.Second {
			t.Errorf("the server ended after %v, although nothing ran any more", took)
		}
	})
	t.Run("others are told that it goes", func(t *testing.T) {
		c := connect(t, "2s")
		ended := c.terminate(t)
		if _, _, err := c.socket.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseGoingAway) {
			t.Errorf("the WebSocket ends with %v, want 1001", err)
		}
		for {
			if _, err := c.shell.Next(); err != nil {
				if !websocket.IsCloseError(errors.Unwrap(err), websocket.CloseGoingAway) && !websocket.IsCloseError(err, websocket.CloseGoingAway) {
					t.Errorf("the shell ends with %v, want 1001", err)
				}
				break
			}
		}
		if took := <-ended; took < 2*time.Second || took > 20*time.Second {
			t.Errorf("the server ended after %v, its connections had a grace of 2 s", took)
		}
	})
}

// terminate tells the server to end, and when it did. Nothing must be left.
func (c *connections) terminate(t *testing.T) <-chan time.Duration {
	t.Helper()
	ended, begun := make(chan time.Duration, 1), time.Now()
	go func() {
		defer func() { ended <- time.Since(begun) }()
		if err := c.End(syscall.SIGTERM, time.Minute); err != nil {
			t.Errorf("%v\n%s", err, tail(c.Log()))
			return
		}
		none := c.idle
		none.Processes, none.Namespaces = map[string]int{}, map[string]int{}
		if err := take(t, c.DataDir, 0).same(none); err != nil {
			t.Error(err)
		}
		t.Logf("ended after %v", time.Since(begun).Round(time.Millisecond))
	}()
	return ended
}

// TestKillWithConnections kills the server while WebSockets and shells are open:
// nothing is left of them, and their sessions begin afresh.
func TestKillWithConnections(t *testing.T) {
	c := connect(t, "1s")
	for round := range 3 {
		c.Kill()
		eventually(t, 10*time.Second, func() error {
			none := c.idle
			none.Processes, none.Namespaces = map[string]int{}, map[string]int{}
			return take(t, c.DataDir, 0).same(none)
		})
		c.Restart()
		c.rig.connect()
		at := client.Place{ARN: *c.base.AgentRuntimeArn, Session: server.SessionID("graceful-shell")}
		sh, err := c.own.Shell(t.Context(), at, "mine")
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if e, err := sh.Next(); err != nil || e.Attached == nil || e.Attached.Again {
			t.Errorf("round %d: the shell of a session that begins afresh says %+v, %v", round, e.Attached, err)
		}
		conn, err := c.own.AgentSocket(t.Context(), at)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if err := errors.Join(echoes(conn, "again"), typed(sh, "again")); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
		sh.Close()
		_ = conn.Close()
	}
}
