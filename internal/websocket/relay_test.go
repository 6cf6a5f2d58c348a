package websocket_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/outcrop/outcrop/internal/websocket"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A line is a relayed connection: what the client and the server hold of it.
type line struct {
	*testing.T
	client, server net.Conn
	end            context.CancelCauseFunc
	ended          chan error
}

// relay joins two connections of TCP, which buffer what the tests write.
func relay(t *testing.T, l websocket.Limits) *line {
	t.Helper()
	client, ours := pair(t)
	server, theirs := pair(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	r := &line{t, client, server, cancel, make(chan error, 1)}
	go func() { r.ended <- websocket.Relay(ctx, ours, theirs, l) }()
	return r
}

func pair(t *testing.T) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a, err = net.Dial("tcp", l.Addr().String()); err == nil {
		b, err = l.Accept()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a, b
}

func (r *line) write(c net.Conn, frame []byte) {
	r.Helper()
	if _, err := c.Write(frame); err != nil {
		r.Fatal(err)
	}
}

// expect reads a frame, whole.
func (r *line) expect(c net.Conn, want []byte) {
	r.Helper()
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
		r.Fatalf("read %x, %v; want %x", got[:n], err, want)
	}
}

// told reads up to a frame, whatever comes before it.
func (r *line) told(c net.Conn, want []byte) {
	r.Helper()
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	var got []byte
	for part := make([]byte, 4096); !bytes.HasSuffix(got, want); {
		n, err := c.Read(part)
		if got = append(got, part[:n]...); err != nil {
			r.Fatalf("read %x, %v; want %x", got, err, want)
		}
	}
}

// rest is all that still comes.
func (r *line) rest(c net.Conn) []byte {
	r.Helper()
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	got, err := io.ReadAll(c)
	if err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
		r.Fatal(err)
	}
	return got
}

