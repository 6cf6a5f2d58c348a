package lambda

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/image"
	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/session"
)

// Names that stand for an environment of the kind.
const (
	templateID = "snapshot" // of a guest that others are copied from
	spareID    = "spare"    // of one that waits for an invocation
)

const (
	// guestPort is where the program that loads a function serves.
	guestPort = 9001
	// startLimit is how long a function may take to be imported.
	startLimit = 30 * time.Second
	// idleLimit ends an environment that nobody invokes, maxLife any.
	idleLimit = 5 * time.Minute
	maxLife   = 2 * time.Hour
	// runtimeMemory is what an environment has beyond the function's own memory, in
	// bytes: the interpreter and the sandbox around it are not the function's.
	runtimeMemory = 128 << 20
)

// detail is what an invocation must know of its environment.
type detail struct{ out *output }

// plan says how an environment of a version is started.
func (s *Service) plan(ctx context.Context, doc functionDoc, v *version, key session.Key) (session.Plan, error) {
	env, err := s.environment(ctx, doc, v)
	if err != nil {
		return session.Plan{}, err
	}
	in, _, err := s.interpreter(ctx, v)
	if err != nil {
		return session.Plan{}, err
	}
	held, err := s.held(ctx, v, in)
	if err != nil {
		return session.Plan{}, err
	}
	if v.SDK != "" && !isDir(v.SDK) && s.cfg.SDKs != nil { // it is a cache's
		_, warning := s.cfg.SDKs.For(ctx, held.Dir, in)
		if warning != "" {
			s.note(doc, v, warning)
		}
	}
	plan, err := s.planOf(doc, v, key, in, held, env)
	if err != nil {
		held.Release()
		return session.Plan{}, err
	}
	if key.ID == spareID {
		return plan, nil // what is around it is the environment's that takes it
	}
	nobody := key
	nobody.ID = spareID
	plan.Spare = func(ctx context.Context) (session.Plan, error) { return s.plan(ctx, doc, v, nobody) }
	if err := s.surround(ctx, &plan, doc, v, key, env); err != nil {
		held.Release()
		return session.Plan{}, err
	}
	return plan, nil
}

// held opens a version's code as it was fitted.
func (s *Service) held(ctx context.Context, v *version, in image.Interpreter) (*image.Code, error) {
	unpacked, err := s.cfg.Code.Open(v.Digest)
	if err != nil {
		return nil, err
	}
	fitted, err := s.cfg.Code.Fit(ctx, unpacked, in, image.FitOptions{Pinned: v.Fit, Fetch: s.cfg.Wheels})
	if err != nil {
		unpacked.Release()
	}
	return fitted, err
}

