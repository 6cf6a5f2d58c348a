package registry

import (
	"mime"
	"strings"

	"github.com/go-json-experiment/json"
)

// The media types of manifests that are kept. Docker's schema 1 is not: nobody
// makes it any more, and its digest is not that of its bytes.
const (
	TypeOCIManifest    = "application/vnd.oci.image.manifest.v1+json"
	TypeOCIIndex       = "application/vnd.oci.image.index.v1+json"
	TypeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	TypeDockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// IsIndex reports whether a media type is that of a list of manifests.
func IsIndex(mediaType string) bool { return mediaType == TypeOCIIndex || mediaType == TypeDockerList }

func isManifest(mediaType string) bool {
	return IsIndex(mediaType) || mediaType == TypeOCIManifest || mediaType == TypeDockerManifest
}

// descriptor is a reference of a manifest.
type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
}

// parsed is a manifest as its JSON has it.
type parsed struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	ArtifactType  string            `json:"artifactType"`
	Config        *descriptor       `json:"config"`
	Layers        []descriptor      `json:"layers"`
	Manifests     []descriptor      `json:"manifests"`
	Subject       *descriptor       `json:"subject"`
	Annotations   map[string]string `json:"annotations"`
}

// reference is a checked descriptor.
type reference struct {
	digest Digest
	size   int64
}

// manifest is what a manifest says, checked.
type manifest struct {
	mediaType, artifactType string
	annotations             map[string]string
	// blobs are the configuration and the layers, each once, but for layers that
	// are kept elsewhere; children the manifests of an index.
	blobs, children []reference
	subject         Digest
	size            int64 // of all that it names
}

// parseManifest reads a manifest. mediaType is what its sender calls it, or empty.
// JSON that two readers could understand in two ways is refused: a name twice,
// layers beside manifests, another media type inside than outside.
func parseManifest(mediaType string, raw []byte) (*manifest, error) {
	if len(raw) > MaxManifest {
		return nil, manifestTooBig(len(raw))
	}
	var p parsed
	if err := json.Unmarshal(raw, &p); err != nil {
		return nil, invalidManifest("it is no JSON of the right form").Because(err)
	}
	outside, _, err := mime.ParseMediaType(mediaType)
	if mediaType != "" && err != nil {
		return nil, invalidManifest("'%s' is no media type", clip(mediaType))
	}
	m := &manifest{mediaType: outside, artifactType: p.ArtifactType, annotations: p.Annotations}
	switch {
	case m.mediaType == "":
		m.mediaType = p.MediaType
	case p.MediaType != "" && p.MediaType != m.mediaType:
		return nil, invalidManifest("it says that it is '%s' and is sent as '%s'", clip(p.MediaType), clip(m.mediaType))
	}
	switch {
	case !isManifest(m.mediaType):
		return nil, invalidManifest("its media type '%s' is not kept here; OCI manifests and indexes are, and Docker's of schema 2", clip(m.mediaType))
	case p.SchemaVersion != 2:
		return nil, invalidManifest("its schemaVersion is %d and not 2", p.SchemaVersion)
	case IsIndex(m.mediaType) && (p.Config != nil || p.Layers != nil):
		return nil, invalidManifest("it is an index and has layers")
	case !IsIndex(m.mediaType) && p.Manifests != nil:
		return nil, invalidManifest("it is an image and has manifests")
	case !IsIndex(m.mediaType) && p.Config == nil:
		return nil, invalidManifest("it has no config")
	case len(p.Layers)+len(p.Manifests) > MaxReferences:
		return nil, invalidManifest("it names %d others; the limit is %d", len(p.Layers)+len(p.Manifests), MaxReferences)
	}
	if p.Subject != nil {
		subject, err := p.Subject.check()
		if err != nil {
			return nil, err
		}
		m.subject = subject.digest
	}
	if m.artifactType == "" && p.Config != nil { // OCI distribution 1.1, "Listing Referrers"
		m.artifactType = p.Config.MediaType
	}
	return m, m.collect(&p)
}

// collect fills in what the manifest names.
func (m *manifest) collect(p *parsed) error {
	blobs := p.Layers
	if p.Config != nil {
		blobs = append([]descriptor{*p.Config}, blobs...)
	}
	seen := map[Digest]int64{}
	add := func(to *[]reference, list []descriptor) error {
		for i := range list {
			r, err := list[i].check()
			if err != nil {
				return err
			}
			size, again := seen[r.digest]
			if again && size != r.size {
				return invalidManifest("it gives %s two sizes", r.digest)
			}
			m.size += r.size
			if seen[r.digest] = r.size; !again && !list[i].elsewhere() {
				*to = append(*to, r)
			}
		}
		return nil
	}
	if err := add(&m.blobs, blobs); err != nil {
		return err
	}
	return add(&m.children, p.Manifests)
}

// elsewhere reports whether a layer is one that registries do not keep.
func (d *descriptor) elsewhere() bool {
	return strings.Contains(d.MediaType, ".nondistributable.") || strings.Contains(d.MediaType, ".foreign.")
}

func (d *descriptor) check() (reference, error) {
	digest, err := ParseDigest(d.Digest)
	if err != nil {
		return reference{}, invalidManifest("it names '%s', which is no digest that is kept here", clip(d.Digest))
	}
	if d.Size < 0 || d.Size > MaxBlob {
		return reference{}, invalidManifest("it gives %s %d bytes; the limit is %d", digest, d.Size, int64(MaxBlob))
	}
	return reference{digest, d.Size}, nil
}
