// Package backup writes and reads archives of a data directory: a tar file,
// compressed with zstd and sealed with age, so that `age -d FILE | zstd -d | tar t`
// shows it where outcrop is not at hand.
//
// An archive is written and read in one go and never held in memory. It begins
// with a Head and ends with the number of its files and a digest of their names,
// modes and contents, without which nothing that was read is to be used.
//
// What a data directory holds, and what of it belongs into an archive, is the
// affair of whoever writes one.
package backup

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
)

// The first and the last entry of an archive, which are no files of a data directory.
const (
	headName = "outcrop-backup.json"
	endName  = "outcrop-backup.end"
)

// format is the form of archives; a newer one is refused.
const format = 1

// maxHead bounds both, in bytes.
const maxHead = 64 << 10

var (
	// ErrDamaged says that an archive is no archive, was cut off or was changed.
	ErrDamaged = errors.New("it is no archive of outcrop backup, or is damaged")
	// ErrNewer says that a later version wrote an archive.
	ErrNewer = errors.New("a newer version of outcrop wrote it")
)

// Head says what an archive is of.
type Head struct {
	Format int `json:"format"`
	// Version is that of the outcrop that wrote it.
	Version string    `json:"version"`
	Account string    `json:"account"`
	Region  string    `json:"region"`
	Created time.Time `json:"created"`
}

// End is how an archive ends: what it holds.
type End struct {
	Files int64 `json:"files"`
	// Bytes is what its files have.
	Bytes  int64  `json:"bytes"`
	Digest string `json:"digest"`
}

// tally counts entries, and makes the digest of all.
type tally struct {
	sum hash.Hash
	end End
}

func newTally() *tally { return &tally{sum: sha256.New()} }

// add takes an entry; what is the hash of a file's content, or a link's target.
func (t *tally) add(name string, mode fs.FileMode, size int64, what []byte) {
	fmt.Fprintf(t.sum, "%q %o %d %x\n", name, mode, size, what)
	if mode.IsRegular() {
		t.end.Files++
		t.end.Bytes += size
	}
}

func (t *tally) done() End {
	end := t.end
	end.Digest = hex.EncodeToString(t.sum.Sum(nil))
	return end
}

// Writer writes an archive.
type Writer struct {
	sealed io.WriteCloser
	packed *zstd.Encoder
	tar    *tar.Writer
	tally  *tally
}

// NewWriter begins an archive in w, which only key opens.
func NewWriter(w io.Writer, key Key, head Head) (*Writer, error) {
	sealed, err := key.seal(w)
	if err != nil {
		return nil, err
	}
	packed, err := zstd.NewWriter(sealed, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest)) // a server runs beside us
	if err != nil {
		return nil, err
	}
	a := &Writer{sealed: sealed, packed: packed, tar: tar.NewWriter(packed), tally: newTally()}
	head.Format = format
	if err := a.note(headName, head); err != nil {
		return nil, err
	}
	return a, nil
}

func (a *Writer) note(name string, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := a.tar.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(body)), Format: tar.FormatPAX}); err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	if _, err := a.tar.Write(body); err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	return nil
}

// kept are the bits of a mode that an archive keeps.
const kept = fs.ModeDir | fs.ModeSymlink | fs.ModePerm

// Add writes a directory, a regular file or a symbolic link. name is its path,
// with slashes; of a file body has the content, of which as much is taken as info
// says. One that has less, since somebody shortened it meanwhile, is filled up
// with zeros and told by short.
func (a *Writer) Add(name string, info fs.FileInfo, target string, body io.Reader) (short bool, err error) {
	h, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return false, fmt.Errorf("archive %s: %w", name, err)
	}
	// Names of users and groups are those of this machine, and say nothing elsewhere.
	h.Name, h.Uname, h.Gname, h.Format = name, "", "", tar.FormatPAX
	h.AccessTime, h.ChangeTime = time.Time{}, time.Time{}
	if info.IsDir() {
		h.Name += "/"
	}
	if err := a.tar.WriteHeader(h); err != nil {
		return false, fmt.Errorf("archive %s: %w", name, err)
	}
	what := []byte(target)
	if info.Mode().IsRegular() {
		sum := sha256.New()
		n, err := io.Copy(io.MultiWriter(a.tar, sum), io.LimitReader(body, h.Size))
		if err != nil {
			return false, fmt.Errorf("archive %s: %w", name, err)
		}
		if short = n < h.Size; short {
			if _, err := io.CopyN(io.MultiWriter(a.tar, sum), zeros{}, h.Size-n); err != nil {
				return true, fmt.Errorf("archive %s: %w", name, err)
			}
		}
		what = sum.Sum(nil)
	}
	a.tally.add(name, info.Mode()&kept, h.Size, what)
	return short, nil
}

