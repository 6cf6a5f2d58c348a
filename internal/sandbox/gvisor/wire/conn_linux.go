package wire

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// maxFrame bounds a message. The largest is a Start: 1 MiB of arguments and
	// 1 MiB of variables, which JSON can grow sixfold at worst.
	maxFrame = 16 << 20
	// maxFiles bounds the files beside one message.
	maxFiles = 8
	// headLen is the length of the frame's length, big-endian.
	headLen = 4
)

// errFrame says that the other side broke the framing.
var errFrame = errors.New("bad frame")

// A Conn carries messages over a Unix stream socket. Send may be called
// concurrently, Receive by one goroutine at a time.
type Conn struct {
	sock *net.UnixConn
	send sync.Mutex
}

// NewConn takes over a stream socket; it closes file.
func NewConn(file *os.File) (*Conn, error) {
	defer file.Close()
	c, err := net.FileConn(file)
	if err != nil {
		return nil, fmt.Errorf("use control socket: %w", err)
	}
	sock, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("use control socket: %T is not a Unix socket", c)
	}
	return &Conn{sock: sock}, nil
}

// Close closes the socket.
func (c *Conn) Close() error { return c.sock.Close() }

// Send writes one message with its files, which stay the caller's.
func (c *Conn) Send(m *Message, files ...*os.File) error {
	body, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode message: %w", err)
	}
	if len(body) > maxFrame {
		return fmt.Errorf("encode message: %d bytes, at most %d", len(body), maxFrame)
	}
	frame := binary.BigEndian.AppendUint32(make([]byte, 0, headLen+len(body)), uint32(len(body)))
	frame = append(frame, body...)
	var rights []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			if fds[i], err = descriptor(f); err != nil {
				return err
			}
		}
		rights = unix.UnixRights(fds...)
	}
	defer runtime.KeepAlive(files)
	c.send.Lock()
	defer c.send.Unlock()
	// The files go with the first byte; the rest may take more than one write.
	n, _, err := c.sock.WriteMsgUnix(frame, rights, nil)
	if err == nil && n < len(frame) {
		_, err = c.sock.Write(frame[n:])
	}
	if err != nil {
		return fmt.Errorf("send message: %w", err)
	}
	return nil
}

// descriptor returns f's number without making f blocking, as Fd would.
func descriptor(f *os.File) (int, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("send file: %w", err)
	}
	number := -1
	if err := raw.Control(func(fd uintptr) { number = int(fd) }); err != nil {
		return 0, fmt.Errorf("send file: %w", err)
	}
	return number, nil
}

// Receive reads one message. The files become the caller's. It returns io.EOF
// when the other side closed the socket between two messages.
func (c *Conn) Receive() (*Message, []*os.File, error) {
	var head [headLen]byte
	files, err := c.readHead(head[:])
	if err != nil {
		closeAll(files)
		return nil, nil, err
	}
	m, err := readBody(c.sock, binary.BigEndian.Uint32(head[:]))
	if err != nil {
		closeAll(files)
		return nil, nil, err
	}
	return m, files, nil
}

// readHead fills head and collects the files that come with the first byte. The
// kernel never merges bytes that carry files with bytes before them, so that
// files cannot be taken for those of another message.
func (c *Conn) readHead(head []byte) (files []*os.File, err error) {
	oob := make([]byte, unix.CmsgSpace(maxFiles*4))
	for got := 0; got < len(head); {
		n, oobn, flags, _, err := c.sock.ReadMsgUnix(head[got:], oob)
		if oobn > 0 {
			more, perr := parseRights(oob[:oobn])
			files = append(files, more...)
			if perr != nil {
				return files, perr
			}
		}
		switch {
		case errors.Is(err, io.EOF) && got == 0:
			return files, io.EOF
		case errors.Is(err, io.EOF):
			return files, io.ErrUnexpectedEOF
		case err != nil:
			return files, fmt.Errorf("receive message: %w", err)
		case flags&unix.MSG_CTRUNC != 0:
			return files, fmt.Errorf("%w: more than %d files", errFrame, maxFiles)
		}
		got += n
	}
	return files, nil
}

func parseRights(oob []byte) ([]*os.File, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errFrame, err)
	}
	var files []*os.File
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			continue // another kind of control message
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return files, nil
}

// readBody reads and decodes a frame's body of the announced length.
func readBody(r io.Reader, length uint32) (*Message, error) {
	if length > maxFrame {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", errFrame, length, maxFrame)
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, fmt.Errorf("read message: %w", err)
	}
	m := new(Message)
	if err := json.Unmarshal(body, m); err != nil {
		return nil, fmt.Errorf("%w: %w", errFrame, err)
	}
	return m, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
