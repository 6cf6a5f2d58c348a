package image

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/outcrop/outcrop/internal/fault"
)

// This reader of zip directories exists beside archive/zip because the checks
// need what that package hides: where each header lies (entries that overlap are
// a bomb, data in front is another file in disguise), the flags, the extra
// fields, and a bound on the directory before it fills the memory. The layout is
// PKWARE's APPNOTE 6.3.

const (
	sigLocal     = 0x04034b50
	sigCentral   = 0x02014b50
	sigEnd       = 0x06054b50
	sigEnd64     = 0x06064b50
	sigLocator64 = 0x07064b50

	lenLocal     = 30
	lenCentral   = 46
	lenEnd       = 22
	lenEnd64     = 56
	lenLocator64 = 20

	flagEncrypted = 1<<0 | 1<<6 | 1<<13
	flagPatch     = 1 << 5

	methodStore   = 0
	methodDeflate = 8

	// maxDirectory bounds the central directory, in bytes.
	maxDirectory = 64 << 20
)

// Ratios beyond these are a bomb: nothing an agent needs shrinks a hundredfold
// as a whole.
const (
	bombRatio = 100
	bombFloor = 100 << 20 // bytes unzipped below which the ratio is not looked at
)

type kind uint8

const (
	kindFile kind = iota
	kindDir
	kindLink
)

// entry is one checked member of an archive.
type entry struct {
	path   string // clean, relative, no trailing slash; empty is the root
	node   int32  // in the tree
	kind   kind
	exec   bool
	method uint16
	crc    uint32
	packed int64 // bytes in the archive
	size   int64 // bytes unzipped
	header int64 // offset of the local header
	data   int64 // offset of the packed bytes
}

// plan is a checked archive, ready to be extracted.
type plan struct {
	entries []entry // files and links, by offset
	tree    tree
	size    int64 // bytes unzipped
	files   int
}

var le = binary.LittleEndian

// readArchive checks everything about the archive that can be known without
// unpacking it.
func readArchive(r io.ReaderAt, size int64, limits Limits) (*plan, error) {
	dir, err := findDirectory(r, size)
	if err != nil {
		return nil, err
	}
	if dir.records > uint64(limits.Entries) || dir.size > maxDirectory {
		return nil, fault.Validation("The code zip lists %d entries in %s; the limit is %d entries. Leave out caches, tests and development packages.", dir.records, bytesText(dir.size), limits.Entries)
	}
	p := &plan{tree: newTree(limits.Entries)}
	if err := p.readDirectory(io.NewSectionReader(r, dir.offset, dir.size), dir, limits); err != nil {
		return nil, err
	}
	if p.files == 0 {
		return nil, fault.Validation("The code zip holds no files. Zip the agent's folder so that its entry point lies at the top.")
	}
	if p.size > bombFloor && p.size/bombRatio > size {
		return nil, fault.Validation("The code zip grows from %s to %s when it is unzipped, more than %d times: that is refused as a zip bomb. Leave out generated data.", bytesText(size), bytesText(p.size), bombRatio)
	}
	return p, p.locate(r, dir.offset)
}

// directory is where the central directory lies.
type directory struct {
	offset, size int64
	records      uint64
}