func (s *Service) planOf(doc functionDoc, v *version, key session.Key, in image.Interpreter, held *image.Code, env map[string]string) (session.Plan, error) {
	language, _, err := image.ParseRuntime(in.Runtime)
	if err != nil {
		return session.Plan{}, err
	}
	program, path := s.programs.of(language)
	launch, err := s.cfg.Code.LaunchProgram(held, in, path)
	if err != nil {
		return session.Plan{}, err
	}
	out := s.output(doc, v, streamName(s.cfg.Now(), key.ID))
	plan := session.Plan{
		Port: guestPort, Probe: session.HTTPProbe(guestPort, "/ready"), StartLimit: startLimit, IdleLimit: idleLimit, MaxLife: maxLife,
		Version: strconv.Itoa(v.Number), Basis: s.basis(v, in),
		Detail: detail{out}, Note: out.note,
		Ended: func(e session.End) {
			held.Release()
			out.close(e)
		},
	}
	mounts := append(slices.Clone(launch.Mounts), program)
	if v.SDK != "" && isDir(v.SDK) {
		target := pythonSDK
		if language == image.Node {
			target = nodeSDK
		}
		mounts = append(mounts, sandbox.Mount{Source: v.SDK, Target: target})
	}
	if language == image.Python {
		launch.Env = append(launch.Env, "PYTHONPATH="+runtimePath) // the code's modules hide none that programs here need
	}
	limits := s.cfg.Limits
	limits.MemoryBytes = int64(v.Settings.Memory)<<20 + runtimeMemory
	if s.cfg.FilesInMemory { // what is asked for beyond the default comes on top
		limits.MemoryBytes += int64(max(0, v.Settings.Scratch-defaultScratch)) << 20
	}
	plan.Spec = sandbox.Spec{
		Args: launch.Args, Dir: launch.Dir, Code: held.Dir, Mounts: slices.Concat(mounts, s.cfg.GuestMounts),
		Env:    merge(launch.Env, platformEnv(doc, v), s.cfg.GuestEnv, userEnv(env)),
		Stdout: out, Stderr: (*errorOutput)(out), Limits: limits, TmpBytes: int64(v.Settings.Scratch) << 20,
	}
	s.saved(&plan, doc, v)
	return plan, nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// basis is what a version's environments are made from.
func (s *Service) basis(v *version, in image.Interpreter) string {
	language, _, _ := image.ParseRuntime(in.Runtime) // which is known: it was found by that
	program, _ := s.programs.of(language)
	fit := s.cfg.Code.Fitted(v.Digest, in, v.Fit)
	return strings.Join([]string{v.Digest, fit.ID, build(in), filepath.Base(filepath.Dir(program.Source)), v.SDK}, " ")
}

// build tells one build of an interpreter from another in the same place.
func build(in image.Interpreter) string {
	text := in.Executable + " " + in.Version
	if i, err := os.Stat(in.Executable); err == nil {
		text += " " + strconv.FormatInt(i.Size(), 10) + " " + strconv.FormatInt(i.ModTime().UnixNano(), 10)
	}
	return text
}

// surround puts a plan's environment into its surroundings and takes them down at its end.
func (s *Service) surround(ctx context.Context, plan *session.Plan, doc functionDoc, v *version, key session.Key, env map[string]string) error {
	if s.cfg.Guests == nil {
		return nil
	}
	around, err := s.cfg.Guests.Enter(ctx, Guest{
		Scope: doc.Scope, ARN: ARN(doc.Scope, doc.ID), Role: v.Settings.Role, RoleSession: roleSession(doc.ID), Template: key.ID == templateID,
		Subnets: v.Settings.Subnets, Environment: env, Note: plan.Note,
	})
	if err != nil {
		return err
	}
	plan.Spec.Network, plan.Surroundings = around.Network, around.Reach
	ended := plan.Ended
	plan.Ended = func(e session.End) {
		around.Leave(e.Hibernated)
		ended(e)
	}
	return nil
}

// roleSession names the session of its role that a function has, which is the function's
// name on AWS too; STS wants two characters.
func roleSession(name string) string {
	if len(name) < 2 {
		return name + "-"
	}
	return name
}

// platformEnv is what every function finds in its environment.
func platformEnv(doc functionDoc, v *version) []string {
	return append(v.Settings.Logs.env(),
		"_HANDLER="+v.Settings.Handler, "LAMBDA_TASK_ROOT="+sandbox.CodePath, "LAMBDA_RUNTIME_DIR="+runtimePath, "TZ=:UTC",
		"AWS_REGION="+doc.Scope.Region, "AWS_DEFAULT_REGION="+doc.Scope.Region, "AWS_EXECUTION_ENV=AWS_Lambda_"+v.Settings.Runtime,
		"AWS_LAMBDA_FUNCTION_NAME="+doc.ID, "AWS_LAMBDA_FUNCTION_VERSION="+Latest, "AWS_LAMBDA_INITIALIZATION_TYPE=on-demand",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE="+strconv.Itoa(int(v.Settings.Memory)), "AWS_LAMBDA_LOG_GROUP_NAME="+v.logGroup(doc.ID),
	)
}

func userEnv(env map[string]string) []string {
	out := make([]string, 0, len(env))
	for _, name := range slices.Sorted(maps.Keys(env)) {
		out = append(out, name+"="+env[name])
	}
	return out
}

// merge joins environments; a later one wins.
func merge(parts ...[]string) []string {
	index := map[string]int{}
	var out []string
	for _, part := range parts {
		for _, kv := range part {
			name, _, _ := strings.Cut(kv, "=")
			if i, ok := index[name]; ok {
				out[i] = kv
				continue
			}
			index[name] = len(out)
			out = append(out, kv)
		}
	}
	return out
}

// unready is why a function cannot be invoked.
func unready(st *functionState) error {
	return fault.From(conflict("The operation cannot be performed at this time. The function is currently in the following state: %s", st.Status))
}
