package cli

import (
	"context"
	"log/slog"
	"net"
	"time"
)

// Server runs the server until ctx ends and returns nil after an orderly stop.
// It closes opt.Listener.
type Server func(ctx context.Context, opt ServeOptions) error

// ServeOptions is what the command line says about the server to run.
type ServeOptions struct {
	// Listener is open and accepts connections: serve binds the port before
	// anything is written, so that a taken port leaves no half-made data behind.
	Listener net.Listener
	// URL is where clients on this machine reach the Listener.
	URL string
	// DataDir is absolute and need not exist yet.
	DataDir string
	// Region is that of a new account; an existing one keeps its own.
	Region string
	// Hosts says what is served under host names and over TLS.
	Hosts HostsOptions
	// Sandbox is the path of a sandbox executable to use in place of the
	// embedded one; empty means the embedded one.
	Sandbox string
	// InterpreterPrefixes are directories, absolute, that hold interpreters to
	// run agents with besides the host's own.
	InterpreterPrefixes []string
	// Passthrough are names of agents whose sandboxes use the network stack of the
	// host's kernel; "*" is all agents.
	Passthrough []string
	// AccessPoints are directories, absolute, that stand for access points, by ARN.
	AccessPoints map[string]string
	// NoIndex keeps the server from asking package indexes.
	NoIndex bool
	// MaxSessions bounds the sessions alive at once; 0 is the server's default.
	MaxSessions int
	// Sessions says how they are kept.
	Sessions SessionOptions
	// Images say which container images are run.
	Images ImageOptions
	// Quotas say how much an account may have.
	Quotas QuotaOptions
	// Outbound says what the server calls that callers name.
	Outbound OutboundOptions
	// Identity says how users consent to what agents do for them.
	Identity IdentityOptions
	// Gateway says where gateways find services of AWS's kind.
	Gateway GatewayOptions
	// LambdaEndpoint is the URL at which functions are invoked that are not here; empty:
	// there are none.
	LambdaEndpoint string
	// Connectors is the file of the configuration of connectors, absolute; empty is that of DataDir.
	Connectors string
	// Models is the file of the model configuration, absolute; empty is that of DataDir.
	Models string
	// Grace is how long running requests may go on after ctx has ended.
	Grace time.Duration
	// Version is the program's version.
	Version string
	// Log is where the server writes what happens.
	Log *slog.Logger
	// Ready must be called once, as soon as requests are answered and
	// credentials.json is in DataDir. It does not block for long.
	Ready func(Ready)
}

// HostsOptions says what is served under AWS's host names, and over TLS.
type HostsOptions struct {
	// TLS are open listeners on which TLS is spoken.
	TLS []net.Listener
	// Certificate and Key are files of the operator's, or empty.
	Certificate, Key string
	// Names are the operator's own, for the private CA.
	Names []string
	// Proxy is the open listener of the proxy, or nil.
	Proxy net.Listener
	// ServedOnly leaves AWS's names to AWS whose services are not served.
	ServedOnly bool
	// NoAgents leads AWS's names to AWS inside sandboxes.
	NoAgents bool
}

// Ready is what a server that answers tells its command line.
type Ready struct {
	// Account is the account's 12 digits.
	Account string
	// Region is the account's own region.
	Region string
}

// Diagnose reports what this host allows a server with these options to do. Of
// opt only DataDir, Sandbox, InterpreterPrefixes, Version and Log are set. It changes nothing
// that lasts and works whether or not a server is running.
type Diagnose func(ctx context.Context, opt ServeOptions) []Finding

// Finding is the outcome of one of doctor's checks. Its JSON is what doctor
// --json prints, in an array: docs/cli.md promises it.
type Finding struct {
	// Name says what was checked: a few words in lower case.
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	// Detail is what was found: one sentence, without an end mark.
	Detail string `json:"detail,omitempty"`
	// Fix is what to do about it, a command where there is one. Where OK is set it
	// would add what is not needed.
	Fix string `json:"fix,omitempty"`
}
