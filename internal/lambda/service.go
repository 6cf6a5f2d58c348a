// Package lambda is AWS Lambda's service, as far as AgentCore's clients need it:
// functions of Python and Node.js that run in sandboxes of this machine, each of them
// restored from a snapshot that was taken after its code had been imported.
//
// API are the operations of the wire; Invoke is for other services of this server, whose
// callers app has authorised.
package lambda

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/lambda"
	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/auth/pin"
	"github.com/outcrop/outcrop/internal/image"
	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/telemetry"
)

// Objects is where code zips are.
type Objects interface {
	// Open opens one version of an object; an empty version is the current one.
	// Errors are fault.Errors in S3's words.
	Open(ctx context.Context, scope store.Scope, bucket, key, version string) (Object, error)
}

// Object is an open object.
type Object interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// Guests makes what an environment finds around it: the network, and on it the metadata
// service with the credentials of its role.
type Guests interface {
	Enter(ctx context.Context, g Guest) (Surroundings, error)
	// CheckRole refuses the ARN of a role that may not be assumed for the function with
	// the ARN source, with RoleFault.
	CheckRole(ctx context.Context, role, source string) error
}

// Guest is an environment that starts.
type Guest struct {
	Scope store.Scope
	// ARN is the function's, Role its execution role's, and RoleSession the name of the
	// session of it.
	ARN, Role, RoleSession string
	// Template: others will be copied from it.
	Template bool
	// Subnets are those of the function's VPC; none is the public network.
	Subnets []string
	// Environment are the function's own variables.
	Environment map[string]string
	// Note writes a line into the function's log.
	Note func(text string)
}

// Surroundings are what one environment finds around it.
type Surroundings struct {
	Network sandbox.Network
	// Reach tells apart what is reached, for session.Plan.Surroundings.
	Reach string
	// Leave ends them; with keep the guest was saved and comes back with what it holds.
	Leave func(keep bool)
}

// Config is what the service is built from. Guests and SDKs may be nil: environments have
// no network then, and none of AWS's SDKs but their own.
type Config struct {
	Store   store.Store
	Objects Objects
	Code    *image.Cache
	// Wheels fetches Python packages for this machine in place of those that a zip has
	// for another; nil fetches none.
	Wheels image.Fetcher
	// Secrets seals environment variables.
	Secrets  *secret.Box
	Sessions *session.Manager
	Logs     telemetry.Appender
	// Interpreters finds what this host can run, Node.js of any version included.
	Interpreters func(context.Context) ([]image.Interpreter, error)
	// Directory knows whom policies name.
	Directory pin.Directory
	Guests    Guests
	// SDKs brings AWS's SDKs for functions whose zips have none.
	SDKs SDKs
	// Limits bound each environment beyond what its function says; a zero one is the
	// engine's.
	Limits sandbox.Limits
	// FilesInMemory: what environments have in /tmp counts as their memory.
	FilesInMemory bool
	// GuestEnv are variables that lead SDKs inside to this server, NAME=VALUE, and
	// GuestMounts what they need.
	GuestEnv    []string
	GuestMounts []sandbox.Mount
	// Dir keeps the programs that load functions.
	Dir string
	// Environments bounds those of one function; 0 is DefaultEnvironments.
	Environments int
	// SnapshotLife is how long a snapshot is used; 0 is a day.
	SnapshotLife time.Duration
	// Remote invokes functions that are not here; nil: there are none.
	Remote Remote
	Log    *slog.Logger
	Now    func() time.Time
}

// DefaultEnvironments is how many environments one function may have at a time.
const DefaultEnvironments = 20

// Service is Lambda. Its work handlers are registered by Handlers.
type Service struct {
	cfg       Config
	functions functions
	programs  programs
	wanted    chan payload  // snapshots that environments wish for
	making    chan struct{} // holds one while a snapshot is made
	events    chan struct{} // holds one for each asynchronous invocation that runs
	waiting   chan struct{} // and for each that waits for its turn

	mu    sync.Mutex
	pools map[string]*pool // by the owner of sessions
}

// New writes the programs that load functions and returns the service.
func New(cfg Config) (*Service, error) {
	if cfg.Environments == 0 {
		cfg.Environments = DefaultEnvironments
	}
	if cfg.SnapshotLife == 0 {
		cfg.SnapshotLife = 24 * time.Hour
	}
	s := &Service{
		cfg: cfg, functions: functions{Kind: "function"}, pools: map[string]*pool{},
		wanted: make(chan payload, 64), making: make(chan struct{}, 1), events: make(chan struct{}, maxEvents), waiting: make(chan struct{}, maxEvents),
	}
	var err error
	s.programs, err = writePrograms(cfg.Dir)
	return s, err
}

// API are the handlers of the wire's operations.
func (s *Service) API() []schema.Handler { return lambda.FunctionsHandlers(api{s}) }

// api implements the generated interface.
type api struct{ *Service }

var _ lambda.Functions = api{}

// randomID is n random bytes in hexadecimal.
func randomID(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return hex.EncodeToString(b)
}
