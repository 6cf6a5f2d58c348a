package oci

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"
)

// kind is what an entry of a layer is.
type kind uint8

const (
	kindDir kind = iota
	kindFile
	kindSymlink
	kindHard     // a further name of Link
	kindWhiteout // hides Path of the layers below
	kindOpaque   // hides everything in Path of the layers below
	kindDevice   // a device, pipe or socket: left out
)

// entry is one member of a layer as its index keeps it. Paths are clean and
// relative; the root's is empty. They are bytes: UTF-8 or not.
type entry struct {
	Path string
	Kind kind
	Mode uint32 // permission bits, and the sticky bit of a directory
	UID  int
	GID  int
	Time int64  // of the last change, in nanoseconds since 1970
	Link string // target of a symbolic link as it is; path of a hard link's other name
	File int    // number of the content
	Size int64
}

// Bounds that no image needs to reach, against those that would cost more than
// their size.
const (
	maxName  = 255  // bytes of a name (path_resolution(7))
	maxPath  = 4096 // bytes of a path
	maxDepth = 256  // directories
	maxID    = 1<<32 - 2
)

// Names that OCI reserves for what a layer hides, and aufs for itself.
const (
	whiteout     = ".wh."
	whiteoutMeta = ".wh..wh."
	whiteoutOpq  = ".wh..wh..opq"
)

// extraction reads one layer's archive.
type extraction struct {
	files  *os.Root // gets the contents
	owners bool     // files can have any owner
	budget *budget

	shard *os.Root // of files, for what is written now

	entries []entry
	count   int   // contents written
	size    int64 // bytes of them
	skipped int   // devices, pipes and sockets
	zero    []byte
	buf     []byte
}

func newExtraction(files *os.Root, owners bool, b *budget) *extraction {
	return &extraction{files: files, owners: owners, budget: b, zero: make([]byte, 64<<10), buf: make([]byte, 64<<10)}
}

// close gives up what is open.
func (x *extraction) close() {
	if x.shard != nil {
		x.shard.Close()
		x.shard = nil
	}
}

// read reads the archive to its end. Refusals are fault.Errors.
func (x *extraction) read(ctx context.Context, r io.Reader) error {
	defer x.close()
	for tr := tar.NewReader(r); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) { // paths are looked at below
			return damaged(err)
		}
		if h.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		e, keep, err := parse(h)
		if err != nil {
			return err
		}
		if !keep {
			continue
		}
		if err := x.budget.entry(&e); err != nil {
			return err
		}
		if e.Kind == kindFile {
			if err := x.write(ctx, &e, tr); err != nil {
				return err
			}
		}
		if e.Kind == kindDevice {
			x.skipped++
		}
		x.entries = append(x.entries, e)
	}
}

// parse turns a header into an entry. It says not to keep what only aufs needs.
func parse(h *tar.Header) (e entry, keep bool, err error) {
	p, err := cleanPath(h.Name)
	if err != nil {
		return e, false, err
	}
	e = entry{Path: p, UID: h.Uid, GID: h.Gid, Time: changeTime(h.ModTime)}
	if h.Uid < 0 || h.Uid > maxID || h.Gid < 0 || h.Gid > maxID {
		return e, false, refuse(h.Name, fmt.Sprintf("belongs to %d:%d, whom no system has", h.Uid, h.Gid))
	}
	if aufs(p) && path.Base(p) != whiteoutOpq {
		return e, false, nil
	}
	dir, base := path.Split(p)
	if strings.HasPrefix(dir, whiteout) || strings.Contains(dir, "/"+whiteout) {
		return e, false, refuse(h.Name, "lies in a directory whose name begins with .wh., which is reserved")
	}
	dir = strings.TrimSuffix(dir, "/")
	switch hidden, ok := strings.CutPrefix(base, whiteout); {
	case base == whiteoutOpq:
		return entry{Path: dir, Kind: kindOpaque}, true, nil
	case ok && (hidden == "" || hidden == "." || hidden == ".."):
		return e, false, refuse(h.Name, "is a whiteout of nothing")
	case ok:
		return entry{Path: path.Join(dir, hidden), Kind: kindWhiteout}, true, nil
	}
	e.Mode = uint32(h.Mode) & 0o777 // no set-id bit of an image means anything
	switch h.Typeflag {
	case tar.TypeDir:
		e.Kind, e.Mode = kindDir, uint32(h.Mode)&0o1777
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		e.Kind, e.Size = kindFile, h.Size
	case tar.TypeSymlink:
		if h.Linkname == "" || len(h.Linkname) >= maxPath || strings.IndexByte(h.Linkname, 0) >= 0 {
			return e, false, refuse(h.Name, "is a symbolic link without a usable target")
		}
		e.Kind, e.Link = kindSymlink, h.Linkname
	case tar.TypeLink:
		e.Kind = kindHard
		if e.Link, err = cleanPath(h.Linkname); err != nil {
			return e, false, err
		}
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		e.Kind = kindDevice
	default:
		return e, false, refuse(h.Name, fmt.Sprintf("is of type %q, which is none of OCI's", h.Typeflag))
	}
	if p == "" && e.Kind != kindDir {
		return e, false, refuse(h.Name, "is the root and no directory")
	}
	return e, true, nil
}

