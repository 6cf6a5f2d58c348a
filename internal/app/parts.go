package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	searchfront "github.com/outcrop/outcrop/internal/aws/websearch"
	"github.com/outcrop/outcrop/internal/federation"
	"github.com/outcrop/outcrop/internal/gateway"
	"github.com/outcrop/outcrop/internal/gateway/credential"
	gatewayinvoke "github.com/outcrop/outcrop/internal/gateway/invoke"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/image"
	"github.com/outcrop/outcrop/internal/image/oci"
	"github.com/outcrop/outcrop/internal/image/registry"
	"github.com/outcrop/outcrop/internal/image/wheel/index"
	"github.com/outcrop/outcrop/internal/inbound"
	"github.com/outcrop/outcrop/internal/issuer"
	"github.com/outcrop/outcrop/internal/key"
	"github.com/outcrop/outcrop/internal/lambda"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/netprofile"
	"github.com/outcrop/outcrop/internal/object"
	consentportal "github.com/outcrop/outcrop/internal/portal"
	"github.com/outcrop/outcrop/internal/principal"
	"github.com/outcrop/outcrop/internal/runtime"
	"github.com/outcrop/outcrop/internal/runtime/invoke"
	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/sandbox/gvisor"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/secretstore"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite"
	"github.com/outcrop/outcrop/internal/telemetry"
	"github.com/outcrop/outcrop/internal/work"
)

// parts are what Build makes, in the order in which it does: each may stand on those
// above it, none on those below.
type parts struct {
	foundation
	leaves
	services
}

// foundation is what every service stands on.
type foundation struct {
	store     *sqlite.Store
	telemetry *telemetry.DB
	box       *secret.Box
	directory *principal.Directory
}

// leaves know of the foundation alone, or of a leaf above.
type leaves struct {
	owner    store.Owner // of leases: this process
	objects  *object.Storage
	images   *registry.Storage
	kept     kept // images, by the names that people give them
	unpacked *oci.Store
	code     *image.Cache
	models   *llm.Models
	search   searchfront.Searcher // nil where there is no provider
	// connectors are what the operator configured for targets of gateways.
	connectors connectors
	networks   *netprofile.Registry
	pools      *issuer.Pools
	tokens     *federation.Issuer
	keys       *key.Keys
	secrets    *secretstore.Secrets
	door       *inbound.Door
	sandbox    gvisor.Config // of the Server's engine
}

// services are what AgentCore's operations ask.
type services struct {
	runtimes   *runtime.Service
	functions  *lambda.Service
	identities *identity.Service
	portals    *consentportal.Service
	invoker    *invoke.Service
	gateways   *gateway.Service
	callers    *gatewayinvoke.Service // of gateways
	// credentials are what gateways show their targets, by identity, which asks the
	// pipeline.
	credentials *credential.Maker
	identity    *gatewayIdentity
}

// openData opens the data directory and what every service stands on.
func (s *Server) openData(ctx context.Context, p *parts) (err error) {
	if err := dataDir(s.cfg.DataDir); err != nil {
		return err
	}
	if err := cleanStages(s.cfg.DataDir); err != nil { // what it keeps of the disk is no reason not to serve
		s.cfg.Log.Warn("what a backup left stays", "error", err)
	}
	if p.foundation, err = s.foundation(ctx, s.cfg); err != nil {
		return err
	}
	if s.account, s.region, err = writeCredentials(ctx, s.cfg, p.directory); err != nil {
		return err
	}
	s.door = s.gate()
	return s.openHosts(ctx, s.cfg, p.foundation)
}

