// Package app wires the server: it is the only place that builds stores,
// engines, leaves, services and listeners, and the only one that knows them all.
package app

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/outcrop/outcrop/internal/api/throttle"
	"github.com/outcrop/outcrop/internal/gate"
	"github.com/outcrop/outcrop/internal/hostline"
	"github.com/outcrop/outcrop/internal/outbound"
	"github.com/outcrop/outcrop/internal/runtime"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/work"
)

// Config says what server to run.
type Config struct {
	// Listener is open; Run closes it, and those of Hosts.
	Listener net.Listener
	// DataDir is made when it is missing, mode 0700.
	DataDir string
	// Region is that of a new account.
	Region string
	// Sandbox is a sandbox executable to use in place of the embedded one.
	Sandbox string
	// InterpreterPrefixes are further directories that hold interpreters.
	InterpreterPrefixes []string
	// Passthrough names the runtimes of runtime.Config.Passthrough.
	Passthrough []string
	// NoGuestHosts leads AWS's host names to AWS inside sandboxes too.
	NoGuestHosts bool
	// AllowPrivate is what of this network is called although callers name it: the
	// issuers of tokens, say. TrustCA are files with certificates of authorities, in
	// PEM, that are trusted there besides the system's.
	AllowPrivate outbound.Private
	TrustCA      []string
	// PublicURL is how browsers reach the server, scheme and host; empty is the first
	// listener. OAuthVendors is a file with entries for the table of OAuth vendors; empty
	// is oauth-vendors.json in the data directory, if there is one.
	PublicURL, OAuthVendors string
	// GatewayDomain is below which every gateway has a host name of its own,
	// ID.gateway.DOMAIN; empty is that gateways are told apart by their path alone.
	GatewayDomain string
	// TrustedIssuers are those whose tokens stand for the users of agents, besides this
	// server's own pools; none is every issuer, or where Strict no other.
	TrustedIssuers []string
	// AccessPoints are those of runtime.Config.AccessPoints.
	AccessPoints map[string]string
	// NoIndex keeps it from asking this machine's package index for Python packages
	// that a code zip has for another machine.
	NoIndex bool
	// MaxSessions bounds the sessions alive at once; 0 is DefaultMaxSessions.
	MaxSessions int
	// Sessions says how they are kept.
	Sessions SessionConfig
	// Images says which container images are run.
	Images ImageConfig
	// Quotas of an account and the rates of its calls; 0 is the default, and of a
	// rate no bound. Strict holds AWS's own limits where Outcrop's are wider.
	Quotas runtime.Quotas
	Rates  throttle.Rates
	Strict bool
	// Hosts says what is served under AWS's host names, and over TLS.
	Hosts HostsConfig
	// Connectors is the file of the configuration of gateways' connectors; empty is
	// connectors.json of DataDir, which need not be there.
	Connectors string
	// Models is the file of the model configuration; empty is models.json of DataDir,
	// which need not be there.
	Models string
	// LambdaEndpoint is the URL at which functions are invoked that are not here; empty:
	// there are none.
	LambdaEndpoint string
	// GatewayEndpoints are where gateways find services of AWS's kind.
	GatewayEndpoints GatewayEndpoints
	// Grace is how long running requests may go on at the end; 0 is 30 s.
	Grace   time.Duration
	Version string
	Log     *slog.Logger
	// Ready is called once requests are answered.
	Ready func(account, region string)
}

// DefaultMaxSessions bounds the live sessions of one host, each of which holds
// some 120 MB and more.
const DefaultMaxSessions = 100

// Run builds a server and serves until ctx ends.
func Run(ctx context.Context, cfg Config) (err error) {
	s, err := Build(ctx, cfg)
	if err != nil {
		return errors.Join(err, cfg.closeListeners())
	}
	return s.Serve(ctx)
}

