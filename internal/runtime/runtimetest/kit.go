// Package runtimetest is a whole Runtime service for tests: the real pipeline,
// store, object storage, code cache, telemetry and work over a pretended
// sandbox engine.
package runtimetest

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/jwt"
	"github.com/outcrop/outcrop/internal/auth/pin"
	"github.com/outcrop/outcrop/internal/auth/sigv4"
	"github.com/outcrop/outcrop/internal/client"
	"github.com/outcrop/outcrop/internal/image"
	"github.com/outcrop/outcrop/internal/image/oci"
	"github.com/outcrop/outcrop/internal/inbound"
	"github.com/outcrop/outcrop/internal/object"
	"github.com/outcrop/outcrop/internal/resource"
	"github.com/outcrop/outcrop/internal/runtime"
	"github.com/outcrop/outcrop/internal/runtime/invoke"
	"github.com/outcrop/outcrop/internal/sandbox/sandboxfake"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/session/storage"
	"github.com/outcrop/outcrop/internal/snapshot"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite"
	"github.com/outcrop/outcrop/internal/telemetry"
	"github.com/outcrop/outcrop/internal/work"
	"github.com/outcrop/outcrop/internal/workload"
)

// The one account of a Kit, and its key.
const (
	Account = "111122223333"
	Region  = "us-west-2"
	KeyID   = "AKIDEXAMPLE"
	Secret  = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	Bucket  = "code-zips"
	Role    = "arn:aws:iam::" + Account + ":role/outcrop-default"
)

// Scope is the one of the Kit's account.
func Scope() store.Scope { return store.Scope{Account: Account, Region: Region} }

// Options of a Kit; the zero value is good.
type Options struct {
	// Policy is that of work items; the zero value tries twice, at once.
	Policy work.Policy
	// Idle leaves work undone until Kit.Work.
	Idle bool
	// MaxSessions is 10 when it is 0.
	MaxSessions int
	// Snapshots lets versions and sessions be saved, and gives sessions storage.
	Snapshots bool
	// SnapshotLife is that of the service when it is 0.
	SnapshotLife time.Duration
	Quotas       runtime.Quotas
	// Strict is that of runtime.Config.
	Strict bool
	// Passthrough and Wheels are those of runtime.Config.
	Passthrough []string
	// AccessPoints are those of runtime.Config.
	AccessPoints map[string]string
	Wheels       image.Fetcher
	// Issuers are those of runtime.Config.
	Issuers runtime.Issuers
	// Access says who may call what, of a Kit whose Store is open; nil is the root key
	// of Account alone, who may call everything.
	Access func(k *Kit) Access
}

// Access is who may call what.
type Access struct {
	Keys       sigv4.KeySource
	Authorizer *auth.Authorizer
	Roles      runtime.Roles
	Directory  pin.Directory // of whom policies name; nil for nobody
}

// Kit is the service and what is around it.
type Kit struct {
	URL       string
	Dir       string // holds outcrop.db, telemetry.db and code
	Engine    *sandboxfake.Engine
	Store     *sqlite.Store
	Objects   *object.Storage
	Telemetry *telemetry.DB
	Sessions  *session.Manager
	Service   *runtime.Service
	Invoke    *invoke.Service
	Control   *bedrockagentcorecontrol.Client
	Data      *bedrockagentcore.Client
	// Tokens makes the tokens of agents.
	Tokens workload.Tokens
	// Log is what the server logs.
	Log *bytes.Buffer

	t      testing.TB
	runner *work.Runner
}

