package invoke_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	data "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	"github.com/gorilla/websocket"

	"github.com/outcrop/outcrop/internal/runtime/runtimetest"
	"github.com/outcrop/outcrop/internal/session"
)

const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// echoSockets is an agent that says on its WebSocket what it hears; "die" ends it.
func (k *kit) echoSockets(seen *http.Request) {
	up := websocket.Upgrader{Subprotocols: []string{"chat"}, EnableCompression: true}
	k.agent(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ws" {
			http.Error(w, "no such page", http.StatusTeapot)
			return
		}
		*seen = *r.Clone(r.Context())
		c, err := up.Upgrade(w, r, nil)
		if err != nil {
			k.Error(err)
			return
		}
		defer c.Close()
		for {
			kind, text, err := c.ReadMessage()
			if err != nil || string(text) == "die" {
				return
			}
			if string(text) == "close" {
				_ = c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(4321, "so long"), time.Now().Add(time.Second))
				continue
			}
			if c.WriteMessage(kind, text) != nil {
				return
			}
		}
	})
}

// socketRequest is the signed request for a socket, by its header or its query.
func (k *kit) socketRequest(path string, header http.Header, presigned bool, query url.Values) (string, http.Header) {
	k.Helper()
	r, err := http.NewRequestWithContext(k.Context(), http.MethodGet, k.URL+"/runtimes/"+url.QueryEscape(k.arn())+path, nil)
	if err != nil {
		k.Fatal(err)
	}
	r.URL.RawQuery = query.Encode()
	creds := aws.Credentials{AccessKeyID: runtimetest.KeyID, SecretAccessKey: runtimetest.Secret}
	if presigned {
		signed, _, err := v4.NewSigner().PresignHTTP(k.Context(), creds, r, emptyHash, "bedrock-agentcore", runtimetest.Region, time.Now())
		if err != nil {
			k.Fatal(err)
		}
		return "ws" + strings.TrimPrefix(signed, "http"), header
	}
	for name, values := range header {
		r.Header[name] = values
	}
	if err := v4.NewSigner().SignHTTP(k.Context(), creds, r, emptyHash, "bedrock-agentcore", runtimetest.Region, time.Now()); err != nil {
		k.Fatal(err)
	}
	return "ws" + strings.TrimPrefix(r.URL.String(), "http"), r.Header
}

// socket connects to the agent's.
func (k *kit) socket(header http.Header, presigned bool, query url.Values) (*websocket.Conn, *http.Response) {
	k.Helper()
	u, h := k.socketRequest("/ws", header, presigned, query)
	c, resp, err := (&websocket.Dialer{Subprotocols: []string{"other", "chat"}, EnableCompression: true, WriteBufferSize: 128 << 10}).DialContext(k.Context(), u, h)
	if err != nil {
		body := []byte(nil)
		if resp != nil {
			body, _ = io.ReadAll(resp.Body)
		}
		k.Fatalf("dial %s: %v: %v %s", u, err, resp, body)
	}
	k.Cleanup(func() { c.Close() })
	return c, resp
}

// logged waits until the session's log has a line.
func (k *kit) logged(line string) {
	k.Helper()
	for late := time.Now().Add(10 * time.Second); !strings.Contains(k.logs(), line); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(late) {
			k.Fatalf("the log has %q, want %q", k.logs(), line)
		}
	}
}

// TestKeySaidTwice: the SDK hands its own key to a WebSocket library that has written
// one before and wants that answered (spec/runtime.md 9.1, bedrock-agentcore 1.25).
func TestKeySaidTwice(t *testing.T) {
	k := newKit(t)
	var seen http.Request
	k.echoSockets(&seen)
	u, h := k.socketRequest("/ws", http.Header{}, false, nil)
	at, err := url.Parse(u)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", at.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	h.Set("Connection", "Upgrade")
	h.Set("Upgrade", "websocket")
	h["Sec-Websocket-Key"] = []string{"dGhlIHNhbXBsZSBub25jZQ==", "c2Vjb25kIHNlY29uZCBzZQ=="}
	h["Sec-Websocket-Version"] = []string{"13", "13"}
	var head strings.Builder
	fmt.Fprintf(&head, "GET %s HTTP/1.1\r\nHost: %s\r\n", at.RequestURI(), at.Host)
	if err := h.Write(&head); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, head.String()+"\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", resp, err)
	}
	// RFC 6455 1.3 has the answer to the first of them.
	if got := resp.Header.Get("Sec-Websocket-Accept"); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Errorf("accepted %q", got)
	}
	if got := seen.Header["Sec-Websocket-Key"]; len(got) != 1 || len(seen.Header["Sec-Websocket-Version"]) != 1 {
		t.Errorf("the agent was shown the keys %q and the versions %q", got, seen.Header["Sec-Websocket-Version"])
	}
}

// says sends a message and returns the next, or why there is none.
func says(c *websocket.Conn, kind int, text string) (int, string, error) {
	if err := c.WriteMessage(kind, []byte(text)); err != nil {
		return 0, "", err
	}
	kind, got, err := c.ReadMessage()
	return kind, string(got), err
}

