package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	goruntime "runtime"
	"time"

	"github.com/outcrop/outcrop/internal/api/model"
	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/model/ecr"
	"github.com/outcrop/outcrop/internal/api/model/outcrop"
	"github.com/outcrop/outcrop/internal/api/model/s3"
	"github.com/outcrop/outcrop/internal/api/model/sts"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/api/throttle"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/sigv4"
	ecrfront "github.com/outcrop/outcrop/internal/aws/ecr"
	s3front "github.com/outcrop/outcrop/internal/aws/s3"
	stsfront "github.com/outcrop/outcrop/internal/aws/sts"
	"github.com/outcrop/outcrop/internal/garbage"
	"github.com/outcrop/outcrop/internal/gate"
	"github.com/outcrop/outcrop/internal/image"
	"github.com/outcrop/outcrop/internal/image/wheel/index"
	"github.com/outcrop/outcrop/internal/netprofile"
	"github.com/outcrop/outcrop/internal/object"
	"github.com/outcrop/outcrop/internal/operator"
	"github.com/outcrop/outcrop/internal/principal"
	"github.com/outcrop/outcrop/internal/resource"
	"github.com/outcrop/outcrop/internal/runtime"
	"github.com/outcrop/outcrop/internal/runtime/invoke"
	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/sandbox/gvisor"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite"
	"github.com/outcrop/outcrop/internal/telemetry"
	"github.com/outcrop/outcrop/internal/work"
)

// Server is everything that Build made. Run runs one; a measuring program
// looks at its parts.
type Server struct {
	cfg             Config
	front           http.Handler
	sessions        *session.Manager
	engine          sandbox.Engine
	guests          *guests
	hosts           hosts
	flights         flights
	door            *gate.Gate // of all listeners but the agents'
	hush            func()     // ends the streams that only listen
	caches          caches
	garbage         *garbage.Collector
	background      []func(context.Context) error
	account, region string
	closers         []func() error // in the order of building
}

// close closes the stores, the last built first.
func (s *Server) close() error {
	var errs []error
	for i := len(s.closers) - 1; i >= 0; i-- {
		errs = append(errs, s.closers[i]())
	}
	if err := errors.Join(errs...); err != nil {
		s.cfg.Log.Error("close", "error", err)
		return err
	}
	return nil
}

// foundation is what every service stands on.
type foundation struct {
	store     *sqlite.Store
	telemetry *telemetry.DB
	box       *secret.Box
	directory *principal.Directory
}

// Sessions are the running sandboxes.
func (s *Server) Sessions() *session.Manager { return s.sessions }

