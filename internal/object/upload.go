package object

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/object/checksum"
	"github.com/outcrop/outcrop/internal/object/segment"
	"github.com/outcrop/outcrop/internal/store"
)

// NewUpload is what a multipart upload begins with.
type NewUpload struct {
	Metadata Metadata
	Tags     Tags
	// Algorithm is the checksum to keep; empty is checksum.Default.
	Algorithm checksum.Algorithm
	// Type is empty for the algorithm's own default.
	Type checksum.Type
}

// Upload is a multipart upload under way.
type Upload struct {
	Key       string
	ID        string
	Initiated time.Time
	Algorithm checksum.Algorithm
	Type      checksum.Type
}

// UploadedPart is a part of an upload.
type UploadedPart struct {
	Number   int
	Size     int64
	ETag     string
	Modified time.Time
	// Checksum is base64 in the upload's algorithm.
	Checksum string
}

// upload is the row of an upload; its key and id are the row's key.
type upload struct {
	Account   string             `json:"account"`
	Initiated time.Time          `json:"initiated"`
	Algorithm checksum.Algorithm `json:"algorithm"`
	Type      checksum.Type      `json:"type"`
	Metadata  Metadata           `json:"metadata,omitzero"`
	Tags      Tags               `json:"tags,omitempty"`
}

func (u upload) upload(key string, id stamp) Upload {
	return Upload{Key: key, ID: id.String(), Initiated: u.Initiated, Algorithm: u.Algorithm, Type: u.Type}
}

// part is the row of a part.
type part struct {
	Size     int64      `json:"size"`
	MD5      []byte     `json:"md5"`
	Sum      []byte     `json:"sum"`
	Modified time.Time  `json:"modified"`
	Content  segment.ID `json:"content"`
}

func (p part) uploaded(number int) UploadedPart {
	return UploadedPart{
		Number: number, Size: p.Size, ETag: hex.EncodeToString(p.MD5),
		Modified: p.Modified, Checksum: checksum.Encode(p.Sum),
	}
}

// CreateUpload begins a multipart upload. Errors: those of Put that need no
// bytes.
func (s *Storage) CreateUpload(ctx context.Context, id ID, n NewUpload) (Upload, error) {
	u, err := s.createUpload(ctx, id, n)
	return u, failed(err, "create upload of %s", id)
}

func (s *Storage) createUpload(ctx context.Context, id ID, n NewUpload) (made Upload, err error) {
	if err := id.check(); err != nil {
		return made, err
	}
	if n.Metadata, err = n.Metadata.normalized(); err != nil {
		return made, err
	}
	if err := n.Tags.Check(MaxObjectTags); err != nil {
		return made, err
	}
	body := Body{Algorithm: n.Algorithm, Size: -1}
	if err := body.check(); err != nil {
		return made, err
	}
	u := upload{Account: id.Account, Algorithm: body.Algorithm, Type: n.Type, Metadata: n.Metadata, Tags: n.Tags}
	if u.Type == "" {
		u.Type = u.Algorithm.DefaultType()
	}
	if !u.Algorithm.Allows(u.Type) {
		return made, invalidRequest("The %s checksum type cannot be used with the %s checksum algorithm.", u.Type, lower(u.Algorithm))
	}
	random, err := s.random()
	if err != nil {
		return made, err
	}
	err = s.store.Update(ctx, func(tx store.Tx) error {
		if _, err := readBucket(tx, id.Account, id.Bucket); err != nil {
			return err
		}
		u.Initiated = tx.Now()
		stamp := newStamp(nextSeq(0, u.Initiated), random)
		row, err := json.Marshal(u)
		if err != nil {
			return fmt.Errorf("encode upload: %w", err)
		}
		made = u.upload(id.Key, stamp)
		return tx.PutRow(tableUpload, uploadKey(id.Bucket, id.Key, stamp), row)
	})
	return made, err
}

// readUpload returns an upload of the caller's bucket, or NoSuchUpload.
func readUpload(r store.Reader, id ID, uploadID string) (Bucket, upload, stamp, error) {
	b, err := readBucket(r, id.Account, id.Bucket)
	if err != nil {
		return b, upload{}, stamp{}, err
	}
	st, ok := parseStamp(uploadID)
	if !ok {
		return b, upload{}, st, noSuchUpload(uploadID)
	}
	row, err := r.Row(tableUpload, uploadKey(id.Bucket, id.Key, st))
	if errors.Is(err, store.ErrNotFound) {
		return b, upload{}, st, noSuchUpload(uploadID)
	}
	if err != nil {
		return b, upload{}, st, err
	}
	var u upload
	if err := json.Unmarshal(row, &u); err != nil {
		return b, u, st, fmt.Errorf("decode upload: %w", err)
	}
	return b, u, st, nil
}

