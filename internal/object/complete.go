package object

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/object/checksum"
	"github.com/outcrop/outcrop/internal/object/segment"
	"github.com/outcrop/outcrop/internal/store"
)

// CompletedPart is a part as the one who completes an upload names it.
type CompletedPart struct {
	Number int
	ETag   string
	// Checksum is what the checksum of the part must be, in base64; empty is not
	// checked.
	Checksum string
}

// Complete tells how an upload becomes an object.
type Complete struct {
	Parts []CompletedPart
	// Checksum is what the checksum of the object must be, in base64 with or
	// without the number of parts; empty is not checked.
	Checksum string
	// Type is what the type of that checksum must be; empty is not checked.
	Type checksum.Type
	// Size is what the object's size must be, or -1.
	Size int64
	// OnlyIf makes the write conditional.
	OnlyIf WriteCondition
}

// CompleteUpload makes an object of the parts that are named, in their order,
// and drops the others. No byte is moved. Completing the same upload again, while
// the object is still the newest version, gives the same answer.
//
// Errors: NoSuchUpload, InvalidPart, InvalidPartOrder, EntityTooSmall,
// EntityTooLarge, InvalidRequest, BadDigest, PreconditionFailed, NoSuchKey
// (If-Match), MalformedXML (no parts at all, S3's answer).
func (s *Storage) CompleteUpload(ctx context.Context, id ID, uploadID string, c Complete) (Info, error) {
	info, err := s.completeUpload(ctx, id, uploadID, c)
	return info, failed(err, "complete upload of %s", id)
}

func (s *Storage) completeUpload(ctx context.Context, id ID, uploadID string, c Complete) (info Info, err error) {
	if err := id.check(); err != nil {
		return info, err
	}
	if err := c.check(uploadID); err != nil {
		return info, err
	}
	random, err := s.random()
	if err != nil {
		return info, err
	}
	list, err := segment.NewID(s.rand)
	if err != nil {
		return info, err
	}
	err = s.store.Update(ctx, func(tx store.Tx) error {
		b, u, st, err := readUpload(tx, id, uploadID)
		if fault.Is(err, "NoSuchUpload") {
			if done, ok := completedBefore(tx, b, id.Key, uploadID, c.Parts); ok {
				info = done
				return nil
			}
		}
		if err != nil {
			return err
		}
		if err := c.OnlyIf.check(tx, id.Bucket, id.Key); err != nil {
			return err
		}
		a, err := assemble(tx, uploadID, st, u, c)
		if err != nil {
			return err
		}
		if err := a.take(tx, st, list); err != nil {
			return err
		}
		if err := tx.DeleteRow(tableUpload, uploadKey(id.Bucket, id.Key, st)); err != nil {
			return err
		}
		v := a.version
		v.Content, v.Metadata, v.Tags, v.Upload = list, u.Metadata, u.Tags, uploadID
		v, err = publish(tx, b, id.Key, v, random)
		info = v.info(b, id.Key)
		return err
	})
	if err == nil {
		s.wake()
	}
	return info, err
}

// check tests what needs no look at the parts.
func (c *Complete) check(uploadID string) error {
	if len(c.Parts) == 0 || len(c.Parts) > MaxParts {
		return malformedXML()
	}
	for i, p := range c.Parts {
		if err := checkPartNumber(p.Number); err != nil {
			return err
		}
		if i > 0 && p.Number <= c.Parts[i-1].Number {
			return invalidPartOrder(uploadID)
		}
	}
	return nil
}

// completedBefore finds what an upload that is gone has become.
func completedBefore(r store.Reader, b Bucket, key, uploadID string, parts []CompletedPart) (Info, bool) {
	v, ok, err := newestVersion(r, b.Name, key)
	if err != nil || !ok || v.Marker || v.Upload != uploadID {
		return Info{}, false
	}
	sums := make([][]byte, 0, len(parts))
	for _, p := range parts {
		sum, err := hex.DecodeString(strings.Trim(p.ETag, `"`))
		if err != nil {
			return Info{}, false
		}
		sums = append(sums, sum)
	}
	return v.info(b, key), multipartETag(sums) == v.ETag
}

