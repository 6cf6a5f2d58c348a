package oci

import (
	"runtime"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/cpu"

	"github.com/outcrop/outcrop/internal/fault"
)

// platform is what images must be built for: Linux, this processor, and the
// variants of it that this machine runs, best first.
type platform struct {
	arch     string
	variants []string
}

// hostPlatform is this machine's.
func hostPlatform() platform {
	p := platform{arch: runtime.GOARCH, variants: []string{""}}
	switch p.arch {
	case "amd64": // the x86-64 ABI's microarchitecture levels
		x := cpu.X86
		p.variants = []string{"", "v1"}
		if x.HasSSE3 && x.HasSSSE3 && x.HasSSE41 && x.HasSSE42 && x.HasPOPCNT {
			p.variants = slices.Insert(p.variants, 0, "v2")
			if x.HasAVX && x.HasAVX2 && x.HasBMI1 && x.HasBMI2 && x.HasFMA {
				p.variants = slices.Insert(p.variants, 0, "v3")
			}
		}
	case "arm64":
		p.variants = []string{"v8", ""}
	}
	return p
}

func (p platform) String() string { return "linux/" + p.arch }

// rank says how well an image fits, 0 best, or -1 when it does not run.
func (p platform) rank(of *v1.Platform) int {
	if of == nil || of.OS != "linux" || of.Architecture != p.arch {
		return -1
	}
	return slices.Index(p.variants, of.Variant)
}

// choose finds the manifest of an index that fits best.
func (p platform) choose(reference string, index *v1.IndexManifest) (v1.Descriptor, error) {
	best, at := -1, -1
	for i, d := range index.Manifests {
		if r := p.rank(d.Platform); r >= 0 && (best < 0 || r < best) {
			best, at = r, i
		}
	}
	if at < 0 {
		return v1.Descriptor{}, p.refuse(reference, platformsOf(index))
	}
	return index.Manifests[at], nil
}

// platformsOf are what an index has images for.
func platformsOf(index *v1.IndexManifest) []string {
	have := []string{}
	for _, d := range index.Manifests {
		if d.Platform != nil && d.Platform.OS != "unknown" { // builders' attestations
			have = append(have, platformText(*d.Platform))
		}
	}
	return have
}

func (p platform) refuse(reference string, have []string) error {
	slices.Sort(have)
	have = slices.Compact(have)
	if len(have) == 0 {
		have = []string{"no platform at all"}
	}
	const most = 20
	if len(have) > most {
		have = append(have[:most], "others")
	}
	return fault.Validation("The image %s is built for %s, and this machine runs %s. Build it with --platform %[3]s, or for both.", reference, strings.Join(have, ", "), p).Because(ErrPlatform)
}

func platformText(p v1.Platform) string {
	text := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		text += "/" + p.Variant
	}
	const limit = 60
	text = text[:min(len(text), limit)]
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
}