// Build makes all parts, bottom to top, and starts none. On an error it closes
// what it made.
func Build(ctx context.Context, cfg Config) (_ *Server, err error) {
	s := &Server{}
	if cfg.MaxSessions == 0 {
		cfg.MaxSessions = DefaultMaxSessions
	}
	if cfg.Grace == 0 {
		cfg.Grace = 30 * time.Second
	}
	cfg.Sessions = cfg.Sessions.withDefaults()
	s.cfg = cfg
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if err := dataDir(cfg.DataDir); err != nil {
		return nil, err
	}
	if err := cleanStages(cfg.DataDir); err != nil { // what it keeps of the disk is no reason not to serve
		cfg.Log.Warn("what a backup left stays", "error", err)
	}
	f, err := s.foundation(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if s.account, s.region, err = writeCredentials(ctx, cfg, f.directory); err != nil {
		return nil, err
	}
	s.door = s.gate("clients")
	if err := s.openHosts(ctx, cfg, f); err != nil {
		return nil, err
	}
	objects, err := object.New(ctx, object.Config{Dir: filepath.Join(cfg.DataDir, "objects"), Store: f.store, Log: cfg.Log})
	if err != nil {
		return nil, fmt.Errorf("open objects: %w", err)
	}
	images, err := s.openRegistry(ctx, f)
	if err != nil {
		return nil, err
	}
	code, err := image.NewCache(filepath.Join(cfg.DataDir, "code"), image.DefaultLimits())
	if err != nil {
		return nil, fmt.Errorf("open code cache: %w", err)
	}
	engineConfig := gvisor.Config{Dir: filepath.Join(cfg.DataDir, "sandbox"), Executable: cfg.Sandbox, Log: cfg.Log}
	if s.engine, err = gvisor.New(engineConfig); err != nil {
		return nil, fmt.Errorf("open sandbox engine: %w", err)
	}
	owner := newOwner()
	if err := s.openSessions(ctx, cfg, f, owner); err != nil {
		return nil, err
	}
	own := kept{images: images, account: s.account, listen: cfg.Listener.Addr()}
	unpacked, err := s.openImages(own)
	if err != nil {
		return nil, err
	}
	networks := netprofile.New(f.store)
	s.guests = newGuests(f.directory, networks, cfg.Log)
	able := s.engine.Capabilities()
	runtimes := runtime.New(runtime.Config{
		Store: f.store, Objects: zips{objects}, Code: code, Images: unpacked, CanonicalImage: own.Canonical, Secrets: f.box, Sessions: s.sessions, Logs: f.telemetry,
		Wheels: wheels(cfg), Interpreters: interpreters(cfg), Guests: s.guests, GuestAPI: guestAPI(),
		Limits:    sandbox.Limits{MemoryBytes: cmp.Or(cfg.Sessions.Memory, able.DefaultMemoryBytes), CPUs: cfg.Sessions.CPUs},
		MaxMemory: cmp.Or(cfg.Sessions.MemoryBudget, able.MaxMemoryBytes), SnapshotLife: cfg.Sessions.SnapshotLife,
		Quotas: cfg.Quotas, Strict: cfg.Strict, Log: cfg.Log, Now: time.Now,
		AccessPoints: cfg.AccessPoints,
		Passthrough:  cfg.Passthrough, // runtimes alone have it, never a code interpreter
	})
	s.caches.code, s.caches.engine, s.caches.runtimes, s.caches.images = code, engineConfig, runtimes, images
	s.caches.uploads = uploads{account: s.account, objects: objects, used: runtimes.CodeObjects, now: time.Now}
	s.garbage = s.caches.collector(cfg)
	jobs := work.New(f.store, work.Options{Owner: owner, Log: cfg.Log})
	if err := register(jobs, runtimes.Handlers()); err != nil {
		return nil, err
	}
	s.background = append(s.background, f.telemetry.Run, jobs.Run, objects.Run, runtimes.Run, s.garbage.Run)
	invoker := invoke.New(runtimes, s.sessions, f.store)
	s.hush = invoker.Hush
	authorizer := &auth.Authorizer{Denied: s.guests.denials.denied}
	api, err := pipeline.New(pipeline.Config{
		Version:  cfg.Version,
		Services: model.Services(),
		Handlers: handlers(
			agentcorecontrol.RuntimeHandlers(runtimes),
			agentcorecontrol.ResourcesHandlers(resource.New(f.store, map[string]resource.Owner{"runtime": runtimes, "capacity-provider": runtimes})),
			invoker.Handlers(),
			s3.ObjectsHandlers(s3front.New(objects)),
			ecr.ImagesHandlers(ecrfront.New(images, f.directory)),
			sts.IdentityHandlers(stsfront.Service{}),
			outcrop.OperatorHandlers(s.operator(cfg, f, runtimes, networks, engineConfig)),
		),
		Verifier:   sigv4.New(sigv4.Config{Keys: f.directory, SpoolDir: filepath.Join(cfg.DataDir, "spool")}),
		Authorizer: authorizer, Store: f.store, Audit: f.telemetry, Log: cfg.Log, Now: time.Now,
		Throttle: throttle.New(&agentcorecontrol.Service, cfg.Rates, time.Now).Allow,
		Open:     map[string]http.Handler{"/": page(cfg.Version), "/_outcrop/health": health()},
	})
	if err != nil {
		return nil, err
	}
	s.hosts.serves = api.Serves
	s.front = front(api, images, f, authorizer, cfg)
	return s, nil
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

func (s *Server) operator(cfg Config, f foundation, runtimes *runtime.Service, networks operator.Networks, engine gvisor.Config) *operator.Service {
	return operator.New(operator.Config{
		Server: operator.Server{
			Version: cfg.Version, Account: s.account, OS: goruntime.GOOS, Architecture: goruntime.GOARCH,
			DataDirectory: cfg.DataDir, ProcessID: os.Getpid(), Started: time.Now(),
		},
		Sessions: s.sessions, Logs: f.telemetry, Garbage: s.garbage, Interpreters: runtimes.Interpreters, Networks: networks,
		Sandbox:  func(ctx context.Context) (string, string, string) { return sandboxState(ctx, s.engine, engine) },
		ARN:      func(k session.Key) string { return runtime.ARN(k.Scope, k.Owner) },
		LogGroup: runtime.LogGroup,
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

func handlers(lists ...[]schema.Handler) []schema.Handler {
	var out []schema.Handler
	for _, l := range lists {
		out = append(out, l...)
	}
	return out
}
