package sigv4

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"os"
)

// segment is how much is sealed at once. Its size bounds what a spool needs of
// memory besides the first memoryLimit bytes.
const segment = 64 << 10

// spool takes bytes until seal and then gives them back, once, in order. Up to
// memoryLimit they stay in memory. Beyond, they go to a file without a name,
// encrypted with AES-256-GCM in segments under a key of its own that only this
// value holds: what a client sent is never on disk in the clear, and whoever
// changes the file is found out. A spool is not safe for concurrent use.
type spool struct {
	dir  string
	size int64

	mem  []byte // the whole while file is nil, else the segment being filled
	next int    // how much of mem has been read

	file     *os.File
	aead     cipher.AEAD
	sealed   []byte // scratch: one sealed segment
	segments uint64 // written
	opened   uint64 // read
}

// Write implements io.Writer.
func (s *spool) Write(p []byte) (int, error) {
	s.size += int64(len(p))
	if s.file == nil && len(s.mem)+len(p) <= memoryLimit {
		s.mem = append(s.mem, p...)
		return len(p), nil
	}
	if s.file == nil {
		head := s.mem
		if err := s.openFile(); err != nil {
			return 0, err
		}
		if err := s.fill(head); err != nil {
			return 0, err
		}
	}
	return len(p), s.fill(p)
}

// keeps is what the spool and the buffer that fills it will hold after n more
// bytes of a body of that announced length, or -1: a file once it is larger
// than memoryLimit, of which two segments are in memory.
func (s *spool) keeps(length int64, n int) kept {
	size := s.size + int64(n)
	if s.file != nil || max(length, size) > memoryLimit {
		return kept{memory: copyBuffer + 2*segment, disk: size}
	}
	return kept{memory: copyBuffer + max(size, int64(cap(s.mem)))}
}

// fill appends p to the segment being filled and writes each full one.
func (s *spool) fill(p []byte) error {
	for len(p) > 0 {
		n := min(segment-len(s.mem), len(p))
		s.mem = append(s.mem, p[:n]...)
		p = p[n:]
		if len(s.mem) == segment {
			if err := s.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *spool) openFile() error {
	key := make([]byte, 32)
	rand.Read(key) // never fails: crypto/rand
	block, err := aes.NewCipher(key)
	if err != nil {
		return fmt.Errorf("make cipher of body spool: %w", err)
	}
	if s.aead, err = cipher.NewGCM(block); err != nil {
		return fmt.Errorf("make cipher of body spool: %w", err)
	}
	s.file, err = os.CreateTemp(s.dir, ".body-*")
	if err != nil {
		return fmt.Errorf("create body spool: %w", err)
	}
	if err := os.Remove(s.file.Name()); err != nil {
		return fmt.Errorf("unlink body spool: %w", err)
	}
	s.mem = make([]byte, 0, segment)
	s.sealed = make([]byte, 0, segment+s.aead.Overhead())
	return nil
}

// nonce is the number of the segment: a key seals each number once.
func nonce(n uint64) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, 4, 12), n)
}

func (s *spool) flush() error {
	s.sealed = s.aead.Seal(s.sealed[:0], nonce(s.segments), s.mem, nil)
	if _, err := s.file.Write(s.sealed); err != nil {
		return fmt.Errorf("write body spool: %w", err)
	}
	s.segments++
	s.mem = s.mem[:0]
	return nil
}

// seal ends the writing.
func (s *spool) seal() error {
	if s.file == nil {
		return nil
	}
	if len(s.mem) > 0 {
		if err := s.flush(); err != nil {
			return err
		}
	}
	return nil
}

// Read implements io.Reader, after seal.
func (s *spool) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if s.next == len(s.mem) {
		if s.file == nil || s.opened == s.segments {
			return 0, io.EOF
		}
		if err := s.load(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.mem[s.next:])
	s.next += n
	return n, nil
}

func (s *spool) load() error {
	full := int64(segment + s.aead.Overhead())
	plain := min(s.size-int64(s.opened)*segment, segment)
	sealed := s.sealed[:plain+int64(s.aead.Overhead())]
	if _, err := s.file.ReadAt(sealed, int64(s.opened)*full); err != nil {
		return fmt.Errorf("read body spool: %w", err)
	}
	mem, err := s.aead.Open(s.mem[:0], nonce(s.opened), sealed, nil)
	if err != nil {
		return fmt.Errorf("open body spool: %w", err)
	}
	s.mem, s.next = mem, 0
	s.opened++
	return nil
}

// reset empties the spool for the next bytes; memory is kept, a file is not.
func (s *spool) reset() error {
	err := s.Close()
	*s = spool{dir: s.dir, mem: s.mem[:0]}
	return err
}

// Close gives back the file. Reading is over.
func (s *spool) Close() error {
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file, s.mem, s.next, s.size = nil, nil, 0, 0
	return err
}
