package websocket

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
)

// The codes with which connections are closed (RFC 6455, 7.4.1).
const (
	GoingAway       = 1001
	ProtocolError   = 1002
	PolicyViolation = 1008
	MessageTooBig   = 1009
	InternalError   = 1011
)

const (
	opClose    = 8
	maxControl = 125 // bytes of a control frame's payload
	maxHeader  = 14
)

// errFrame says that what came is no frame.
var errFrame = errors.New("not a WebSocket frame")

// A header is that of one frame, as it came.
type header struct {
	bytes  [maxHeader]byte
	length int   // of bytes
	data   int64 // length of what follows
}

func (h *header) opcode() byte { return h.bytes[0] & 0x0f }
func (h *header) masked() bool { return h.bytes[1]&0x80 != 0 }

// readHeader reads a frame's header. It returns io.EOF between two frames only.
func readHeader(r *bufio.Reader) (h header, err error) {
	if _, err := io.ReadFull(r, h.bytes[:1]); err != nil {
		return h, err // nothing was read
	}
	h.length = 2
	if err := fill(r, h.bytes[1:2]); err != nil {
		return h, err
	}
	extended := 0
	switch n := h.bytes[1] & 0x7f; n {
	case 126:
		extended = 2
	case 127:
		extended = 8
	default:
		h.data = int64(n)
	}
	if err := fill(r, h.bytes[2:2+extended]); err != nil {
		return h, err
	}
	h.length += extended
	switch extended {
	case 2:
		h.data = int64(binary.BigEndian.Uint16(h.bytes[2:]))
	case 8:
		n := binary.BigEndian.Uint64(h.bytes[2:])
		if n>>63 != 0 {
			return h, errFrame
		}
		h.data = int64(n)
	}
	if h.opcode() >= opClose && (h.data > maxControl || h.bytes[0]&0x80 == 0) {
		return h, errFrame
	}
	if h.masked() {
		if err := fill(r, h.bytes[h.length:h.length+4]); err != nil {
			return h, err
		}
		h.length += 4
	}
	return h, nil
}

// fill reads what must be there.
func fill(r io.Reader, p []byte) error {
	_, err := io.ReadFull(r, p)
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// closeFrame is a whole frame that closes a connection. A client's must be masked;
// it is with zeros.
func closeFrame(code uint16, reason string, mask bool) []byte {
	reason = reason[:min(len(reason), maxControl-2)]
	frame := []byte{0x80 | opClose, byte(2 + len(reason))}
	if mask {
		frame[1] |= 0x80
		frame = append(frame, 0, 0, 0, 0)
	}
	frame = binary.BigEndian.AppendUint16(frame, code)
	return append(frame, reason...)
}
