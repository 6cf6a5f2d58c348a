package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gorilla/websocket"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/time/rate"

	"github.com/outcrop/outcrop/internal/client"
)

// socketOptions are those of invoke --ws.
type socketOptions struct {
	on, binary bool
	linger     time.Duration
}

// defaultLinger is enough for a model's first word, as a rule.
const defaultLinger = 10 * time.Second

func (o *socketOptions) flags(fs *pflag.FlagSet) {
	fs.BoolVar(&o.on, "ws", false, "connect to the agent's WebSocket: lines of standard input are messages")
	fs.BoolVar(&o.binary, "binary", false, "with --ws: send and print bytes as they are")
	spanVar(fs, &o.linger, "linger", defaultLinger, "with --ws: `time` without a message after which the connection is closed, once input has ended")
}

// check refuses what says something else than --ws, or only with it.
func (o *socketOptions) check(cmd *cobra.Command, args []string) error {
	of := func(names ...string) string {
		for _, name := range names {
			if cmd.Flags().Changed(name) {
				return name
			}
		}
		return ""
	}
	switch name := of("raw", "json", "content-type", "accept"); {
	case o.on && name != "":
		return below(cmd, "--%s is for an answer, and --ws has messages", name)
	case o.on && len(args) > 1:
		return below(cmd, "with --ws messages come from standard input, not from arguments")
	case o.linger < 0:
		return below(cmd, "--linger is a time from 0s on, not %s", o.linger)
	}
	if name := of("binary", "linger"); !o.on && name != "" {
		return below(cmd, "--%s goes with --ws", name)
	}
	return nil
}

// What the wire takes (spec/runtime.md 9.1): 250 frames a second, of which some
// room is left, and of ours each holds so many bytes.
const (
	framesPerSecond = 200
	frameBytes      = 32 << 10
)

// maxMessage bounds a line that is sent as one message, in bytes.
const maxMessage = 8 << 20

// closeFor is how long an agent may take to answer that we close.
const closeFor = 5 * time.Second

// converse joins standard input and output to an agent's WebSocket.
func (p *Program) converse(ctx context.Context, f *flags, v invocation) error {
	c, err := p.openSession(ctx, f, &v)
	if err != nil {
		return err
	}
	conn, err := c.AgentSocket(ctx, v.place())
	if err != nil {
		return p.invokeFailure(ctx, c, err, v)
	}
	defer func() { _ = conn.Close() }() // what was to be said was said
	p.say("Session %s. To continue it: %s", v.session, v.callAgain("invoke --ws"))
	if p.StdinTerminal {
		p.say("Every line is a message. Ctrl-D closes the connection.")
	}
	heard, closed, sent := make(chan struct{}, 1), make(chan error, 1), make(chan error, 1)
	go func() { closed <- p.printMessages(conn, v.socket.binary, heard) }()
	go func() { sent <- p.sendMessages(ctx, conn, v.socket.binary) }()
	goodbye := func() {
		_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second)) // it may have gone
	}
	var silence, end <-chan time.Time
	left := false
	leave := func() {
		goodbye()
		left, silence, end = true, nil, time.After(closeFor)
	}
	for {
		select {
		case err := <-sent:
			if sent = nil; err != nil {
				goodbye()
				return err
			}
			if p.StdinTerminal || v.socket.linger == 0 {
				leave()
			} else {
				silence = time.After(v.socket.linger)
			}
		case <-heard:
			if silence != nil {
				silence = time.After(v.socket.linger)
			}
		case <-silence:
			leave()
		case err := <-closed:
			if left && !outputGone(err) {
				return nil
			}
			return p.explainClosed(ctx, c, err, v)
		case <-end: // it does not answer; we go
			return nil
		case <-ctx.Done():
			goodbye()
			return ctx.Err()
		}
	}
}

// sendMessages sends what is read until that ends. Where the connection ends
// first, whoever reads from it says so.
func (p *Program) sendMessages(ctx context.Context, conn *websocket.Conn, binary bool) error {
	in, pace := bufio.NewReaderSize(p.Stdin, frameBytes), rate.NewLimiter(framesPerSecond, framesPerSecond/4)
	for {
		kind, message, err := websocket.TextMessage, []byte(nil), error(nil)
		if binary {
			kind, message = websocket.BinaryMessage, make([]byte, frameBytes)
			var n int
			n, err = in.Read(message)
			message = message[:n]
		} else {
			message, err = readLine(in)
		}
		if len(message) > 0 || err == nil && !binary {
			for range len(message)/frameBytes + 1 {
				if pace.Wait(ctx) != nil {
					return nil
				}
			}
			if conn.WriteMessage(kind, message) != nil {
				return nil
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("read messages: %w", err)
		}
	}
}

// readLine reads a line without its end.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxMessage:
			return nil, misuse("a line of standard input is longer than %s, the most that is sent as one message; --binary sends it in parts", size(maxMessage))
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		}
		return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r")), err
	}
}

// printMessages prints what comes until the connection ends, and returns why.
func (p *Program) printMessages(conn *websocket.Conn, binary bool, heard chan<- struct{}) error {
	w, finish := p.answerWriter()
	for {
		kind, message, err := conn.NextReader()
		if err != nil {
			_ = finish() // its own error comes first
			return err
		}
		tail := &lastByte{w: w}
		if _, err := io.Copy(tail, message); err != nil {
			_ = finish()
			return err
		}
		if kind == websocket.TextMessage && !binary && tail.b != '\n' {
			if _, err := io.WriteString(w, "\n"); err != nil {
				return fmt.Errorf("print message: %w", err)
			}
		}
		select {
		case heard <- struct{}{}:
		default:
		}
	}
}

// explainClosed says how the agent, or somebody between, closed the connection.
func (p *Program) explainClosed(ctx context.Context, c *client.Client, err error, v invocation) error {
	if outputGone(err) {
		return err
	}
	var said *websocket.CloseError
	if !errors.As(err, &said) || said.Code == websocket.CloseAbnormalClosure {
		return p.explainBroken(ctx, c, &brokenError{err}, v)
	}
	reason := said.Text
	if reason != "" {
		reason = ": " + reason
	}
	switch said.Code {
	case websocket.CloseNormalClosure, websocket.CloseNoStatusReceived:
		p.say("The agent closed the connection (%d)%s", said.Code, reason)
		return nil
	}
	return fail("Its log may say more: "+v.logCommand(), "the connection was closed with code %d%s%s", said.Code, closeName(said.Code), reason)
}

// closeName is what RFC 6455 7.4.1 says of a code, for people.
func closeName(code int) string {
	switch code {
	case websocket.CloseGoingAway:
		return " (going away, as when its session ends)"
	case websocket.CloseProtocolError:
		return " (protocol error)"
	case websocket.CloseUnsupportedData:
		return " (unsupported data)"
	case websocket.CloseInvalidFramePayloadData:
		return " (no UTF-8)"
	case websocket.ClosePolicyViolation:
		return " (against the rules)"
	case websocket.CloseMessageTooBig:
		return " (a frame over 64 KB)"
	case websocket.CloseInternalServerErr:
		return " (the agent failed)"
	}
	return ""
}
