package secret

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/tink-crypto/tink-go/v2/streamingaead/subtle"
)

// streamVersion is the first byte of a sealed stream, which no sealed value has.
const streamVersion = 2

// The form of a stream: segments of 1 MiB, each sealed by AES-256-GCM under a
// key that HKDF makes of the stream's own (Tink's AES256-GCM-HKDF-1MB).
const (
	streamKey     = 32      // bytes
	streamSegment = 1 << 20 // bytes
	maxSealedKey  = 4 << 10 // bytes: a Keeper's ciphertext of one key, and a multiple
)

// SealStream returns a writer that encrypts for owner whatever is written to it
// and hands it on to w, under a key of its own that the Box seals. Close writes
// the end and leaves w open: without it, or when it failed, what w got does not
// open. The same text seals differently every time.
func (b *Box) SealStream(ctx context.Context, owner Owner, w io.Writer) (io.WriteCloser, error) {
	key := make([]byte, streamKey)
	_, _ = rand.Read(key) // never fails (crypto/rand)
	sealed, err := b.Seal(ctx, owner, NewBytes(key))
	if err != nil {
		return nil, err
	}
	if len(sealed) > maxSealedKey {
		return nil, fmt.Errorf("seal stream of %s: the keeper makes %d bytes of a key, at most %d are allowed", owner, len(sealed), maxSealedKey)
	}
	cipher, err := newStreamCipher(key)
	if err != nil {
		return nil, fmt.Errorf("seal stream of %s: %w", owner, err)
	}
	head := binary.BigEndian.AppendUint16([]byte{streamVersion}, uint16(len(sealed)))
	if _, err := w.Write(append(head, sealed...)); err != nil {
		return nil, fmt.Errorf("seal stream of %s: %w", owner, err)
	}
	out, err := cipher.NewEncryptingWriter(w, owner.associated())
	if err != nil {
		return nil, fmt.Errorf("seal stream of %s: %w", owner, err)
	}
	return out, nil
}

// OpenStream returns a reader of what SealStream encrypted for the same owner.
// It shows nothing that was not authenticated, but the end of a stream is only
// known at its end: who uses what it read before io.EOF may use a part.
//
// What was damaged, cut, moved or sealed under another key is ErrUnreadable,
// here or from the reader; errors of r are reported as themselves.
func (b *Box) OpenStream(ctx context.Context, owner Owner, r io.Reader) (io.Reader, error) {
	source := &source{r: r}
	var head [3]byte
	if _, err := io.ReadFull(source, head[:]); err != nil {
		return nil, source.fault(owner, err)
	}
	n := binary.BigEndian.Uint16(head[1:])
	if head[0] != streamVersion || n > maxSealedKey {
		return nil, source.fault(owner, errors.New("it does not begin as a stream"))
	}
	sealed := make([]byte, n)
	if _, err := io.ReadFull(source, sealed); err != nil {
		return nil, source.fault(owner, err)
	}
	key, err := b.Open(ctx, owner, sealed)
	if err != nil {
		return nil, err
	}
	cipher, err := newStreamCipher(key.Reveal())
	if err != nil {
		return nil, source.fault(owner, err)
	}
	plain, err := cipher.NewDecryptingReader(source, owner.associated())
	if err != nil {
		return nil, source.fault(owner, err)
	}
	return &opened{plain, source, owner}, nil
}

func newStreamCipher(key []byte) (*subtle.AESGCMHKDF, error) {
	return subtle.NewAESGCMHKDF(key, "SHA256", streamKey, streamSegment, 0)
}

// source remembers what went wrong below the decryption, whose own errors say
// nothing of it.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// fault is the error of the source, or ErrUnreadable.
func (s *source) fault(owner Owner, err error) error {
	if s.err != nil {
		return fmt.Errorf("open stream of %s: %w", owner, s.err)
	}
	return fmt.Errorf("open stream of %s: %w (%w)", owner, ErrUnreadable, err)
}

// opened is a stream that is being read.
type opened struct {
	plain  io.Reader
	source *source
	owner  Owner
}

func (o *opened) Read(p []byte) (int, error) {
	n, err := o.plain.Read(p)
	if err == nil || err == io.EOF {
		return n, err
	}
	return n, o.source.fault(o.owner, err)
}