// Serve answers until ctx ends, and closes everything. The order of the end: no
// new requests, running ones get Grace, then sessions, engine, background work, the
// guests' side, and the stores last.
func (s *Server) Serve(ctx context.Context) (err error) {
	cfg := s.cfg
	defer func() { err = errors.Join(err, cfg.closeListeners(), s.close()) }()
	defer ballast()()

	// The background outlives the listener: requests that end still log.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, background := errgroup.WithContext(background)
	for _, run := range s.background {
		group.Go(func() error { return ended(run(background)) })
	}
	server := s.server()
	server.Handler, server.ConnContext = gate.Handler(s.flights.Handler(server.Handler)), gate.Context
	server.RegisterOnShutdown(s.hush)
	group.Go(func() error { return answer(server, s.door.Listen(cfg.Listener)) })
	s.serveHosts(background, group, server)
	cfg.Ready(s.account, s.region)

	select {
	case <-ctx.Done():
	case <-background.Done(): // something failed
	}
	s.shutDown(server)
	stop()
	err = group.Wait()
	s.guests.api.close() // no guest is left, and none comes
	return err
}

// maxHeader bounds a request's line and headers, in bytes. What clients send has a
// few KiB; the largest that S3 allows has 10, and a token seldom more than that.
const maxHeader = 32 << 10

// gate bounds the connections of clients that have shown no credentials.
func (s *Server) gate() *gate.Gate {
	return gate.New(gate.Config{Shut: func(address net.Addr, total int64) {
		if total%1000 == 1 { // a flood is no reason to fill the log
			s.cfg.Log.Warn("more connections without a request than are kept: the longest silent ones are closed",
				"kept", gate.DefaultStrangers, "closed", total, "last", address.String())
		}
	}})
}

// silence is how long a connection may bring no request, from its beginning as between two:
// clients dial ahead, and Go's keep a connection for 90 seconds whether they have used it or
// not. One that ends here first takes a request with it. Of strangers' the gate lets go sooner.
const silence = 2 * time.Minute

// server answers API calls. Guests have one of their own.
func (s *Server) server() *http.Server {
	return &http.Server{
		Handler: countHops(s.mark, sameHost(s.front)), ReadHeaderTimeout: silence, IdleTimeout: silence, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug),
	}
}

func answer(server *http.Server, l net.Listener) error {
	if err := server.Serve(hostline.Listen(l)); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	return nil
}

// shutDown ends what clients see.
func (s *Server) shutDown(h *http.Server) {
	cfg := s.cfg
	ctx, cancel := context.WithTimeout(context.Background(), cfg.Grace)
	defer cancel()
	running := 0
	for _, i := range s.sessions.List(func(session.Key) bool { return true }) {
		running += i.Running
	}
	if running > 0 {
		cfg.Log.Info("stopping: running requests may end first; a second signal ends at once", "requests", running, "grace", cfg.Grace)
	}
	err := h.Shutdown(ctx)
	if err == nil {
		err = s.flights.wait(ctx) // WebSockets and shells
	}
	if err != nil {
		cfg.Log.Warn("requests were still running at the end of the grace period", "grace", cfg.Grace)
		_ = h.Close() // their connections break, which is what the deadline means; WebSockets are told so with their sessions
	}
	ctx, cancel = context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := s.sessions.Close(ctx); err != nil {
		cfg.Log.Error("stop sessions", "error", err)
	}
	if err := s.flights.wait(ctx); err != nil {
		cfg.Log.Error("connections were still open after their sessions had ended", "error", err)
	}
	if err := s.engine.Close(ctx); err != nil {
		cfg.Log.Error("stop sandbox engine", "error", err)
	}
}

// ended is nil for a component that ended because it was told to.
func ended(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func closed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// dataDir makes the data directory, which nobody else may read.
func dataDir(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok && int(sys.Uid) != os.Geteuid() {
		return fmt.Errorf("data directory %s belongs to uid %d and this is uid %d; whoever owns it could have put links there: use --data with a directory of your own", path, sys.Uid, os.Geteuid())
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("data directory %s can be read by others (mode %04o); it holds secrets: chmod 700 %s", path, info.Mode().Perm(), path)
	}
	return nil
}

// newOwner names this process for leases: the node is the data directory's,
// which one process uses at a time.
func newOwner() store.Owner {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return store.Owner{Node: "local", Process: hex.EncodeToString(b[:])}
}

// register adds the work handlers of a service.
func register(r *work.Runner, handlers map[string]work.Handler) error {
	for kind, h := range handlers {
		if err := r.Register(kind, h, work.Policy{}); err != nil {
			return err
		}
	}
	return nil
}
