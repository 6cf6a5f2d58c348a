package oci

import (
	"bufio"
	"cmp"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/outcrop/outcrop/internal/durable"
	"github.com/outcrop/outcrop/internal/image/flight"
)

// StoreConfig is what a Store needs.
type StoreConfig struct {
	// Dir is a directory of the store's own, made when it is missing. Users of
	// other uids may have to reach the images in it: sandboxes do not.
	Dir string
	// Owners says that the files of an image keep their owners on disk, which
	// takes root's privileges, here and in the sandbox engine
	// (sandbox.Capabilities.Owners). Otherwise all belong to whom the server
	// runs as, and Image.Overlay tells the sandbox what they do not say.
	Owners bool
	// Limits bound each image; the zero value means DefaultLimits.
	Limits Limits
	// Registry is how registries are reached.
	Registry RegistryConfig
	// Local are the registries of this process, or nil.
	Local Local
	// Timeout bounds a pull; zero means an hour.
	Timeout time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// A Store is a directory of unpacked images. One process owns it. Its methods
// may be called concurrently.
//
//	layers/DIGEST/   one uncompressed layer by its diff id: files/, index
//	images/DIGEST/   one image by its manifest: root/, overlay.tar, image.json
//	pins/DIGEST      the image that an index, or a manifest, stands for here
//
// What has its name is whole and on disk: it was made under a temporary one.
type Store struct {
	cfg        StoreConfig
	platform   platform
	registries *registries

	mu      sync.Mutex
	images  map[string]int // holds of images by digest
	layers  map[string]int // holds of layers by diff id
	flights flight.Group   // what is being made now
}

const (
	tmpPrefix    = "tmp-"
	filesName    = "files"
	indexName    = "index"
	rootName     = "root"
	overlayName  = "overlay.tar"
	imageName    = "image.json"
	layersName   = "layers"
	imagesName   = "images"
	pinsName     = "pins"
	indexFormat  = 1
	imageFormat  = 1
	parallelJobs = 3
)

// What refusals of images may be told by (errors.Is), besides their text.
var (
	// ErrMissing: the registry has no such image.
	ErrMissing = errors.New("no such image")
	// ErrDenied: the registry does not let us have it.
	ErrDenied = errors.New("the registry denies the image")
	// ErrPlatform: it is built for other machines.
	ErrPlatform = errors.New("the image is for another platform")
)

// layerHead begins a layer's index; the entries follow it.
type layerHead struct {
	Format  int
	Owners  bool
	Size    int64 // bytes of all contents
	Skipped int   // devices, pipes and sockets
}

// layerIndex is what a layer's archive says, without contents.
type layerIndex struct {
	layerHead
	entries []entry
}

// imageRecord is what the store remembers of an image.
type imageRecord struct {
	Format    int      `json:"format"`
	Owners    bool     `json:"owners"`
	Digest    string   `json:"digest"`
	Reference string   `json:"reference"`
	Layers    []string `json:"layers"` // diff ids
	Config    Config   `json:"config"`
	UID       uint32   `json:"uid"`
	GID       uint32   `json:"gid"`
	Home      string   `json:"home"`
	Size      int64    `json:"size"`
	Files     int      `json:"files"`
	Skipped   int      `json:"skipped,omitempty"`
	Left      int      `json:"left,omitempty"`
	Overlay   bool     `json:"overlay,omitempty"`
}

// An Image is an unpacked image, held so that Prune leaves it alone.
type Image struct {
	// Root is for sandbox.Spec.Root, Overlay for Spec.Overlay (empty for none).
	Root, Overlay string
	// Digest is that of the manifest for this machine's platform; Reference
	// pins what was asked for by its digest, which may be an index's.
	Digest, Reference string
	Config            Config
	User              User
	// Size is the number of bytes of all files, Files how many files, links and
	// directories there are.
	Size  int64
	Files int
	// Skipped counts devices, pipes and sockets, which are left out.
	Skipped int
	// Left counts files of other owners than root that the guest sees as root's,
	// readable to all, because Overlay cannot hold them.
	Left int

	release func()
}

// Release gives the hold up; the image may be pruned from then on. It is
// idempotent.
func (i *Image) Release() { i.release() }

// NewStore opens the store, and removes what a killed process left half made.
func NewStore(cfg StoreConfig) (*Store, error) {
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("open image store: %w", err)
	}
	cfg.Dir = dir
	if cfg.Limits == (Limits{}) {
		cfg.Limits = DefaultLimits()
	}
	cfg.Timeout = cmp.Or(cfg.Timeout, time.Hour)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	for _, name := range []string{"", layersName, imagesName, pinsName} {
		d := filepath.Join(dir, name)
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("open image store: %w", err)
		}
		entries, err := os.ReadDir(d)
		if err != nil {
			return nil, fmt.Errorf("open image store: %w", err)
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), tmpPrefix) {
				continue
			}
			if err := os.RemoveAll(filepath.Join(d, e.Name())); err != nil {
				return nil, fmt.Errorf("clean image store: %w", err)
			}
		}
	}
	return &Store{
		cfg: cfg, platform: hostPlatform(), registries: newRegistries(cfg.Registry, cfg.Local),
		images: map[string]int{}, layers: map[string]int{},
	}, nil
}

