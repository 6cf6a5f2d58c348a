package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/outcrop/outcrop/internal/ca"
	"github.com/outcrop/outcrop/internal/client"
	"github.com/outcrop/outcrop/internal/client/statefile"
	"github.com/outcrop/outcrop/internal/store"
)

const serveLong = `Runs the server until Ctrl-C or SIGTERM. The first start creates an account and its access key in the data directory,
which only you can read. Clients of the same user find the server by themselves.

Quotas are runtimes and capacity-providers (1000), versions (1000) and endpoints (10) of a runtime, and, without a bound
unless the server is strict, calls a second of one control operation: mutations, gets and lists.

It needs Linux. It needs neither root nor a configuration; outcrop doctor tells what the host allows.`

// defaultGrace is short enough for service managers, which kill after 90 s, and
// for a person at a terminal.
const defaultGrace = 30 * time.Second

// serveFlags are serve's own.
type serveFlags struct {
	listen       string
	listenSet    bool
	asked        []string // what a server that runs already does not do for it
	sandbox      string
	interpreters []string
	passthrough  []string
	accessPoints []string
	shared       map[string]string // accessPoints, as checkServe has read them
	lambda       string            // the endpoint of Lambda functions that are not here
	models       string            // absolute once checkServe has looked at it
	connectors   string            // likewise
	noIndex      bool
	maxSessions  int
	grace        time.Duration
	sessions     SessionOptions
	images       ImageOptions
	quotas       QuotaOptions
	hosts        hostsFlags
	outbound     OutboundOptions
	identity     IdentityOptions
	gateway      GatewayOptions
	logJSON      bool
}

func newServe(p *Program, f *flags) *cobra.Command {
	cmd, _ := serveCommand(p, f)
	return cmd
}

// serveCommand is serve and what its flags say once they were read.
func serveCommand(p *Program, f *flags) (*cobra.Command, *serveFlags) {
	s := &serveFlags{}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server on this machine",
		Long:  serveLong,
		Example: `  outcrop serve
  outcrop serve --listen 127.0.0.1:9000 --data ~/other
  outcrop serve --interpreter /opt/python3.13
  outcrop serve --passthrough hello
  outcrop serve --no-index
  outcrop serve --access-point arn:aws:elasticfilesystem:us-east-1:111122223333:access-point/fsap-0123456789abcdef0=/srv/models
  outcrop serve --private-registry registry.office:5000 --max-image 4GiB
  outcrop serve --models ~/models.json             which providers answer agents' calls of models (docs/models.md)
  outcrop serve --connectors ~/connectors.json     who searches the web for agents, and other connectors of gateways (docs/targets.md)
  outcrop serve --lambda-endpoint http://127.0.0.1:4566
  outcrop serve --smithy-endpoint dynamodb=http://127.0.0.1:8000
  outcrop serve --private-endpoint rcfg-0123456789abcdef0=tools.office:8443
  outcrop serve --quota endpoints=50 --quota lists=100
  outcrop serve --session-memory 2GiB --spares 1
  outcrop serve --aws-hosts                       answer *.amazonaws.com to clients that insist on it
  outcrop serve --tls-listen 0.0.0.0:8644 --tls-name agents.example.com
  outcrop serve --allow-private login.corp.example --trust-ca corp-ca.pem
  outcrop serve --public-url https://agents.example.com --oauth-vendors vendors.json
  outcrop serve --gateway-domain gw.example.com
  outcrop serve --strict --trusted-issuer https://login.example.com`,
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s.listenSet = cmd.Flags().Changed("listen")
			cmd.Flags().Visit(func(flag *pflag.Flag) {
				if !slices.Contains([]string{"listen", "data", "verbose", "log-json"}, flag.Name) {
					s.asked = append(s.asked, "--"+flag.Name)
				}
			})
			return p.serve(cmd.Context(), f, *s)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&s.listen, "listen", p.address, "`HOST:PORT` to listen on; port 0 takes a free one")
	fs.StringArrayVar(&s.interpreters, "interpreter", nil, "`directory` of a Python or Node.js to run agents with, besides the host's own (may be repeated)")
	fs.StringArrayVar(&s.passthrough, "passthrough", nil, "`name` of an agent you trust with this host's own TCP/IP, which is faster, or '*' for all (may be repeated; see docs/network.md)")
	fs.BoolVar(&s.noIndex, "no-index", false, "ask no package index: a code zip with Python packages for another machine is refused, and functions have those of AWS's SDKs that they bring")
	fs.StringArrayVar(&s.accessPoints, "access-point", nil, "`ARN=DIRECTORY` of this host that agents find where they name that access point of EFS or S3 Files (may be repeated; see docs/sessions.md)")
	fs.Var((*nonEmpty)(&s.models), "models", "`file` that says which providers answer calls of models (default: models.json in the data directory; see docs/models.md)")
	fs.Var((*nonEmpty)(&s.connectors), "connectors", "`file` that says who searches the web, and which other connectors gateways' targets can name (default: connectors.json in the data directory; see docs/targets.md)")
	fs.Var((*nonEmpty)(&s.lambda), "lambda-endpoint", "`URL` of an endpoint that speaks Lambda's API, such as an emulator's, for functions that this server does not have (default: there are none; see docs/lambda.md)")
	fs.IntVar(&s.maxSessions, "max-sessions", 0, "most sessions alive at once (default: the server's own limit)")
	s.sessions.register(fs)
	s.images.register(fs)
	s.quotas.register(fs)
	s.hosts.register(fs)
	s.outbound.register(fs)
	s.identity.register(fs)
	s.gateway.register(fs)
	spanVar(fs, &s.grace, "grace", defaultGrace, "`time` that running requests, WebSockets and shells have to end in after Ctrl-C or SIGTERM")
	fs.StringVar(&s.sandbox, "sandbox", "", "sandbox `executable` to use in place of the built-in one")
	fs.BoolVarP(&p.verbose, "verbose", "v", false, "log more")
	fs.BoolVar(&s.logJSON, "log-json", false, "log JSON")
	return cmd, s
}

