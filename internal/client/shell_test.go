package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

var place = Place{ARN: "arn:aws:bedrock-agentcore:eu-west-1:123456789012:runtime/a-1234567890", Session: strings.Repeat("s", 33), Qualifier: "prod"}

// upgrade makes the server's side of a WebSocket.
func upgrade(t *testing.T, w http.ResponseWriter, r *http.Request, header http.Header) *websocket.Conn {
	conn, err := (&websocket.Upgrader{}).Upgrade(w, r, header)
	if err != nil {
		t.Error(err)
	}
	return conn
}

func TestShellSpeaksTheWire(t *testing.T) {
	frames := []string{
		"\x03" + `{"kind":"Status","metadata":{"shellId":"mine","reconnected":true,"bytesDropped":7},"status":"Success"}`,
		"\x05", "", "\x42later", "\x03no json", "\x01", "\x01$ ", "\x02careful",
		"\x03" + `{"metadata":{},"status":"Failure","reason":"NonZeroExitCode","message":"command terminated with exit code 130","details":{"causes":[{"reason":"ExitCode","message":"130"},{"reason":"Signal","message":"2"}]}}`,
		"\x03" + `{"metadata":{},"status":"Success"}`,
		"\x03" + `{"metadata":{},"status":"Failure","reason":"InternalError","message":"gone","code":500}`,
		"\xff",
	}
	want := []ShellEvent{
		{Attached: &ShellAttached{Again: true, Dropped: 7}}, {Shown: []byte("$ ")}, {Notice: "careful"},
		{Ended: &ShellEnd{130, "command terminated with exit code 130"}}, {Ended: &ShellEnd{}}, {Ended: &ShellEnd{-1, "gone"}}, {Closed: true},
	}
	heard := make(chan string, 2)
	c := serve(t, "bedrock-agentcore", func(w http.ResponseWriter, r *http.Request) {
		asked := fmt.Sprintf("%s?%s %s", r.URL.EscapedPath(), r.URL.RawQuery, r.Header.Get("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"))
		if asked != "/runtimes/arn%3Aaws%3Abedrock-agentcore%3Aeu-west-1%3A123456789012%3Aruntime%2Fa-1234567890/ws/shells?qualifier=prod&shellId=mine "+place.Session {
			t.Errorf("asked for %s", asked)
		}
		conn := upgrade(t, w, r, http.Header{"X-Amzn-Bedrock-Agentcore-Shell-Id": {"mine"}})
		defer conn.Close()
		for range 2 {
			_, frame, err := conn.ReadMessage()
			if err != nil {
				t.Error(err)
			}
			heard <- string(frame)
		}
		_ = conn.WriteMessage(websocket.TextMessage, []byte("says nothing"))
		for _, frame := range frames {
			if err := conn.WriteMessage(websocket.BinaryMessage, []byte(frame)); err != nil {
				t.Error(err)
			}
		}
		_ = conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(4000, "another"))
	})
	s, err := c.Shell(t.Context(), place, "mine")
	if err != nil || s.ID != "mine" {
		t.Fatalf("%+v, %v", s, err)
	}
	defer s.Close()
	if err := errors.Join(s.Type([]byte("ls\r")), s.Resize(120, 40)); err != nil {
		t.Fatal(err)
	}
	if a, b := <-heard, <-heard; a != "\x00ls\r" || b != "\x04"+`{"width":120,"height":40}` {
		t.Errorf("the server heard %q, %q", a, b)
	}
	for _, w := range want {
		if got, err := s.Next(); err != nil || !reflect.DeepEqual(got, w) {
			t.Errorf("got %+v, %v, want %+v", got, err, w)
		}
	}
	var closed *websocket.CloseError
	if _, err := s.Next(); !errors.As(err, &closed) || closed.Code != 4000 || closed.Text != "another" {
		t.Errorf("at its end: %v", err)
	}
}

func TestSocketRefused(t *testing.T) {
	for want, body := range map[string]string{
		"no bash":  `{"__type":"RuntimeClientError","error":"no bash"}`,
		"no agent": `{"__type":"RuntimeClientError","message":"no agent","error":"other"}`,
	} {
		c := serve(t, "bedrock-agentcore", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("x-amzn-RequestId", "1")
			w.Header().Set("x-amzn-ErrorType", "RuntimeClientError")
			w.WriteHeader(http.StatusFailedDependency)
			_, _ = io.WriteString(w, body)
		})
		var refused *Error
		if _, err := c.Shell(t.Context(), place, ""); !errors.As(Explain(err), &refused) || refused.Code != "RuntimeClientError" || refused.Message != want || refused.Status != 424 {
			t.Errorf("%s: %v", want, err)
		}
	}
	c := newClient(t, "http://127.0.0.1:1")
	var unreachable *UnreachableError
	if _, err := c.AgentSocket(t.Context(), place); !errors.As(Explain(err), &unreachable) {
		t.Errorf("nobody listens: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.AgentSocket(ctx, place); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
}

func FuzzParseShell(f *testing.F) {
	for _, seed := range []string{"\x03{}", "\x01x", "\x03" + `{"metadata":{"shellId":"a"}}`, "\xff", "\x03" + `{"details":{"causes":[{"reason":"ExitCode","message":"9"}]}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if len(frame) == 0 {
			return
		}
		e, ok := parseShell(frame)
		if said := len(e.Shown) > 0 || e.Notice != "" || e.Attached != nil || e.Ended != nil || e.Closed; ok != said {
			t.Errorf("%q is %+v, %v", frame, e, ok)
		}
	})
}