// aufs tells whether a component is one that only aufs knows.
func aufs(p string) bool {
	return strings.HasPrefix(p, whiteoutMeta) || strings.Contains(p, "/"+whiteoutMeta)
}

// cleanPath returns a name without what means nothing in it. It refuses .., with
// which no builder writes.
func cleanPath(name string) (string, error) {
	if len(name) >= maxPath || strings.IndexByte(name, 0) >= 0 {
		return "", refuse(name, fmt.Sprintf("has a path of %d bytes or more, or a NUL byte in it", maxPath))
	}
	var parts []string
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "" || part == ".":
			continue
		case part == "..":
			return "", refuse(name, "has .. in its path")
		case len(part) > maxName:
			return "", refuse(name, fmt.Sprintf("has a name of %d bytes; the limit is %d", len(part), maxName))
		}
		parts = append(parts, part)
	}
	if len(parts) > maxDepth {
		return "", refuse(name, fmt.Sprintf("lies %d directories deep; the limit is %d", len(parts), maxDepth))
	}
	return strings.Join(parts, "/"), nil
}

// changeTime keeps times that file systems can have.
func changeTime(t time.Time) int64 {
	if t.Year() < 1970 || t.Year() > 2200 {
		return 0
	}
	return t.UnixNano()
}

// contentName is where a layer keeps a content: some thousand in a directory.
func contentName(n int) string { return fmt.Sprintf("%03x/%03x", n>>12, n&0xfff) }

// write puts an entry's content, which r reads, into a file of its own.
func (x *extraction) write(ctx context.Context, e *entry, r io.Reader) (err error) {
	if err := x.budget.bytes(e.Path, e.Size); err != nil {
		return err
	}
	e.File = x.count
	dir, name := path.Split(contentName(e.File))
	if e.File&0xfff == 0 {
		if err := x.files.Mkdir(path.Clean(dir), 0o700); err != nil {
			return err
		}
		x.close()
		if x.shard, err = x.files.OpenRoot(dir); err != nil {
			return err
		}
	}
	x.count++
	x.size += e.Size
	file, err := x.shard.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := x.copy(ctx, file, r, e); err != nil {
		return err
	}
	if x.owners {
		if err := file.Chown(e.UID, e.GID); err != nil {
			return err
		}
	}
	if err := file.Chmod(os.FileMode(diskMode(e, x.owners))); err != nil {
		return err
	}
	return x.shard.Chtimes(name, time.Unix(0, e.Time), time.Unix(0, e.Time))
}

// copy writes a content. Blocks of zeros become holes, so that a sparse file does
// not take what it only claims.
func (x *extraction) copy(ctx context.Context, file *os.File, r io.Reader, e *entry) error {
	var at, end int64 // end is where the file ends so far
	for at < e.Size {
		if err := ctx.Err(); err != nil {
			return err
		}
		block := x.buf[:min(int64(len(x.buf)), e.Size-at)]
		if _, err := io.ReadFull(r, block); err != nil {
			return damaged(err)
		}
		if bytes.Equal(block, x.zero[:len(block)]) {
			at += int64(len(block))
			continue
		}
		if _, err := file.WriteAt(block, at); err != nil {
			return err
		}
		at += int64(len(block))
		end = at
	}
	if end == e.Size {
		return nil
	}
	return file.Truncate(e.Size)
}

// diskMode is the mode that an entry has on disk. Where every file must belong to
// us, those of others than root are readable to all of the guest's users, and we
// keep for ourselves what we need to show and remove them; what a guest is to see
// instead lies in the image's overlay.
func diskMode(e *entry, owners bool) uint32 {
	if owners {
		return e.Mode
	}
	mode := e.Mode
	if e.UID != 0 {
		mode |= mode>>6&7 | mode>>3&0o70
	}
	if e.Kind == kindDir {
		return mode | 0o700
	}
	return mode | 0o400
}
