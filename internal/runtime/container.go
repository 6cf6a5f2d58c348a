package runtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	goruntime "runtime"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/image/oci"
	"github.com/outcrop/outcrop/internal/image/registry"
	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/store"
)

// container is containerConfiguration: an image of a registry, run as it says
// itself.
type container struct {
	s *Service
	*agentcorecontrol.ContainerConfiguration
}

const (
	// containerStartLimit is how long a container may take until it is ready
	// (spec/runtime.md 12).
	containerStartLimit = 120 * time.Second
	// resolveLimit is how long a registry may take to say what a tag stands for,
	// while a caller waits.
	resolveLimit = 30 * time.Second
	// pullNote is how often the log is told how far a pull is.
	pullNote = 10 * time.Second
	// pullID stands for a session in the log of a pull.
	pullID = "image"
)

const containerField = "agentRuntimeArtifact.containerConfiguration.containerUri"

// awsURI is the model's pattern for containerUri (spec/runtime.md 2.3). Its groups:
// the account, the region and the end of ECR's host, the repository, tag and digest.
var awsURI = regexp.MustCompile(`^(?:([0-9]{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?|public\.ecr\.aws)/((?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*)(?::([^:@]{1,300}))?(?:@(.+))?$`)

// awsArchitecture is the one that AWS runs.
const awsArchitecture = "arm64"

// pin is the image's name by its digest, whatever its tag stands for later. Who may not
// pull it does not learn whether it is there.
func (c container) pin(ctx context.Context, scope store.Scope, role string) (string, error) {
	if c.s.cfg.Strict && !awsURI.MatchString(*c.ContainerUri) {
		return "", fault.Invalid(containerField, "%s must name an image of Amazon ECR, ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY:TAG, on a server that is strict (outcrop serve --strict)", containerField)
	}
	reference := c.s.canonical(scope, *c.ContainerUri)
	if err := c.mayPull(ctx, reference, role); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, resolveLimit)
	defer cancel()
	found, err := c.s.cfg.Images.Resolve(ctx, reference, oci.Credentials{})
	if err != nil {
		return "", c.refused(err)
	}
	if c.s.cfg.Strict && !slices.ContainsFunc(found.Platforms, func(p string) bool { return strings.HasPrefix(p, "linux/"+awsArchitecture) }) {
		return "", fault.Invalid(containerField, "%s", architectureText(*c.ContainerUri, awsArchitecture))
	}
	return found.Pinned, nil
}

// mayPull asks whether the agents of a role may have an image.
func (c container) mayPull(ctx context.Context, reference, role string) error {
	host, repository, err := c.s.cfg.Images.Repository(reference)
	if err != nil {
		return c.refused(err)
	}
	if c.s.cfg.Pulls == nil {
		return nil
	}
	return c.s.cfg.Pulls.CheckPull(ctx, Pull{Role: role, URI: *c.ContainerUri, Host: host, Repository: repository})
}

// canonical is the reference that an image is known by here.
func (s *Service) canonical(scope store.Scope, reference string) string {
	if s.cfg.CanonicalImage == nil {
		return reference
	}
	return s.cfg.CanonicalImage(scope, reference)
}

func architectureText(uri, architecture string) string {
	return fmt.Sprintf("Architecture incompatible for uri '%s'. Supported architectures: [%s].", uri, architecture)
}

// refused words what the image store refuses as AWS does, where clients know its
// words (spec/runtime.md 5.3).
func (c container) refused(err error) error {
	f := fault.From(err)
	if f.Status >= 500 {
		return err
	}
	uri, text := *c.ContainerUri, f.Message
	aws := awsURI.FindStringSubmatch(uri)
	switch {
	case errors.Is(err, oci.ErrPlatform):
		text = architectureText(uri, goruntime.GOARCH) + " " + text
	case errors.Is(err, oci.ErrMissing) && aws != nil && aws[1] != "":
		name := registry.Name{Scope: store.Scope{Account: aws[1], Region: aws[2]}, Repository: aws[4]}
		id := registry.ImageID{Tag: cmp.Or(aws[5], "latest")}
		if aws[6] != "" {
			id = registry.ImageID{Digest: registry.Digest(aws[6])}
		}
		text = registry.NoImage(name, id).Message
	case errors.Is(err, oci.ErrDenied) && aws != nil:
		return PullFault(uri, "This server asks Amazon ECR with the credentials of its docker configuration (outcrop serve --registry-config).").Because(err)
	}
	return fault.Invalid(containerField, "%s", text).Because(err)
}