// multipartETag is the MD5 of the MD5s of the parts, a hyphen and their number.
func multipartETag(sums [][]byte) string {
	whole := md5.Sum(bytes.Join(sums, nil))
	return hex.EncodeToString(whole[:]) + "-" + strconv.Itoa(len(sums))
}

// assembly is the object that parts make.
type assembly struct {
	version version
	members []member
	others  bool // the upload has parts that were not named
}

// assemble finds the named parts and checks what is claimed of them.
func assemble(tx store.Tx, uploadID string, st stamp, u upload, c Complete) (assembly, error) {
	var a assembly
	stored := map[int]part{}
	for row, err := range tx.Rows(tablePart, store.Prefix(st[:])) {
		if err != nil {
			return a, err
		}
		number, ok := partNumber(row.Key)
		var p part
		if err := json.Unmarshal(row.Value, &p); err != nil || !ok {
			return a, fmt.Errorf("decode part of upload %s: %w", uploadID, errDamaged)
		}
		stored[number] = p
	}
	var etags [][]byte
	var sums []checksum.Part
	for i, named := range c.Parts {
		p, ok := stored[named.Number]
		if !ok || strings.Trim(named.ETag, `"`) != hex.EncodeToString(p.MD5) ||
			named.Checksum != "" && named.Checksum != checksum.Encode(p.Sum) {
			return a, invalidPart(uploadID, named)
		}
		if i < len(c.Parts)-1 && p.Size < MinPartSize {
			return a, entityTooSmall(named, p.Size)
		}
		a.version.Size += p.Size
		etags = append(etags, p.MD5)
		sums = append(sums, checksum.Part{Sum: p.Sum, Size: p.Size})
		a.members = append(a.members, member{id: p.Content, size: p.Size, number: named.Number, sum: p.Sum})
	}
	a.others = len(stored) > len(c.Parts)
	a.version.ETag, a.version.Parts = multipartETag(etags), len(c.Parts)
	if err := c.checkSize(a.version.Size); err != nil {
		return a, err
	}
	sum, err := checksum.Of(u.Algorithm, u.Type, sums)
	if err != nil {
		return a, fmt.Errorf("sum up upload %s: %w", uploadID, err)
	}
	a.version.Checksum = Checksum{Algorithm: u.Algorithm, Type: u.Type, Value: checksum.Encode(sum)}
	if u.Type == checksum.Composite {
		a.version.Checksum.Value = checksum.EncodeComposite(sum, len(sums))
	}
	return a, c.checkSum(u, checksum.Encode(sum))
}

func (c *Complete) checkSize(size int64) error {
	if size > MaxObjectSize {
		return entityTooLarge(size, MaxObjectSize)
	}
	if c.Size >= 0 && c.Size != size {
		return invalidRequest("The provided 'x-amz-mp-object-size' header value %d does not match what was computed: %d", c.Size, size)
	}
	return nil
}

func (c *Complete) checkSum(u upload, sum string) error {
	if c.Type != "" && c.Type != u.Type {
		return invalidRequest("The upload was created using the %s checksum mode. The complete request must use the same checksum mode.", u.Type)
	}
	if c.Checksum != "" && checksum.TrimParts(c.Checksum) != sum {
		return badChecksum(u.Algorithm)
	}
	return nil
}

// take moves the parts from the upload to the list with that id.
func (a *assembly) take(tx store.Tx, st stamp, list segment.ID) error {
	if err := writeList(tx, list, a.members); err != nil {
		return err
	}
	if !a.others {
		_, err := tx.DeleteRows(tablePart, store.Prefix(st[:]))
		return err
	}
	for _, m := range a.members {
		if err := tx.DeleteRow(tablePart, partKey(st, m.number)); err != nil {
			return err
		}
	}
	return addGarbage(tx, garbageUpload, st[:])
}
