// Package runtime is the AgentCore Runtime service: agents, their immutable
// versions and their endpoints. The way of an invocation is package invoke.
package runtime

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/image"
	"github.com/outcrop/outcrop/internal/image/oci"
	"github.com/outcrop/outcrop/internal/inbound"
	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/telemetry"
)

// Objects is where code zips are.
type Objects interface {
	// Open opens one version of an object; an empty version is the current
	// one. Errors are fault.Errors in S3's words.
	Open(ctx context.Context, scope store.Scope, bucket, key, version string) (Object, error)
}

// Object is an open object.
type Object interface {
	io.ReaderAt
	io.Closer
	Size() int64
	// Version is the object's version id, or empty where its bucket keeps none.
	Version() string
}

// Config is what the service is built from.
type Config struct {
	Store   store.Store
	Objects Objects
	Code    *image.Cache
	// Wheels fetches Python packages for this machine in place of those that a code
	// zip has for another; nil fetches none.
	Wheels image.Fetcher
	// Images keeps container images.
	Images *oci.Store
	// CanonicalImage is the name by which an image is pulled that a caller in a scope
	// calls by another; nil changes none.
	CanonicalImage func(scope store.Scope, reference string) string
	// Secrets seals environment variables.
	Secrets  *secret.Box
	Sessions *session.Manager
	Logs     telemetry.Appender
	// OtherCode are the digests of code in Code that others than runtimes have; nil: nobody
	// has any.
	OtherCode func(context.Context) (map[string]bool, error)
	// Interpreters finds what this host can run; it is asked once.
	Interpreters func(context.Context) ([]image.Interpreter, error)
	// Limits bound each session; a zero one is the engine's. Its MemoryBytes is what
	// a session has whose runtime does not ask for more, and MaxMemory what one can
	// ask for, in bytes; 0: it is not known.
	Limits    sandbox.Limits
	MaxMemory int64
	// SnapshotLife is how long a snapshot is used; 0 is the constant SnapshotLife.
	SnapshotLife time.Duration
	// Guests makes what is around a new session; nil leaves it alone, and without
	// a network.
	Guests Guests
	// Roles knows which execution roles may be used; nil lets all.
	Roles Roles
	// Pulls knows which images execution roles may have; nil lets them have all.
	Pulls Pulls
	// Issuers are asked once for that of a new version's authorizer; nil asks nobody.
	Issuers Issuers
	// GuestAPI is the URL at which guests reach this server over their own wire;
	// empty where they have none.
	GuestAPI string
	// GuestBundle is a file of this machine with the certificates that guests trust, in
	// PEM; empty: those of their images.
	GuestBundle string
	// Passthrough are the names of the runtimes whose guests get the network stack of
	// the machine's kernel (sandbox.Spec.Passthrough), AllRuntimes every one. It is the
	// operator's choice: nothing that a caller sends leads there.
	Passthrough []string
	// AccessPoints are the directories of this machine that stand for access points of
	// EFS and S3 Files, absolute, by ARN. Who can create a runtime reaches all of them.
	AccessPoints map[string]string
	Quotas       Quotas
	// Strict holds AWS's own limits where Outcrop's are wider.
	Strict bool
	Log    *slog.Logger
	Now    func() time.Time
}

// AllRuntimes stands for every name in Config.Passthrough.
const AllRuntimes = "*"

// Service implements agentcorecontrol.Runtime.
type Service struct {
	cfg          Config
	docs         collections
	interpreters func(context.Context) ([]image.Interpreter, error)
	shapes       shapes
	wanted       chan payload  // snapshots that sessions wish for
	making       chan struct{} // holds one while a snapshot is made
	pulls        chan struct{} // holds one for each work item that opens an image
	doors        store.Cache[doorKey, *inbound.Authorizer]
}

// shapes are the indexes of the shapes that specs are read and written as.
type shapes struct{ update, get, createProvider, getProvider int }

// New returns the service. Its work handlers are registered by Register.
func New(cfg Config) *Service {
	if cfg.SnapshotLife == 0 {
		cfg.SnapshotLife = SnapshotLife
	}
	cfg.Quotas = cfg.Quotas.withDefaults()
	return &Service{
		wanted: make(chan payload, 64), making: make(chan struct{}, 1), pulls: make(chan struct{}, maxPulls),
		cfg: cfg, docs: newCollections(), interpreters: once(cfg.Interpreters, cfg.Now),
		shapes: shapes{
			update:         agentcorecontrol.Service.ShapeNamed("UpdateAgentRuntimeRequest"),
			get:            agentcorecontrol.Service.ShapeNamed("GetAgentRuntimeResponse"),
			createProvider: agentcorecontrol.Service.ShapeNamed("CreateCapacityProviderInput"),
			getProvider:    agentcorecontrol.Service.ShapeNamed("GetCapacityProviderOutput"),
		},
	}
}

// once remembers the first success of find: an incomplete one for as long as
// searchAgain, since a busy machine is no reason to refuse a runtime for ever.
func once(find func(context.Context) ([]image.Interpreter, error), now func() time.Time) func(context.Context) ([]image.Interpreter, error) {
	var mu sync.Mutex
	var found []image.Interpreter
	var until time.Time // zero: for ever
	return func(ctx context.Context) ([]image.Interpreter, error) {
		mu.Lock()
		defer mu.Unlock()
		if found != nil && (until.IsZero() || now().Before(until)) {
			return found, nil
		}
		var err error
		found, err = find(ctx)
		until = time.Time{}
		if errors.Is(err, image.ErrIncomplete) {
			until, err = now().Add(searchAgain), nil
		}
		return found, err
	}
}

// searchAgain is how long an incomplete search for interpreters counts.
const searchAgain = time.Minute

// Interpreters are the runtimes that this host can run, oldest Python first.
func (s *Service) Interpreters(ctx context.Context) ([]image.Interpreter, error) {
	return s.interpreters(ctx)
}

// idAlphabet has the characters of the random part of an id.
const idAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// newID returns NAME-XXXXXXXXXX (spec/runtime.md 2.1).
func newID(name string) string {
	return name + "-" + wire.RandomTail(idAlphabet)
}
