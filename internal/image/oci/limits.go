package oci

import (
	"fmt"
	"sync"

	"github.com/outcrop/outcrop/internal/fault"
)

// Limits bound one image.
type Limits struct {
	// Compressed is what all layers have together in the registry, in bytes.
	Compressed int64
	// Layer is what one layer's archive has uncompressed, in bytes.
	Layer int64
	// Unpacked is what all files of all layers have together, in bytes.
	Unpacked int64
	// Entries counts what all layers list together.
	Entries int
	// Layers counts layers.
	Layers int
}

// DefaultLimits are above AWS's 2 GB for an agent's image (its service quotas) by
// what images of GPU frameworks have.
func DefaultLimits() Limits {
	return Limits{Compressed: 8 << 30, Layer: 16 << 30, Unpacked: 24 << 30, Entries: 1_000_000, Layers: 256}
}

// A budget is what an image may still take. It is used by all its layers at once.
type budget struct {
	limits Limits

	mu      sync.Mutex
	size    int64
	entries int
	names   int // bytes
}

// maxNames bounds the paths and links of an image together, in bytes: they are
// kept in memory while it is composed, and compress so well that little of them
// is needed in a registry. Large images have some ten MiB.
const maxNames = 128 << 20

func (b *budget) bytes(name string, n int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n < 0 || n > b.limits.Unpacked-b.size {
		return fault.Validation("The image has more than %s unpacked (entry %s reaches it); that is the limit. Leave out what the agent does not need at run time.", bytesText(b.limits.Unpacked), quote(name))
	}
	b.size += n
	return nil
}

func (b *budget) entry(e *entry) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	name := e.Path
	if b.names += len(e.Path) + len(e.Link); b.names > maxNames {
		return fault.Validation("The image is refused: the names in its layers have more than %s together (%s reaches it).", bytesText(maxNames), quote(name))
	}
	if b.entries++; b.entries > b.limits.Entries {
		return fault.Validation("The image's layers list more than %d entries (%s reaches it); that is the limit. Leave out caches and development packages.", b.limits.Entries, quote(name))
	}
	return nil
}

// stored counts a layer that is there already.
func (b *budget) stored(l *layerIndex) error {
	if err := b.bytes("a layer", l.Size); err != nil {
		return err
	}
	for i := range l.entries {
		if err := b.entry(&l.entries[i]); err != nil {
			return err
		}
	}
	return nil
}

// refuse says why an entry of a layer is not taken.
func refuse(name, rule string) error {
	return fault.Validation("The image is refused: entry %s of a layer %s. Build the image again with a current builder.", quote(name), rule)
}

// damaged says that a layer cannot be read.
func damaged(cause error) error {
	return fault.Validation("The image is damaged: a layer is no complete tar archive, or not compressed as it says. Push it again.").Because(cause)
}

// quote makes a hostile name fit for a message.
func quote(name string) string {
	const limit = 120
	if len(name) > limit {
		return fmt.Sprintf("%q...", name[:limit])
	}
	return fmt.Sprintf("%q", name)
}

// bytesText writes a size for a person.
func bytesText(n int64) string {
	switch {
	case n < 1<<20:
		return fmt.Sprintf("%d bytes", n)
	case n < 1<<30:
		return fmt.Sprintf("%.1f MB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f GB", float64(n)/(1<<30))
}