func (c container) open(ctx context.Context, v versionDoc) (*boot, error) {
	i, err := c.image(ctx, v)
	if err != nil {
		return nil, c.refused(err)
	}
	launch, err := i.Launch(nil)
	if err != nil {
		i.Release()
		return nil, c.refused(err)
	}
	return &boot{
		digest: i.Digest, basis: i.Digest, limit: containerStartLimit, release: i.Release,
		check: func(searchPath string) error {
			if err := i.CheckCommand(launch, searchPath); err != nil {
				return c.refused(err)
			}
			return nil
		},
		spec: sandbox.Spec{Args: launch.Args, Env: launch.Env, Dir: launch.Dir, Root: i.Root, Overlay: i.Overlay, User: launch.UID, Group: launch.GID},
	}, nil
}

// image returns a version's image, unpacked before or pulled now.
func (c container) image(ctx context.Context, v versionDoc) (*oci.Image, error) {
	reference := v.State.Pin
	if v.State.Digest != "" {
		i, err := c.s.cfg.Images.Open(v.State.Digest)
		if !errors.Is(err, fs.ErrNotExist) {
			return i, err
		}
		reference = byDigest(v)
	}
	begun, note := c.s.cfg.Now(), c.s.noteFor(v, pullID)
	told := begun
	i, err := c.s.cfg.Images.Pull(ctx, reference, oci.PullOptions{Progress: func(p oci.Progress) {
		if now := c.s.cfg.Now(); now.Sub(told) >= pullNote {
			told = now
			note(fmt.Sprintf("pulling %s: %d of %d layers, %d of %d MB", reference, p.LayersDone, p.Layers, p.BytesDone>>20, p.Bytes>>20))
		}
	}})
	if err != nil {
		return nil, err
	}
	note(fmt.Sprintf("image %s is here: %d MB in %d files, after %v", reference, i.Size>>20, i.Files, c.s.cfg.Now().Sub(begun).Round(time.Millisecond)))
	if i.Skipped > 0 {
		note(fmt.Sprintf("%d devices, pipes and sockets of the image were left out", i.Skipped))
	}
	if i.Left > 0 {
		note(fmt.Sprintf("%d files of other owners are root's to the agent: run the server as root, or give them to root in the image", i.Left))
	}
	return i, nil
}

// byDigest names the very image that a version was unpacked from, where its pin may
// name an index.
func byDigest(v versionDoc) string {
	repository, _, _ := strings.Cut(v.State.Pin, "@")
	return repository + "@" + v.State.Digest
}

// noteFor writes lines into the log of the endpoint that a new version is for, in
// the stream id.
func (s *Service) noteFor(v versionDoc, id string) func(text string) {
	key := session.Key{Scope: v.Scope, Owner: v.Parent, Endpoint: DefaultEndpoint, ID: id}
	write := SessionNote(s.cfg.Logs, s.cfg.Now)
	return func(text string) { write(key, text) }
}

func (c container) basis(_ context.Context, v versionDoc) (string, error) { return v.State.Digest, nil }

// again asks the registry.
func (c container) again(ctx context.Context, v versionDoc) (bool, error) {
	asking, cancel := context.WithTimeout(ctx, resolveLimit)
	defer cancel()
	if _, err := c.s.cfg.Images.Resolve(asking, byDigest(v), oci.Credentials{}); err != nil {
		return false, ctx.Err() // whatever it is, the image stays
	}
	return true, nil
}
