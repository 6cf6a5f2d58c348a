package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/outcrop/outcrop/internal/durable"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/image/flight"
)

// Limits bound one code zip.
type Limits struct {
	// Zip is the size of the archive in bytes.
	Zip int64
	// Unzipped is the size of all files together in bytes.
	Unzipped int64
	// Entries counts files, links and directories, those included that only
	// appear as the parent of another.
	Entries int
}

// MaxZip and MaxUnzipped are AWS's limits for direct code (spec/runtime.md 2.3),
// in bytes.
const (
	MaxZip      = 250 << 20
	MaxUnzipped = 750 << 20
)

// DefaultLimits are AWS's sizes and a number of entries that the largest trees
// of Python packages stay far below.
func DefaultLimits() Limits {
	return Limits{Zip: MaxZip, Unzipped: MaxUnzipped, Entries: 200_000}
}

// Code is an unpacked code zip, held so that Prune leaves it alone.
type Code struct {
	// Dir is the directory to show the guest at sandbox.CodePath.
	Dir string
	// Digest is "sha256:" and the hash of the zip in hexadecimal.
	Digest string
	// Size is the number of bytes of all files, unzipped.
	Size int64
	// Files is the number of files and links.
	Files int
	// Fit is how it was made to run here, after Cache.Fit.
	Fit *Fit

	release func()
}

// Release gives the hold up; the directory may be pruned from then on. It is
// idempotent.
func (c *Code) Release() {
	if c.release != nil {
		c.release()
	}
}

// Cache is a directory of unpacked code zips, one subdirectory for each digest.
// One process owns it. Its methods may be called concurrently.
type Cache struct {
	dir    string
	limits Limits

	mu      sync.Mutex
	holds   map[string]int // by digest
	flights flight.Group   // digests being unpacked or pruned now
}

const (
	digestPrefix = "sha256:"
	taskName     = "task"          // the code, beneath an entry of the cache
	manifestName = "manifest.json" // beside it
	tmpPrefix    = "tmp-"
)

// manifest is what the cache remembers of a zip. Its presence says that the
// entry is complete: it is written before the entry gets its name.
type manifest struct {
	Format int    `json:"format"`
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
	Files  int    `json:"files"`
}

const manifestFormat = 1

// NewCache opens the cache in dir, makes the directory (mode 0700) when it is not
// there, and removes what a killed process left half unpacked.
func NewCache(dir string, limits Limits) (*Cache, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open code cache: %w", err)
	}
	for _, d := range []string{dir, filepath.Join(dir, "sha256"), filepath.Join(dir, fittedName), filepath.Join(dir, "python")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("open code cache: %w", err)
		}
		entries, err := os.ReadDir(d)
		if err != nil {
			return nil, fmt.Errorf("open code cache: %w", err)
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), tmpPrefix) {
				continue
			}
			if err := os.RemoveAll(filepath.Join(d, e.Name())); err != nil {
				return nil, fmt.Errorf("clean code cache: %w", err)
			}
		}
	}
	return &Cache{dir: dir, limits: limits, holds: map[string]int{}}, nil
}

// Open returns the code with that digest. The error matches fs.ErrNotExist when
// the cache has none.
func (c *Cache) Open(digest string) (*Code, error) {
	hash, err := parseDigest(digest)
	if err != nil {
		return nil, fmt.Errorf("open code %s: %w", digest, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open(digest, hash)
}

// open needs c.mu, so that no Prune comes between the look and the hold.
func (c *Cache) open(digest, hash string) (*Code, error) {
	m, err := c.readManifest(digest, hash)
	if err != nil {
		return nil, fmt.Errorf("open code %s: %w", digest, err)
	}
	c.holds[digest]++
	c.touch(hash)
	release := sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.touch(hash)
		if c.holds[digest]--; c.holds[digest] == 0 {
			delete(c.holds, digest)
		}
	})
	dir := filepath.Join(c.dir, "sha256", hash, taskName)
	return &Code{Dir: dir, Digest: digest, Size: m.Size, Files: m.Files, release: release}, nil
}

