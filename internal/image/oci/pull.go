package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"github.com/outcrop/outcrop/internal/fault"
)

// Progress tells how far a pull is.
type Progress struct {
	Layers, LayersDone int
	Bytes, BytesDone   int64 // of what is fetched, compressed
}

// PullOptions are those of one pull.
type PullOptions struct {
	Credentials Credentials
	// Progress is called as layers come, by one goroutine at a time, about every
	// MiB. Nil is fine.
	Progress func(Progress)
}

// Resolved is what a reference stands for in its registry.
type Resolved struct {
	// Pinned is the reference by its digest, which may be an index's: a tag that
	// moves later changes nothing.
	Pinned string
	// Platforms are those that it is built for, such as linux/arm64.
	Platforms []string
}

// Resolve asks the registry what a reference stands for. The image must be one for
// this machine. Nothing is fetched but manifests and the configuration.
func (s *Store) Resolve(ctx context.Context, reference string, c Credentials) (Resolved, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.cfg.Timeout, errSlow)
	defer cancel()
	f, err := s.resolve(ctx, reference, c)
	if err != nil {
		return Resolved{}, fmt.Errorf("resolve image: %w", err)
	}
	_, config, err := s.config(ctx, f)
	if err != nil {
		return Resolved{}, fmt.Errorf("resolve image: %w", err)
	}
	r := Resolved{Pinned: f.pinned, Platforms: f.platforms}
	if r.Platforms == nil {
		r.Platforms = []string{config.Platform}
	}
	return r, nil
}

// Repository returns the registry and the repository that a reference names, as Local is
// asked for them. Its refusal is a fault.Error.
func (s *Store) Repository(reference string) (host, repository string, err error) {
	ref, err := s.registries.parse(reference)
	if err != nil {
		return "", "", err
	}
	return ref.Context().RegistryStr(), ref.Context().RepositoryStr(), nil
}

// found is an image in a registry.
type found struct {
	client   *client
	name     string // as it was asked for
	pinned   string
	top      v1.Hash // of what the reference stands for: an index or the manifest
	digest   v1.Hash // of the manifest
	manifest *v1.Manifest
	// platforms are those of the index; nil where there is none.
	platforms []string
}

func (s *Store) resolve(ctx context.Context, reference string, c Credentials) (*found, error) {
	ref, err := s.registries.parse(reference)
	if err != nil {
		return nil, err
	}
	client, err := s.registries.open(ctx, ref, c)
	if err != nil {
		return nil, err
	}
	d, err := client.manifest(ctx, ref)
	if err != nil {
		return nil, err
	}
	f := &found{client: client, name: ref.String(), top: d.Digest, pinned: ref.Context().Digest(d.Digest.String()).String()}
	if d.MediaType.IsIndex() {
		index, err := v1.ParseIndexManifest(bytes.NewReader(d.Manifest))
		if err != nil {
			return nil, fault.Validation("The image %s is damaged: its index is no JSON of OCI's form. Push it again.", ref).Because(err)
		}
		f.platforms = platformsOf(index)
		child, err := s.platform.choose(ref.String(), index)
		if err != nil {
			return nil, err
		}
		if d, err = client.manifest(ctx, ref.Context().Digest(child.Digest.String())); err != nil {
			return nil, err
		}
	}
	if !d.MediaType.IsImage() {
		return nil, fault.Validation("The image %s is of media type %s, and only OCI and Docker schema 2 images can be run. Build it again with a current builder.", ref, quote(string(d.MediaType)))
	}
	if f.manifest, err = v1.ParseManifest(bytes.NewReader(d.Manifest)); err != nil {
		return nil, fault.Validation("The image %s is damaged: its manifest is no JSON of OCI's form. Push it again.", ref).Because(err)
	}
	f.digest = d.Digest
	return f, s.check(f)
}

// dockerZstd is what Docker's builder calls such layers in its own manifests.
const dockerZstd = "application/vnd.docker.image.rootfs.diff.tar.zstd"

// check refuses what cannot be pulled, before anything is.
func (s *Store) check(f *found) error {
	if len(f.manifest.Layers) > s.cfg.Limits.Layers {
		return fault.Validation("The image %s has %d layers; the limit is %d.", f.name, len(f.manifest.Layers), s.cfg.Limits.Layers)
	}
	var size int64
	for _, l := range f.manifest.Layers {
		media := string(l.MediaType)
		if !l.MediaType.IsLayer() && media != string(types.OCILayerZStd) && media != dockerZstd || strings.Contains(media, "nondistributable") || strings.Contains(media, "foreign") || strings.Contains(media, "encrypted") {
			return fault.Validation("The image %s has a layer of media type %s, which cannot be unpacked here.", f.name, quote(media))
		}
		if l.Size < 0 || l.Size > s.cfg.Limits.Compressed-size {
			return fault.Validation("The image %s has more than %s in its registry; that is the limit. Leave out what the agent does not need at run time.", f.name, bytesText(s.cfg.Limits.Compressed))
		}
		size += l.Size
	}
	return nil
}

