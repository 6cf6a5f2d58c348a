package cli

import (
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"
)

// ImageOptions say which container images a server runs. A zero one leaves it to
// the server.
type ImageOptions struct {
	// Max bounds one image in its registry, in bytes.
	Max int64
	// Registry is the path of a docker configuration, Private and Insecure are hosts
	// of registries, with their ports.
	Registry          string
	Private, Insecure []string
}

// register adds the flags of container images.
func (o *ImageOptions) register(fs *pflag.FlagSet) {
	fs.Var((*byteSize)(&o.Max), "max-image", "most `bytes` of one container image in its registry (default 2GiB)")
	fs.StringVar(&o.Registry, "registry-config", "", "`file` with the credentials of image registries, as docker login writes it (default: $DOCKER_CONFIG/config.json or ~/.docker/config.json)")
	fs.StringArrayVar(&o.Private, "private-registry", nil, "`HOST:PORT` of an image registry in a private network that agents' images may come from (may be repeated)")
	fs.StringArrayVar(&o.Insecure, "insecure-registry", nil, "`HOST:PORT` of one that may be spoken to without TLS, as those of this machine are (may be repeated)")
}

// maxImage is more than any registry takes, in bytes.
const maxImage = 1 << 40

// check refuses what cannot be meant.
func (o *ImageOptions) check() error {
	if o.Max > maxImage {
		return misuse("--max-image %s is more than any image has; it must be at most %s", (*byteSize)(&o.Max), size(maxImage))
	}
	for flag, hosts := range map[string][]string{"private-registry": o.Private, "insecure-registry": o.Insecure} {
		for _, host := range hosts {
			if host == "" || strings.ContainsAny(host, "/ @") {
				return misuse("--%s %s is no HOST:PORT; leave out what comes before and after it", flag, host)
			}
		}
	}
	return nil
}

// dockerConfig is where docker login keeps credentials of this user.
func (p *Program) dockerConfig() string {
	dir := p.env("DOCKER_CONFIG")
	if dir == "" {
		if p.home() == "" {
			return ""
		}
		dir = filepath.Join(p.home(), ".docker")
	}
	return filepath.Join(dir, "config.json")
}
