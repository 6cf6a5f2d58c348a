package image

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"unicode/utf8"

	"github.com/klauspost/compress/flate"
	"golang.org/x/sync/errgroup"
)

// maxWorkers bounds how many files are inflated at once; beyond that the disk is
// what one waits for.
const maxWorkers = 4

// extract writes the plan into dir, an empty directory that nobody else sees.
// Links come last, when nothing is written any more, and os.Root refuses to leave
// dir whatever the plan overlooked.
func (p *plan) extract(ctx context.Context, zip io.ReaderAt, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for at, n := range p.tree.nodes[1:] {
		if n.kind != kindDir {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		d := p.tree.path(int32(at + 1))
		if err := root.Mkdir(d, 0o755); err != nil {
			return taken(d, err)
		}
		if err := root.Chmod(d, 0o755); err != nil { // whatever the umask
			return err
		}
	}
	links, err := p.extractFiles(ctx, zip, root)
	if err != nil {
		return err
	}
	for _, l := range links {
		if err := p.tree.checkLink(l.node); err != nil {
			return err
		}
	}
	for _, l := range links {
		if err := root.Symlink(p.tree.nodes[l.node].target, l.path); err != nil {
			return taken(l.path, err)
		}
	}
	return nil
}

// taken words that a name is there already, although no other entry has it: the file
// system of the data directory takes two names for one.
func taken(path string, err error) error {
	if errors.Is(err, fs.ErrExist) {
		return refuse(path, "differs from another by upper and lower case, or by the form of its accents, alone, and the file system of this server's data directory takes them for one", "Rename one of them, or keep the data directory on a file system that tells them apart.")
	}
	return err
}

// extractFiles writes the files and reads the links' targets.
func (p *plan) extractFiles(ctx context.Context, zip io.ReaderAt, root *os.Root) (links []*entry, err error) {
	var files []*entry
	reader := newInflater()
	for i := range p.entries {
		e := &p.entries[i]
		if e.kind == kindFile {
			files = append(files, e)
			continue
		}
		var target strings.Builder
		if err := reader.copy(ctx, &target, zip, e); err != nil {
			return nil, err
		}
		if t := target.String(); strings.ContainsRune(t, 0) || !utf8.ValidString(t) {
			return nil, refuse(e.path, "is a symbolic link whose target is not UTF-8 text", "Leave it out.")
		}
		if err := p.tree.setTarget(e.node, target.String()); err != nil {
			return nil, err
		}
		links = append(links, e)
	}

	group, ctx := errgroup.WithContext(ctx)
	work := make(chan *entry)
	group.Go(func() error {
		defer close(work)
		for _, e := range files {
			select {
			case work <- e:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	for range min(maxWorkers, runtime.GOMAXPROCS(0)) {
		group.Go(func() error {
			reader := newInflater()
			for e := range work {
				if err := reader.writeFile(ctx, root, zip, e); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return links, group.Wait()
}

// inflater holds what one worker uses again for each file.
type inflater struct {
	flate io.ReadCloser
	buf   []byte
}

func newInflater() *inflater {
	return &inflater{flate: flate.NewReader(strings.NewReader("")), buf: make([]byte, 64<<10)}
}

func (f *inflater) writeFile(ctx context.Context, root *os.Root, zip io.ReaderAt, e *entry) (err error) {
	file, err := root.OpenFile(e.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return taken(e.path, err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := f.copy(ctx, file, zip, e); err != nil {
		return err
	}
	if e.exec {
		return file.Chmod(0o555)
	}
	return file.Chmod(0o444)
}

// copy unpacks one entry into w. What the directory said of its size was counted
// against the limits, so not one byte more than that is written.
func (f *inflater) copy(ctx context.Context, w io.Writer, zip io.ReaderAt, e *entry) error {
	var src io.Reader = io.NewSectionReader(ctxReaderAt{ctx, zip}, e.data, e.packed)
	if e.method == methodDeflate {
		if err := f.flate.(flate.Resetter).Reset(src, nil); err != nil {
			return err
		}
		src = f.flate
	}
	sum := crc32.NewIEEE()
	var n int64
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		k, err := src.Read(f.buf)
		if n += int64(k); n > e.size {
			return refuse(e.path, fmt.Sprintf("unzips to more than the %d bytes it announces", e.size), "Make the zip again.")
		}
		sum.Write(f.buf[:k])
		if _, err := w.Write(f.buf[:k]); err != nil {
			return err
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return f.readError(e, err)
		}
	}
	if n != e.size || sum.Sum32() != e.crc {
		return refuse(e.path, "is damaged: its size or checksum is wrong", "Upload the zip again.")
	}
	return nil
}

// readError tells damaged data from a host that cannot read.
func (f *inflater) readError(e *entry, err error) error {
	var corrupt flate.CorruptInputError
	if errors.As(err, &corrupt) || errors.Is(err, io.ErrUnexpectedEOF) {
		return refuse(e.path, "is damaged: its data cannot be inflated", "Upload the zip again.")
	}
	return fmt.Errorf("read code zip: %w", err)
}