// findDirectory reads the end of the archive.
func findDirectory(r io.ReaderAt, size int64) (directory, error) {
	var none directory
	tail := make([]byte, min(size, lenEnd+1<<16))
	if err := readFull(r, tail, size-int64(len(tail))); err != nil {
		return none, err
	}
	at := -1
	for i := len(tail) - lenEnd; i >= 0; i-- {
		if le.Uint32(tail[i:]) == sigEnd && i+lenEnd+int(le.Uint16(tail[i+20:])) == len(tail) {
			at = i
			break
		}
	}
	if at < 0 {
		return none, fault.Malformed("The code zip is not a zip archive, or it is truncated or has data after its end: its last record is missing. Upload it again.")
	}
	b := tail[at:]
	end := size - int64(len(tail)) + int64(at)
	disk, dirDisk := uint32(le.Uint16(b[4:])), uint32(le.Uint16(b[6:]))
	onDisk, records := uint64(le.Uint16(b[8:])), uint64(le.Uint16(b[10:]))
	dirSize, dirOffset := uint64(le.Uint32(b[12:])), uint64(le.Uint32(b[16:]))
	if records == 0xffff || onDisk == 0xffff || dirSize == 0xffffffff || dirOffset == 0xffffffff {
		b64, end64, err := findEnd64(r, end)
		if err != nil {
			return none, err
		}
		if b64 != nil {
			end = end64
			disk, dirDisk = le.Uint32(b64[16:]), le.Uint32(b64[20:])
			onDisk, records = le.Uint64(b64[24:]), le.Uint64(b64[32:])
			dirSize, dirOffset = le.Uint64(b64[40:]), le.Uint64(b64[48:])
		}
	}
	if disk != 0 || dirDisk != 0 || onDisk != records {
		return none, fault.Validation("The code zip is one part of a split archive. Make a single file of it.")
	}
	if dirSize > uint64(end) || dirOffset > uint64(end) || dirSize+dirOffset > uint64(end) {
		return none, fault.Malformed("The code zip is damaged: its directory lies outside the file. Upload it again.")
	}
	if dirSize+dirOffset != uint64(end) {
		return none, errPrefix()
	}
	return directory{offset: int64(dirOffset), size: int64(dirSize), records: records}, nil
}

func errPrefix() error {
	return fault.Validation("The code zip has data before or between its parts, as a self-extracting archive or a zipapp has. Make a plain zip.")
}

// findEnd64 reads the zip64 end record in front of the end record at end. It
// returns nil when there is none: 65535 entries need no zip64.
func findEnd64(r io.ReaderAt, end int64) ([]byte, int64, error) {
	if end < lenLocator64+lenEnd64 {
		return nil, 0, nil
	}
	loc := make([]byte, lenLocator64)
	if err := readFull(r, loc, end-lenLocator64); err != nil {
		return nil, 0, err
	}
	if le.Uint32(loc) != sigLocator64 {
		return nil, 0, nil
	}
	at := le.Uint64(loc[8:])
	damaged := fault.Malformed("The code zip is damaged: its zip64 records contradict each other. Make it again.")
	if le.Uint32(loc[4:]) != 0 || le.Uint32(loc[16:]) > 1 || at > uint64(end-lenLocator64-lenEnd64) {
		return nil, 0, damaged
	}
	b := make([]byte, lenEnd64)
	if err := readFull(r, b, int64(at)); err != nil {
		return nil, 0, err
	}
	// The record's own length does not count its first twelve bytes.
	if le.Uint32(b) != sigEnd64 || le.Uint64(b[4:]) != uint64(end-lenLocator64)-at-12 {
		return nil, 0, damaged
	}
	return b, int64(at), nil
}

// readDirectory reads every central header into p.
func (p *plan) readDirectory(r io.Reader, dir directory, limits Limits) error {
	br := bufio.NewReaderSize(r, 1<<16)
	var used int64
	fixed := make([]byte, lenCentral)
	for range dir.records {
		if _, err := io.ReadFull(br, fixed); err != nil {
			return errDirectory(err)
		}
		if le.Uint32(fixed) != sigCentral {
			return errDirectory(nil)
		}
		nameLen, extraLen, commentLen := int(le.Uint16(fixed[28:])), int(le.Uint16(fixed[30:])), int(le.Uint16(fixed[32:]))
		rest := make([]byte, nameLen+extraLen+commentLen)
		if _, err := io.ReadFull(br, rest); err != nil {
			return errDirectory(err)
		}
		used += int64(lenCentral + len(rest))
		e, err := parseCentral(fixed, string(rest[:nameLen]), rest[nameLen:nameLen+extraLen], limits)
		if err != nil {
			return err
		}
		if err := p.add(e, limits); err != nil {
			return err
		}
	}
	if used != dir.size {
		return errDirectory(nil)
	}
	return nil
}