// frame is one, masked as a client's.
func frame(op byte, payload string, masked bool) []byte {
	f := []byte{0x80 | op}
	mask := byte(0)
	if masked {
		mask = 0x80
	}
	switch n := len(payload); {
	case n < 126:
		f = append(f, mask|byte(n))
	case n < 1<<16:
		f = append(f, mask|126, byte(n>>8), byte(n))
	default:
		f = append(f, mask|127, 0, 0, 0, 0, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	if masked {
		f = append(f, 0, 0, 0, 0)
	}
	return append(f, payload...)
}

func closing(code uint16, reason string, masked bool) []byte {
	return frame(8, string([]byte{byte(code >> 8), byte(code)})+reason, masked)
}

func TestFramesPassUnchanged(t *testing.T) {
	r := relay(t, websocket.Limits{FrameBytes: 64 << 10, FramesPerSecond: 250})
	for _, payload := range []string{"", "a", strings.Repeat("b", 125), strings.Repeat("c", 126), strings.Repeat("d", 64<<10)} {
		for op := byte(0); op < 3; op++ {
			r.write(r.client, frame(op, payload, true))
			r.expect(r.server, frame(op, payload, true))
			r.write(r.server, frame(op, payload, false))
			r.expect(r.client, frame(op, payload, false))
		}
	}
	compressed := frame(1, "x", false)
	compressed[0] |= 0x40 // an extension's bit
	r.write(r.server, compressed)
	r.expect(r.client, compressed)
	r.write(r.client, closing(1000, "bye", true))
	r.expect(r.server, closing(1000, "bye", true))
	r.write(r.server, closing(4321, "so long", false))
	r.expect(r.client, closing(4321, "so long", false))
	if err := <-r.ended; err != nil {
		t.Errorf("Relay() = %v", err)
	}
	if rest := r.rest(r.client); len(rest) > 0 {
		t.Errorf("after the closing frame came %x", rest)
	}
}

func TestViolations(t *testing.T) {
	tooBig := "a frame has 65537 bytes, at most 65536 are allowed"
	for _, tt := range []struct {
		name     string
		byClient bool
		frames   [][]byte
		code     uint16
		reason   string
	}{
		{"client's frame is too big", true, [][]byte{frame(2, strings.Repeat("x", 64<<10+1), true)}, 1009, tooBig},
		{"client's frame is far too big", true, [][]byte{frame(2, strings.Repeat("x", 4<<20), true)}, 1009, "a frame has 4194304 bytes, at most 65536 are allowed"},
		{"server's frame is too big", false, [][]byte{frame(2, strings.Repeat("x", 64<<10+1), false)}, 1009, tooBig},
		{"unmasked client", true, [][]byte{frame(1, "x", false)}, 1002, "not a WebSocket frame"},
		{"masked server", false, [][]byte{frame(1, "x", true)}, 1002, "not a WebSocket frame"},
		{"long control frame", true, [][]byte{frame(9, strings.Repeat("x", 126), true)}, 1002, "not a WebSocket frame"},
		{"control frame in parts", true, [][]byte{{0x09, 0x80, 0, 0, 0, 0}}, 1002, "not a WebSocket frame"},
		{"negative length", true, [][]byte{{0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0}}, 1002, "not a WebSocket frame"},
		{"too many", true, [][]byte{bytes.Repeat(frame(1, "", true), 400)}, 1008, "more than 250 frames came in a second"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := relay(t, websocket.Limits{FrameBytes: 64 << 10, FramesPerSecond: 250})
			from := r.client
			if !tt.byClient {
				from = r.server
			}
			for _, f := range tt.frames {
				r.write(from, f) // it is taken whole, or the closing frame would be lost with a reset
			}
			r.told(r.client, closing(tt.code, tt.reason, false))
			r.client.Close()
			err := <-r.ended
			var v *websocket.Violation
			if !errors.As(err, &v) || v.ByClient != tt.byClient || v.Code != tt.code || v.Reason != tt.reason {
				t.Errorf("Relay() = %+v", err)
			}
			if got := r.rest(r.server); !bytes.HasSuffix(got, closing(tt.code, tt.reason, true)) {
				t.Errorf("the server was told %x", got)
			}
		})
	}
}

func TestEnds(t *testing.T) {
	t.Run("the server breaks", func(t *testing.T) {
		r := relay(t, websocket.Limits{})
		r.server.Close()
		if err := <-r.ended; !errors.Is(err, websocket.ErrServerGone) {
			t.Errorf("Relay() = %v", err)
		}
		r.expect(r.client, closing(1011, "the connection ended without a closing frame", false))
	})
	t.Run("in a frame", func(t *testing.T) {
		r := relay(t, websocket.Limits{})
		r.write(r.server, frame(1, "half a frame", false)[:6])
		r.server.Close()
		if err := <-r.ended; !errors.Is(err, websocket.ErrServerGone) {
			t.Errorf("Relay() = %v", err)
		}
	})
	t.Run("the client breaks", func(t *testing.T) {
		r := relay(t, websocket.Limits{})
		r.client.Close()
		if err := <-r.ended; err != nil {
			t.Errorf("Relay() = %v", err)
		}
		if got := r.rest(r.server); len(got) > 0 {
			t.Errorf("the server was told %x", got)
		}
	})
	t.Run("it is given up", func(t *testing.T) {
		r := relay(t, websocket.Limits{})
		r.end(errors.New("the session was stopped"))
		if err := <-r.ended; err == nil || err.Error() != "the session was stopped" {
			t.Errorf("Relay() = %v", err)
		}
		r.expect(r.client, closing(1001, "the session was stopped", false))
		r.expect(r.server, closing(1001, "the session was stopped", true))
	})
	t.Run("its life is over", func(t *testing.T) {
		r := relay(t, websocket.Limits{Life: time.Millisecond})
		if err := <-r.ended; !errors.Is(err, websocket.ErrLife) {
			t.Errorf("Relay() = %v", err)
		}
		r.expect(r.client, closing(1008, websocket.ErrLife.Error(), false))
	})
}

// BenchmarkRelay is a message there and back.
func BenchmarkRelay(b *testing.B) {
	for _, size := range []int{16, 1 << 10, 64 << 10} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			dial := func() (net.Conn, net.Conn) {
				a, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					b.Fatal(err)
				}
				c, err := l.Accept()
				if err != nil {
					b.Fatal(err)
				}
				return a, c
			}
			client, ours := dial()
			server, theirs := dial()
			done := make(chan error, 1)
			go func() { done <- websocket.Relay(b.Context(), ours, theirs, websocket.Limits{FrameBytes: 64 << 10}) }()
			ask, answer := frame(2, strings.Repeat("x", size), true), frame(2, strings.Repeat("x", size), false)
			go func() {
				buf := make([]byte, len(ask))
				for {
					if _, err := io.ReadFull(server, buf); err != nil {
						return
					}
					if _, err := server.Write(answer); err != nil {
						return
					}
				}
			}()
			b.SetBytes(int64(2 * size))
			buf := make([]byte, len(answer))
			for b.Loop() {
				if _, err := client.Write(ask); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(client, buf); err != nil {
					b.Fatal(err)
				}
			}
			client.Close()
			<-done
		})
	}
}

// A script is a side that says what it has to say and leaves.
type script struct {
	io.Reader
	once sync.Once
	shut chan struct{}
}

func newScript(says []byte) *script {
	return &script{Reader: bytes.NewReader(says), shut: make(chan struct{})}
}

func (s *script) Write(p []byte) (int, error) {
	if s.closed() {
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}

func (s *script) Close() error {
	s.once.Do(func() { close(s.shut) })
	return nil
}

func (s *script) closed() bool {
	select {
	case <-s.shut:
		return true
	default:
		return false
	}
}

// FuzzRelay: whatever both sides write, the relay ends when they leave, and passes
// nothing on but frames.
func FuzzRelay(f *testing.F) {
	f.Add(frame(1, "hello", true), frame(1, "hello", false))
	f.Add(closing(1000, "", true), closing(1000, "", false))
	f.Add([]byte{0x82, 0xff}, []byte{0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0})
	f.Fuzz(func(t *testing.T, fromClient, fromServer []byte) {
		client, server := newScript(fromClient), newScript(fromServer)
		_ = websocket.Relay(t.Context(), client, server, websocket.Limits{FrameBytes: 1 << 10})
		if !client.closed() || !server.closed() {
			t.Error("a side was not closed")
		}
	})
}
