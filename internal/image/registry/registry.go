// Package registry keeps container images: repositories of an account and region,
// the manifests, tags and layers in them, and the uploads that bring these. It has
// the rules of ECR and of the OCI distribution specification and knows no wire;
// the ECR front, the registry's protocol and whoever runs images use it.
//
// # Where things are
//
// The store holds all that is small in ordered rows (rowkey.go). Bytes of layers,
// and of manifests over 16 KiB, are in segments as those of objects are. A blob
// has its bytes once, however many repositories have it: it is found by its digest
// and counts the repositories' links and manifests that need it. A repository sees
// the blobs that it has a link to and no others. The link counts the manifests of
// the repository that name the blob; one that none names is loose, and goes with
// Grace, which is the time that a client has between a layer and its manifest.
//
// # Crashes
//
// Everything becomes visible in one transaction, after its bytes were synced: a
// manifest with its tag and all its references, a layer with the end of its
// upload. What an upload has acknowledged so far is in its row: the segment, the
// length and the state of the digest, so that it goes on after a restart. What was
// given up stands in the same transaction as garbage, for Run to remove.
//
// # Errors
//
// What a caller may be told is a *fault.Error with ECR's code and text.
package registry

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/object/segment"
	"github.com/outcrop/outcrop/internal/store"
)

// The limits. Those of layers, tags and resource tags are ECR's.
const (
	// MaxManifest is in bytes (OCI distribution 1.1 asks for no less).
	MaxManifest = 4 << 20
	// MaxBlob is in bytes.
	MaxBlob = 52_000 << 20
	// MaxReferences counts the layers, or the images, that a manifest names.
	MaxReferences = 4096
	// MaxTagLength is in bytes (OCI distribution 1.1).
	MaxTagLength = 128
	// MaxResourceTags counts the tags of a repository, which are not its images'.
	MaxResourceTags = 50
)

const (
	// UploadLife is how long an upload may be idle before it is given up.
	UploadLife = 24 * time.Hour
	// Grace is how long a layer stays that no manifest of its repository names.
	Grace = 24 * time.Hour
)

// Config is what a Storage is made of.
type Config struct {
	// Dir is the directory of the segments. It belongs to the Storage alone.
	Dir string
	// Store holds everything else. Its clock is the clock of the Storage.
	Store store.Store
	// Rand makes ids; nil is crypto/rand.
	Rand io.Reader
	// Log tells of work in the background that failed; nil discards.
	Log *slog.Logger
}

// Storage is the registries of all accounts and regions. It is safe for
// concurrent use.
type Storage struct {
	store    store.Store
	segments *segment.Dir
	rand     io.Reader
	log      *slog.Logger
	buffers  sync.Pool
	kick     chan struct{} // holds one: there is garbage

	mu   sync.Mutex
	busy map[uploadID]bool // uploads that somebody writes to
}

// New opens the storage and removes what writes of a killed process have left.
func New(ctx context.Context, c Config) (*Storage, error) {
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	segments, err := segment.Open(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("open image registry: %w", err)
	}
	s := &Storage{
		store: c.Store, segments: segments, rand: c.Rand, log: c.Log,
		kick: make(chan struct{}, 1), busy: map[uploadID]bool{},
	}
	s.buffers.New = func() any { return new([bufferSize]byte) }
	if err := s.recover(ctx); err != nil {
		return nil, fmt.Errorf("open image registry: %w", err)
	}
	return s, nil
}

// wrapped is err as "verb noun id: cause"; refusals stay what they are.
func wrapped(err error, verb string, n Name) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", verb, n, err)
}
