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

// minImage is less than any agent's image has, and maxImage more than any registry
// takes, in bytes.
const minImage, maxImage = 1 << 20, 1 << 40

// check refuses what cannot be meant.
func (o *ImageOptions) check() error {
	if o.Max > maxImage {
		return misuse("--max-image %s is more than any image has; it must be at most %s", (*byteSize)(&o.Max), size(maxImage))
	}
	if o.Max > 0 && o.Max < minImage {
		return misuse("--max-image %s is less than any agent's image has; it must be at least %s", (*byteSize)(&o.Max), size(minImage))
	}
	for _, host := range o.Private {
		if err := checkRegistry("--private-registry", host); err != nil {
			return err
		}
	}
	for _, host := range o.Insecure {
		if err := checkRegistry("--insecure-registry", host); err != nil {
			return err
		}
	}
	return checkDockerConfig(o.Registry)
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

// take reads what is to be deployed: a folder or an image.
func (d *deployment) take(args []string) error {
	switch {
	case len(args) == 1 && d.image != "":
		return misuse("deploy takes a folder or --image, not both")
	case len(args) == 1:
		d.folder = args[0]
		return d.findDockerfile()
	case d.image == "":
		return misuse("deploy needs the folder of an agent, or --image with a container image")
	}
	if err := d.findDockerfile(); err != nil {
		return err
	}
	if d.runtime != "" || d.entry != "" || d.fresh {
		return misuse("--runtime, --entry and --fresh are for a folder; an image says itself what it runs")
	}
	if d.name == "" && !namePattern.MatchString(imageName(d.image)) {
		return misuse("the repository of %s makes no agent's name: give one with --name", d.image)
	}
	return nil
}

// imageName is the agent's name of an image: the last part of its repository, in
// letters that a name can have.
func imageName(reference string) string {
	reference, _, _ = strings.Cut(reference, "@")
	name := reference[strings.LastIndexByte(reference, '/')+1:]
	name, _, _ = strings.Cut(name, ":")
	return strings.NewReplacer("-", "_", ".", "_").Replace(name)
}
