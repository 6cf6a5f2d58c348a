package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// The channels of a shell's frames (spec/runtime.md 9.3): the first byte of each.
const (
	channelTyped     = 0x00
	channelShown     = 0x01
	channelNotice    = 0x02
	channelStatus    = 0x03
	channelResize    = 0x04
	channelHeartbeat = 0x05
	channelClose     = 0xff
)

// shellHeader names the shell in the answer to a handshake.
const shellHeader = "X-Amzn-Bedrock-AgentCore-Shell-Id"

// MaxTyped is the most that one call of Type sends, in bytes.
const MaxTyped = socketBuffer - 1

// What keeps a connection to a shell honest: pings this often, and lost when
// nothing has come for so long.
const (
	pingEvery  = 15 * time.Second
	silenceFor = 45 * time.Second
	writeFor   = 30 * time.Second
)

// Shell is one connection to a shell of a session. The shell outlives it. One
// goroutine may call Next while another calls Type and Resize.
type Shell struct {
	// ID names the shell, for whoever connects to it again.
	ID string

	conn  *websocket.Conn
	over  chan struct{}
	close func()
}

// ShellEvent is what comes from a shell; one of its members is set.
type ShellEvent struct {
	// Shown is what its terminal shows.
	Shown []byte
	// Notice is what the platform says.
	Notice string
	// Attached says that the connection is one to the shell.
	Attached *ShellAttached
	// Ended says how the shell ended.
	Ended *ShellEnd
	// Closed says that the session ended, and its shells with it.
	Closed bool
}

// ShellAttached tells who connected what they are connected to.
type ShellAttached struct {
	// Again says that the shell ran before.
	Again bool
	// Dropped is how much of what it showed is lost, in bytes.
	Dropped int64
}

// ShellEnd is how a shell ended.
type ShellEnd struct {
	// Code is its exit code, -1 where the platform ended it.
	Code int
	// Message is the platform's word about it; empty for code 0.
	Message string
}

// Shell connects to a shell of a session: a new one, or the one that is called
// id and runs.
func (c *Client) Shell(ctx context.Context, at Place, id string) (*Shell, error) {
	query := url.Values{}
	if id != "" {
		query.Set("shellId", id)
	}
	conn, header, err := c.socket(ctx, at, "ws/shells", query)
	if err != nil {
		return nil, err
	}
	s := &Shell{ID: header.Get(shellHeader), conn: conn, over: make(chan struct{})}
	if s.ID == "" {
		s.ID = id
	}
	s.close = sync.OnceFunc(func() {
		close(s.over)
		_ = conn.Close() // nobody is left to tell
	})
	alive := func(string) error { return conn.SetReadDeadline(time.Now().Add(silenceFor)) }
	conn.SetPongHandler(alive)
	if err := alive(""); err != nil {
		s.close()
		return nil, fmt.Errorf("connect to shell: %w", err)
	}
	go s.ping()
	return s, nil
}

// ping shows both sides that the other is there.
func (s *Shell) ping() {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if s.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(pingEvery)) != nil {
				return // Next says so
			}
		case <-s.over:
			return
		}
	}
}

// Type sends what was typed, MaxTyped bytes at most.
func (s *Shell) Type(keys []byte) error { return s.send(channelTyped, keys) }

// Resize tells the shell how large its terminal is, in characters.
func (s *Shell) Resize(columns, rows int) error {
	return s.send(channelResize, fmt.Appendf(nil, `{"width":%d,"height":%d}`, columns, rows))
}

func (s *Shell) send(channel byte, data []byte) error {
	if err := s.conn.SetWriteDeadline(time.Now().Add(writeFor)); err != nil {
		return err
	}
	return s.conn.WriteMessage(websocket.BinaryMessage, append([]byte{channel}, data...))
}

// Next waits for what comes next. Its error is a *websocket.CloseError where the
// other side said why it closes, and else what the network says.
func (s *Shell) Next() (ShellEvent, error) {
	for {
		kind, frame, err := s.conn.ReadMessage()
		if err != nil {
			return ShellEvent{}, err
		}
		if err := s.conn.SetReadDeadline(time.Now().Add(silenceFor)); err != nil {
			return ShellEvent{}, err
		}
		if kind != websocket.BinaryMessage || len(frame) == 0 {
			continue // nothing of the protocol's
		}
		if e, ok := parseShell(frame); ok {
			return e, nil
		}
	}
}

// Close ends the connection; the shell runs on for a while.
func (s *Shell) Close() { s.close() }

// parseShell reads one frame that has a first byte. ok is false for what says
// nothing to a person: channels of a later protocol, and answers to heartbeats.
func parseShell(frame []byte) (e ShellEvent, ok bool) {
	data := frame[1:]
	switch frame[0] {
	case channelShown:
		return ShellEvent{Shown: data}, len(data) > 0
	case channelNotice:
		return ShellEvent{Notice: string(data)}, len(data) > 0
	case channelStatus:
		return parseShellStatus(data)
	case channelClose:
		return ShellEvent{Closed: true}, true
	}
	return ShellEvent{}, false
}

// parseShellStatus reads a Kubernetes Status. One that names the shell tells of
// the connection, and any other of the shell's end.
func parseShellStatus(data []byte) (e ShellEvent, ok bool) {
	var s struct {
		Metadata struct {
			ShellID      string `json:"shellId"`
			Reconnected  bool   `json:"reconnected"`
			BytesDropped int64  `json:"bytesDropped"`
		} `json:"metadata"`
		Status, Reason, Message string
		Details                 struct {
			Causes []struct{ Reason, Message string } `json:"causes"`
		} `json:"details"`
	}
	if json.Unmarshal(data, &s) != nil {
		return ShellEvent{}, false
	}
	if s.Metadata.ShellID != "" {
		return ShellEvent{Attached: &ShellAttached{Again: s.Metadata.Reconnected, Dropped: s.Metadata.BytesDropped}}, true
	}
	if s.Status == "Success" {
		return ShellEvent{Ended: &ShellEnd{}}, true
	}
	end := &ShellEnd{Code: -1, Message: s.Message}
	for _, cause := range s.Details.Causes {
		if n, err := strconv.Atoi(cause.Message); err == nil && cause.Reason == "ExitCode" {
			end.Code = n
		}
	}
	return ShellEvent{Ended: end}, true
}
