package object

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sort"
	"sync"

	"github.com/outcrop/outcrop/internal/object/checksum"
	"github.com/outcrop/outcrop/internal/object/segment"
	"github.com/outcrop/outcrop/internal/store"
)

// Reader reads one version of an object. Read and Seek are for one goroutine;
// ReadAt is for any number.
type Reader struct {
	info     Info
	segments *segment.Dir
	content  segment.ID
	unpin    func(segment.ID)
	isSmall  bool
	small    []byte
	// pieces are the files in their order; ends[i] is the offset in the object
	// of the end of pieces[i].
	pieces []member
	ends   []int64
	multi  bool // pieces are the parts of a multipart object

	offset int64 // of Read

	mu     sync.Mutex
	open   []*openFile
	closed bool
}

var _ interface {
	io.ReadSeekCloser
	io.ReaderAt
	io.WriterTo
} = (*Reader)(nil)

// load finds the bytes of v.
func (r *Reader) load(reader store.Reader, v version) error {
	c, err := readContent(reader, v.Content)
	if err != nil {
		return err
	}
	r.content, r.isSmall, r.small = v.Content, false, nil
	r.pieces, r.ends, r.multi = nil, nil, false
	switch c.kind {
	case kindSmall:
		r.isSmall, r.small = true, c.bytes
	case kindFile:
		r.pieces = []member{{id: v.Content, size: c.size}}
	case kindList:
		r.multi = true
		if r.pieces, err = readMembers(reader, v.Content, c); err != nil {
			return err
		}
	}
	var end int64
	for _, p := range r.pieces {
		end += p.size
		r.ends = append(r.ends, end)
	}
	if got := end + int64(len(r.small)); got != v.Size {
		return fmt.Errorf("read content %s: it has %d bytes of %d: %w", v.Content, got, v.Size, errDamaged)
	}
	return nil
}

// Info describes the version that is read.
func (r *Reader) Info() Info { return r.info }

// Size is its length in bytes.
func (r *Reader) Size() int64 { return r.info.Size }

// Part returns where the part with a number (from 1) is. An object that was put
// in one piece is its own part 1. The error is InvalidPartNumber.
func (r *Reader) Part(number int) (offset, size int64, err error) {
	if !r.multi {
		if number != 1 {
			return 0, 0, InvalidPartNumber(number, 1)
		}
		return 0, r.info.Size, nil
	}
	i, ok := slices.BinarySearchFunc(r.pieces, number, func(m member, n int) int { return m.number - n })
	if !ok {
		return 0, 0, InvalidPartNumber(number, len(r.pieces))
	}
	return r.ends[i] - r.pieces[i].size, r.pieces[i].size, nil
}

func (r *Reader) parts() []Part {
	if !r.multi {
		return nil
	}
	parts := make([]Part, 0, len(r.pieces))
	for _, p := range r.pieces {
		parts = append(parts, Part{Number: p.number, Size: p.size, Checksum: checksum.Encode(p.sum)})
	}
	return parts
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := r.readSome(p, r.offset)
	r.offset += int64(n)
	return n, err
}

// Seek implements io.Seeker.
func (r *Reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += r.offset
	case io.SeekEnd:
		offset += r.info.Size
	default:
		return 0, fmt.Errorf("seek in %s: whence %d: %w", r.info.Key, whence, fs.ErrInvalid)
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek in %s: offset %d: %w", r.info.Key, offset, fs.ErrInvalid)
	}
	r.offset = offset
	return offset, nil
}

// ReadAt implements io.ReaderAt.
func (r *Reader) ReadAt(p []byte, offset int64) (int, error) {
	if offset < 0 {
		return 0, fmt.Errorf("read %s: offset %d: %w", r.info.Key, offset, fs.ErrInvalid)
	}
	total := 0
	for total < len(p) {
		n, err := r.readSome(p[total:], offset+int64(total))
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// WriteTo implements io.WriterTo, with a buffer that suits files.
func (r *Reader) WriteTo(w io.Writer) (int64, error) {
	size := min(max(r.info.Size-r.offset, 1), bufferSize)
	return io.CopyBuffer(w, struct{ io.Reader }{r}, make([]byte, size))
}

// readSome reads from one piece, at least one byte or an error.
func (r *Reader) readSome(p []byte, offset int64) (int, error) {
	if offset >= r.info.Size {
		return 0, io.EOF
	}
	if r.isSmall {
		r.mu.Lock()
		closed := r.closed
		r.mu.Unlock()
		if closed {
			return 0, fmt.Errorf("read %s: %w", r.info.Key, fs.ErrClosed)
		}
		return bytes.NewReader(r.small).ReadAt(p[:min(int64(len(p)), r.info.Size-offset)], offset)
	}
	i := sort.Search(len(r.ends), func(i int) bool { return r.ends[i] > offset })
	file, err := r.acquire(r.pieces[i].id)
	if err != nil {
		return 0, err
	}
	defer r.release(file)
	left := r.ends[i] - offset
	n, err := file.ReadAt(p[:min(int64(len(p)), left)], r.pieces[i].size-left)
	if n > 0 {
		return n, nil
	}
	if errors.Is(err, io.EOF) {
		// The file is shorter than its row says.
		err = io.ErrUnexpectedEOF
	}
	return 0, fmt.Errorf("read segment %s: %w", r.pieces[i].id, err)
}

// Close ends the reading. A second call does nothing.
func (r *Reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	r.shrink(0)
	if r.unpin != nil {
		r.unpin(r.content)
	}
	return nil
}

// openFiles is how many files a Reader keeps open when nobody is reading them.
const openFiles = 4

type openFile struct {
	*os.File
	id    segment.ID
	users int
}

func (r *Reader) acquire(id segment.ID) (*openFile, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, fmt.Errorf("read segment %s: %w", id, fs.ErrClosed)
	}
	for _, f := range r.open {
		if f.id == id {
			f.users++
			return f, nil
		}
	}
	file, err := r.segments.Open(id)
	if err != nil {
		return nil, err
	}
	f := &openFile{File: file, id: id, users: 1}
	r.open = append(r.open, f)
	r.shrink(openFiles)
	return f, nil
}

func (r *Reader) release(f *openFile) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f.users--
	if r.closed {
		r.shrink(0)
	}
}

// shrink closes the oldest files that nobody reads until at most keep are left.
func (r *Reader) shrink(keep int) {
	over := len(r.open) - keep
	r.open = slices.DeleteFunc(r.open, func(f *openFile) bool {
		if over <= 0 || f.users > 0 {
			return false
		}
		over--
		f.Close()
		return true
	})
}
