package object

import (
	"bytes"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/object/segment"
)

// The tables. Within each, rows of a bucket begin with its name and a NUL, which
// no name holds, so that a bucket is a range.
const (
	// tableCurrent has the objects that ListObjects shows, by key as it is,
	// which is S3's order: UTF-8, byte by byte.
	tableCurrent = "object.current"
	// tableVersion has every version and delete marker, by key and then the
	// newest first.
	tableVersion = "object.version"
	// tableUpload has the multipart uploads under way, by key and then the
	// oldest first; tablePart their parts, by upload and number.
	tableUpload = "object.upload"
	tablePart   = "object.part"
	// tableContent has contents by id, see content.go.
	tableContent = "object.content"
	// tableGarbage names what Run shall remove, see collect.go.
	tableGarbage = "object.garbage"
)

// Where something follows the key in a row key, the key is escaped and ended so
// that the order stays: NUL becomes NUL FF, and NUL 01 ends it. A key that
// continues another sorts after all that belongs to the shorter one.
const (
	escaped    = "\x00\xff"
	terminator = "\x00\x01"
	// afterKey is more than the terminator and less than an escaped NUL: the
	// place after all rows of a key.
	afterKey = "\x00\x02"
)

func escapeKey(key string) string { return strings.ReplaceAll(key, "\x00", escaped) }

// cutKey splits what follows the bucket into the key and the rest.
func cutKey(row []byte) (key string, rest []byte, ok bool) {
	at := 0
	for {
		nul := bytes.IndexByte(row[at:], 0)
		if nul < 0 || at+nul+1 >= len(row) {
			return "", nil, false
		}
		at += nul + 2
		switch row[at-1] {
		case terminator[1]:
			return strings.ReplaceAll(string(row[:at-2]), escaped, "\x00"), row[at:], true
		case escaped[1]:
		default:
			return "", nil, false
		}
	}
}

func currentKey(bucket, key string) []byte { return []byte(bucket + "\x00" + key) }

func bucketSpace(bucket string) []byte { return []byte(bucket + "\x00") }

// versionsOf is what the row keys of all versions of a key begin with.
func versionsOf(bucket, key string) []byte {
	return []byte(bucket + "\x00" + escapeKey(key) + terminator)
}

// versionKey sorts the highest sequence number first.
func versionKey(bucket, key string, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(versionsOf(bucket, key), ^seq)
}

const seqSize = 8

func seqOf(rest []byte) (uint64, bool) {
	if len(rest) != seqSize {
		return 0, false
	}
	return ^binary.BigEndian.Uint64(rest), true
}

// stamp makes an id of a version or of an upload: a number that orders it, and
// enough randomness that nobody guesses it.
type stamp [stampSize]byte

const (
	stampSize   = 24
	stampRandom = stampSize - seqSize
)

// The text of a stamp sorts as the stamp does, which markers of uploads rely on.
var stampText = base32.HexEncoding.WithPadding(base32.NoPadding)

func newStamp(seq uint64, random [stampRandom]byte) stamp {
	var s stamp
	binary.BigEndian.PutUint64(s[:], seq)
	copy(s[seqSize:], random[:])
	return s
}

func (s stamp) String() string { return stampText.EncodeToString(s[:]) }

func (s stamp) seq() uint64 { return binary.BigEndian.Uint64(s[:]) }

func parseStamp(text string) (stamp, bool) {
	var s stamp
	if len(text) != stampText.EncodedLen(stampSize) {
		return s, false
	}
	raw, err := stampText.DecodeString(text)
	if err != nil || len(raw) != stampSize {
		return s, false
	}
	copy(s[:], raw)
	// Of the bits that the last letter leaves over all but one text are refused.
	return s, s.String() == text
}

func (s *Storage) random() (random [stampRandom]byte, err error) {
	if _, err := io.ReadFull(s.rand, random[:]); err != nil {
		return random, fmt.Errorf("draw id: %w", err)
	}
	return random, nil
}

// nextSeq is the sequence number of a version that comes after one of number
// last: the time, so that a number does not come back after its version was
// deleted, unless the clock went backwards.
func nextSeq(last uint64, now time.Time) uint64 {
	return max(last+1, uint64(max(now.UnixMicro(), 0)))
}

func uploadKey(bucket, key string, id stamp) []byte {
	return append(versionsOf(bucket, key), id[:]...)
}

func partKey(id stamp, number int) []byte {
	return binary.BigEndian.AppendUint16(bytes.Clone(id[:]), uint16(number))
}

func partNumber(row []byte) (int, bool) {
	if len(row) != stampSize+2 {
		return 0, false
	}
	return int(binary.BigEndian.Uint16(row[stampSize:])), true
}

// chunkKey is the row of a part of the list of a content.
func chunkKey(id segment.ID, chunk int) []byte {
	return binary.BigEndian.AppendUint32(bytes.Clone(id[:]), uint32(chunk))
}