func checkPartNumber(number int) error {
	if number < 1 || number > MaxParts {
		return invalidArgument("partNumber", strconv.Itoa(number), "Part number must be an integer between 1 and 10000, inclusive")
	}
	return nil
}

// UploadPart stores a part, in place of one that had its number. An empty
// body.Algorithm is the upload's. Errors: NoSuchUpload, InvalidArgument (number),
// InvalidRequest (another algorithm than the upload's), and those of Put for a
// body.
func (s *Storage) UploadPart(ctx context.Context, id ID, uploadID string, number int, body Body) (UploadedPart, error) {
	p, err := s.uploadPart(ctx, id, uploadID, number, body)
	return p, failed(err, "upload part %d of %s", number, id)
}

func (s *Storage) uploadPart(ctx context.Context, id ID, uploadID string, number int, body Body) (up UploadedPart, err error) {
	if err := id.check(); err != nil {
		return up, err
	}
	if err := checkPartNumber(number); err != nil {
		return up, err
	}
	err = s.store.View(ctx, func(r store.Reader) error {
		_, u, _, err := readUpload(r, id, uploadID)
		if err != nil {
			return err
		}
		if body.Algorithm != "" && body.Algorithm != u.Algorithm {
			return invalidRequest("Checksum Type mismatch occurred, expected checksum Type: %s, actual checksum Type: %s",
				lower(u.Algorithm), lower(body.Algorithm))
		}
		body.Algorithm = u.Algorithm
		return body.check()
	})
	if err != nil {
		return up, err
	}
	got, err := s.receive(ctx, body, alwaysFile)
	if err != nil {
		return up, err
	}
	defer func() { s.settle(ctx, got, err) }()
	err = s.store.Update(ctx, func(tx store.Tx) error {
		// It may have been completed or aborted while the bytes came.
		_, _, st, err := readUpload(tx, id, uploadID)
		if err != nil {
			return err
		}
		if err := dropPart(tx, partKey(st, number)); err != nil {
			return err
		}
		if err := got.insert(tx); err != nil {
			return err
		}
		p := part{Size: got.size, MD5: got.md5, Sum: got.sum, Modified: tx.Now(), Content: got.id}
		row, err := json.Marshal(p)
		if err != nil {
			return fmt.Errorf("encode part: %w", err)
		}
		up = p.uploaded(number)
		return tx.PutRow(tablePart, partKey(st, number), row)
	})
	if err == nil {
		s.wake() // of a part that was replaced
	}
	return up, err
}

// dropPart gives up the content of a part that is about to be replaced.
func dropPart(tx store.Tx, key []byte) error {
	row, err := tx.Row(tablePart, key)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	var old part
	if err := json.Unmarshal(row, &old); err != nil {
		return fmt.Errorf("decode part: %w", err)
	}
	return release(tx, old.Content)
}

// PartCopy tells what a part is copied from.
type PartCopy struct {
	Source        ID
	SourceVersion string
	If            ReadCondition
	// Offset and Length choose bytes of the source; a Length of -1 goes to its
	// end.
	Offset, Length int64
}

// UploadPartCopy stores a part that is a piece of an object. The bytes are read,
// for their digests, and written again. It returns the version they came from
// too. Errors: those of Head for the source, InvalidRange, and those of
// UploadPart.
func (s *Storage) UploadPartCopy(ctx context.Context, id ID, uploadID string, number int, c PartCopy) (UploadedPart, string, error) {
	source, err := s.Get(ctx, c.Source, c.SourceVersion, c.If)
	if fault.Is(err, "NotModified") {
		err = preconditionFailed("x-amz-copy-source-If-None-Match")
	}
	if err != nil {
		return UploadedPart{}, "", err
	}
	defer source.Close()
	if c.Length < 0 {
		c.Length = max(source.Size()-c.Offset, 0)
	}
	if c.Offset < 0 || c.Offset > source.Size() || c.Length > source.Size()-c.Offset {
		return UploadedPart{}, "", InvalidRange(fmt.Sprintf("bytes=%d-%d", c.Offset, c.Offset+c.Length-1), source.Size())
	}
	up, err := s.UploadPart(ctx, id, uploadID, number, Body{
		Reader: io.NewSectionReader(source, c.Offset, c.Length), Size: c.Length,
	})
	return up, source.Info().VersionID, err
}

// PartList is a page of the parts of an upload.
type PartList struct {
	Upload Upload
	Parts  []UploadedPart
	// Next is the number to continue after; 0 on the last page.
	Next int
}