func (c *Cache) readManifest(digest, hash string) (manifest, error) {
	var m manifest
	text, err := os.ReadFile(c.manifestPath(hash))
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("read manifest: %w", err)
	}
	if m.Format != manifestFormat || m.Digest != digest {
		return m, fmt.Errorf("manifest is of format %d and digest %s: %w", m.Format, m.Digest, fs.ErrNotExist)
	}
	return m, nil
}

// Unpack checks the zip of size bytes and unpacks it, or returns at once what is
// there already. An empty digest is computed; a given one must be the zip's. The
// caller releases the Code.
//
// Files come out 0444, or 0555 when the zip marks them executable for anybody;
// directories 0755; owners, set-id and sticky bits are dropped. So a file that its
// zip marks unreadable, which AWS lets fail at run time, becomes readable: zips
// written on Windows or by Python's writestr carry such modes by accident.
//
// A refusal is a fault.Error that names the entry, the rule and the way out; any
// other error is the host's.
func (c *Cache) Unpack(ctx context.Context, zip io.ReaderAt, size int64, digest string) (*Code, error) {
	if size > c.limits.Zip {
		return nil, fault.Validation("The code zip has %s; the limit is %s. Leave out what the agent does not need at run time.", bytesText(size), bytesText(c.limits.Zip))
	}
	if digest != "" {
		if _, err := parseDigest(digest); err != nil {
			return nil, fmt.Errorf("unpack code zip: %w", err)
		}
		if code, err := c.Open(digest); err == nil {
			return code, nil
		}
	}
	hash, err := hashZip(ctx, zip, size)
	if err != nil {
		return nil, fmt.Errorf("unpack code zip: %w", err)
	}
	if digest != "" && digest != digestPrefix+hash {
		return nil, fault.Validation("The code zip's SHA-256 is %s, not %s as it was when it was accepted: it was replaced or damaged. Create a new version from the object as it is now.", hash, strings.TrimPrefix(digest, digestPrefix))
	}
	digest = digestPrefix + hash

	land, err := c.flights.TakeOff(ctx, digest)
	if err != nil {
		return nil, fmt.Errorf("unpack code %s: %w", digest, err)
	}
	defer land()
	c.mu.Lock()
	code, err := c.open(digest, hash)
	c.mu.Unlock()
	if err == nil {
		return code, nil
	}
	if err := c.unpack(ctx, zip, size, digest, hash); err != nil {
		return nil, fmt.Errorf("unpack code %s: %w", digest, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open(digest, hash)
}

// unpack writes the entry under a temporary name and renames it once everything
// is on disk, so that a crash leaves either all of it or nothing.
func (c *Cache) unpack(ctx context.Context, zip io.ReaderAt, size int64, digest, hash string) error {
	plan, err := readArchive(zip, size, c.limits)
	if err != nil {
		return err
	}
	parent := filepath.Join(c.dir, "sha256")
	tmp, err := os.MkdirTemp(parent, tmpPrefix)
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp) // after the rename there is nothing left to remove
	task := filepath.Join(tmp, taskName)
	if err := os.Mkdir(task, 0o755); err != nil {
		return err
	}
	if err := os.Chmod(task, 0o755); err != nil { // whatever the umask
		return err
	}
	if err := plan.extract(ctx, zip, task); err != nil {
		return err
	}
	text, err := json.Marshal(manifest{Format: manifestFormat, Digest: digest, Size: plan.size, Files: plan.files})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(tmp, manifestName), append(text, '\n'), 0o444); err != nil {
		return err
	}
	return publish(tmp, filepath.Join(parent, hash))
}