// serve binds the port, runs the server, and keeps it in the lists of running
// servers as long as it answers.
func (p *Program) serve(ctx context.Context, f *flags, s serveFlags) error {
	if p.Serve == nil {
		return cannotServe(runtime.GOOS)
	}
	if f.endpoint != "" {
		return misuse("serve is not told where to go by --endpoint, but where to listen by --listen")
	}
	dir := f.data
	if dir == "" {
		dir = p.defaultData()
	}
	if dir == "" {
		return misuse("neither XDG_DATA_HOME nor HOME is set: name the data directory with --data")
	}
	dir = canonical(dir)
	if err := p.checkServe(ctx, &s, dir); err != nil {
		return err
	}
	if running, err := p.alreadyServes(dir, s); running || err != nil {
		return err
	}
	listener, err := p.listen(ctx, f, s, dir)
	if listener == nil || err != nil {
		return err
	}
	hosts, err := p.listenHosts(ctx, s.hosts)
	if err != nil {
		_ = listener.Close() // nothing was accepted
		return err
	}
	if s.images.Registry == "" {
		s.images.Registry = p.dockerConfig()
	}
	opt := ServeOptions{
		Listener: listener, Hosts: hosts, URL: urlOf(listener.Addr()), DataDir: dir, Region: f.region, Sandbox: s.sandbox,
		Passthrough: s.passthrough, AccessPoints: s.shared, NoIndex: s.noIndex, MaxSessions: s.maxSessions, Sessions: s.sessions, Images: s.images, Quotas: s.quotas, Models: s.models, Connectors: s.connectors, LambdaEndpoint: s.lambda, Outbound: s.outbound, Identity: s.identity, Gateway: s.gateway, Grace: max(s.grace, time.Millisecond), Version: p.Version, Log: p.logger(s),
	}
	if opt.Region == "" {
		opt.Region = client.DefaultRegion
	}
	for _, prefix := range s.interpreters {
		opt.InterpreterPrefixes = append(opt.InterpreterPrefixes, canonical(prefix))
	}
	p.warnBefore(listener.Addr(), dir)
	record := statefile.Record{URL: opt.URL, PID: os.Getpid(), DataDirectory: dir, StartedAt: p.Now().UTC()}
	hosts.note(&record)
	record.ProcessStart, _ = statefile.Process(record.PID)
	lists := serverLists(p, dir)
	opt.Ready = func(r Ready) {
		record.Account, record.Region = r.Account, r.Region
		p.announce(lists, record, hosts.Certificate)
	}
	err = p.Serve(ctx, opt)
	for _, list := range lists {
		if record.Account != "" {
			if removeErr := list.Remove(record); removeErr != nil {
				opt.Log.Warn("take this server out of the list of running ones", "error", removeErr)
			}
		}
	}
	if err != nil {
		return p.explainServe(err, dir)
	}
	return nil
}