func errDirectory(cause error) error {
	if cause != nil && !errors.Is(cause, io.EOF) && !errors.Is(cause, io.ErrUnexpectedEOF) {
		return fmt.Errorf("read code zip: %w", cause)
	}
	return fault.Malformed("The code zip is damaged: its directory does not hold the entries it announces. Upload it again.")
}

// add counts one entry and puts it in the tree.
func (p *plan) add(e entry, limits Limits) error {
	node, err := p.tree.insert(e.path, e.kind)
	if err != nil {
		return err
	}
	e.node = node
	if e.kind != kindDir {
		p.files++
		p.size += e.size // cannot overflow: each is below the limit, and so was the sum
	}
	if p.size > limits.Unzipped {
		return fault.Validation("The code zip holds more than %s unzipped (entry %s reaches it); that is the limit. Leave out what the agent does not need at run time.", bytesText(limits.Unzipped), quote(e.path))
	}
	p.entries = append(p.entries, e)
	return nil
}

// parseCentral reads and checks one central header.
func parseCentral(b []byte, name string, extra []byte, limits Limits) (entry, error) {
	var e entry
	path, slash, err := cleanName(name)
	if err != nil {
		return e, err
	}
	flags := le.Uint16(b[8:])
	e = entry{path: path, method: le.Uint16(b[10:]), crc: le.Uint32(b[16:])}
	packed, size, offset := uint64(le.Uint32(b[20:])), uint64(le.Uint32(b[24:])), uint64(le.Uint32(b[42:]))
	if err := parseExtra(name, extra, &size, &packed, &offset); err != nil {
		return e, err
	}
	switch {
	case flags&flagEncrypted != 0:
		return e, refuse(name, "is encrypted", "Make the zip without a password.")
	case flags&flagPatch != 0 || e.method != methodStore && e.method != methodDeflate:
		return e, refuse(name, fmt.Sprintf("is compressed by method %d", e.method), "Use the ordinary method (deflate) or none.")
	case le.Uint16(b[34:]) != 0:
		return e, refuse(name, "lies on another part of a split archive", "Make a single file of it.")
	case size > uint64(limits.Unzipped):
		return e, refuse(name, fmt.Sprintf("is larger than %s", bytesText(limits.Unzipped)), "Leave it out and fetch it at run time.")
	case packed > uint64(limits.Zip) || offset > uint64(limits.Zip):
		return e, refuse(name, "lies outside the archive", "Make the zip again.")
	case e.method == methodStore && packed != size:
		return e, refuse(name, "has two sizes", "Make the zip again.")
	}
	e.packed, e.size, e.header = int64(packed), int64(size), int64(offset)
	if err := e.setKind(name, le.Uint16(b[4:])>>8, le.Uint32(b[38:]), slash); err != nil {
		return e, err
	}
	return e, nil
}

// setKind decides what an entry is by the mode of the system that wrote it.
func (e *entry) setKind(name string, system uint16, attr uint32, slash bool) error {
	const (
		systemUnix, systemMac = 3, 19

		typeMask, typeFile, typeDir, typeLink = 0o170000, 0o100000, 0o040000, 0o120000
	)
	e.kind = kindFile
	if slash {
		e.kind = kindDir
	}
	if system == systemUnix || system == systemMac {
		mode := attr >> 16
		switch mode & typeMask {
		case 0, typeFile:
		case typeDir:
			e.kind = kindDir
		case typeLink:
			e.kind = kindLink
		default:
			return refuse(name, "is a device, pipe or socket", "Leave it out: only files, directories and symbolic links can be unpacked.")
		}
		if slash != (e.kind == kindDir) {
			return refuse(name, "is a file and a directory at once", "Make the zip again.")
		}
		e.exec = e.kind == kindFile && mode&0o111 != 0
	}
	switch {
	case e.kind == kindDir && e.size != 0:
		return refuse(name, "is a directory with content", "Make the zip again.")
	case e.kind == kindLink && (e.size == 0 || e.size > maxPath):
		return refuse(name, "is a symbolic link without a usable target", "Leave it out.")
	}
	return nil
}