func (s *Server) foundation(ctx context.Context, cfg Config) (f foundation, err error) {
	if err := checkData(cfg.DataDir); err != nil {
		return f, err
	}
	ring, _, err := secret.EnsureKeyFile(filepath.Join(cfg.DataDir, keyName))
	if err != nil {
		return f, fmt.Errorf("open key file: %w", err)
	}
	if f.box, err = secret.NewBox(ring); err != nil {
		return f, err
	}
	if f.store, err = sqlite.Open(ctx, filepath.Join(cfg.DataDir, storeName), sqlite.Options{Reserve: reserve}); err != nil {
		return f, fmt.Errorf("open store: %w", err)
	}
	s.closers = append(s.closers, f.store.Close)
	if f.telemetry, err = telemetry.Open(ctx, filepath.Join(cfg.DataDir, "telemetry.db"), telemetry.Options{Log: cfg.Log}); err != nil {
		return f, fmt.Errorf("open telemetry: %w", err)
	}
	s.closers = append(s.closers, f.telemetry.Close)
	f.directory, _, err = principal.Open(ctx, principal.Config{Store: f.store, Box: f.box, Rand: rand.Reader, Now: time.Now})
	if err != nil {
		return f, err
	}
	return f, emptyDir(filepath.Join(cfg.DataDir, "spool"))
}

// reserve is what is kept of the disk for deletes, in bytes: a thousand of them
// at once take half of it.
const reserve = 8 << 20

// emptyDir makes a directory, or empties it: a killed server may have left a body
// that had not lost its name yet.
func emptyDir(path string) error {
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	return os.MkdirAll(path, 0o700)
}

// openLeaves opens what the services of AgentCore use: of AWS's other services what
// agents need, and the engine with its sessions.
func (s *Server) openLeaves(ctx context.Context, p *parts) (err error) {
	cfg := s.cfg
	if p.objects, err = object.New(ctx, object.Config{Dir: filepath.Join(cfg.DataDir, "objects"), Store: p.store, Log: cfg.Log}); err != nil {
		return fmt.Errorf("open objects: %w", err)
	}
	if p.images, err = s.openRegistry(ctx, p.foundation); err != nil {
		return err
	}
	if p.code, err = image.NewCache(filepath.Join(cfg.DataDir, "code"), image.DefaultLimits()); err != nil {
		return fmt.Errorf("open code cache: %w", err)
	}
	p.sandbox = gvisor.Config{Dir: filepath.Join(cfg.DataDir, "sandbox"), Executable: cfg.Sandbox, Log: cfg.Log}
	if s.engine, err = gvisor.New(p.sandbox); err != nil {
		return fmt.Errorf("open sandbox engine: %w", err)
	}
	if p.connectors, err = readConnectors(cfg); err != nil {
		return err
	}
	if p.search, err = s.openSearch(p.connectors); err != nil {
		return err
	}
	if p.models, err = s.openModels(cfg); err != nil {
		return err
	}
	p.owner = newOwner()
	if err := s.openSessions(ctx, cfg, p.foundation, p.owner); err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(cfg.Listener.Addr().String())
	if err != nil {
		return fmt.Errorf("read the port of the listener: %w", err)
	}
	p.kept = kept{images: p.images, account: s.account, port: port}
	if p.unpacked, err = s.openImages(p.kept); err != nil {
		return err
	}
	p.networks = netprofile.New(p.store)
	p.pools = issuer.New(issuer.Config{Store: p.store, Box: p.box, Rand: rand.Reader, Now: time.Now, Log: cfg.Log})
	p.tokens = federation.New(federation.Config{
		Store: p.store, Box: p.box, Rand: rand.Reader, Now: time.Now, Account: s.account, Identities: p.directory, Base: s.publicURL, Log: cfg.Log,
	})
	p.keys, p.secrets = openKeys(cfg, p.foundation)
	p.door, err = s.openDoor(p)
	return err
}