// Pull fetches and unpacks what a reference stands for, or returns at once what
// is there already: a reference with a digest is not asked for again. Layers that
// were fetched stay when the rest fails, so that trying again goes on there. The
// caller releases the Image.
//
// A refusal is a fault.Error that says what to do; any other error is the host's.
func (s *Store) Pull(ctx context.Context, reference string, o PullOptions) (*Image, error) {
	ref, err := s.registries.parse(reference)
	if err != nil {
		return nil, fmt.Errorf("pull image: %w", err)
	}
	if d, ok := ref.(name.Digest); ok {
		if i, err := s.Open(d.DigestStr()); err == nil {
			return i, nil
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.cfg.Timeout, fmt.Errorf("it takes longer than %v", s.cfg.Timeout))
	defer cancel()
	f, err := s.resolve(ctx, reference, o.Credentials)
	if err != nil {
		return nil, fmt.Errorf("pull image %s: %w", ref, err)
	}
	i, err := s.pull(ctx, f, o.Progress)
	if err != nil {
		return nil, fmt.Errorf("pull image %s: %w", ref, err)
	}
	return i, nil
}

func (s *Store) pull(ctx context.Context, f *found, progress func(Progress)) (*Image, error) {
	digest := f.digest.String()
	land, err := s.flights.TakeOff(ctx, digest)
	if err != nil {
		return nil, err
	}
	defer land()
	if err := s.pin(f.top.String(), digest); err != nil {
		return nil, err
	}
	s.mu.Lock()
	i, err := s.open(digest)
	s.mu.Unlock()
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return i, err
	}
	file, config, err := s.config(ctx, f)
	if err != nil {
		return nil, err
	}
	if len(file.RootFS.DiffIDs) != len(f.manifest.Layers) {
		return nil, fault.Validation("The image %s is damaged: its manifest lists %d layers, its configuration %d. Push it again.", f.name, len(f.manifest.Layers), len(file.RootFS.DiffIDs))
	}
	record := imageRecord{Format: imageFormat, Owners: s.cfg.Owners, Digest: digest, Reference: f.pinned, Config: config}
	for _, d := range file.RootFS.DiffIDs {
		record.Layers = append(record.Layers, d.String())
	}
	release := s.hold(record.Layers)
	defer release()
	b := &budget{limits: s.cfg.Limits}
	if err := s.fetch(ctx, f, file.RootFS.DiffIDs, b, newMeter(f.manifest.Layers, progress)); err != nil {
		return nil, err
	}
	if err := s.compose(record); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open(digest)
}

// config fetches the configuration of an image, which must be one for this machine.
func (s *Store) config(ctx context.Context, f *found) (*v1.ConfigFile, Config, error) {
	raw, err := f.client.readAll(ctx, f.manifest.Config)
	if err != nil {
		return nil, Config{}, err
	}
	file, config, err := parseConfig(raw)
	if err != nil {
		return nil, Config{}, err
	}
	if s.platform.rank(file.Platform()) < 0 {
		return nil, Config{}, s.platform.refuse(f.name, []string{config.Platform})
	}
	return file, config, nil
}

// pin remembers which image a digest stands for.
func (s *Store) pin(top, digest string) error {
	path := s.path(pinsName, top)
	if old, err := os.ReadFile(path); err == nil && string(old) == digest {
		return nil
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), tmpPrefix)
	if err != nil {
		return err
	}
	_, err = tmp.WriteString(digest)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		os.Remove(tmp.Name())
	}
	return err
}

// fetch makes all layers, some at once.
func (s *Store) fetch(ctx context.Context, f *found, diffIDs []v1.Hash, b *budget, m *meter) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelJobs)
	for i, l := range f.manifest.Layers {
		group.Go(func() error {
			if err := s.layer(ctx, f.client, l, diffIDs[i], b, func(n int64) { m.at(i, n) }); err != nil {
				return fmt.Errorf("layer %d: %w", i+1, err)
			}
			m.done(i)
			return nil
		})
	}
	return group.Wait()
}

