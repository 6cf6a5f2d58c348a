// Package guest tries what an agent finds inside its sandbox with unmodified
// clients: the metadata service, the credentials of its role, and what they are
// good for. Here both stand on loopback and no sandbox is needed.
package guest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	s3model "github.com/outcrop/outcrop/internal/api/model/s3"
	stsmodel "github.com/outcrop/outcrop/internal/api/model/sts"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/sigv4"
	"github.com/outcrop/outcrop/internal/aws/s3"
	"github.com/outcrop/outcrop/internal/aws/sts"
	"github.com/outcrop/outcrop/internal/object"
	"github.com/outcrop/outcrop/internal/principal"
	"github.com/outcrop/outcrop/internal/resource"
	"github.com/outcrop/outcrop/internal/runtime"
	"github.com/outcrop/outcrop/internal/runtime/invoke"
	"github.com/outcrop/outcrop/internal/sandbox/network"
	"github.com/outcrop/outcrop/internal/sandbox/network/inlet"
	"github.com/outcrop/outcrop/internal/sandbox/network/metadata"
	"github.com/outcrop/outcrop/internal/secret/secrettest"
	"github.com/outcrop/outcrop/internal/store/sqlite"
	"github.com/outcrop/outcrop/internal/telemetry"
)

const (
	region         = "us-west-2"
	sessionName    = "BedrockAgentCore-0b5de0c4-5a5e-4d0c-a7a3-5f2f4f0c9d41"
	containerToken = "Bearer of this guest"
)

// kit is a server and the metadata service of one session.
type kit struct {
	API, Metadata string
	Directory     *principal.Directory
	Session       *principal.RoleSession
	role          string
	wire          *network.Session
	stop          func() // the metadata service

	t     *testing.T
	mu    sync.Mutex
	shift time.Duration
}

// now is the clock of credentials; that of signatures is the real one.
func (k *kit) now() time.Time { k.mu.Lock(); defer k.mu.Unlock(); return time.Now().Add(k.shift) }

// set puts the clock of credentials off the real one.
func (k *kit) set(shift time.Duration) { k.mu.Lock(); defer k.mu.Unlock(); k.shift = shift }

func newKit(t *testing.T) *kit {
	t.Helper()
	k := &kit{t: t}
	dir := t.TempDir()
	log := slog.New(slog.DiscardHandler)
	store, err := sqlite.Open(t.Context(), filepath.Join(dir, "outcrop.db"), sqlite.Options{})
	k.must(err)
	t.Cleanup(func() { k.must(store.Close()) })
	audit, err := telemetry.Open(t.Context(), filepath.Join(dir, "telemetry.db"), telemetry.Options{Log: log})
	k.must(err)
	t.Cleanup(func() { k.must(audit.Close()) })
	box := secrettest.Box(t)
	k.Directory, _, err = principal.Open(t.Context(), principal.Config{Store: store, Box: box, Rand: rand.Reader, Now: k.now})
	k.must(err)
	objects, err := object.New(t.Context(), object.Config{Dir: filepath.Join(dir, "objects"), Store: store, Log: log})
	k.must(err)

	// Nothing of the runtime service is reached: all its calls are refused.
	runtimes := runtime.New(runtime.Config{Store: store, Secrets: box, Log: log, Now: time.Now})
	var handlers []schema.Handler
	handlers = append(handlers, agentcorecontrol.RuntimeHandlers(runtimes)...)
	handlers = append(handlers, agentcorecontrol.ResourcesHandlers(resource.New(store, nil, k.Directory))...)
	handlers = append(handlers, invoke.New(invoke.Config{Plans: runtimes, Store: store}).Handlers()...)
	handlers = append(handlers, s3model.ObjectsHandlers(s3.New(objects, nil))...)
	handlers = append(handlers, agentcorecontrol.IdentityHandlers(nil)...)
	handlers = append(handlers, agentcore.IdentityHandlers(nil)...)
	handlers = append(handlers, agentcorecontrol.GatewayHandlers(nil)...)
	handlers = append(handlers, agentcorecontrol.ConsentPortalHandlers(nil)...)
	handlers = append(handlers, agentcore.GatewayHandlers(nil)...)
	handlers = append(handlers, agentcore.WebSearchHandlers(nil)...)
	handlers = append(handlers, stsmodel.IdentityHandlers(sts.New(sts.Config{Sessions: k.Directory}))...)
	p, err := pipeline.New(pipeline.Config{
		Version:  "test",
		Services: []*schema.Service{&agentcorecontrol.Service, &agentcore.Service, &s3model.Service, &stsmodel.Service},
		Handlers: handlers, Verifier: sigv4.New(sigv4.Config{Keys: k.Directory, SpoolDir: dir}), Authorizer: auth.NewAuthorizer(),
		Store: store, Audit: audit, Log: log, Now: time.Now,
	})
	k.must(err)
	wire := k.connect(p)

	k.role = "arn:aws:iam::" + k.Directory.Account().ID + ":role/agents/hello-role"
	k.Session, err = k.Directory.BeginRoleSession(k.t.Context(), principal.RoleUse{Role: k.role, Name: sessionName})
	k.must(err)
	k.wire = wire
	k.copied(false)
	t.Cleanup(func() { k.stop() })
	return k
}

