package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

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
	sandbox      string
	interpreters []string
	passthrough  []string
	accessPoints []string
	noIndex      bool
	maxSessions  int
	grace        time.Duration
	sessions     SessionOptions
	images       ImageOptions
	quotas       QuotaOptions
	hosts        hostsFlags
	logJSON      bool
}

func newServe(p *Program, f *flags) *cobra.Command {
	var s serveFlags
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
  outcrop serve --quota endpoints=50 --quota lists=100
  outcrop serve --session-memory 2GiB --spares 1
  outcrop serve --aws-hosts                       answer *.amazonaws.com to clients that insist on it
  outcrop serve --tls-listen 0.0.0.0:8644 --tls-name agents.example.com`,
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s.listenSet = cmd.Flags().Changed("listen")
			return p.serve(cmd.Context(), f, s)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&s.listen, "listen", p.address, "`HOST:PORT` to listen on; port 0 takes a free one")
	fs.StringArrayVar(&s.interpreters, "interpreter", nil, "`directory` of a Python or Node.js to run agents with, besides the host's own (may be repeated)")
	fs.StringArrayVar(&s.passthrough, "passthrough", nil, "`name` of an agent you trust with this host's own TCP/IP, which is faster, or '*' for all (may be repeated; see docs/network.md)")
	fs.BoolVar(&s.noIndex, "no-index", false, "ask no package index for Python packages that a code zip has for another machine: such zips are refused")
	fs.StringArrayVar(&s.accessPoints, "access-point", nil, "`ARN=DIRECTORY` of this host that agents find where they name that access point of EFS or S3 Files (may be repeated; see docs/sessions.md)")
	fs.IntVar(&s.maxSessions, "max-sessions", 0, "most sessions alive at once (default: the server's own limit)")
	s.sessions.register(fs)
	s.images.register(fs)
	s.quotas.register(fs)
	s.hosts.register(fs)
	spanVar(fs, &s.grace, "grace", defaultGrace, "`time` that running requests, WebSockets and shells have to end in after Ctrl-C or SIGTERM")
	fs.StringVar(&s.sandbox, "sandbox", "", "sandbox `executable` to use in place of the built-in one")
	fs.BoolVarP(&p.verbose, "verbose", "v", false, "log more")
	fs.BoolVar(&s.logJSON, "log-json", false, "log JSON")
	return cmd
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
	if err := checkInterpreters(s.interpreters); err != nil {
		return err
	}
	if err := checkPassthrough(s.passthrough); err != nil {
		return err
	}
	shared, err := accessPoints(s.accessPoints, dir)
	if err != nil {
		return err
	}
	switch {
	case s.maxSessions < 0:
		return misuse("--max-sessions must not be less than 0; 0 is the server's own limit")
	case s.grace < 0:
		return misuse("--grace must not be less than 0s")
	}
	if err := errors.Join(s.sessions.check(), s.images.check()); err != nil {
		return err
	}
	if s.images.Registry == "" {
		s.images.Registry = p.dockerConfig()
	}
	if err := s.hosts.check(); err != nil {
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
	opt := ServeOptions{
		Listener: listener, Hosts: hosts, URL: urlOf(listener.Addr()), DataDir: dir, Region: f.region, Sandbox: s.sandbox,
		Passthrough: s.passthrough, AccessPoints: shared, NoIndex: s.noIndex, MaxSessions: s.maxSessions, Sessions: s.sessions, Images: s.images, Quotas: s.quotas, Grace: max(s.grace, time.Millisecond), Version: p.Version, Log: p.logger(s),
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
		p.announce(lists, record)
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

// checkInterpreters refuses paths that lead nowhere: a server that looked there
// in vain would not say so.
func checkInterpreters(paths []string) error {
	for _, path := range paths {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return misuse("--interpreter %s: there is no such directory", path)
		}
	}
	return nil
}

// checkPassthrough refuses what no agent can be called: a server would wait for it
// in vain. One that is not deployed yet may be named.
func checkPassthrough(names []string) error {
	for _, name := range names {
		if name != "*" && !namePattern.MatchString(name) {
			return misuse("--passthrough %s: no agent can have that name (a letter, then letters, digits and _, 48 at most); name it as outcrop ls does, or '*' for all", name)
		}
	}
	return nil
}

// accessPointPattern are the ARNs that AWS's model lets through.
var accessPointPattern = regexp.MustCompile(`^arn:aws[-a-z]*:(elasticfilesystem:[0-9a-z:-]+:access-point/fsap-[0-9a-f]{8,40}|` +
	`s3files:[0-9a-z:-]+:file-system/fs-[0-9a-f]{17,40}/access-point/fsap-[0-9a-f]{17,40})$`)

// accessPoints reads ARN=DIRECTORY. A directory must be there, and agents must not
// find the server's own data in it.
func accessPoints(given []string, data string) (map[string]string, error) {
	all := map[string]string{}
	for _, text := range given {
		arn, dir, ok := strings.Cut(text, "=")
		if !ok || !accessPointPattern.MatchString(arn) {
			return nil, misuse("--access-point %s: it is not ARN=DIRECTORY with the ARN of an access point of EFS or S3 Files, such as arn:aws:elasticfilesystem:us-east-1:111122223333:access-point/fsap-0123456789abcdef0=/srv/models", text)
		}
		real := canonical(dir)
		if info, err := os.Stat(real); err != nil || !info.IsDir() {
			return nil, misuse("--access-point %s: %s is no directory", arn, dir)
		}
		if within(real, data) || within(data, real) {
			return nil, misuse("--access-point %s: %s and the data directory %s lie in each other, and agents would reach the server's own files; name another", arn, dir, data)
		}
		if all[arn] != "" {
			return nil, misuse("--access-point %s is given twice", arn)
		}
		all[arn] = real
	}
	return all, nil
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

// announce makes the server findable and says what to do next.
func (p *Program) announce(lists []statefile.File, r statefile.Record) {
	for _, list := range lists {
		if err := list.Add(r); err != nil {
			p.say("outcrop: clients need --data %s to find this server: %v", quotePOSIX(r.DataDirectory), err)
		}
	}
	p.say("Outcrop %s listens on %s with data in %s. Next, in another terminal: %s", p.Version, r.URL, r.DataDirectory, nextCommand(r, p.defaultData(), "outcrop env"))
	if r.ProxyURL != "" {
		p.say("AWS's own host names are answered through the proxy %s: %s", r.ProxyURL, nextCommand(r, p.defaultData(), "outcrop env --aws-hosts"))
	}
}

func nextCommand(r statefile.Record, defaultData, command string) string {
	if r.DataDirectory != canonical(defaultData) {
		command += " --data " + quotePOSIX(r.DataDirectory)
	}
	return fmt.Sprintf(`eval "$(%s)"`, command)
}

// alreadyServes reports whether this user's server runs on dir, and says so.
// Being told to listen elsewhere than it does is an error.
func (p *Program) alreadyServes(dir string, s serveFlags) (bool, error) {
	var records []statefile.Record
	for _, list := range serverLists(p, dir) {
		found, err := list.List()
		if err != nil {
			continue // clients report it; a server can run without the list
		}
		records = append(records, found...)
	}
	for _, r := range records {
		if r.DataDirectory != dir || !p.state().Alive(r) {
			continue
		}
		if s.listenSet && !sameAddress(r.URL, s.listen) {
			return false, fail(fmt.Sprintf("Stop it first (kill %d), or give this one a data directory of its own: --data DIRECTORY", r.PID),
				"a server (pid %d) already uses the data directory %s, and listens on %s", r.PID, dir, r.URL)
		}
		p.sayRunning(r)
		return true, nil
	}
	return false, nil
}

func (p *Program) sayRunning(r statefile.Record) {
	p.say("Outcrop is already running: %s, pid %d, data directory %s", r.URL, r.PID, r.DataDirectory)
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
