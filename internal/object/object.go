// Package object is durable object storage with the rules of S3: buckets,
// objects and their versions, multipart uploads, listings. It is a leaf and knows
// no wire; the S3 front and every service that reads or writes objects use it.
//
// # Where things are
//
// The store holds all that is small in ordered rows (rowkey.go): a row for each
// version, a lean row for each object a listing shows, rows for uploads and
// parts. Bytes are in immutable segments (package segment), or, up to 16 KiB, in
// a row of their own. A content (content.go) joins versions and bytes and is
// counted, so that a copy moves no bytes; the content of a multipart object is
// the list of its parts, so that completing one moves none either.
//
// # Crashes
//
// Every change becomes visible in one transaction, after its bytes have been
// synced. A process that dies leaves the old object or the new one, and at most
// files that nobody names: New removes those of writes that were under way, and
// what was given up by a transaction is written down as garbage in that same
// transaction, for Run to remove.
//
// # Errors
//
// What the caller may be told is a *fault.Error with S3's code, status and text.
// A full disk is one of them and matches store.ErrFull.
package object

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/auth/pin"
	"github.com/outcrop/outcrop/internal/object/checksum"
	"github.com/outcrop/outcrop/internal/object/segment"
	"github.com/outcrop/outcrop/internal/store"
)

// The limits of S3, in bytes where they measure length.
const (
	MaxObjectSize   = 5 << 40
	MaxPutSize      = 5 << 30
	MaxCopySize     = 5 << 30
	MinPartSize     = 5 << 20 // the last part may be smaller
	MaxParts        = 10_000
	MaxKeyLength    = 1024
	MaxUserMetadata = 2 << 10
	MaxPage         = 1000
)

// UploadLife is how long a multipart upload may be idle before it is aborted.
// S3 keeps them for ever; a machine with one disk cannot.
const UploadLife = 7 * 24 * time.Hour

// Config is what a Storage is made of.
type Config struct {
	// Dir is the directory of the segments. It belongs to the Storage alone.
	Dir string
	// Store holds everything else. Its clock is the clock of the Storage.
	Store store.Store
	// Rand makes version and upload ids; nil is crypto/rand.
	Rand io.Reader
	// Log tells of work in the background that failed; nil discards.
	Log *slog.Logger
}

// Storage is the object storage. It is safe for concurrent use.
type Storage struct {
	store    store.Store
	segments *segment.Dir
	rand     io.Reader
	log      *slog.Logger
	buffers  sync.Pool
	pins     *pins
	kick     chan struct{} // holds one: there is garbage
}

// New opens the storage and removes what writes of a killed process have left.
// The removal of garbage waits for Run.
func New(ctx context.Context, c Config) (*Storage, error) {
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	segments, err := segment.Open(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("open object storage: %w", err)
	}
	s := &Storage{
		store:    c.Store,
		segments: segments,
		rand:     c.Rand,
		log:      c.Log,
		kick:     make(chan struct{}, 1),
	}
	s.buffers.New = func() any { return new([bufferSize]byte) }
	s.pins = newPins(s.wake)
	if err := s.recover(ctx); err != nil {
		return nil, fmt.Errorf("open object storage: %w", err)
	}
	return s, nil
}

// ID names an object.
type ID struct {
	// Account is the twelve digits of the caller's account.
	Account string
	Bucket  string
	Key     string
}

// Versioning is the versioning state of a bucket.
type Versioning string

// A bucket never comes back to Unversioned.
const (
	Unversioned Versioning = ""
	Enabled     Versioning = "Enabled"
	Suspended   Versioning = "Suspended"
)

// NullVersion is the version id of what was written while versioning was not
// enabled.
const NullVersion = "null"

// Bucket is a bucket.
type Bucket struct {
	Name       string
	Account    string
	Region     string
	Created    time.Time
	Versioning Versioning
	Tags       Tags
	// PublicAccess and Ownership are nil where they were removed.
	PublicAccess *PublicAccessBlock
	Ownership    *Ownership
	Lifecycle    []LifecycleRule
	// Policy is empty where there is none.
	Policy string
	Pins   pin.Pins
}

// Metadata is what a writer says about an object and a reader is told again,
// uninterpreted.
type Metadata struct {
	ContentType        string `json:"contentType,omitempty"`
	ContentEncoding    string `json:"contentEncoding,omitempty"`
	ContentDisposition string `json:"contentDisposition,omitempty"`
	ContentLanguage    string `json:"contentLanguage,omitempty"`
	CacheControl       string `json:"cacheControl,omitempty"`
	// Expires is the text of the header, which need not be a date.
	Expires string `json:"expires,omitempty"`
	// StorageClass is STANDARD; empty is the same.
	StorageClass string `json:"storageClass,omitempty"`
	// User is the user metadata, by lower-case name without prefix.
	User map[string]string `json:"user,omitempty"`
}

// Checksum is a checksum that is kept with an object.
type Checksum struct {
	Algorithm checksum.Algorithm `json:"algorithm,omitempty"`
	Type      checksum.Type      `json:"type,omitempty"`
	// Value is base64; that of a Composite ends in "-" and the number of parts.
	Value string `json:"value,omitempty"`
}

// Info describes one version of an object.
type Info struct {
	Bucket, Key string
	// VersionID is empty in a bucket that never had versioning.
	VersionID string
	Modified  time.Time
	Size      int64
	// ETag has no quotes.
	ETag     string
	Checksum Checksum
	// Parts is the number of parts of a multipart object, or 0.
	Parts    int
	Metadata Metadata
	Tags     Tags
}

// DeleteMarker is in the error chain when a delete marker is what was found:
// NoSuchKey without a version id, MethodNotAllowed with one.
type DeleteMarker struct {
	VersionID string
	Modified  time.Time
}

func (d *DeleteMarker) Error() string { return "version " + d.VersionID + " is a delete marker" }