// layer makes one layer, unless it is there.
func (s *Store) layer(ctx context.Context, c *client, d v1.Descriptor, diffID v1.Hash, b *budget, progress func(int64)) error {
	land, err := s.flights.TakeOff(ctx, diffID.String())
	if err != nil {
		return err
	}
	defer land()
	l, err := s.readIndex(diffID.String(), false)
	if err == nil {
		return b.stored(l)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return s.make(layersName, diffID.String(), func(dir string) error {
		source, err := c.blob(ctx, d, progress)
		if err != nil {
			return err
		}
		defer source.Close()
		l, err := s.unpack(ctx, source, diffID, filepath.Join(dir, filesName), b)
		if err != nil {
			if source.err != nil { // what the archive's reader made of a broken connection
				return source.err
			}
			return err
		}
		return l.write(filepath.Join(dir, indexName))
	})
}

// unpack writes a layer's contents into files, which it makes, and returns its
// index. All of the source is read and all of it must be what the digests say.
func (s *Store) unpack(ctx context.Context, source io.Reader, diffID v1.Hash, files string, b *budget) (*layerIndex, error) {
	if err := os.Mkdir(files, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(files)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	sum, err := v1.Hasher(diffID.Algorithm)
	if err != nil {
		return nil, fault.Validation("The image is refused: a layer's digest is %s, of a kind that nobody computes.", quote(diffID.String()))
	}
	plain, err := plainTar(source)
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	bounded := &boundedReader{r: plain, left: s.cfg.Limits.Layer}
	all := io.TeeReader(bounded, sum)
	x := newExtraction(root, s.cfg.Owners, b)
	if err := x.read(ctx, all); err != nil {
		if bounded.left < 0 {
			return nil, bounded.refuse(s.cfg.Limits.Layer)
		}
		return nil, err
	}
	// What comes after an archive's end belongs to the digests too.
	if _, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{all}, x.buf); err != nil {
		if bounded.left < 0 {
			return nil, bounded.refuse(s.cfg.Limits.Layer)
		}
		return nil, damaged(err)
	}
	if _, err := io.Copy(io.Discard, source); err != nil {
		return nil, err
	}
	if got := fmt.Sprintf("%x", sum.Sum(nil)); got != diffID.Hex {
		return nil, fault.Validation("The image is damaged: a layer has the digest %s unpacked, and its configuration says %s. Push it again.", got, diffID.Hex)
	}
	head := layerHead{Format: indexFormat, Owners: s.cfg.Owners, Size: x.size, Skipped: x.skipped}
	return &layerIndex{layerHead: head, entries: x.entries}, nil
}

// boundedReader ends a stream that has more than it may.
type boundedReader struct {
	r    io.Reader
	left int64 // below 0 once there was more
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

func (*boundedReader) refuse(limit int64) error {
	return fault.Validation("The image has a layer of more than %s uncompressed; that is the limit. Leave out what the agent does not need at run time.", bytesText(limit))
}

// compose makes the image of its layers.
func (s *Store) compose(r imageRecord) error {
	t := newTree()
	var contents []string
	for i, d := range r.Layers {
		l, err := s.readIndex(d, false)
		if err != nil {
			return err
		}
		if err := t.apply(i, l.entries); err != nil {
			return err
		}
		r.Skipped += l.Skipped
		contents = append(contents, filepath.Join(s.path(layersName, d), filesName))
	}
	u, err := lookup(t, contents, r.Config.User)
	if err != nil {
		return err
	}
	r.UID, r.GID, r.Home = u.UID, u.GID, u.Home
	counted := map[*node]bool{} // files with several names
	err = t.walk(func(_ string, n *node) error {
		r.Files++
		if !counted[n] {
			r.Size += n.Size
		}
		if n.names > 1 {
			counted[n] = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.make(imagesName, r.Digest, func(dir string) error {
		if err := build(t, filepath.Join(dir, rootName), contents, s.cfg.Owners); err != nil {
			return err
		}
		if !s.cfg.Owners {
			r.Overlay = true
			if r.Left, err = writeOverlay(t, filepath.Join(dir, overlayName), contents); err != nil {
				return err
			}
		}
		return writeJSON(filepath.Join(dir, imageName), r)
	})
}

// A meter adds up what layers report.
type meter struct {
	report func(Progress)

	mu    sync.Mutex
	sizes []int64
	have  []int64
	now   Progress
	told  int64
}

func newMeter(layers []v1.Descriptor, report func(Progress)) *meter {
	m := &meter{report: report, have: make([]int64, len(layers)), now: Progress{Layers: len(layers)}}
	for _, l := range layers {
		m.sizes = append(m.sizes, l.Size)
		m.now.Bytes += l.Size
	}
	return m
}

func (m *meter) at(layer int, n int64) {
	const step = 1 << 20
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now.BytesDone += n - m.have[layer]
	m.have[layer] = n
	if m.report != nil && m.now.BytesDone-m.told >= step {
		m.told = m.now.BytesDone
		m.report(m.now)
	}
}

func (m *meter) done(layer int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now.BytesDone += m.sizes[layer] - m.have[layer]
	m.have[layer] = m.sizes[layer]
	m.now.LayersDone++
	m.told = m.now.BytesDone
	if m.report != nil {
		m.report(m.now)
	}
}