// openServices makes the services of AgentCore, and says what runs beside calls.
func (s *Server) openServices(ctx context.Context, p *parts) (err error) {
	cfg := s.cfg
	s.guests = newGuests(p.directory, p.networks, cfg.Strict, cfg.Log)
	if s.guests.hosts, err = s.openGuestHosts(ctx, cfg, p.foundation, p.objects, p.pools); err != nil {
		return err
	}
	p.runtimes = s.newRuntimes(p)
	if p.functions, err = s.openFunctions(p); err != nil {
		return err
	}
	if p.identities, err = s.openIdentity(p); err != nil {
		return err
	}
	roles := newGatewayRoles(p.directory, s.leadsHome(p))
	p.identity = &gatewayIdentity{roles: roles}
	p.credentials = credential.New(credential.Config{Identity: p.identity, Roles: roles, Now: time.Now})
	p.invoker = invoke.New(invoke.Config{Plans: p.runtimes, Sessions: s.sessions, Store: p.store, Door: p.door, Region: s.region})
	if err := s.openGateways(p); err != nil {
		return err
	}
	p.portals = s.newPortals(p)
	s.caches.code, s.caches.engine, s.caches.runtimes, s.caches.functions, s.caches.images = p.code, p.sandbox, p.runtimes, p.functions, p.images
	s.caches.uploads = uploads{account: s.account, objects: p.objects, used: p.runtimes.CodeObjects, now: time.Now}
	s.garbage = s.caches.collector(cfg)
	jobs := work.New(p.store, work.Options{Owner: p.owner, Log: cfg.Log})
	for _, handlers := range []map[string]work.Handler{p.runtimes.Handlers(), p.functions.Handlers(), p.gateways.Handlers(), p.portals.Handlers()} {
		if err := register(jobs, handlers); err != nil {
			return err
		}
	}
	s.background = append(s.background, p.telemetry.Run, jobs.Run, p.objects.Run, p.runtimes.Run, p.functions.Run, s.garbage.Run, p.pools.Run, p.tokens.Run, p.keys.Run, p.secrets.Run)
	return nil
}

func (s *Server) newRuntimes(p *parts) *runtime.Service {
	cfg, able := s.cfg, s.engine.Capabilities()
	return runtime.New(runtime.Config{
		Store: p.store, Objects: zips{p.objects}, Code: p.code, Images: p.unpacked, CanonicalImage: p.kept.Canonical, Secrets: p.box, Sessions: s.sessions, Logs: p.telemetry,
		Wheels: wheels(cfg), OtherCode: func(ctx context.Context) (map[string]bool, error) { return p.functions.Code(ctx) },
		Interpreters: interpreters(cfg), Guests: s.guests, Roles: s.guests, Pulls: newPulls(p.store, p.kept, p.directory), Issuers: p.door.Verifier, GuestAPI: guestAPI(), GuestBundle: s.guests.hosts.bundleFile(),
		Limits:    sandbox.Limits{MemoryBytes: cmp.Or(cfg.Sessions.Memory, able.DefaultMemoryBytes), CPUs: cfg.Sessions.CPUs},
		MaxMemory: cmp.Or(cfg.Sessions.MemoryBudget, able.MaxMemoryBytes), SnapshotLife: cfg.Sessions.SnapshotLife,
		Quotas: cfg.Quotas, Strict: cfg.Strict, Log: cfg.Log, Now: time.Now,
		AccessPoints: cfg.AccessPoints,
		Passthrough:  cfg.Passthrough, // runtimes alone have it, never a code interpreter
	})
}

// interpreters looks where this user keeps them.
func interpreters(cfg Config) func(context.Context) ([]image.Interpreter, error) {
	return func(ctx context.Context) ([]image.Interpreter, error) {
		found, problems, err := image.Interpreters(ctx, searchPlaces(cfg))
		for _, p := range problems {
			cfg.Log.Debug("interpreter cannot be used", "path", p.Path, "reason", p.Reason)
		}
		return found, err
	}
}

// wheels asks the package index that this user's pip and uv are configured with.
func wheels(cfg Config) image.Fetcher {
	if cfg.NoIndex {
		return nil
	}
	return index.New(index.Config{Env: os.Environ(), Home: searchPlaces(cfg).Home, Trusted: image.Trusted})
}

func searchPlaces(cfg Config) image.Search {
	home, err := os.UserHomeDir()
	if err != nil {
		home = "" // a service account without one
	}
	return image.Search{Home: home, Path: os.Getenv("PATH"), Declared: cfg.InterpreterPrefixes, Hidden: []string{cfg.DataDir}}
}

// zips shows the object storage to the runtime service.
type zips struct{ objects *object.Storage }

func (z zips) Open(ctx context.Context, scope store.Scope, bucket, key, version string) (runtime.Object, error) {
	r, err := z.objects.Open(ctx, scope.Account, bucket, key, version)
	if err != nil {
		return nil, err
	}
	return zip{r}, nil
}

type zip struct{ *object.Reader }

func (z zip) Version() string { return z.Info().VersionID }