// serverLists are where a server with this data directory is noted: in the
// directory itself, for those who name it, and in the user's list.
func serverLists(p *Program, dir string) []statefile.File {
	lists := []statefile.File{{Path: filepath.Join(dir, statefile.Name)}}
	if own := p.state(); own.Path != "" {
		lists = append(lists, own)
	}
	return lists
}

// logger writes to standard error: times are for files, and a person sees when.
func (p *Program) logger(s serveFlags) *slog.Logger {
	opt := &slog.HandlerOptions{Level: slog.LevelInfo}
	if p.verbose {
		opt.Level = slog.LevelDebug
	}
	if s.logJSON {
		return slog.New(slog.NewJSONHandler(p.Stderr, opt))
	}
	return slog.New(slog.NewTextHandler(p.Stderr, opt))
}

// announce makes the server findable and says what to do next. certificate is the file
// of the operator's own, if there is one.
func (p *Program) announce(lists []statefile.File, r statefile.Record, certificate string) {
	for _, list := range lists {
		if err := list.Add(r); err != nil {
			p.say("outcrop: clients need --data %s to find this server: %v", quotePOSIX(r.DataDirectory), err)
		}
	}
	p.say("Outcrop %s listens on %s with data in %s. Next, in another terminal: %s", p.Version, r.URL, r.DataDirectory, nextCommand(r, p.defaultData(), "outcrop env"))
	if len(r.TLSAddresses) > 0 {
		by := "with certificates of its private CA. Have clients trust that: outcrop ca" + dataFlag(r, p.defaultData())
		if certificate != "" {
			by = "with the certificate of " + certificate
		}
		p.say("It speaks TLS on %s %s", strings.Join(secureURLs(r), ", "), by)
	}
	if r.ProxyURL != "" {
		p.say("AWS's own host names are answered through the proxy %s: %s", r.ProxyURL, nextCommand(r, p.defaultData(), "outcrop env --aws-hosts"))
	}
}

func nextCommand(r statefile.Record, defaultData, command string) string {
	return fmt.Sprintf(`eval "$(%s)"`, command+dataFlag(r, defaultData))
}

// dataFlag leads to the server's data directory where that is not the default.
func dataFlag(r statefile.Record, defaultData string) string {
	if r.DataDirectory == canonical(defaultData) {
		return ""
	}
	return " --data " + quotePOSIX(r.DataDirectory)
}

// alreadyServes reports whether this user's server runs on dir, and says so.
// Being told to listen elsewhere than it does is an error.
func (p *Program) alreadyServes(dir string, s serveFlags) (bool, error) {
	r, ok := p.serverOf(dir)
	if !ok {
		return false, nil
	}
	if s.listenSet && !sameAddress(r.URL, s.listen) {
		return false, fail(fmt.Sprintf("Stop it first (kill %d), or give this one a data directory of its own: --data DIRECTORY", r.PID),
			"a server (pid %d) already uses the data directory %s, and listens on %s", r.PID, dir, r.URL)
	}
	p.sayRunning(r, s)
	return true, nil
}

