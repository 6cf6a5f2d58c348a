package app

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/aws/ecr/distribution"
	"github.com/outcrop/outcrop/internal/garbage"
	"github.com/outcrop/outcrop/internal/image/registry"
)

// openRegistry opens the image registry.
func (s *Server) openRegistry(ctx context.Context, f foundation) (*registry.Storage, error) {
	images, err := registry.New(ctx, registry.Config{Dir: filepath.Join(s.cfg.DataDir, "registry"), Store: f.store, Log: s.cfg.Log})
	if err != nil {
		return nil, err
	}
	s.background = append(s.background, images.Run)
	return images, nil
}

// front serves the registry's protocol at its paths, and API calls at all others.
func front(api http.Handler, images *registry.Storage, f foundation, a *auth.Authorizer, cfg Config) http.Handler {
	reg := distribution.New(distribution.Config{
		Images: images, Logins: f.directory, Authorizer: a, Audit: f.telemetry, Log: cfg.Log, Now: time.Now,
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isRegistry(r) {
			reg.ServeHTTP(w, r)
			return
		}
		api.ServeHTTP(w, r)
	})
}

// isRegistry leaves out calls that are signed: the name of a bucket may be in the
// host, and the key of an object begin as the registry's paths do.
func isRegistry(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, distribution.Prefix) && !strings.HasPrefix(r.Header.Get("Authorization"), "AWS") &&
		!strings.Contains(r.URL.RawQuery, "X-Amz-") && !strings.Contains(r.URL.RawQuery, "AWSAccessKeyId=")
}

// layerAge is how long a layer that no image names must be there at least: a
// client uploads it before its manifest.
const layerAge = time.Hour

// collectLayers takes layers, and uploads, that no image needs.
func (c *caches) collectLayers(ctx context.Context, o garbage.Options) (garbage.Report, error) {
	age := registry.Grace
	if o.All {
		age = layerAge
	}
	done, err := c.images.Prune(ctx, registry.PruneOptions{Unused: max(o.Unused, age), DryRun: o.DryRun})
	r := garbage.Report{
		Taken: garbage.Amount{Items: int64(done.Layers + done.Uploads), Bytes: done.Bytes},
		Left:  garbage.Amount{Items: int64(done.Left), Bytes: done.LeftBytes},
	}
	if o.DryRun {
		r.Left.Items -= int64(done.Layers)
		r.Left.Bytes -= done.Bytes
	}
	return r, err
}
