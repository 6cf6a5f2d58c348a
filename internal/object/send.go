package object

import (
	"errors"
	"fmt"
	"io"
	"sort"
	"syscall"

	"github.com/outcrop/outcrop/internal/object/checksum"
)

// SendTo writes the bytes from offset on, length of them, to w. Where w can take
// a file from the kernel (a TCP connection, also under net/http) no byte passes
// through memory. Read and Seek are not disturbed.
func (r *Reader) SendTo(w io.Writer, offset, length int64) (sent int64, err error) {
	if offset < 0 || length < 0 || length > r.info.Size-offset {
		return 0, fmt.Errorf("send %s: bytes %d and %d more of %d: %w", r.info.Key, offset, length, r.info.Size, syscall.EINVAL)
	}
	for sent < length {
		n, err := r.sendSome(w, offset+sent, length-sent)
		sent += n
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// sendSome sends from one piece.
func (r *Reader) sendSome(w io.Writer, offset, length int64) (n int64, err error) {
	if r.isSmall {
		return io.Copy(w, io.NewSectionReader(r, offset, length))
	}
	i := sort.Search(len(r.ends), func(i int) bool { return r.ends[i] > offset })
	// A file of our own: the kernel sends from its position.
	file, err := r.segments.Open(r.pieces[i].id)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	left := r.ends[i] - offset
	if _, err := file.Seek(r.pieces[i].size-left, io.SeekStart); err != nil {
		return 0, fmt.Errorf("read segment %s: %w", r.pieces[i].id, err)
	}
	want := min(left, length)
	n, err = io.Copy(w, &io.LimitedReader{R: file, N: want})
	if err == nil && n < want { // the file is shorter than its row says
		err = fmt.Errorf("read segment %s: %w", r.pieces[i].id, io.ErrUnexpectedEOF)
	}
	return n, err
}

// PartChecksum is the checksum of the part with that number, in base64 and in
// the algorithm of the object's own; empty if there is no such part. An object
// that was put in one piece is its own part 1.
func (r *Reader) PartChecksum(number int) string {
	if !r.multi {
		if number == 1 {
			return r.info.Checksum.Value
		}
		return ""
	}
	i := sort.Search(len(r.pieces), func(i int) bool { return r.pieces[i].number >= number })
	if i == len(r.pieces) || r.pieces[i].number != number {
		return ""
	}
	return checksum.Encode(r.pieces[i].sum)
}