// serverOf returns the running server that uses the data directory.
func (p *Program) serverOf(dir string) (statefile.Record, bool) {
	for _, list := range serverLists(p, dir) {
		found, err := list.List()
		if err != nil {
			continue // clients report it; a server can run without the list
		}
		for _, r := range found {
			if r.DataDirectory == dir && p.state().Alive(r) {
				return r, true
			}
		}
	}
	return statefile.Record{}, false
}

func (p *Program) sayRunning(r statefile.Record, s serveFlags) {
	p.say("Outcrop is already running: %s, pid %d, data directory %s", r.URL, r.PID, r.DataDirectory)
	if len(s.asked) > 0 {
		p.say("Not in effect: %s. Stop it first: kill %d", strings.Join(s.asked, ", "), r.PID)
	}
}

func sameAddress(url, listen string) bool {
	host, port, err := net.SplitHostPort(listen)
	return err == nil && (port == "0" || url == urlOf(addr(net.JoinHostPort(host, port))))
}

// addr is a listening address in words.
type addr string

func (addr) Network() string  { return "tcp" }
func (a addr) String() string { return string(a) }

// urlOf is where clients on this machine reach a listener.
func urlOf(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return "http://" + a.String()
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// warnBefore says what the user should know, and can do nothing about later.
func (p *Program) warnBefore(a net.Addr, dir string) {
	host, _, err := net.SplitHostPort(a.String())
	if ip := net.ParseIP(host); err == nil && ip != nil && !ip.IsLoopback() {
		p.say("Warning: %s can be reached from other machines, and the wire is plain HTTP: whoever can read the network reads what is sent. "+
			"For TLS, give that address to --tls-listen and leave --listen on 127.0.0.1.", a)
	}
	for _, finding := range checkDirectory(dir) {
		if !finding.OK {
			p.say("Warning: %s. %s", finding.Detail, finding.Fix)
		}
	}
}

// explainServe adds what to do to the reasons for which a server cannot start
// that a person can mend.
func (p *Program) explainServe(err error, dir string) error {
	if scope := (*ca.ScopeError)(nil); errors.As(err, &scope) {
		return fail(newAuthority, "the private CA was made without %s, and cannot sign for more than it was made for", scope.Name)
	}
	if f := explainDamage(err, dir); f != nil {
		return f
	}
	switch {
	case errors.Is(err, context.Canceled):
		return nil
	case store.IsFull(err):
		return fail("Free some space, or choose another place with --data.", "the disk that holds %s is full: %w", dir, err)
	case errors.Is(err, ca.ErrExpired):
		return fail(newAuthority, "%w", err)
	case errors.Is(err, os.ErrPermission):
		if owner := ownerOf(dir); owner != "" {
			return fail("Choose a data directory of your own with --data, or run as "+owner+".", "the data directory %s belongs to %s: %w", dir, owner, err)
		}
	}
	return err
}

// cannotServe says how to get a Linux to serve on.
func cannotServe(goos string) *failure {
	fix := "Run it on a Linux machine, and point this one at it with --endpoint or AWS_ENDPOINT_URL."
	switch goos {
	case "darwin":
		fix = strings.Join([]string{
			"Run it in a Linux virtual machine. With Lima (https://lima-vm.io):",
			"brew install lima && limactl start --name=outcrop template://debian",
			"limactl shell outcrop outcrop serve        (with the Linux build of outcrop in it)",
			"Lima forwards the port, so that the other commands work here as they are; take the variables from there:",
			`eval "$(limactl shell outcrop outcrop env)"`,
		}, "\n")
	case "windows":
		fix = strings.Join([]string{
			"Run it in the Windows Subsystem for Linux:",
			"wsl --install",
			"wsl outcrop serve                          (with the Linux build of outcrop in it)",
			"WSL 2 forwards the port, so that the other commands work here as they are; take the variables from there:",
			"wsl outcrop env --shell powershell | Out-String | Invoke-Expression",
		}, "\n")
	}
	return fail(fix, "the server needs Linux; on this system outcrop is a client")
}
