package invoke

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/time/rate"

	"github.com/outcrop/outcrop/internal/runtime"
	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/session"
	relay "github.com/outcrop/outcrop/internal/websocket"
)

// The channels of a shell's frames (spec/runtime.md 9.3): the first byte of each.
const (
	channelStdin     = 0x00
	channelStdout    = 0x01
	channelStatus    = 0x03
	channelResize    = 0x04
	channelHeartbeat = 0x05
	channelClose     = 0xff
)

// What bounds a connection besides socketLimits, which hold for it, too.
const (
	maxTextFrames = 5 // that say nothing to a shell
	shownBytes    = 32 << 10
	writeLimit    = 30 * time.Second
)

// replacedCode closes a connection whose shell another one took over.
const replacedCode = 4000

// shellHeader names the shell in the handshake.
const shellHeader = "X-Amzn-Bedrock-Agentcore-Shell-Id"

// An attachment is a caller's connection to a shell.
type attachment struct {
	sh    *shell
	again bool // it ran before
	conn  *websocket.Conn
	out   chan []byte // whole frames besides what is shown
	end   context.CancelCauseFunc
}

// A closure is why a connection is closed by us.
type closure struct {
	code   int
	reason string
}

// Error returns the reason.
func (f *closure) Error() string { return f.reason }

// upgrader accepts callers from anywhere: what lets them in is their signature.
var upgrader = websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}

// ServeHTTP joins the caller's connection to the shell until one of them ends.
func (a *attachment) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set(sessionHeader, a.sh.at.session.ID)
	header.Set(shellHeader, a.sh.at.name)
	conn, err := upgrader.Upgrade(hijacker{w}, r, header)
	if err != nil {
		a.sh.giveUp()
		return
	}
	defer conn.Close()
	ctx, end := context.WithCancelCause(a.sh.use.Context())
	ctx, cancel := context.WithTimeoutCause(ctx, socketLimits.Life, &closure{websocket.ClosePolicyViolation, "the connection has lived as long as it may; connect again to go on"})
	defer cancel()
	a.conn, a.out, a.end = conn, make(chan []byte), end
	if before := a.sh.attach(a); before != nil {
		before.end(&closure{replacedCode, "another connection took over the shell"})
	}
	defer a.sh.detach(a)
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.hear(ctx)
	}()
	a.show(ctx)
	a.drain(context.Cause(ctx))
	end(nil)
	conn.Close()
	<-done
}

// drain lets a caller that was closed for what it sends read why (websocket.Lingering).
func (a *attachment) drain(cause error) {
	if f, ours := cause.(*closure); !errors.Is(cause, websocket.ErrReadLimit) && (!ours || f.code != websocket.ClosePolicyViolation && f.code != websocket.CloseUnsupportedData) {
		return
	}
	if a.conn.SetReadDeadline(time.Now().Add(relay.Lingering)) == nil {
		_, _ = io.Copy(io.Discard, a.conn.NetConn())
	}
}

// hijacker is what the WebSocket library takes for a connection to hijack.
type hijacker struct{ http.ResponseWriter }

// Hijack implements http.Hijacker.
func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(h.ResponseWriter).Hijack()
}

// hear takes what the caller sends until the connection ends.
func (a *attachment) hear(ctx context.Context) {
	a.conn.SetReadLimit(socketLimits.FrameBytes)
	pace := rate.NewLimiter(rate.Limit(socketLimits.FramesPerSecond), socketLimits.FramesPerSecond)
	texts := 0
	for {
		kind, frame, err := a.conn.ReadMessage()
		if err != nil {
			a.end(err) // it left, or was closed for a frame that is too big
			return
		}
		switch {
		case !pace.Allow():
			a.end(&closure{websocket.ClosePolicyViolation, fmt.Sprintf("more than %d frames came in a second", socketLimits.FramesPerSecond)})
			return
		case kind == websocket.TextMessage:
			if texts++; texts >= maxTextFrames {
				a.end(&closure{websocket.CloseUnsupportedData, "frames of a shell are binary: a byte for the channel, then the data"})
				return
			}
		case len(frame) > 0:
			a.take(ctx, frame[0], frame[1:])
		}
	}
}

// take does what a frame says. Channels of a later protocol say nothing to us.
func (a *attachment) take(ctx context.Context, channel byte, data []byte) {
	switch channel {
	case channelStdin:
		select {
		case a.sh.keys <- data:
		case <-a.sh.process.Done():
		case <-ctx.Done():
		}
	case channelResize:
		var size struct{ Width, Height uint16 }
		if json.Unmarshal(data, &size) == nil && size.Width > 0 && size.Height > 0 {
			_ = a.sh.process.Resize(sandbox.Window{Columns: size.Width, Rows: size.Height}) // of one that has ended
		}
	case channelHeartbeat:
		select {
		case a.out <- []byte{channelHeartbeat}:
		case <-ctx.Done():
		}
	case channelClose:
		go func() { _ = a.sh.process.Stop(context.WithoutCancel(ctx), time.Second) }() // it ends with its sandbox at the latest
	}
}

