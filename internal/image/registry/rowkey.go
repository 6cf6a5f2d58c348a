package registry

import (
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/outcrop/outcrop/internal/object/segment"
	"github.com/outcrop/outcrop/internal/store"
)

// The tables. Rows of a repository begin with its uid, which no other repository
// ever had, so that what is left of a deleted one meets none that follows it.
const (
	// tableBlob has blobs by digest.
	tableBlob = "registry.blob"
	// tableLink has the blobs that a repository shows, by uid and digest.
	tableLink = "registry.link"
	// tableManifest has manifests, by uid and digest.
	tableManifest = "registry.manifest"
	// tableTag has tags by uid and name, tableTagged is the way back: by uid,
	// digest and tag, without values.
	tableTag    = "registry.tag"
	tableTagged = "registry.tagged"
	// tableParent has the indexes that name a manifest, by uid, its digest and
	// the index's; tableReferrer those whose subject it is, likewise.
	tableParent   = "registry.parent"
	tableReferrer = "registry.referrer"
	// tableUpload has uploads by id.
	tableUpload = "registry.upload"
	// tableSegment has the segments that a blob or an upload needs.
	tableSegment = "registry.segment"
	// tableGarbage names what Run shall remove, see collect.go.
	tableGarbage = "registry.garbage"
)

// uid is the identity of a repository in row keys.
type uid [16]byte

func (u uid) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(u[:])), nil }

func (u *uid) UnmarshalText(text []byte) error { return unhex(u[:], text) }

// uploadID names an upload. Nobody guesses it.
type uploadID [16]byte

// String is the id as ECR writes those of uploads, a UUID's form.
func (u uploadID) String() string {
	h := hex.EncodeToString(u[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

func parseUploadID(text string) (u uploadID, ok bool) {
	raw := make([]byte, 0, 2*len(u))
	for i := range len(text) {
		if text[i] != '-' {
			raw = append(raw, text[i])
		}
	}
	if unhex(u[:], raw) != nil {
		return u, false
	}
	return u, u.String() == text
}

func unhex(into, text []byte) error {
	if len(text) != hex.EncodedLen(len(into)) {
		return fmt.Errorf("parse id %q: not %d characters long", text, hex.EncodedLen(len(into)))
	}
	_, err := hex.Decode(into, text)
	return err
}

func (s *Storage) draw(into []byte) error {
	if _, err := io.ReadFull(s.rand, into); err != nil {
		return fmt.Errorf("draw id: %w", err)
	}
	return nil
}

// The values of rows.
type (
	blobRow struct {
		Size int64 `json:"size"`
		// Refs counts links and manifests, over all repositories.
		Refs    int64      `json:"refs"`
		Segment segment.ID `json:"segment,omitzero"`
		// Bytes are those of a small manifest, which has no segment.
		Bytes []byte `json:"bytes,omitempty"`
	}
	linkRow struct {
		// Refs counts the manifests of the repository that name the blob.
		Refs int64 `json:"refs"`
		// Since is when the link became loose, or was last asked for.
		Since time.Time `json:"since"`
	}
	manifestRow struct {
		MediaType    string    `json:"mediaType"`
		ArtifactType string    `json:"artifactType,omitempty"`
		Size         int64     `json:"size"`      // of the manifest
		ImageSize    int64     `json:"imageSize"` // of what it names
		Pushed       time.Time `json:"pushed"`
		Blobs        []Digest  `json:"blobs,omitempty"`
		Children     []Digest  `json:"children,omitempty"`
		Subject      Digest    `json:"subject,omitempty"`
	}
	tagRow struct {
		Digest Digest `json:"digest"`
	}
	uploadRow struct {
		Repository uid        `json:"repository"`
		Offset     int64      `json:"offset"`
		Sum        []byte     `json:"sum,omitempty"` // state of the digest after Offset
		Segment    segment.ID `json:"segment,omitzero"`
		Touched    time.Time  `json:"touched"`
	}
)

// read decodes a row into v. ok is false when there is none.
func read(r store.Reader, table string, key []byte, v any) (ok bool, err error) {
	raw, err := r.Row(table, key)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, v)
	}
	if err != nil {
		return false, fmt.Errorf("read row of %s: %w", table, err)
	}
	return true, nil
}

func write(tx store.Tx, table string, key []byte, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write row of %s: %w", table, err)
	}
	return tx.PutRow(table, key, raw)
}

// mark is the value of rows that say all in their key.
func mark() []byte { return []byte{1} }

// with is a row key: the uid of a repository and what follows.
func (u uid) with(parts ...[]byte) []byte {
	key := append(make([]byte, 0, len(u)+3*sha512.Size+MaxTagLength), u[:]...)
	for _, p := range parts {
		key = append(key, p...)
	}
	return key
}