// New returns a running Kit that ends with the test.
func New(t testing.TB, o Options) *Kit {
	t.Helper()
	k := &Kit{t: t, Dir: t.TempDir(), Engine: &sandboxfake.Engine{Handler: http.HandlerFunc(healthy)}, Log: &bytes.Buffer{}}
	log := slog.New(slog.NewTextHandler(k.Log, nil))
	k.open(log)
	box := k.box()
	code, err := image.NewCache(filepath.Join(k.Dir, "code"), image.DefaultLimits())
	k.must(err)
	images, err := oci.NewStore(oci.StoreConfig{Dir: filepath.Join(k.Dir, "images")})
	k.must(err)
	t.Cleanup(images.Close)
	if o.MaxSessions == 0 {
		o.MaxSessions = 10
	}
	k.Sessions = session.NewManager(k.sessions(o, box, log))
	access := Access{Keys: oneKey{}, Authorizer: auth.NewAuthorizer()}
	if o.Access != nil {
		access = o.Access(k)
	}
	k.Service = runtime.New(runtime.Config{
		Store: k.Store, Objects: zips{k.Objects}, Code: code, Wheels: o.Wheels, Images: images, Strict: o.Strict, Secrets: box, Sessions: k.Sessions, Logs: k.Telemetry,
		Interpreters: interpreters, SnapshotLife: o.SnapshotLife, Passthrough: o.Passthrough, AccessPoints: o.AccessPoints, Quotas: o.Quotas, Issuers: o.Issuers, Log: log, Now: time.Now,
		Roles: access.Roles,
	})
	k.background(k.Service.Run)
	k.runner = work.New(k.Store, work.Options{Owner: store.Owner{Node: "test", Process: "1"}, Log: log})
	if o.Policy == (work.Policy{}) {
		o.Policy = work.Policy{MaxAttempts: 2, FirstPause: time.Millisecond, MaxPause: time.Millisecond}
	}
	for kind, h := range k.Service.Handlers() {
		k.must(k.runner.Register(kind, h, o.Policy))
	}
	k.Tokens = workload.Tokens{Box: box, Now: time.Now}
	verifier := jwt.New(jwt.Config{HTTP: http.DefaultClient})
	t.Cleanup(verifier.Close)
	k.Invoke = invoke.New(invoke.Config{
		Plans: k.Service, Sessions: k.Sessions, Store: k.Store, Region: Region, Door: &inbound.Door{Verifier: verifier, Workloads: k.Tokens, Store: k.Store},
	})
	p, err := pipeline.New(pipeline.Config{
		Version: "test", Services: []*schema.Service{&agentcorecontrol.Service, &agentcore.Service},
		Handlers: slices.Concat(k.Service.API(), k.Invoke.Handlers(),
			agentcorecontrol.IdentityHandlers(nil), agentcore.IdentityHandlers(nil), agentcorecontrol.GatewayHandlers(nil), agentcore.GatewayHandlers(nil), agentcore.WebSearchHandlers(nil), agentcorecontrol.ConsentPortalHandlers(nil), // which nobody calls here
			agentcorecontrol.ResourcesHandlers(resource.New(k.Store, map[string]resource.Owner{"runtime": k.Service, "capacity-provider": k.Service}, access.Directory))),
		Verifier: sigv4.New(sigv4.Config{Keys: access.Keys, SpoolDir: k.Dir}), Authorizer: access.Authorizer,
		Store: k.Store, Audit: k.Telemetry, Log: log, Now: time.Now, Inbound: k.Invoke,
	})
	k.must(err)
	server := httptest.NewServer(p)
	k.URL = server.URL
	t.Cleanup(func() {
		_ = k.Engine.Close(context.Background()) // never fails
		server.CloseClientConnections()
		server.Close()
		k.must(k.Sessions.Close(context.Background()))
	})
	cfg := aws.Config{
		Region: Region, BaseEndpoint: &k.URL, Credentials: credentials.NewStaticCredentialsProvider(KeyID, Secret, ""),
		Retryer: func() aws.Retryer { return aws.NopRetryer{} }, HTTPClient: client.ForSDK(awshttp.NewBuildableClient()),
	}
	k.Control, k.Data = bedrockagentcorecontrol.NewFromConfig(cfg), bedrockagentcore.NewFromConfig(cfg)
	if !o.Idle {
		k.Work()
	}
	return k
}

// open opens the databases and the object storage with its bucket.
func (k *Kit) open(log *slog.Logger) {
	k.t.Helper()
	ctx := k.t.Context()
	var err error
	k.Store, err = sqlite.Open(ctx, filepath.Join(k.Dir, "outcrop.db"), sqlite.Options{})
	k.must(err)
	k.t.Cleanup(func() { k.must(k.Store.Close()) })
	k.Telemetry, err = telemetry.Open(ctx, filepath.Join(k.Dir, "telemetry.db"), telemetry.Options{Log: log})
	k.must(err)
	k.t.Cleanup(func() { k.must(k.Telemetry.Close()) })
	k.background(k.Telemetry.Run)
	k.Objects, err = object.New(ctx, object.Config{Dir: filepath.Join(k.Dir, "objects"), Store: k.Store})
	k.must(err)
	_, err = k.Objects.CreateBucket(ctx, Account, Region, Bucket, object.NewBucket{})
	k.must(err)
}

