package client

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/gorilla/websocket"
)

// sessionHeader names the session of a call, in its request and its answer.
const sessionHeader = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"

// userHeader names whom a call is for, of a caller who may vouch for them.
const userHeader = "X-Amzn-Bedrock-AgentCore-Runtime-User-Id"

// Place says which session of which agent a connection is for.
type Place struct {
	// ARN is the runtime's.
	ARN string
	// Session is the session's id; a new one begins it.
	Session string
	// Qualifier is the endpoint; empty is DEFAULT.
	Qualifier string
	// User is whom the connection is for; empty is nobody in particular.
	User string
}

// socketBuffer is what a frame of ours holds at most, in bytes, below the 64 KB
// of spec/runtime.md 9.1.
const socketBuffer = 32 << 10

// AgentSocket connects to the WebSocket of a session's agent. Waiting for the
// agent to start is bounded by ctx alone. The connection is the caller's to close.
func (c *Client) AgentSocket(ctx context.Context, at Place) (*websocket.Conn, error) {
	conn, _, err := c.socket(ctx, at, "ws", url.Values{})
	return conn, err
}

// socket signs a handshake and shakes hands; path is what follows the ARN.
func (c *Client) socket(ctx context.Context, at Place, path string, query url.Values) (*websocket.Conn, http.Header, error) {
	if at.Qualifier != "" {
		query.Set("qualifier", at.Qualifier)
	}
	u := *c.base
	u.Path = "/runtimes/" + at.ARN + "/" + path
	u.RawPath = "/runtimes/" + url.QueryEscape(at.ARN) + "/" + path // a raw slash or colon is another path (spec/runtime.md 0)
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, nil, fmt.Errorf("connect to %s: %w", path, err)
	}
	req.Header.Set(sessionHeader, at.Session)
	if at.User != "" {
		req.Header.Set(userHeader, at.User)
	}
	if c.target.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.target.Token)
	} else {
		nothing := sha256.Sum256(nil)
		if err := c.sign(ctx, req, hex.EncodeToString(nothing[:]), "bedrock-agentcore"); err != nil {
			return nil, nil, fmt.Errorf("sign connection to %s: %w", path, err)
		}
	}
	if c.agent != "" {
		req.Header.Set("User-Agent", c.agent)
	}
	dialer := websocket.Dialer{
		Proxy: c.proxy, NetDialContext: (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig: tlsConfig(c.roots), WriteBufferSize: socketBuffer, ReadBufferSize: socketBuffer,
	}
	u.Scheme = map[string]string{"http": "ws", "https": "wss"}[u.Scheme]
	conn, answer, err := dialer.DialContext(ctx, u.String(), req.Header)
	if errors.Is(err, websocket.ErrBadHandshake) && answer != nil {
		body, _ := io.ReadAll(answer.Body) // the beginning of it, which is all there is (websocket.Dialer)
		return nil, nil, answerError(answer, body)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("connect to %s: %w", path, err)
	}
	return conn, answer.Header, nil
}
