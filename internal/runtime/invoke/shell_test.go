package invoke_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	data "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	"github.com/gorilla/websocket"

	"github.com/outcrop/outcrop/internal/runtime/runtimetest"
	"github.com/outcrop/outcrop/internal/sandbox"
)

// shells lets guests have one that says what it was told. "exit N" ends it, "flood
// N" shows so many bytes.
func (k *kit) shells() {
	k.Engine.Command = func(ctx context.Context, c sandbox.Command) int {
		if c.Terminal == nil {
			k.Errorf("a shell without a terminal: %+v", c)
		}
		lines := make(chan string)
		go func() {
			in := bufio.NewScanner(c.Stdin)
			for in.Scan() {
				lines <- in.Text()
			}
		}()
		for {
			select {
			case <-ctx.Done():
				return 129
			case line := <-lines:
				var n int
				if _, err := fmt.Sscanf(line, "exit %d", &n); err == nil {
					return n
				}
				if _, err := fmt.Sscanf(line, "flood %d", &n); err == nil {
					line = strings.Repeat("x", n)
				}
				fmt.Fprintf(c.Stdout, "%s\r\n", line)
			}
		}
	}
}

// A shellConn is a caller's connection to a shell.
type shellConn struct {
	*websocket.Conn
	k    *kit
	resp *http.Response
}

func (k *kit) dialShell(session, name string) (*shellConn, *http.Response, error) {
	k.Helper()
	query := url.Values{}
	if name != "" {
		query.Set("shellId", name)
	}
	u, h := k.socketRequest("/ws/shells", http.Header{sessionHeader: {runtimetest.SessionID(session)}}, false, query)
	c, resp, err := websocket.DefaultDialer.DialContext(k.Context(), u, h)
	if err != nil {
		return nil, resp, err
	}
	k.Cleanup(func() { c.Close() })
	return &shellConn{c, k, resp}, resp, nil
}