// parseExtra reads zip64 sizes, and refuses what stands for links and devices in
// the fields that Unix zips of old wrote.
func parseExtra(name string, extra []byte, size, packed, offset *uint64) error {
	const (
		extraZip64  = 0x0001
		extraPkUnix = 0x000d
		extraASi    = 0x756e
	)
	damaged := refuse(name, "has damaged extra fields", "Make the zip again.")
	seen64 := false
	for len(extra) >= 4 {
		id, n := le.Uint16(extra), int(le.Uint16(extra[2:]))
		if n > len(extra)-4 {
			return damaged
		}
		field := extra[4 : 4+n]
		extra = extra[4+n:]
		switch id {
		case extraZip64:
			if seen64 {
				return damaged
			}
			seen64 = true
			for _, v := range []*uint64{size, packed, offset} {
				if *v != 0xffffffff {
					continue
				}
				if len(field) < 8 {
					return damaged
				}
				*v, field = le.Uint64(field), field[8:]
			}
		case extraPkUnix: // two times, two ids, then a link's target or a device's numbers
			if n > 12 {
				return refuse(name, "is a hard link or a device", "Leave it out or store it as a file.")
			}
		case extraASi: // CRC, mode, size of the link's target or device, two ids, the target
			if n >= 10 && le.Uint32(field[6:]) != 0 {
				return refuse(name, "is a hard link or a device", "Leave it out or store it as a file.")
			}
		}
	}
	return nil
}

// locate reads every local header, and refuses entries that share bytes.
func (p *plan) locate(r io.ReaderAt, end int64) error {
	slices.SortFunc(p.entries, func(a, b entry) int { return cmp.Compare(a.header, b.header) })
	var free int64 // first byte no entry has yet
	buf := make([]byte, 0, lenLocal+maxPath+1)
	for i := range p.entries {
		e := &p.entries[i]
		if i == 0 && e.header != 0 {
			return errPrefix()
		}
		if e.header < free {
			return refuse(e.path, "shares bytes with the one before it", "Such zips are bombs; make the zip again.")
		}
		buf = buf[:min(int64(cap(buf)), end-min(e.header, end))]
		if len(buf) < lenLocal {
			return refuse(e.path, "lies outside the archive", "Upload the zip again.")
		}
		if err := readFull(r, buf, e.header); err != nil {
			return err
		}
		nameLen, extraLen := int64(le.Uint16(buf[26:])), int64(le.Uint16(buf[28:]))
		e.data = e.header + lenLocal + nameLen + extraLen
		free = e.data + e.packed
		if le.Uint32(buf) != sigLocal || free > end {
			return refuse(e.path, "lies outside the archive or has no header", "Upload the zip again.")
		}
		local := buf[lenLocal:min(lenLocal+nameLen, int64(len(buf)))]
		if path, _, err := cleanName(string(local)); err != nil || path != e.path || le.Uint16(buf[8:]) != e.method || le.Uint16(buf[6:])&flagEncrypted != 0 {
			return refuse(e.path, "has two headers that contradict each other", "Make the zip again.")
		}
	}
	p.entries = slices.DeleteFunc(p.entries, func(e entry) bool { return e.kind == kindDir })
	return nil
}

// readFull reads exactly len(b) bytes at off. The archive ending early is the
// caller's fault, anything else the host's.
func readFull(r io.ReaderAt, b []byte, off int64) error {
	n, err := r.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return fault.Malformed("The code zip is truncated. Upload it again.")
	}
	return fmt.Errorf("read code zip: %w", err)
}