// copied begins the metadata service anew, for a guest that others will be copied
// from or not.
func (k *kit) copied(yes bool) {
	if k.stop != nil {
		k.stop()
	}
	k.stop = metadata.Attach(k.wire, metadata.New(metadata.Config{
		Credentials: k.credentials, Copied: yes, Role: k.role, Region: region, ContainerToken: containerToken, Now: k.now,
		Log: slog.New(slog.DiscardHandler),
	}))
}

func (k *kit) must(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}

func (k *kit) credentials(ctx context.Context) (metadata.Credentials, error) {
	c, err := k.Session.Credentials(ctx, principal.Lifetime)
	return metadata.Credentials{
		AccessKeyID: c.AccessKeyID, SecretAccessKey: c.Secret.Reveal(), Token: c.SessionToken.Reveal(), Issued: c.Issued, Expires: c.Expires,
	}, err
}

// connect makes the wire of a guest, on which h is Outcrop's API. In the place
// of a sandbox are ports of this host, one for each address.
func (k *kit) connect(h http.Handler) *network.Session {
	k.t.Helper()
	s, err := network.New(network.Config{Policy: network.Policy{Mode: network.Sandbox}, Machine: network.NewMachine()})
	k.must(err)
	k.t.Cleanup(s.Close)
	api := inlet.New(network.API)
	s.Handle(network.API, func(ctx context.Context) (net.Conn, error) {
		return api.Connect(ctx, netip.AddrPortFrom(network.Guest, 0))
	})
	server := &http.Server{Handler: h}
	done := make(chan error, 1)
	go func() { done <- server.Serve(api) }()
	k.t.Cleanup(func() {
		k.must(server.Close())
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			k.t.Error(err)
		}
	})
	k.API, k.Metadata = k.port(s, network.API), k.port(s, metadata.Address)
	return s
}

// port leads connections to a port of this host to an address on the wire.
func (k *kit) port(s *network.Session, to netip.AddrPort) (url string) {
	k.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	k.must(err)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go splice(c, s, to)
		}
	}()
	k.t.Cleanup(func() { k.must(l.Close()) })
	return "http://" + l.Addr().String()
}

func splice(c net.Conn, s *network.Session, to netip.AddrPort) {
	defer c.Close()
	wire, err := s.Connect(context.Background(), "tcp", to)
	if err != nil {
		return // the guest sees its connection closed
	}
	defer wire.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(wire, c) // either side may go at any time
		_ = wire.Close()
	}()
	_, _ = io.Copy(c, wire)
	_ = c.Close()
	<-done
}

// env is what a client finds, apart from where its credentials are.
func (k *kit) env(more ...string) []string {
	home := k.t.TempDir()
	return append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "AWS_CONFIG_FILE=" + filepath.Join(home, "none"),
		"AWS_SHARED_CREDENTIALS_FILE=" + filepath.Join(home, "none"), "AWS_REGION=" + region, "AWS_DEFAULT_REGION=" + region,
		"AWS_ENDPOINT_URL=" + k.API, "AWS_PAGER=", "AWS_MAX_ATTEMPTS=1",
	}, more...)
}

// answer is what the clients' programs print.
type answer struct {
	Account, Arn, UserId, Key string
	Refused                   [][]any
}

// check compares an answer with what the session is and may.
func (k *kit) check(line []byte) answer {
	k.t.Helper()
	var a answer
	if err := json.Unmarshal(line, &a); err != nil {
		k.t.Fatalf("%v: %s", err, line)
	}
	account := k.Directory.Account().ID
	arn := k.Session.ARN()
	if a.Account != account || a.Arn != arn || a.UserId != principal.RoleID(k.role)+":"+arn[strings.LastIndexByte(arn, '/')+1:] {
		k.t.Errorf("it is %+v", a)
	}
	denied := func(code, action, resource string) []any {
		return []any{code, 403.0, "User: " + arn + " is not authorized to perform: " + action + " on resource: " + resource +
			" because no identity-based policy allows the " + action + " action"}
	}
	runtimeARN := "arn:aws:bedrock-agentcore:" + region + ":" + account + ":runtime/hello-0123456789"
	want := [][]any{
		denied("AccessDeniedException", "bedrock-agentcore:ListAgentRuntimes", "*"),
		denied("AccessDeniedException", "bedrock-agentcore:InvokeAgentRuntime", runtimeARN),
		denied("AccessDenied", "s3:ListAllMyBuckets", "*"),
		denied("AccessDenied", "s3:GetObject", "arn:aws:s3:::code/agent.zip"),
	}
	got, err := json.Marshal(a.Refused)
	k.must(err)
	text, err := json.Marshal(want)
	k.must(err)
	if string(got) != string(text) {
		k.t.Errorf("refused with\n%s\nwant\n%s", got, text)
	}
	return a
}
