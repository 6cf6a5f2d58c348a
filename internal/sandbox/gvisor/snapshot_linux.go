package gvisor

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/sandbox/gvisor/wire"
)

// A written snapshot is
//
//	magic | length of the head (4 bytes) | head (JSON) | its checksum
//	| state | its checksum | what is known of the pages | ... | pages | ...
//
// with numbers in big-endian order. The checksums (CRC-32C) find accidents; who
// keeps snapshots where others can write must authenticate them.
const (
	magic       = "outcrop snapshot 1\n"
	maxHead     = 1 << 20
	maxSnapshot = 256 << 30 // bytes; more than any guest has
	copyBytes   = 1 << 20   // between two looks at a context
)

// castagnoli is computed by the processor itself.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// A head says what a snapshot is of.
type head struct {
	// Key is the engine's SnapshotKey, Spec the digest of what of the Spec must
	// be as it was.
	Key  string `json:"key"`
	Spec string `json:"spec"`
	// Told are the processes that will answer once they are resumed.
	Told []wire.Process `json:"told,omitempty"`
	// Sizes are those of the files.
	Sizes [wire.SnapshotFiles]int64 `json:"sizes"`
}

// A snapshot is a guest's state in anonymous files of memory.
type snapshot struct {
	head  head
	files [wire.SnapshotFiles]*os.File

	mu     sync.Mutex
	users  int
	closed bool
}

var _ sandbox.Snapshot = (*snapshot)(nil)

// newSnapshot makes an empty one.
func newSnapshot(h head) (*snapshot, error) {
	s := &snapshot{head: h}
	for i := range s.files {
		fd, err := unix.MemfdCreate("outcrop-snapshot", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_NOEXEC_SEAL)
		if errors.Is(err, unix.EINVAL) { // before Linux 6.3
			fd, err = unix.MemfdCreate("outcrop-snapshot", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
		}
		if err != nil {
			s.free()
			return nil, fmt.Errorf("make snapshot: %w", os.NewSyscallError("memfd_create", err))
		}
		s.files[i] = os.NewFile(uintptr(fd), "snapshot")
	}
	return s, nil
}

// seal notes the files' sizes and forbids to change them.
func (s *snapshot) seal() error {
	for i, f := range s.files {
		info, err := f.Stat()
		if err != nil {
			return fmt.Errorf("seal snapshot: %w", err)
		}
		s.head.Sizes[i] = info.Size()
		const all = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
		if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, all); err != nil {
			return fmt.Errorf("seal snapshot: %w", os.NewSyscallError("fcntl", err))
		}
	}
	return nil
}

func (s *snapshot) free() {
	for _, f := range s.files {
		if f != nil {
			f.Close()
		}
	}
}

// use keeps the files open until release is called. It tells whether they are.
func (s *snapshot) use() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.users++
	return true
}

func (s *snapshot) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users--; s.users == 0 && s.closed {
		s.free()
	}
}

// Close implements sandbox.Snapshot.
func (s *snapshot) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed && s.users == 0 {
		s.free()
	}
	s.closed = true
	return nil
}

// Size implements sandbox.Snapshot.
func (s *snapshot) Size() int64 {
	var sum int64
	for _, n := range s.head.Sizes {
		sum += n
	}
	return sum
}

// WriteTo implements sandbox.Snapshot.
func (s *snapshot) WriteTo(w io.Writer) (int64, error) {
	if !s.use() {
		return 0, fmt.Errorf("write snapshot: %w", os.ErrClosed)
	}
	defer s.release()
	text, err := json.Marshal(s.head)
	if err != nil {
		return 0, fmt.Errorf("write snapshot: %w", err)
	}
	out := &counter{w: w}
	start := binary.BigEndian.AppendUint32([]byte(magic), uint32(len(text)))
	if _, err := out.Write(start); err != nil {
		return out.n, fmt.Errorf("write snapshot: %w", err)
	}
	if err := writeSection(out, bytes.NewReader(text), int64(len(text))); err != nil {
		return out.n, fmt.Errorf("write snapshot: %w", err)
	}
	for i, f := range s.files {
		if err := writeSection(out, io.NewSectionReader(f, 0, s.head.Sizes[i]), s.head.Sizes[i]); err != nil {
			return out.n, fmt.Errorf("write snapshot: %w", err)
		}
	}
	return out.n, nil
}

