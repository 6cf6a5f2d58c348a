package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/image"
	"github.com/outcrop/outcrop/internal/object"
	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/store"
)

// artifact is what versions are made of: one implementation for each member of
// the wire's union (spec/runtime.md 2.3). Refusals are fault.Errors that name what
// is missing and the way out.
type artifact interface {
	// pin looks at Create and Update whether what is named is there and may be read, and
	// returns what fixes it as far as that is known without fetching it: it becomes
	// versionState.Pin. A version that was pinned stays good, whatever becomes of the
	// right to read it: it is its runtime's by then, as what was pulled or copied is.
	pin(ctx context.Context, scope store.Scope, role string) (string, error)
	// open brings a version's content onto this host, that of versionState.Digest
	// once there is one, and says how a session is started from it. The caller
	// releases it.
	open(ctx context.Context, v versionDoc) (*boot, error)
	// basis is boot.basis of what open would return, told without fetching.
	basis(ctx context.Context, v versionDoc) (string, error)
	// again reports whether open could fetch the same content once more.
	again(ctx context.Context, v versionDoc) (bool, error)
}

// boot is an artifact on this host.
type boot struct {
	// digest names the content for ever; it becomes versionState.Digest.
	digest string
	// basis is session.Plan.Basis.
	basis string
	// fit is how code was made to run on this host; it becomes versionState.Fit.
	fit *image.Fit
	// spec has what the guest starts from: Args, Env (our defaults, over which all
	// others win), Dir, and Code with Mounts or Root with Overlay, User and Group.
	spec sandbox.Spec
	// check refuses what could not be executed with a search path; nil: all can.
	check func(searchPath string) error
	// limit is how long the guest may take until it is ready.
	limit   time.Duration
	release func()
}

// artifact chooses the implementation.
func (s *Service) artifact(a *agentcorecontrol.AgentRuntimeArtifact) (artifact, error) {
	if a.CodeConfiguration != nil {
		return code{s, a.CodeConfiguration}, nil
	}
	if a.ContainerConfiguration != nil {
		return container{s, a.ContainerConfiguration}, nil
	}
	return nil, fault.Invalid("agentRuntimeArtifact", "agentRuntimeArtifact must have a codeConfiguration or a containerConfiguration")
}

// artifactOf is the one of a version.
func (s *Service) artifactOf(v versionDoc) (artifact, error) {
	spec, err := s.configuration(v)
	if err != nil {
		return nil, err
	}
	return s.artifact(spec.AgentRuntimeArtifact)
}

// code is codeConfiguration: a zip in object storage, run by an interpreter of
// this host.
type code struct {
	s *Service
	*agentcorecontrol.CodeConfiguration
}

// codeStartLimit is how long direct code may take until it is ready
// (spec/runtime.md 12).
const codeStartLimit = 30 * time.Second

// pin is the version of the zip's object, where its bucket keeps versions. Its right to be
// read is the caller's, and was asked for with those of the call.
func (c code) pin(ctx context.Context, scope store.Scope, _ string) (string, error) {
	if _, err := c.interpreter(ctx); err != nil {
		return "", err
	}
	at := c.Code.S3
	if at == nil {
		return "", fault.Invalid("agentRuntimeArtifact.codeConfiguration.code.s3", "code.s3 must name the zip")
	}
	zip, err := c.s.cfg.Objects.Open(ctx, scope, *at.Bucket, *at.Prefix, wire.Text(at.VersionId))
	if err != nil {
		return "", codeFault(at, err)
	}
	return zip.Version(), zip.Close()
}

// codeFault words S3's refusal of the zip for who creates a runtime.
func codeFault(at *agentcorecontrol.S3Location, err error) error {
	f := fault.From(err)
	if f.Status >= 500 {
		return err
	}
	why := f.Message
	if marker, ok := errors.AsType[*object.DeleteMarker](err); ok {
		why = "The object was deleted; code.s3.versionId can name one of its versions before that."
		if at.VersionId != nil {
			why = "The version " + marker.VersionID + " is a delete marker, which has no content; code.s3.versionId must name a version of the object itself."
		}
	}
	e := fault.Validation("The code zip s3://%s/%s cannot be read: %s", *at.Bucket, *at.Prefix, why)
	e.Fields = []fault.Field{{Name: "agentRuntimeArtifact.codeConfiguration.code.s3", Message: why}}
	return e.Because(err)
}