// shell connects, and wants to be told of the shell.
func (k *kit) shell(session, name string, again bool) *shellConn {
	k.Helper()
	c, resp, err := k.dialShell(session, name)
	if err != nil {
		k.Fatalf("connect to shell %s: %v, %v", name, err, resp)
	}
	id := resp.Header.Get("X-Amzn-Bedrock-Agentcore-Shell-Id")
	c.status(fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","metadata":{"reconnected":%v,"shellId":%q},"status":"Success"}`, again, id))
	if name != "" && id != name || resp.Header.Get(sessionHeader) != runtimetest.SessionID(session) {
		k.Errorf("connected to %v", resp.Header)
	}
	return c
}

func (c *shellConn) send(channel byte, data string) {
	c.k.Helper()
	if err := c.WriteMessage(websocket.BinaryMessage, append([]byte{channel}, data...)); err != nil {
		c.k.Fatal(err)
	}
}

// next is the next frame.
func (c *shellConn) next() (byte, string) {
	c.k.Helper()
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	kind, frame, err := c.ReadMessage()
	if err != nil || kind != websocket.BinaryMessage || len(frame) == 0 {
		c.k.Fatalf("read %d %q, %v", kind, frame, err)
	}
	return frame[0], string(frame[1:])
}

func (c *shellConn) status(want string) {
	c.k.Helper()
	if channel, got := c.next(); channel != 3 || got != want {
		c.k.Errorf("channel %d says %s, want the status %s", channel, got, want)
	}
}

// shows reads what the terminal shows until it ends with a text.
func (c *shellConn) shows(end string) string {
	c.k.Helper()
	all := ""
	for !strings.HasSuffix(all, end) {
		channel, text := c.next()
		if channel != 1 || len(text) >= 64<<10 {
			c.k.Fatalf("channel %d says %.100q (%d bytes) after %.100q", channel, text, len(text), all)
		}
		all += text
	}
	return all
}

// closed wants the connection to end with a code.
func (c *shellConn) closed(code int) {
	c.k.Helper()
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, frame, err := c.ReadMessage(); !websocket.IsCloseError(err, code) {
		c.k.Errorf("read %q, %v; want to be closed with %d", frame, err, code)
	}
}

func TestShell(t *testing.T) {
	k := newKit(t)
	k.shells()
	c := k.shell("s", "", false)
	c.send(0, "hello\n")
	c.shows("hello\r\n")
	c.send(4, `{"width":120,"height":40}`)
	c.send(4, `no size`)
	c.send(9, "of a later protocol")
	c.send(5, "")
	if channel, text := c.next(); channel != 5 || text != "" {
		t.Errorf("a heartbeat was answered by %d %q", channel, text)
	}
	c.send(0, "exit 0\n")
	c.status(`{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success"}`)
	c.closed(1000)
	k.logged("outcrop: shell " + c.resp.Header.Get("X-Amzn-Bedrock-Agentcore-Shell-Id") + " ended")

	for code, causes := range map[int]string{
		3:   `[{"reason":"ExitCode","message":"3"}]`,
		137: `[{"reason":"ExitCode","message":"137"},{"reason":"Signal","message":"9"}]`,
	} {
		c = k.shell("s", "", false)
		c.send(0, fmt.Sprintf("exit %d\n", code))
		c.status(fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","reason":"NonZeroExitCode","message":"command terminated with exit code %d","details":{"causes":%s}}`, code, causes))
		c.closed(1000)
	}
}

func TestShellReconnects(t *testing.T) {
	k := newKit(t)
	k.shells()
	c := k.shell("s", "mine", false)
	c.send(0, "one\n")
	c.shows("one\r\n")
	c.send(0, "two\nflood 1000\nthree\n") // may be shown before or after
	c.Close()
	c = k.shell("s", "mine", true)
	c.send(0, "four\n")
	// What went to the connection that was lost is shown to nobody any more.
	all := "two\r\n" + strings.Repeat("x", 1000) + "\r\nthree\r\nfour\r\n"
	if got := c.shows("four\r\n"); !strings.HasSuffix(all, got) {
		t.Errorf("after the reconnection it shows %q", got)
	}
	// Another connection takes over.
	other := k.shell("s", "mine", true)
	c.closed(4000)
	other.send(0, "five\n")
	other.shows("five\r\n")
	if n := k.Engine.Starts(); n != 1 {
		t.Errorf("%d sandboxes were started", n)
	}
}

func TestShellBounds(t *testing.T) {
	k := newKit(t)
	k.shells()
	t.Run("text", func(t *testing.T) {
		c := k.shell("text", "", false)
		for range 5 {
			if err := c.WriteMessage(websocket.TextMessage, []byte("ls\n")); err != nil {
				t.Fatal(err)
			}
		}
		c.closed(1003)
	})
	t.Run("frames", func(t *testing.T) {
		c := k.shell("frames", "", false)
		for range 400 {
			if c.WriteMessage(websocket.BinaryMessage, []byte{9}) != nil {
				break
			}
		}
		c.closed(1008)
	})
	t.Run("big", func(t *testing.T) {
		c := k.shell("big", "", false)
		c.send(0, strings.Repeat("x", 4<<20)) // taken whole: the closing frame would be lost with a reset
		c.closed(1009)
	})
	t.Run("shells", func(t *testing.T) {
		for i := range 10 {
			k.shell("many", fmt.Sprint("shell", i), false)
		}
		_, resp, err := k.dialShell("many", "eleventh")
		if err == nil {
			t.Fatal("an eleventh shell began")
		}
		if text := k.refused(resp, 429, "ThrottlingException"); !strings.Contains(text, "has 10 shells") {
			t.Errorf("refused with %q", text)
		}
		k.shell("many", "shell3", true)
		k.shell("others", "", false)
	})
	t.Run("names", func(t *testing.T) {
		_, resp, err := k.dialShell("names", "-no")
		if err == nil || resp.StatusCode != 400 {
			t.Errorf("a shell of a bad name: %v, %v", resp, err)
		}
	})
}

func TestShellEnds(t *testing.T) {
	k := newKit(t)
	k.shells()
	t.Run("asked to", func(t *testing.T) {
		c := k.shell("asked", "", false)
		c.send(0xff, "")
		if channel, text := c.next(); channel != 3 || !strings.Contains(text, "exit code 129") {
			t.Errorf("channel %d says %s", channel, text)
		}
		c.closed(1000)
	})
	t.Run("the session is stopped", func(t *testing.T) {
		c := k.shell("stopped", "", false)
		stop := &data.StopRuntimeSessionInput{AgentRuntimeArn: aws.String(k.arn()), RuntimeSessionId: aws.String(runtimetest.SessionID("stopped"))}
		if _, err := k.Data.StopRuntimeSession(t.Context(), stop); err != nil {
			t.Fatal(err)
		}
		if channel, text := c.next(); channel != 0xff || text != "" {
			t.Errorf("channel %d says %q", channel, text)
		}
		c.closed(1001)
	})
	t.Run("no bash", func(t *testing.T) {
		k.Engine.Command = nil
		_, resp, err := k.dialShell("bare", "")
		if err == nil {
			t.Fatal("a shell without bash")
		}
		body, err := io.ReadAll(resp.Body)
		var refusal struct{ Error string }
		if err != nil || resp.StatusCode != 424 || json.Unmarshal(body, &refusal) != nil || !strings.Contains(refusal.Error, "must have bash") {
			t.Errorf("refused with %s %s, %v", resp.Status, body, err)
		}
	})
}