// zeros has as many as are asked for.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// Close ends the archive; without it nobody can read it. It does not close what
// it was written to.
func (a *Writer) Close() (End, error) {
	end := a.tally.done()
	if err := a.note(endName, end); err != nil {
		return end, err
	}
	for _, c := range []io.Closer{a.tar, a.packed, a.sealed} {
		if err := c.Close(); err != nil {
			return end, fmt.Errorf("end archive: %w", err)
		}
	}
	return end, nil
}

// Abort lets go of what the archive needs in memory; it has no end then.
func (a *Writer) Abort() { _ = a.packed.Close() } // what it writes is not read

// Reader reads an archive.
type Reader struct {
	// Head is how it begins.
	Head  Head
	tar   *tar.Reader
	close func()
	tally *tally
}

// maxWindow bounds the memory that an archive can make its reader take, in bytes.
const maxWindow = 64 << 20

// NewReader opens the archive in r. The caller closes it.
func NewReader(r io.Reader, key Key) (*Reader, error) {
	plain, err := key.open(r)
	if err != nil {
		return nil, err
	}
	packed, err := zstd.NewReader(plain, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, fmt.Errorf("open archive: %w", err)
	}
	a := &Reader{tar: tar.NewReader(packed), close: packed.Close, tally: newTally()}
	h, err := a.tar.Next()
	if err != nil || h.Name != headName {
		a.close()
		return nil, damaged("open archive", err)
	}
	if err := a.read(&a.Head); err != nil {
		a.close()
		return nil, err
	}
	if a.Head.Format != format {
		a.close()
		return nil, fmt.Errorf("open archive: %w (%s)", ErrNewer, a.Head.Version)
	}
	return a, nil
}

// Close lets go of what reading needs in memory.
func (a *Reader) Close() { a.close() }

// read reads the head or the end.
func (a *Reader) read(v any) error {
	body, err := io.ReadAll(io.LimitReader(a.tar, maxHead))
	if err == nil {
		err = json.Unmarshal(body, v)
	}
	if err != nil {
		return damaged("read archive", err)
	}
	return nil
}

func damaged(doing string, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: %w", doing, ErrDamaged)
	}
	return fmt.Errorf("%s: %w: %w", doing, ErrDamaged, err)
}

// An Entry is one directory, file or link of an archive.
type Entry struct {
	// Name is its path, with slashes; it is fs.ValidPath.
	Name     string
	Mode     fs.FileMode // type and permissions
	Size     int64       // of a file, in bytes
	Target   string      // of a link
	Modified time.Time
	UID, GID int
}

// Next returns the next entry; take is what becomes of a file's content. At the
// end of a whole archive it returns io.EOF, and until then nothing is certain.
func (a *Reader) Next(take func(Entry, io.Reader) error) error {
	h, err := a.tar.Next()
	if err != nil {
		return damaged("read archive", err) // it had no end
	}
	if h.Name == endName {
		return a.finish()
	}
	e := Entry{
		Name: strings.TrimSuffix(h.Name, "/"), Mode: h.FileInfo().Mode() & kept, Size: h.Size, Modified: h.ModTime, UID: h.Uid, GID: h.Gid,
	}
	what := []byte(nil)
	switch h.Typeflag {
	case tar.TypeReg:
	case tar.TypeDir:
	case tar.TypeSymlink:
		e.Target, what = h.Linkname, []byte(h.Linkname)
	default:
		return fmt.Errorf("read archive: %w: entry of type %q", ErrDamaged, h.Typeflag)
	}
	if !fs.ValidPath(e.Name) || e.Name == "." {
		return fmt.Errorf("read archive: %w: entry %q", ErrDamaged, h.Name)
	}
	if h.Typeflag != tar.TypeReg {
		if err := take(e, nil); err != nil {
			return err
		}
	} else {
		sum := sha256.New()
		body := io.TeeReader(a.tar, sum)
		if err := take(e, body); err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, body); err != nil {
			return damaged("read archive", err)
		}
		what = sum.Sum(nil)
	}
	a.tally.add(e.Name, e.Mode, e.Size, what)
	return nil
}

// finish compares what was read with what was written.
func (a *Reader) finish() error {
	var want End
	if err := a.read(&want); err != nil {
		return err
	}
	if got := a.tally.done(); got != want {
		return fmt.Errorf("read archive: %w: it has %d files of %d bytes, and should have %d of %d", ErrDamaged, got.Files, got.Bytes, want.Files, want.Bytes)
	}
	if _, err := a.tar.Next(); !errors.Is(err, io.EOF) {
		return damaged("read archive after its end", err)
	}
	return io.EOF
}

// Read is what was read so far.
func (a *Reader) Read() End { return a.tally.done() }
