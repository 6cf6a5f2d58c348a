package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/s2"

	"github.com/outcrop/outcrop/internal/sandbox"
)

// What is sealed begins with a byte that tells its form. An engine's own text
// begins with none of these: such a file was made before there were forms, and is
// read as it is.
const formPacked = 1

// blockBytes is how much is packed, and unpacked, at a time.
const blockBytes = 1 << 20

// pack returns a writer that compresses; Close leaves w open. S2 takes the memory
// of an agent to a third of its size, and about as long as sealing it; zstd takes
// it to a quarter, and more than twice as long to do and to undo.
func pack(w io.Writer) (io.WriteCloser, error) {
	if _, err := w.Write([]byte{formPacked}); err != nil {
		return nil, err
	}
	return s2.NewWriter(w, s2.WriterBlockSize(blockBytes), s2.WriterConcurrency(1)), nil
}

// unpack returns a reader of what pack was given. It holds a block in memory,
// whatever r claims; how much it reads in all is for the caller to bound.
func unpack(r io.Reader) (io.Reader, error) {
	form := make([]byte, 1)
	n, err := io.ReadFull(r, form)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if form[0] != formPacked {
		return io.MultiReader(bytes.NewReader(form[:n]), r), nil
	}
	// The engine has checksums of its own.
	return unpacker{s2.NewReader(r, s2.ReaderMaxBlockSize(blockBytes), s2.ReaderIgnoreCRC())}, nil
}

// unpacker tells what is packed badly from a disk that cannot be read.
type unpacker struct{ r *s2.Reader }

func (u unpacker) Read(p []byte) (int, error) {
	n, err := u.r.Read(p)
	for _, bad := range []error{s2.ErrCorrupt, s2.ErrTooLarge, s2.ErrUnsupported} {
		if errors.Is(err, bad) {
			return n, fmt.Errorf("%w: it is packed badly: %w", sandbox.ErrSnapshot, err)
		}
	}
	return n, err
}