func (c code) open(ctx context.Context, v versionDoc) (*boot, error) {
	in, err := c.interpreter(ctx)
	if err != nil {
		return nil, err
	}
	unpacked, err := c.unpack(ctx, v)
	if err != nil {
		return nil, err
	}
	fitted, err := c.fit(ctx, v, unpacked, in)
	if err != nil {
		unpacked.Release()
		return nil, err
	}
	launch, err := c.s.cfg.Code.Launch(fitted, in, c.EntryPoint)
	if err != nil {
		fitted.Release()
		return nil, err
	}
	return &boot{
		digest: fitted.Digest, basis: codeBasis(fitted.Digest, *fitted.Fit, in), fit: fitted.Fit, limit: codeStartLimit, release: fitted.Release,
		spec: sandbox.Spec{Args: launch.Args, Env: launch.Env, Dir: launch.Dir, Code: fitted.Dir, Mounts: launch.Mounts},
	}, nil
}

// fitID stands for a session in the log of a version whose packages are replaced.
const fitID = "packages"

// fit makes code run on this machine that was vendored for another. What that takes
// is told in the log of the endpoint that a new version is for.
func (c code) fit(ctx context.Context, v versionDoc, unpacked *image.Code, in image.Interpreter) (*image.Code, error) {
	others, err := c.s.interpreters(ctx)
	if err != nil {
		return nil, err
	}
	o := image.FitOptions{Pinned: v.State.Fit, Fetch: c.s.cfg.Wheels, Note: c.s.noteFor(v, fitID)}
	for _, other := range others {
		if language, _, err := image.ParseRuntime(other.Runtime); err == nil && language == image.Python && other.Executable != in.Executable {
			o.Pythons = append(o.Pythons, other.Executable)
		}
	}
	return c.s.cfg.Code.Fit(ctx, unpacked, in, o)
}

// unpack returns a version's code, from the cache or else from its object. The
// content is the one that was pinned, whatever the object holds today.
func (c code) unpack(ctx context.Context, v versionDoc) (*image.Code, error) {
	if v.State.Digest != "" {
		unpacked, err := c.s.cfg.Code.Open(v.State.Digest)
		if !errors.Is(err, fs.ErrNotExist) {
			return unpacked, err
		}
	}
	at := c.Code.S3
	zip, err := c.s.cfg.Objects.Open(ctx, v.Scope, *at.Bucket, *at.Prefix, v.State.Pin)
	if err != nil {
		return nil, codeFault(at, err)
	}
	defer zip.Close()
	return c.s.cfg.Code.Unpack(ctx, zip, zip.Size(), v.State.Digest)
}

func (c code) basis(ctx context.Context, v versionDoc) (string, error) {
	in, err := c.interpreter(ctx)
	if err != nil {
		return "", err
	}
	return codeBasis(v.State.Digest, c.s.cfg.Code.Fitted(v.State.Digest, in, v.State.Fit), in), nil
}

// again looks for the zip. Where its bucket keeps versions, it is the one that it
// was; else it is read to see.
func (c code) again(ctx context.Context, v versionDoc) (bool, error) {
	at := c.Code.S3
	zip, err := c.s.cfg.Objects.Open(ctx, v.Scope, *at.Bucket, *at.Prefix, v.State.Pin)
	if err != nil {
		return false, ctx.Err() // whatever it is, the code stays
	}
	defer zip.Close()
	if v.State.Pin != "" {
		return true, nil
	}
	digest, err := image.DigestOf(ctx, zip, zip.Size())
	if err != nil {
		return false, ctx.Err()
	}
	return digest == v.State.Digest, nil
}

// interpreter finds what runs the modelled runtime on this host.
func (c code) interpreter(ctx context.Context) (image.Interpreter, error) {
	found, err := c.s.interpreters(ctx)
	if err != nil {
		return image.Interpreter{}, err
	}
	names := make([]string, 0, len(found))
	for _, in := range found {
		if in.Runtime == *c.Runtime {
			return in, nil
		}
		names = append(names, in.Runtime)
	}
	have := "none at all"
	if len(names) > 0 {
		have = strings.Join(names, ", ")
	}
	_, fix := image.Absence(*c.Runtime)
	return image.Interpreter{}, fault.Invalid("agentRuntimeArtifact.codeConfiguration.runtime", "%s", "This host has no interpreter for "+*c.Runtime+". It has: "+have+". To add it: "+fix+". `outcrop doctor` shows where they were looked for")
}

func codeBasis(digest string, fit image.Fit, in image.Interpreter) string {
	if fit.ID != "" {
		digest += " " + fit.ID
	}
	return digest + " " + build(in)
}

// build tells one build of an interpreter from another in the same place: a
// guest that was saved with it has parts of its files in memory.
func build(in image.Interpreter) string {
	text := in.Executable + " " + in.Version
	if i, err := os.Stat(in.Executable); err == nil {
		text += fmt.Sprintf(" %d %d", i.Size(), i.ModTime().UnixNano())
	}
	return text
}
