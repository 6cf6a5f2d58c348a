package app

import (
	"cmp"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"github.com/outcrop/outcrop/internal/image/oci"
)

// ImageConfig says which container images are run. The zero value is good.
type ImageConfig struct {
	// MaxBytes bounds one image in its registry, in bytes; 0 is DefaultImageBytes.
	MaxBytes int64
	// Registry is the path of a docker configuration with credentials of registries,
	// or empty.
	Registry string
	// Private and Insecure are registries of oci.RegistryConfig.
	Private, Insecure []string
}

const (
	// DefaultImageBytes is AWS's bound (spec/runtime.md 14).
	DefaultImageBytes = 2 << 30
	// unpackedRatio is how much larger than in its registry an image may be on the
	// disk: what compresses better is a bomb.
	unpackedRatio = 5
	// pullTimeout is shorter than a work item may take, so that whoever waits is told
	// what took so long.
	pullTimeout = 14 * time.Minute
)

// openImages opens the store of images that are run. Those of our own registry are
// read where they lie.
func (s *Server) openImages(local oci.Local) (*oci.Store, error) {
	c := s.cfg.Images
	limits := oci.DefaultLimits()
	limits.Compressed = cmp.Or(c.MaxBytes, DefaultImageBytes)
	limits.Layer, limits.Unpacked = unpackedRatio*limits.Compressed, unpackedRatio*limits.Compressed
	images, err := oci.NewStore(oci.StoreConfig{
		Dir: filepath.Join(s.cfg.DataDir, "images"), Owners: s.engine.Capabilities().Owners, Limits: limits, Timeout: pullTimeout, Local: local,
		Registry: oci.RegistryConfig{
			DockerConfig: c.Registry, Insecure: c.Insecure, Private: slices.Concat(c.Private, proxies()), Proxy: http.ProxyFromEnvironment,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("open images: %w", err)
	}
	s.closers = append(s.closers, func() error { images.Close(); return nil })
	return images, nil
}

// proxies are the hosts of this process's proxies, which are in private networks more
// often than not.
func proxies() []string {
	var hosts []string
	for _, url := range []string{"http://registry.example", "https://registry.example"} {
		r, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			continue
		}
		if at, err := http.ProxyFromEnvironment(r); err == nil && at != nil {
			hosts = append(hosts, at.Host)
		}
	}
	return hosts
}