// Close ends idle connections to registries. Images stay as they are.
func (s *Store) Close() { s.registries.close() }

// Open returns the image with that digest, or that stands for the index with that
// digest. The error matches fs.ErrNotExist when the store has none.
func (s *Store) Open(digest string) (*Image, error) {
	if _, err := v1.NewHash(digest); err != nil {
		return nil, fmt.Errorf("open image %s: %w", quote(digest), err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if pinned, err := os.ReadFile(s.path(pinsName, digest)); err == nil {
		if _, err := v1.NewHash(string(pinned)); err == nil {
			digest = string(pinned)
		}
	}
	return s.open(digest)
}

// open needs s.mu, so that no Prune comes between the look and the hold.
func (s *Store) open(digest string) (*Image, error) {
	r, err := s.record(digest)
	if err != nil {
		return nil, fmt.Errorf("open image %s: %w", digest, err)
	}
	dir := s.path(imagesName, digest)
	s.images[digest]++
	s.touch(digest)
	i := &Image{
		Root: filepath.Join(dir, rootName), Digest: digest, Reference: r.Reference, Config: r.Config,
		User: User{UID: r.UID, GID: r.GID, Home: r.Home}, Size: r.Size, Files: r.Files, Skipped: r.Skipped, Left: r.Left,
	}
	if r.Overlay {
		i.Overlay = filepath.Join(dir, overlayName)
	}
	i.release = sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.touch(digest)
		drop(s.images, digest)
	})
	return i, nil
}

// touch remembers when an image was last used: Prune asks.
func (s *Store) touch(digest string) {
	now := s.cfg.Now()
	_ = os.Chtimes(filepath.Join(s.path(imagesName, digest), imageName), now, now) // a little too old is no harm
}

func (s *Store) record(digest string) (imageRecord, error) {
	var r imageRecord
	text, err := os.ReadFile(filepath.Join(s.path(imagesName, digest), imageName))
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("read image record: %w", err)
	}
	if r.Format != imageFormat || r.Digest != digest || r.Owners != s.cfg.Owners {
		return r, fmt.Errorf("image was unpacked by other rules: %w", fs.ErrNotExist)
	}
	return r, nil
}

// path is where something with a digest is kept.
func (s *Store) path(kind, digest string) string {
	return filepath.Join(s.cfg.Dir, kind, strings.Replace(digest, ":", "-", 1))
}

// hold keeps layers from being pruned until release is called.
func (s *Store) hold(diffIDs []string) (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range diffIDs {
		s.layers[d]++
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, d := range diffIDs {
			drop(s.layers, d)
		}
	}
}

func drop(holds map[string]int, key string) {
	if holds[key]--; holds[key] <= 0 {
		delete(holds, key)
	}
}

// readIndex reads a layer's index; of its head alone where that is enough.
func (s *Store) readIndex(diffID string, headOnly bool) (*layerIndex, error) {
	file, err := os.Open(filepath.Join(s.path(layersName, diffID), indexName))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	l := new(layerIndex)
	d := gob.NewDecoder(bufio.NewReader(file))
	if err := d.Decode(&l.layerHead); err != nil {
		return nil, fmt.Errorf("read index of layer %s: %w", diffID, err)
	}
	if l.Format != indexFormat || l.Owners != s.cfg.Owners {
		return nil, fmt.Errorf("layer %s was unpacked by other rules: %w", diffID, fs.ErrNotExist)
	}
	if headOnly {
		return l, nil
	}
	if err := d.Decode(&l.entries); err != nil {
		return nil, fmt.Errorf("read index of layer %s: %w", diffID, err)
	}
	return l, nil
}

// write writes an index.
func (l *layerIndex) write(path string) (err error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	w := bufio.NewWriter(file)
	e := gob.NewEncoder(w)
	return errors.Join(e.Encode(l.layerHead), e.Encode(l.entries), w.Flush())
}

// make fills a new directory of a kind and gives it the digest's name once all
// of it is on disk, so that a crash leaves all of it or nothing.
func (s *Store) make(kind, digest string, fill func(dir string) error) error {
	parent := filepath.Join(s.cfg.Dir, kind)
	tmp, err := os.MkdirTemp(parent, tmpPrefix)
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp) // after the rename there is nothing left to remove
	if err := fill(tmp); err != nil {
		return err
	}
	if err := durable.Tree(tmp); err != nil {
		return err
	}
	final := s.path(kind, digest)
	if err := os.RemoveAll(final); err != nil { // of another format
		return err
	}
	if err := os.Rename(tmp, final); err != nil {
		return err
	}
	return durable.Dir(parent)
}

// writeJSON writes a small file.
func writeJSON(path string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o600)
}