func TestWebSocket(t *testing.T) {
	k := newKit(t, "X-Tenant")
	var seen http.Request
	k.echoSockets(&seen)
	id := runtimetest.SessionID("ws")
	for _, tt := range []struct {
		name      string
		header    http.Header
		presigned bool
		query     url.Values
	}{
		{"signed", http.Header{sessionHeader: {id}, "X-Tenant": {"blue"}}, false, nil},
		{"presigned", http.Header{"X-Tenant": {"blue"}}, true, url.Values{"X-Amzn-Bedrock-AgentCore-Runtime-Session-Id": {id}, "qualifier": {"DEFAULT"}, "X-Amz-Expires": {"300"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, resp := k.socket(tt.header, tt.presigned, tt.query)
			if got := resp.Header.Get(sessionHeader); got != id {
				t.Errorf("the session is %q, want %q", got, id)
			}
			if c.Subprotocol() != "chat" || !strings.Contains(resp.Header.Get("Sec-Websocket-Extensions"), "permessage-deflate") {
				t.Errorf("agreed on %q and %q, want what the agent speaks", c.Subprotocol(), resp.Header.Get("Sec-Websocket-Extensions"))
			}
			for _, m := range []struct {
				kind int
				text string
			}{{websocket.TextMessage, "héllo"}, {websocket.BinaryMessage, "\x00\xff"}, {websocket.TextMessage, strings.Repeat("long ", 5000)}} {
				if kind, text, err := says(c, m.kind, m.text); err != nil || kind != m.kind || text != m.text {
					t.Errorf("got %d %.20q, %v; want %d %.20q", kind, text, err, m.kind, m.text)
				}
			}
			if h := seen.Header; h.Get(sessionHeader) != id || h.Get("X-Tenant") != "blue" || h.Get("Authorization") != "" || seen.URL.RawQuery != "" || seen.Host != "localhost:8080" || h.Get("Traceparent") == "" {
				t.Errorf("the agent was asked for %s at %s with %v", seen.URL, seen.Host, h)
			}
			_, _, err := says(c, websocket.TextMessage, "close")
			if !websocket.IsCloseError(err, 4321) {
				t.Errorf("the agent closed with 4321, the caller saw %v", err)
			}
		})
	}
	if n := k.Engine.Starts(); n != 1 {
		t.Errorf("%d sandboxes were started for one session", n)
	}
}

func TestWebSocketEnds(t *testing.T) {
	k := newKit(t)
	var seen http.Request
	k.echoSockets(&seen)
	t.Run("the agent breaks off", func(t *testing.T) {
		c, _ := k.socket(nil, false, nil)
		if _, _, err := says(c, websocket.TextMessage, "die"); !websocket.IsCloseError(err, websocket.CloseInternalServerErr) {
			t.Errorf("the caller saw %v", err)
		}
		k.logged("outcrop: the agent's WebSocket broke off: the connection ended without a closing frame")
	})
	t.Run("the session is stopped", func(t *testing.T) {
		c, _ := k.socket(http.Header{sessionHeader: {runtimetest.SessionID("stop")}}, false, nil)
		if _, _, err := says(c, websocket.TextMessage, "x"); err != nil {
			t.Fatal(err)
		}
		stop := &data.StopRuntimeSessionInput{AgentRuntimeArn: aws.String(k.arn()), RuntimeSessionId: aws.String(runtimetest.SessionID("stop"))}
		if _, err := k.Data.StopRuntimeSession(t.Context(), stop); err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseGoingAway) {
			t.Errorf("the caller saw %v", err)
		}
	})
	t.Run("a frame is too big", func(t *testing.T) {
		c, _ := k.socket(nil, false, nil)
		c.EnableWriteCompression(false)
		_, _, err := says(c, websocket.BinaryMessage, strings.Repeat("x", 64<<10+1))
		if !websocket.IsCloseError(err, websocket.CloseMessageTooBig) {
			t.Errorf("the caller saw %v", err)
		}
	})
	t.Run("the caller leaves", func(t *testing.T) {
		c, _ := k.socket(http.Header{sessionHeader: {runtimetest.SessionID("left")}}, false, nil)
		c.Close()
		running := func() int {
			return k.Sessions.List(func(key session.Key) bool { return key.ID == runtimetest.SessionID("left") })[0].Running
		}
		for late := time.Now().Add(10 * time.Second); running() != 0; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(late) {
				t.Fatal("the session is still in use")
			}
		}
	})
}

func TestWebSocketRefusals(t *testing.T) {
	k := newKit(t)
	var seen http.Request
	k.echoSockets(&seen)
	u, h := k.socketRequest("/ws", nil, true, url.Values{"X-Amz-Expires": {"301"}})
	if _, resp, err := websocket.DefaultDialer.DialContext(t.Context(), u, h); err == nil || resp == nil {
		t.Errorf("a URL that is good for 301 seconds: %v", err)
	} else if text, _ := io.ReadAll(resp.Body); !strings.Contains(string(text), "must not exceed 300 seconds") {
		t.Errorf("a URL that is good for 301 seconds: %d %s", resp.StatusCode, text)
	}
	u, h = k.socketRequest("/ws", nil, false, nil)
	get := func(h http.Header) *http.Response {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http"+strings.TrimPrefix(u, "ws"), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = h
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return resp
	}
	if text := k.refused(get(h), 400, "ValidationException"); !strings.Contains(text, "WebSocket client") {
		t.Errorf("refused with %q", text)
	}
	if resp := get(http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}, "Sec-Websocket-Key": {"x"}}); resp.StatusCode != 403 {
		t.Errorf("without a signature: %s", resp.Status)
	}
	k.agent(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no sockets here", http.StatusNotFound) })
	_, resp, err := websocket.DefaultDialer.DialContext(t.Context(), u, h)
	if err == nil || resp == nil {
		t.Fatalf("dial an agent without sockets: %v, %v", resp, err)
	}
	if text := k.refused(resp, 424, "RuntimeClientError"); !strings.HasPrefix(text, "Received error (404) from runtime.") {
		t.Errorf("refused with %q", text)
	}
}