// publish makes tmp durable and gives it its final name; an entry of another
// format that is in the way is removed.
func publish(tmp, final string) error {
	if err := durable.Tree(tmp); err != nil {
		return err
	}
	if err := os.RemoveAll(final); err != nil {
		return err
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if err := os.Rename(tmp, final); err != nil {
		return err
	}
	return durable.Dir(filepath.Dir(final))
}

// Pruned says what Prune removed.
type Pruned struct {
	Digests []string
	Bytes   int64 // unzipped
}

// Prune removes those of the unpacked zips that nobody holds and that used, which
// is called once, does not name. What is not there already is passed over. From
// before the call of used to the removal none of them is unpacked; so whoever
// makes a new use of a zip known before releasing it keeps it.
func (c *Cache) Prune(ctx context.Context, digests []string, used func() (map[string]bool, error)) (Pruned, error) {
	var done Pruned
	wanted := slices.Compact(slices.Sorted(slices.Values(digests))) // one order: two of us never wait for each other
	for _, digest := range wanted {
		if _, err := parseDigest(digest); err != nil {
			return done, fmt.Errorf("prune code cache: %w", err)
		}
		land, err := c.flights.TakeOff(ctx, digest)
		if err != nil {
			return done, fmt.Errorf("prune code %s: %w", digest, err)
		}
		defer land()
	}
	free := slices.DeleteFunc(wanted, c.held) // whoever still holds one may be about to use it
	if len(free) == 0 {
		return done, nil
	}
	inUse, err := used()
	if err != nil {
		return done, fmt.Errorf("prune code cache: %w", err)
	}
	gone, err := os.MkdirTemp(filepath.Join(c.dir, "sha256"), tmpPrefix)
	if err != nil {
		return done, fmt.Errorf("prune code cache: %w", err)
	}
	for _, digest := range free {
		if inUse[digest] {
			continue
		}
		if err = c.discard(digest, gone, &done); err != nil {
			err = fmt.Errorf("prune code %s: %w", digest, err)
			break
		}
	}
	return done, errors.Join(err, os.RemoveAll(gone))
}

func (c *Cache) held(digest string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.holds[digest] > 0
}

// discard moves an entry out of sight, into gone, unless somebody holds it: a
// crash in the middle of a removal must not leave half of it under its own name.
func (c *Cache) discard(digest, gone string, done *Pruned) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.holds[digest] > 0 {
		return nil
	}
	hash := strings.TrimPrefix(digest, digestPrefix)
	m, _ := c.readManifest(digest, hash) // one that cannot be read has no size
	m.Size += c.fittedSize(hash)
	fitted, err := c.discardFitted(hash, gone)
	if err != nil {
		return err
	}
	err = os.Rename(filepath.Join(c.dir, "sha256", hash), filepath.Join(gone, hash))
	if errors.Is(err, fs.ErrNotExist) {
		if err = nil; !fitted {
			return nil
		}
	}
	if err == nil {
		done.Digests, done.Bytes = append(done.Digests, digest), done.Bytes+m.Size
	}
	return err
}

func parseDigest(digest string) (hash string, err error) {
	hash, ok := strings.CutPrefix(digest, digestPrefix)
	if b, err := hex.DecodeString(hash); !ok || err != nil || len(b) != sha256.Size || hash != strings.ToLower(hash) {
		return "", fmt.Errorf("%q is not sha256: and 64 lower-case hexadecimal digits", digest)
	}
	return hash, nil
}

// DigestOf computes the digest of a zip of size bytes.
func DigestOf(ctx context.Context, zip io.ReaderAt, size int64) (string, error) {
	hash, err := hashZip(ctx, zip, size)
	return digestPrefix + hash, err
}

func hashZip(ctx context.Context, zip io.ReaderAt, size int64) (string, error) {
	h := sha256.New()
	n, err := io.CopyBuffer(h, io.NewSectionReader(ctxReaderAt{ctx, zip}, 0, size), make([]byte, 1<<20))
	if err != nil {
		return "", fmt.Errorf("read code zip: %w", err)
	}
	if n != size {
		return "", fmt.Errorf("read code zip: %w after %d of %d bytes", io.ErrUnexpectedEOF, n, size)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// ctxReaderAt ends the reading of a large zip when its caller has gone.
type ctxReaderAt struct {
	ctx context.Context
	r   io.ReaderAt
}

func (r ctxReaderAt) ReadAt(p []byte, off int64) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.ReadAt(p, off)
}

// bytesText writes a size for a person: whole bytes below one MiB.
func bytesText(n int64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/(1<<20))
}