// ListParts lists the parts of an upload whose number is greater than after, at
// most limit, no more than MaxPage. Errors: NoSuchUpload.
func (s *Storage) ListParts(ctx context.Context, id ID, uploadID string, after, limit int) (PartList, error) {
	var list PartList
	limit = min(limit, MaxPage)
	err := s.store.View(ctx, func(r store.Reader) error {
		_, u, st, err := readUpload(r, id, uploadID)
		if err != nil {
			return err
		}
		list = PartList{Upload: u.upload(id.Key, st)}
		if after < 0 || after >= MaxParts || limit <= 0 {
			return nil
		}
		rows := store.Range{From: partKey(st, after+1), To: store.PrefixEnd(st[:]), Limit: limit + 1}
		for row, err := range r.Rows(tablePart, rows) {
			if err != nil {
				return err
			}
			if len(list.Parts) == limit {
				list.Next = list.Parts[limit-1].Number
				return nil
			}
			number, ok := partNumber(row.Key)
			var p part
			if err := json.Unmarshal(row.Value, &p); err != nil || !ok {
				return fmt.Errorf("decode part: %w", errors.Join(err, errDamaged))
			}
			list.Parts = append(list.Parts, p.uploaded(number))
		}
		return nil
	})
	return list, failed(err, "list parts of %s", id)
}

// AbortUpload gives an upload up. Errors: NoSuchUpload.
func (s *Storage) AbortUpload(ctx context.Context, id ID, uploadID string) error {
	err := s.store.Update(ctx, func(tx store.Tx) error {
		_, _, st, err := readUpload(tx, id, uploadID)
		if err != nil {
			return err
		}
		return abandon(tx, uploadKey(id.Bucket, id.Key, st), st)
	})
	if err == nil {
		s.wake()
	}
	return failed(err, "abort upload of %s", id)
}

// abandon makes the parts of an upload garbage.
func abandon(tx store.Tx, row []byte, st stamp) error {
	if err := tx.DeleteRow(tableUpload, row); err != nil {
		return err
	}
	return addGarbage(tx, garbageUpload, st[:])
}

func abandonUploads(tx store.Tx, bucket string) error {
	for row, err := range tx.Rows(tableUpload, store.Prefix(bucketSpace(bucket))) {
		if err != nil {
			return err
		}
		if err := abandon(tx, row.Key, stampOf(row.Key)); err != nil {
			return err
		}
	}
	return nil
}

// stampOf is the stamp at the end of the row key of an upload.
func stampOf(row []byte) (st stamp) {
	copy(st[:], row[max(0, len(row)-stampSize):])
	return st
}

// ExpireUploads aborts uploads that have been idle for UploadLife: none of their
// parts is younger. Run calls it.
func (s *Storage) ExpireUploads(ctx context.Context) error {
	ctx = store.Freeing(ctx)
	var idle [][]byte
	err := s.store.View(ctx, func(r store.Reader) error {
		idle = nil
		before := r.Now().Add(-UploadLife)
		for row, err := range r.Rows(tableUpload, store.Range{}) {
			if err != nil {
				return err
			}
			old, err := idleSince(r, row, before)
			if err != nil {
				return err
			}
			if old {
				idle = append(idle, row.Key)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("look for idle uploads: %w", err)
	}
	for _, key := range idle {
		err := s.store.Update(ctx, func(tx store.Tx) error {
			value, err := tx.Row(tableUpload, key)
			if errors.Is(err, store.ErrNotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			old, err := idleSince(tx, store.Row{Key: key, Value: value}, tx.Now().Add(-UploadLife))
			if err != nil || !old {
				return err
			}
			return abandon(tx, key, stampOf(key))
		})
		if err != nil {
			return fmt.Errorf("abort idle upload: %w", err)
		}
	}
	if len(idle) > 0 {
		s.wake()
	}
	return nil
}

func idleSince(r store.Reader, row store.Row, before time.Time) (bool, error) {
	var u upload
	if err := json.Unmarshal(row.Value, &u); err != nil {
		return false, fmt.Errorf("decode upload: %w", err)
	}
	if u.Initiated.After(before) {
		return false, nil
	}
	st := stampOf(row.Key)
	for row, err := range r.Rows(tablePart, store.Prefix(st[:])) {
		if err != nil {
			return false, err
		}
		var p part
		if err := json.Unmarshal(row.Value, &p); err != nil {
			return false, fmt.Errorf("decode part: %w", err)
		}
		if p.Modified.After(before) {
			return false, nil
		}
	}
	return true, nil
}
