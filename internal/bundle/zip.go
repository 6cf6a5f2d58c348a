package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/klauspost/compress/zip"

	"github.com/outcrop/outcrop/internal/image"
)

// writeZip writes files, which are sorted, into a temporary zip. Times are fixed
// and modes are either 0644 or 0755, so that the same files give the same bytes.
func writeZip(ctx context.Context, o Options, files []file) (*Bundle, error) {
	tmp, err := os.CreateTemp(o.TempDir, "outcrop-*.zip")
	if err != nil {
		return nil, fmt.Errorf("write code zip: %w", err)
	}
	b := &Bundle{Path: tmp.Name(), Files: len(files)}
	if err := b.write(ctx, o, tmp, files); err != nil {
		return nil, errors.Join(err, tmp.Close(), b.Close())
	}
	if err := tmp.Close(); err != nil {
		return nil, errors.Join(fmt.Errorf("write code zip: %w", err), b.Close())
	}
	return b, nil
}

// progressEvery is how many bytes pass between two events.
const progressEvery = 4 << 20

func (b *Bundle) write(ctx context.Context, o Options, tmp io.Writer, files []file) error {
	var total, told int64
	for _, f := range files {
		total += f.size
	}
	out := &counter{w: tmp, sum: sha256.New()}
	w := zip.NewWriter(out)
	buf := make([]byte, 128<<10)
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("write code zip: %w", err)
		}
		n, err := writeFile(w, f, buf)
		if err != nil {
			return fmt.Errorf("write %s to code zip: %w", f.name, err)
		}
		b.Unzipped += n
		if out.n > image.MaxZip {
			return tooLarge(files)
		}
		if b.Unzipped-told >= progressEvery {
			told = b.Unzipped
			o.Progress(Event{Step: StepPackage, Text: "packaging", Done: b.Unzipped, Total: total, Transient: true})
		}
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("write code zip: %w", err)
	}
	if out.n > image.MaxZip {
		return tooLarge(files)
	}
	b.Size = out.n
	b.Digest = "sha256:" + hex.EncodeToString(out.sum.Sum(nil))
	return nil
}

func tooLarge(files []file) error {
	return problem("Leave out what the agent does not need at run time: packages in requirements.txt, files by lines in "+ignoreFile+".",
		"the code zip is larger than %s, which is the limit. The largest, unzipped:\n%s", sizeText(image.MaxZip), largest(files))
}

// writeFile writes one entry and returns its size.
func writeFile(w *zip.Writer, f file, buf []byte) (int64, error) {
	// Zips know no earlier time.
	h := &zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)}
	switch {
	case f.target != "":
		h.SetMode(fs.ModeSymlink | 0o777)
	case f.exec:
		h.SetMode(0o755)
	default:
		h.SetMode(0o644)
	}
	dst, err := w.CreateHeader(h)
	if err != nil {
		return 0, err
	}
	if f.target != "" {
		n, err := io.WriteString(dst, f.target)
		return int64(n), err
	}
	src, err := os.Open(f.source)
	if err != nil {
		return 0, err
	}
	defer src.Close()
	return io.CopyBuffer(dst, struct{ io.Reader }{src}, buf)
}

// counter counts and hashes what passes.
type counter struct {
	w   io.Writer
	n   int64
	sum hash.Hash
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	c.sum.Write(p[:n])
	return n, err
}