// sessions is the configuration of the manager.
func (k *Kit) sessions(o Options, box *secret.Box, log *slog.Logger) session.Config {
	k.t.Helper()
	cfg := session.Config{Engine: k.Engine, Limit: o.MaxSessions, Log: log}
	if !o.Snapshots {
		return cfg
	}
	open := func(kind string) *snapshot.Store {
		s, err := snapshot.New(k.t.Context(), snapshot.Config{
			Dir: filepath.Join(k.Dir, "snapshots", kind), Kind: kind, Box: box, Load: k.Engine.Load, MaxAge: o.SnapshotLife, Now: time.Now, Log: log,
		})
		k.must(err)
		k.t.Cleanup(func() { k.must(s.Close()) })
		return s
	}
	cfg.Store, cfg.Owner, cfg.Templates, cfg.Hibernated = k.Store, store.Owner{Node: "test", Process: "1"}, open("versions"), open("sessions")
	var err error
	cfg.Storage, err = storage.New(storage.Config{Dir: filepath.Join(k.Dir, "session-storage"), Now: time.Now, Log: log})
	k.must(err)
	k.t.Cleanup(cfg.Storage.Wait)
	return cfg
}

func (k *Kit) box() *secret.Box {
	k.t.Helper()
	ring, _, err := secret.EnsureKeyFile(filepath.Join(k.Dir, "key.json"))
	k.must(err)
	box, err := secret.NewBox(ring)
	k.must(err)
	return box
}

// Work begins to do work items.
func (k *Kit) Work() { k.background(k.runner.Run) }

// background runs a component until the test ends.
func (k *Kit) background(run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	k.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			k.t.Error(err)
		}
	})
}

func (k *Kit) must(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}

// Put stores an object in the Kit's bucket and returns its version.
func (k *Kit) Put(key string, body []byte) string {
	k.t.Helper()
	info, err := k.Objects.Put(k.t.Context(), object.ID{Account: Account, Bucket: Bucket, Key: key}, object.Put{},
		object.Body{Reader: bytes.NewReader(body), Size: int64(len(body))})
	k.must(err)
	return info.VersionID
}

// Logs are the messages of an endpoint's log, oldest first.
func (k *Kit) Logs(group string) []string {
	k.t.Helper()
	k.must(k.Telemetry.Flush(k.t.Context()))
	page, err := k.Telemetry.Events(k.t.Context(), telemetry.Query{Group: telemetry.Group{Scope: Scope(), Name: group}})
	if errors.Is(err, telemetry.ErrNotFound) {
		return nil
	}
	k.must(err)
	out := make([]string, 0, len(page.Events))
	for _, e := range page.Events {
		out = append(out, e.Message)
	}
	return out
}

// Contains looks for text in every file below the Kit's directory.
func (k *Kit) Contains(text string) (files []string) {
	k.t.Helper()
	k.must(k.Telemetry.Flush(k.t.Context()))
	k.must(filepath.WalkDir(k.Dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(text)) {
			files = append(files, filepath.Base(path))
		}
		return err
	}))
	return files
}

// Zip makes an archive of names and contents.
func Zip(t testing.TB, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		f, err := w.Create(files[i])
		if err == nil {
			_, err = io.WriteString(f, files[i+1])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// healthy is an agent that is ready and says what it was asked.
func healthy(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/ping" {
		return
	}
	_, _ = io.Copy(w, r.Body) // a caller that has left
}

// interpreters pretends that the host has two.
func interpreters(context.Context) ([]image.Interpreter, error) {
	return []image.Interpreter{
		{Runtime: "PYTHON_3_11", Version: "3.11.2", Executable: "/usr/bin/python3.11"},
		{Runtime: "PYTHON_3_12", Version: "3.12.1", Executable: "/usr/bin/python3.12"},
	}, nil
}

// oneKey knows the account's root key.
type oneKey struct{}

func (oneKey) Key(_ context.Context, id, _ string) (sigv4.Key, error) {
	if id != KeyID {
		return sigv4.Key{}, sigv4.ErrUnknownKey
	}
	return sigv4.Key{Secret: Secret, Principal: auth.Principal{Account: Account, ARN: auth.RootARN(Account), ID: id, Kind: auth.Root}}, nil
}

// zips shows the object storage to the service.
type zips struct{ *object.Storage }

func (z zips) Open(ctx context.Context, scope store.Scope, bucket, key, version string) (runtime.Object, error) {
	r, err := z.Storage.Open(ctx, scope.Account, bucket, key, version)
	if err != nil {
		return nil, err
	}
	return zipObject{r}, nil
}

type zipObject struct{ *object.Reader }

func (z zipObject) Version() string { return z.Info().VersionID }

// SessionID makes an id of legal length of a short name.
func SessionID(name string) string { return name + strings.Repeat("-", 40-len(name)) }
