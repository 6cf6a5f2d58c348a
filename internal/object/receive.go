package object

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/outcrop/outcrop/internal/object/checksum"
	"github.com/outcrop/outcrop/internal/object/segment"
	"github.com/outcrop/outcrop/internal/store"
)

// Body is a stream of bytes and what is claimed of them.
type Body struct {
	Reader io.Reader
	// Size is the declared length in bytes, or -1 when nobody said.
	Size int64
	// MD5 is the digest the bytes must have, or nil.
	MD5 []byte
	// Algorithm is the checksum to keep; empty is checksum.Default.
	Algorithm checksum.Algorithm
	// Checksum is what the checksum must be, in base64; empty is not checked.
	Checksum string
	// Trailer, where it is not nil, returns Checksum once Reader has ended.
	Trailer func() (string, error)
}

// ParseMD5 reads a Content-MD5. The error is InvalidDigest.
func ParseMD5(text string) ([]byte, error) {
	sum, ok := parseBase64(text, md5.Size)
	if !ok {
		return nil, invalidDigest(text)
	}
	return sum, nil
}

func (b *Body) check() error {
	if b.Algorithm == "" {
		b.Algorithm = checksum.Default
	}
	if !b.Algorithm.Valid() {
		return invalidRequest("Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]")
	}
	if b.Size > MaxPutSize {
		return entityTooLarge(b.Size, MaxPutSize)
	}
	if b.MD5 != nil && len(b.MD5) != md5.Size {
		return invalidDigest(checksum.Encode(b.MD5))
	}
	return checkSum(b.Algorithm, b.Checksum)
}

func checkSum(a checksum.Algorithm, text string) error {
	if text == "" {
		return nil
	}
	if _, ok := a.Decode(text); !ok {
		return invalidRequest("Value for x-amz-checksum-%s header is invalid.", lower(a))
	}
	return nil
}

// bufferSize is the unit of reading, hashing and writing.
const bufferSize = 256 << 10

// received is a stream that has come to its end, is what it claimed to be, and
// is durable if it is in a file. One transaction may name it.
type received struct {
	id    segment.ID
	size  int64
	md5   []byte
	sum   []byte
	small []byte // where there is no file
	file  *segment.Writer
}

func (r *received) etag() string { return hex.EncodeToString(r.md5) }

// insert writes the row of the content for its first user.
func (r *received) insert(tx store.Tx) error {
	c := content{kind: kindFile, refs: 1, size: r.size}
	if r.file == nil {
		c.kind, c.bytes = kindSmall, r.small
	}
	return writeContent(tx, r.id, c)
}

// receive reads body to its end. At most small bytes stay in memory, for a row;
// more, or any number where small is negative, go to a file. The caller calls
// settle on what it returns, whatever comes after.
func (s *Storage) receive(ctx context.Context, body Body, small int) (_ *received, err error) {
	r := &received{}
	if r.id, err = segment.NewID(s.rand); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil && r.file != nil {
			err = errors.Join(err, r.file.Discard())
		}
	}()
	buf := s.buffers.Get().(*[bufferSize]byte)
	defer s.buffers.Put(buf)

	sums := newSums(body.Algorithm)
	for end := false; !end; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n, err := fill(body.Reader, buf[:])
		if end = err == io.EOF; err != nil && !end {
			return nil, fmt.Errorf("read body: %w", err)
		}
		chunk := buf[:n]
		r.size += int64(n)
		if err := body.checkProgress(r.size); err != nil {
			return nil, err
		}
		if end && r.file == nil && n <= small {
			r.small = bytes.Clone(chunk)
		} else if r.file == nil {
			if r.file, err = s.segments.Create(r.id); err != nil {
				return nil, err
			}
		}
		if err := sums.write(chunk, r.file); err != nil {
			return nil, err
		}
	}
	r.md5, r.sum = sums.md5.Sum(nil), sums.other.Sum(nil)
	if err := body.verify(r); err != nil {
		return nil, err
	}
	if r.file != nil {
		if err := r.file.Sync(); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// fill reads until p is full or r returns an error. Other than io.ReadFull it
// lets the caller tell an end from a body that was cut off, which net/http
// reports as io.ErrUnexpectedEOF.
func fill(r io.Reader, p []byte) (n int, err error) {
	for idle := 0; n < len(p) && err == nil; {
		var some int
		some, err = r.Read(p[n:])
		n += some
		if idle++; some > 0 {
			idle = 0
		} else if idle == maxIdleReads && err == nil {
			err = io.ErrNoProgress
		}
	}
	return n, err
}

// maxIdleReads is how often in a row a reader may return nothing.
const maxIdleReads = 100

func (b *Body) checkProgress(size int64) error {
	switch {
	case size > MaxPutSize:
		return entityTooLarge(size, MaxPutSize)
	case b.Size >= 0 && size > b.Size:
		return incompleteBody()
	}
	return nil
}

func (b *Body) verify(r *received) error {
	if b.Size >= 0 && r.size != b.Size {
		return incompleteBody()
	}
	if b.MD5 != nil && !bytes.Equal(b.MD5, r.md5) {
		return badDigest("Content-MD5")
	}
	want := b.Checksum
	if b.Trailer != nil {
		trailer, err := b.Trailer()
		if err != nil {
			return fmt.Errorf("read trailer: %w", err)
		}
		if err := checkSum(b.Algorithm, trailer); err != nil {
			return err
		}
		if trailer != "" {
			want = trailer
		}
	}
	if want != "" && want != checksum.Encode(r.sum) {
		return badChecksum(b.Algorithm)
	}
	return nil
}

// settle ends a write: failure is the error of the transaction that was to name
// what was received. An error of the commit itself leaves open whether it does,
// so the store is asked; when it does not answer, the next start asks again.
func (s *Storage) settle(ctx context.Context, r *received, failure error) {
	if r.file == nil {
		return
	}
	keep := failure == nil
	if !keep {
		var err error
		if keep, err = s.named(context.WithoutCancel(ctx), r.id); err != nil {
			s.log.Error("look for content", "content", r.id.String(), "error", err)
			return
		}
	}
	if err := s.segments.Settle(r.id, keep); err != nil {
		s.log.Error("settle content", "content", r.id.String(), "error", err)
	}
}

// named reports whether the store names a segment.
func (s *Storage) named(ctx context.Context, id segment.ID) (bool, error) {
	err := s.store.View(ctx, func(r store.Reader) error {
		_, err := r.Row(tableContent, id[:])
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// sums computes the MD5 of the ETag and one checksum.
type sums struct {
	md5, other hash.Hash
	done       chan struct{}
}

func newSums(a checksum.Algorithm) *sums {
	return &sums{md5: md5.New(), other: a.New(), done: make(chan struct{}, 1)}
}

// parallelFrom is the number of bytes from which another goroutine pays.
const parallelFrom = 32 << 10

// write hashes p and writes it to file, if there is one. MD5 is the slowest of
// the three and runs beside the others.
func (s *sums) write(p []byte, file *segment.Writer) error {
	if len(p) < parallelFrom {
		s.md5.Write(p)
	} else {
		go func() {
			s.md5.Write(p)
			s.done <- struct{}{}
		}()
		defer func() { <-s.done }()
	}
	s.other.Write(p)
	if file == nil {
		return nil
	}
	_, err := file.Write(p)
	return err
}
