package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/auth/policy"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/image"
	"github.com/outcrop/outcrop/internal/image/npm"
	"github.com/outcrop/outcrop/internal/lambda"
	"github.com/outcrop/outcrop/internal/lambda/endpoint"
	"github.com/outcrop/outcrop/internal/lambda/remote"
	"github.com/outcrop/outcrop/internal/lambda/sdk"
	"github.com/outcrop/outcrop/internal/object"
	"github.com/outcrop/outcrop/internal/principal"
	"github.com/outcrop/outcrop/internal/runtime"
	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/store"
)

// openFunctions makes the service of Lambda's functions.
func (s *Server) openFunctions(p *parts) (*lambda.Service, error) {
	cfg := s.cfg
	env, mounts := runtime.GuestEnvironment(guestAPI(), s.guests.hosts.bundleFile())
	dir := filepath.Join(cfg.DataDir, functionsName)
	sdks, err := sdk.New(sdk.Config{
		Dir: filepath.Join(dir, "sdk"), Wheels: wheels(cfg), Packages: packages(cfg), Pythons: pythons(p.runtimes), Log: cfg.Log, Now: time.Now,
	})
	if err != nil {
		return nil, err
	}
	var others lambda.Remote
	if cfg.LambdaEndpoint != "" {
		at, err := endpoint.Parse(cfg.LambdaEndpoint)
		if err != nil {
			return nil, fmt.Errorf("read --lambda-endpoint: %w", err)
		}
		others = remote.New(at, time.Now)
	}
	return lambda.New(lambda.Config{
		Store: p.store, Objects: functionZips{p.objects}, Code: p.code, Wheels: wheels(cfg), Secrets: p.box, Sessions: s.sessions, Logs: p.telemetry,
		Interpreters: functionInterpreters(cfg, p.runtimes), Directory: p.directory, Guests: functionGuests{s.guests},
		Limits: sandbox.Limits{CPUs: cfg.Sessions.CPUs}, FilesInMemory: s.engine.Capabilities().FilesInMemory,
		GuestEnv: env, GuestMounts: mounts, SDKs: sdks, Dir: dir, SnapshotLife: cfg.Sessions.SnapshotLife,
		Remote: others, Log: cfg.Log, Now: time.Now,
	})
}

// functionInterpreters are those of agents, and Node.js of any other version: functions
// are run by the nearest there is.
func functionInterpreters(cfg Config, runtimes *runtime.Service) func(context.Context) ([]image.Interpreter, error) {
	var mu sync.Mutex
	var nodes []image.Interpreter
	return func(ctx context.Context) ([]image.Interpreter, error) {
		found, err := runtimes.Interpreters(ctx)
		if err != nil {
			return nil, err
		}
		mu.Lock()
		defer mu.Unlock()
		if nodes == nil {
			others, err := image.Nodes(ctx, searchPlaces(cfg))
			if err != nil && !errors.Is(err, image.ErrIncomplete) {
				return nil, err
			}
			if nodes = others; errors.Is(err, image.ErrIncomplete) {
				defer func() { nodes = nil }() // it is asked again
			}
		}
		out := slices.Clone(found)
		for _, n := range nodes {
			if !slices.ContainsFunc(found, func(have image.Interpreter) bool { return have.Runtime == n.Runtime }) {
				out = append(out, n)
			}
		}
		return out, nil
	}
}

// packages asks the registry that this user's npm is configured with.
func packages(cfg Config) sdk.Registry {
	if cfg.NoIndex {
		return nil
	}
	return npm.New(npm.Config{Env: os.Environ(), Home: searchPlaces(cfg).Home, Trusted: image.Trusted})
}

// pythons are the interpreters whose pip may do for another.
func pythons(runtimes *runtime.Service) func(context.Context) []string {
	return func(ctx context.Context) (out []string) {
		found, err := runtimes.Interpreters(ctx)
		if err != nil {
			return nil // that of the function may do
		}
		for _, in := range found {
			if language, _, err := image.ParseRuntime(in.Runtime); err == nil && language == image.Python {
				out = append(out, in.Executable)
			}
		}
		return out
	}
}