// writeSection writes everything of r, which is so long, and its checksum.
func writeSection(w io.Writer, r io.Reader, length int64) error {
	sum := crc32.New(castagnoli())
	// Not io.Copy, whose pieces of 32 KiB would cost a call each.
	if _, err := io.CopyBuffer(io.MultiWriter(w, sum), r, make([]byte, min(max(length, 1), copyBytes))); err != nil {
		return err
	}
	_, err := w.Write(sum.Sum(nil))
	return err
}

// A counter counts what is written.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// Load implements sandbox.Engine.
func (e *engine) Load(ctx context.Context, from io.Reader) (sandbox.Snapshot, error) {
	s, err := load(ctx, from, e.snapshotKey())
	if err != nil {
		return nil, fmt.Errorf("load snapshot: %w", err)
	}
	return s, nil
}

// load reads a snapshot whose head has the key.
func load(ctx context.Context, from io.Reader, key string) (*snapshot, error) {
	h, err := readHead(ctx, from)
	if err != nil {
		return nil, err
	}
	if h.Key != key {
		return nil, fmt.Errorf("%w: it was made by another build or on another machine", sandbox.ErrSnapshot)
	}
	s, err := newSnapshot(h)
	if err != nil {
		return nil, err
	}
	err = s.fill(ctx, from)
	if err == nil {
		err = s.seal()
	}
	if err != nil {
		s.free()
		return nil, err
	}
	return s, nil
}

// readHead reads everything before the files.
func readHead(ctx context.Context, from io.Reader) (head, error) {
	var h head
	start := make([]byte, len(magic)+4)
	if _, err := io.ReadFull(from, start); err != nil {
		return h, damaged(err)
	}
	if string(start[:len(magic)]) != magic {
		return h, fmt.Errorf("%w: it is none, or of another version", sandbox.ErrSnapshot)
	}
	length := binary.BigEndian.Uint32(start[len(magic):])
	if length > maxHead {
		return h, damaged(fmt.Errorf("its head has %d bytes, at most %d are allowed", length, maxHead))
	}
	text := new(bytes.Buffer)
	if err := readSection(ctx, text, from, int64(length)); err != nil {
		return h, err
	}
	if err := json.Unmarshal(text.Bytes(), &h); err != nil {
		return h, damaged(err)
	}
	var sum int64
	for _, n := range h.Sizes {
		if n < 0 || n > maxSnapshot-sum {
			return h, damaged(fmt.Errorf("its sizes are %d", h.Sizes))
		}
		sum += n
	}
	return h, nil
}

// fill reads the files. Reading to the very end lets a reader that authenticates
// say that nothing was cut off.
func (s *snapshot) fill(ctx context.Context, from io.Reader) error {
	for i, f := range s.files {
		if err := readSection(ctx, f, from, s.head.Sizes[i]); err != nil {
			return err
		}
	}
	if n, err := io.ReadFull(from, make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		return damaged(fmt.Errorf("it does not end where it should: %w", err))
	}
	return nil
}

// readSection copies a section of a length to w and holds it to its checksum. Of
// what is only announced nothing is allocated.
func readSection(ctx context.Context, w io.Writer, from io.Reader, length int64) error {
	sum := crc32.New(castagnoli())
	buffer := make([]byte, min(length, copyBytes))
	for rest := length; rest > 0; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := io.ReadFull(from, buffer[:min(rest, copyBytes)])
		if err != nil {
			return damaged(err)
		}
		sum.Write(buffer[:n])
		if _, err := w.Write(buffer[:n]); err != nil {
			return err
		}
		rest -= int64(n)
	}
	var want [crc32.Size]byte
	if _, err := io.ReadFull(from, want[:]); err != nil {
		return damaged(err)
	}
	if got := sum.Sum(nil); !bytes.Equal(got, want[:]) {
		return damaged(fmt.Errorf("a checksum is %x, not %x", got, want))
	}
	return nil
}

func damaged(err error) error { return fmt.Errorf("%w: it is damaged: %w", sandbox.ErrSnapshot, err) }