// show sends what the terminal shows until the connection or the shell ends.
func (a *attachment) show(ctx context.Context) {
	if a.send(channelStatus, a.status(0)) != nil {
		return
	}
	ended, over := a.sh.process.Done(), false
	for {
		part, dropped, wait, current := a.sh.next(a, shownBytes)
		if !current {
			<-ctx.Done() // who took over says so
			a.close(context.Cause(ctx))
			return
		}
		if dropped > 0 && a.send(channelStatus, a.status(dropped)) != nil {
			return
		}
		if len(part) > 0 {
			if a.send(channelStdout, part) != nil {
				return
			}
			continue
		}
		if over {
			if a.sh.use.Context().Err() == nil {
				_ = a.send(channelStatus, exitStatus(a.sh.process.Exit())) // it is closed next
				a.end(&closure{websocket.CloseNormalClosure, ""})
			}
			a.close(context.Cause(ctx))
			return
		}
		select {
		case <-wait:
		case frame := <-a.out:
			if a.send(frame[0], frame[1:]) != nil {
				return
			}
		case <-ended: // all that it showed is there
			over, ended = true, nil
		case <-ctx.Done():
			a.close(context.Cause(ctx))
			return
		}
	}
}

// send sends one frame.
func (a *attachment) send(channel byte, data []byte) error {
	if err := a.conn.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return err
	}
	return a.conn.WriteMessage(websocket.BinaryMessage, append([]byte{channel}, data...))
}

// close says why the connection ends, if its end was not the caller's doing.
func (a *attachment) close(cause error) {
	f, ours := cause.(*closure)
	if a.sh.use.Context().Err() != nil {
		_ = a.send(channelClose, nil)
		f, ours = &closure{websocket.CloseGoingAway, "the session ended"}, true
		if over, ok := errors.AsType[*session.LifetimeError](context.Cause(a.sh.use.Context())); ok {
			f.reason = over.Error()
		}
	}
	if ours {
		_ = a.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(f.code, f.reason), time.Now().Add(time.Second))
	}
}

// A shellStatus is Kubernetes' metav1.Status, as far as shells have it.
type shellStatus struct {
	Kind       string         `json:"kind"`
	APIVersion string         `json:"apiVersion"`
	Metadata   map[string]any `json:"metadata"`
	Status     string         `json:"status"`
	Reason     string         `json:"reason,omitempty"`
	Message    string         `json:"message,omitempty"`
	Details    *shellDetails  `json:"details,omitempty"`
	Code       int            `json:"code,omitempty"`
}

type shellDetails struct {
	Causes []shellCause `json:"causes"`
}

type shellCause struct {
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

func (s shellStatus) encode() []byte {
	s.Kind, s.APIVersion = "Status", "v1"
	if s.Metadata == nil {
		s.Metadata = map[string]any{}
	}
	body, _ := json.Marshal(s) // text and numbers
	return body
}

// status tells the caller which shell this is, and how much of what it showed
// meanwhile is lost.
func (a *attachment) status(dropped int64) []byte {
	meta := map[string]any{"shellId": a.sh.at.name, "reconnected": a.again}
	if dropped > 0 {
		meta["bytesDropped"] = dropped
	}
	return shellStatus{Status: "Success", Metadata: meta}.encode()
}

// exitStatus tells how the shell ended.
func exitStatus(end sandbox.Status) []byte {
	switch {
	case end.Cause == sandbox.Destroyed:
		return shellStatus{Status: "Failure", Reason: "InternalError", Message: "the session's sandbox ended", Code: http.StatusInternalServerError}.encode()
	case end.Code == 0:
		return shellStatus{Status: "Success"}.encode()
	}
	code := strconv.Itoa(end.Code)
	causes := []shellCause{{"ExitCode", code}}
	if end.Code > 128 {
		causes = append(causes, shellCause{"Signal", strconv.Itoa(end.Code - 128)})
	}
	return shellStatus{Status: "Failure", Reason: "NonZeroExitCode", Message: "command terminated with exit code " + code, Details: &shellDetails{causes}}.encode()
}

// noteEnd says in the session's log that the shell ended.
func (sh *shell) noteEnd() {
	sh.use.Detail().(runtime.Detail).Note("shell " + sh.at.name + " ended")
}