// functionZips shows the object storage to functions.
type functionZips struct{ objects *object.Storage }

// Open implements lambda.Objects.
func (z functionZips) Open(ctx context.Context, scope store.Scope, bucket, key, version string) (lambda.Object, error) {
	return z.objects.Open(ctx, scope.Account, bucket, key, version)
}

// functionGuests makes what functions find around them, which is what agents do but for
// who assumes their roles.
type functionGuests struct{ guests *guests }

// Enter implements lambda.Guests.
func (g functionGuests) Enter(ctx context.Context, guest lambda.Guest) (lambda.Surroundings, error) {
	net := &agentcorecontrol.NetworkConfiguration{NetworkMode: new(agentcorecontrol.NetworkModePUBLIC)}
	if len(guest.Subnets) > 0 {
		net.NetworkMode, net.NetworkModeConfig = new(agentcorecontrol.NetworkModeVPC), &agentcorecontrol.VpcConfig{Subnets: guest.Subnets}
	}
	around, err := g.guests.Enter(ctx, runtime.Guest{
		Scope: guest.Scope, ARN: guest.ARN, Role: guest.Role, RoleSession: guest.RoleSession, Service: principal.FunctionService, Template: guest.Template,
		Network: net, Elsewhere: runtime.Elsewhere(guest.Environment), ContainerToken: guest.Environment["AWS_CONTAINER_AUTHORIZATION_TOKEN"], Note: guest.Note,
	})
	if fault.Is(err, "ValidationException") { // the trust of its role has changed
		return lambda.Surroundings{}, lambda.RoleFault(err)
	}
	return lambda.Surroundings{Network: around.Network, Reach: around.Reach, Leave: around.Leave}, err
}

// CheckRole implements lambda.Guests.
func (g functionGuests) CheckRole(ctx context.Context, role, source string) error {
	why, err := g.guests.unfit(ctx, principal.RoleUse{Role: role, Source: source, Service: principal.FunctionService})
	if why != nil {
		return lambda.RoleFault(why)
	}
	return err
}

// functionPolicies are those of Lambda's functions. A call may name a function with a
// qualifier, and policies are the function's.
func functionPolicies(st store.Store, functions *lambda.Service) *attachments {
	return &attachments{store: st, topic: functions.Topic(), find: func(ctx context.Context, arn string) (attachment, error) {
		a, there, err := functions.Attached(ctx, arn)
		if err != nil || !there {
			return attachment{}, err
		}
		out := attachment{tags: a.Tags, there: true}
		if a.Policy == "" {
			return out, nil
		}
		doc, err := policy.Parse([]byte(a.Policy), policy.Resource)
		if err == nil {
			out.attach(doc, a.Pins, arn)
		}
		return out, err
	}}
}

// arnOf is the resource that a session belongs to.
func arnOf(k session.Key) string {
	if name, ok := lambda.FunctionOf(k.Owner); ok {
		return lambda.ARN(k.Scope, name)
	}
	return runtime.ARN(k.Scope, k.Owner)
}

// logGroupOf is where the sessions of an endpoint say what they do.
func logGroupOf(owner, endpoint string) string {
	if _, name, ok := strings.Cut(owner, ":function:"); ok { // the function's ARN
		return lambda.LogGroup(name)
	}
	if name, ok := lambda.FunctionOf(owner); ok {
		return lambda.LogGroup(name)
	}
	return runtime.LogGroup(owner, endpoint)
}

// sessionNote writes into the log of a session that no process runs.
func sessionNote(p foundation) func(session.Key, string) {
	agents, functions := runtime.SessionNote(p.telemetry, time.Now), lambda.SessionNote(p.telemetry, time.Now)
	return func(k session.Key, text string) {
		if _, ok := lambda.FunctionOf(k.Owner); ok {
			functions(k, text)
			return
		}
		agents(k, text)
	}
}
