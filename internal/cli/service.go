package cli

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const serviceLong = `Has systemd run the server, from the start of the machine on, and start it again when it fails. install writes a unit and
prints the commands that start it; it runs nothing. An ordinary user's unit is ~/.config/systemd/user/outcrop.service,
root's /etc/systemd/system/outcrop.service with data in /var/lib/outcrop.

What follows -- is for outcrop serve. show prints the unit and writes nothing; uninstall removes it and leaves the data.`

// unitName names the unit, and the service to systemctl.
const unitName = "outcrop"

// unitMark is the first line of a unit that is ours to replace and to remove.
const unitMark = "# Written by outcrop service install, which replaces it.\n"

// defaultSystemUnits is where an administrator's units are (systemd.unit(5)).
const defaultSystemUnits = "/etc/systemd/system"

// systemData is the data directory of a system's service; systemd makes it.
const systemData = "/var/lib/outcrop"

// service is a unit to be written.
type service struct {
	system     bool
	executable string
	data       string
	listen     string
	args       []string // of serve
	grace      time.Duration
}

func newService(p *Program, f *flags) *cobra.Command {
	var user, system bool
	cmd := parent("service", "Have systemd run the server", `  outcrop service install
  sudo outcrop service install --system -- --listen 127.0.0.1:9000 --grace 1m
  outcrop service show -- --spares 1 | less
  outcrop service uninstall`)
	cmd.Long = serviceLong
	cmd.PersistentFlags().BoolVar(&user, "user", false, "a service of this user (default for ordinary users)")
	cmd.PersistentFlags().BoolVar(&system, "system", false, "a service of the system, which runs as root (default for root)")
	whose := func(cmd *cobra.Command) (bool, error) {
		switch {
		case user && system:
			return false, below(cmd, "--user and --system exclude each other")
		case p.Serve == nil:
			return false, cannotServe(runtime.GOOS)
		}
		return system || !user && os.Geteuid() == 0, nil
	}
	part := func(use, short, example string, args cobra.PositionalArgs, run func(cmd *cobra.Command, system bool, args []string) error) {
		cmd.AddCommand(&cobra.Command{
			Use: use, Short: short, Example: example, Args: args,
			RunE: func(cmd *cobra.Command, args []string) error {
				system, err := whose(cmd)
				if err != nil {
					return err
				}
				return run(cmd, system, args)
			},
		})
	}
	part("install [-- FLAG...]", "Write the unit, and say how to start it", "  outcrop service install\n  outcrop service install -- --listen 127.0.0.1:9000", afterDash,
		func(cmd *cobra.Command, system bool, args []string) error {
			s, err := p.service(cmd, f, system, args)
			if err != nil {
				return err
			}
			return p.installService(cmd.Context(), s)
		})
	part("show [-- FLAG...]", "Print the unit that install would write", "  outcrop service show --system", afterDash,
		func(cmd *cobra.Command, system bool, args []string) error {
			s, err := p.service(cmd, f, system, args)
			if err != nil {
				return err
			}
			_, err = p.Stdout.Write(s.unit())
			return err
		})
	part("uninstall", "Remove the unit, and leave the data", "  outcrop service uninstall", arguments(0, 0),
		func(_ *cobra.Command, system bool, _ []string) error { return p.uninstallService(system) })
	return cmd
}

// afterDash takes arguments after -- alone.
func afterDash(cmd *cobra.Command, args []string) error {
	if len(args) > 0 && cmd.ArgsLenAtDash() != 0 {
		return below(cmd, "what is for outcrop serve stands after --, such as: %s -- --listen 127.0.0.1:9000", cmd.CommandPath())
	}
	return nil
}

// service is what the arguments ask for.
func (p *Program) service(cmd *cobra.Command, f *flags, system bool, args []string) (*service, error) {
	s := &service{system: system, executable: p.Executable, data: f.data}
	own := &flags{}
	serve, said := serveCommand(p, own)
	own.register(serve.Flags())
	var given []string // as it was typed: not every value is read as it is shown
	if err := serve.Flags().ParseAll(args, func(flag *pflag.Flag, value string) error {
		if flag.Name != "data" {
			given = append(given, serveArgument(flag.Name, value))
		}
		return serve.Flags().Set(flag.Name, value)
	}); err != nil {
		return nil, below(cmd, "%s", inWords(err))
	}
	switch {
	case serve.Flags().NArg() > 0:
		return nil, below(cmd, "serve takes no arguments, and %q is one", serve.Flags().Arg(0))
	case own.endpoint != "" || f.endpoint != "":
		return nil, below(cmd, "serve is not told where to go by --endpoint, but where to listen by --listen")
	}
	s.data = cmp.Or(own.data, s.data)
	if s.data == "" && system {
		s.data = systemData
	}
	if s.data = cmp.Or(s.data, p.defaultData()); s.data == "" {
		return nil, misuse("neither XDG_DATA_HOME nor HOME is set: name the data directory with --data")
	}
	s.data = canonical(s.data)
	if err := p.checkServe(cmd.Context(), said, s.data); err != nil {
		return nil, err
	}
	if s.executable == "" {
		return nil, fail("", "where this program is cannot be found out")
	}
	if f.region != "" {
		s.args = append(s.args, "--region="+f.region)
	}
	s.args = append(s.args, given...)
	s.grace, s.listen = said.grace, said.listen
	return s, nil
}

// serveArgument writes a flag out. A service has no directory that it was started
// in, so paths are absolute.
func serveArgument(name, value string) string {
	switch name {
	case "interpreter", "sandbox", "registry-config", "tls-cert", "tls-key", "trust-ca", "models", "connectors", "oauth-vendors":
		value = canonical(value)
	case "access-point":
		if arn, dir, ok := strings.Cut(value, "="); ok {
			value = arn + "=" + canonical(dir)
		}
	}
	return "--" + name + "=" + value
}

// settling is what the server takes to end after --grace: sessions hibernate for
// eight seconds, others have ten to tidy up, and the engine is closed.
const settling = 30 * time.Second

// unit writes the unit. What it forbids is what sandboxes do without: namespaces,
// mounts (of /proc, which systemd must leave whole for that), control groups and
// devices are theirs.
func (s *service) unit() []byte {
	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	b.WriteString(unitMark)
	line("[Unit]")
	line("Description=Outcrop, a server compatible with the Amazon Bedrock AgentCore API")
	if s.system { // a user's manager knows nothing of the network
		line("Wants=network-online.target")
		line("After=network-online.target")
	}
	line("StartLimitIntervalSec=300")
	line("StartLimitBurst=10")
	line("")
	line("[Service]")
	line("Type=exec")
	command := []string{quoteUnit(s.executable), "serve", quoteUnit("--data=" + s.data)}
	for _, arg := range s.args {
		command = append(command, quoteUnit(arg))
	}
	line("ExecStart=%s", strings.Join(command, " "))
	line("Restart=on-failure")
	line("RestartSec=2")
	line("# SIGTERM is the server's alone: it ends its sandboxes, and has idle sessions hibernate. The rest is killed at the end.")
	line("KillMode=mixed")
	line("TimeoutStopSec=%d", int((s.grace + settling + time.Second - 1).Seconds()))
	line("# Sandboxes get control groups below the server's. One that uses too much memory is no reason to stop the others.")
	line("Delegate=yes")
	line("OOMPolicy=continue")
	line("TasksMax=infinity")
	line("LimitNOFILE=1048576")
	line("LimitCORE=0")
	line("UMask=0077")
	if s.system {
		line("User=root")
		if s.data == systemData {
			line("StateDirectory=%s", filepath.Base(systemData))
			line("StateDirectoryMode=0700")
		}
		line("ProtectSystem=full")
		line("PrivateTmp=yes")
	}
	line("")
	line("[Install]")
	line("WantedBy=%s", s.target())
	return b.Bytes()
}

func (s *service) target() string {
	if s.system {
		return "multi-user.target"
	}
	return "default.target"
}

// quoteUnit makes text one word of a command line in a unit (systemd.service(5)).
func quoteUnit(text string) string {
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%", "$", "$$", "\n", `\n`).Replace(text)
	if text == "" || strings.ContainsAny(text, " \t\n;'\"\\") {
		return `"` + quoted + `"`
	}
	return quoted
}

// unitPath is where the unit is; ctl are the words before a command of systemctl.
func (p *Program) unitPath(system bool) (path, ctl string, err error) {
	if system {
		return filepath.Join(cmp.Or(p.systemUnits, defaultSystemUnits), unitName+".service"), "systemctl", nil
	}
	dir := p.env("XDG_CONFIG_HOME")
	if !filepath.IsAbs(dir) {
		if p.home() == "" {
			return "", "", misuse("neither XDG_CONFIG_HOME nor HOME is set: where are your units?")
		}
		dir = filepath.Join(p.home(), ".config")
	}
	return filepath.Join(dir, "systemd", "user", unitName+".service"), "systemctl --user", nil
}

func (p *Program) installService(ctx context.Context, s *service) error {
	path, ctl, err := p.unitPath(s.system)
	if err != nil {
		return err
	}
	old, err := ourUnit(path)
	if err != nil {
		return err
	}
	if err := writeUnit(path, s.unit()); err != nil {
		if errors.Is(err, fs.ErrPermission) && s.system {
			return fail("Run it as root, or install a service of your own: outcrop service install --user", "write %s: %w", path, err)
		}
		return fmt.Errorf("write unit: %w", err)
	}
	p.say("Written: %s, for the data in %s", path, s.data)
	p.warnInTheWay(ctx, s)
	if old != nil {
		p.say("Have it in effect: %s daemon-reload && %s restart %s", ctl, ctl, unitName)
		return nil
	}
	p.say("Start it, now and with the %s: %s daemon-reload && %s enable --now %s", map[bool]string{true: "machine", false: "login"}[s.system], ctl, ctl, unitName)
	if !s.system {
		p.say("From the start of the machine on, without a login: loginctl enable-linger")
	}
	p.say("Its log: journalctl %s-u %s -f", map[bool]string{true: "", false: "--user "}[s.system], unitName)
	return nil
}

// warnInTheWay says what runs that the service cannot run beside: with a server on
// its data it would end at once, and successfully, and without its port it fails.
func (p *Program) warnInTheWay(ctx context.Context, s *service) {
	if r, ok := p.serverOf(s.data); ok {
		if !inUnit(r.PID) {
			p.say("Warning: a server already uses these data: %s, pid %d. Stop it before you start the service: kill %d", r.URL, r.PID, r.PID)
		}
		return
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, network(s.listen), s.listen)
	if err == nil {
		_ = l.Close()
		return
	}
	if who := whoListens(resolve(s.listen)); errors.Is(err, syscall.EADDRINUSE) && !inUnit(who.pid) {
		p.say("Warning: %s is taken by %s. Stop that before you start the service, or give the service another port: outcrop service install -- --listen %s",
			s.listen, who, freeAddress(ctx, s.listen))
	}
}

// inUnit tells whether a process is one of a service that this unit started.
func inUnit(pid int) bool {
	group, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	return err == nil && bytes.Contains(group, []byte("/"+unitName+".service"))
}

// ourUnit reads a unit that we wrote, and refuses one that we did not; nil is none.
func ourUnit(path string) ([]byte, error) {
	old, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read unit: %w", err)
	case !bytes.HasPrefix(old, []byte(unitMark)):
		return nil, fail("Move it away first, or keep it: outcrop service show prints what would be written.", "%s was not written by outcrop service install", path)
	}
	return old, nil
}

func writeUnit(path string, body []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+unitName+"-*")
	if err != nil {
		return err
	}
	_, err = f.Write(body)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

func (p *Program) uninstallService(system bool) error {
	path, ctl, err := p.unitPath(system)
	if err != nil {
		return err
	}
	old, err := ourUnit(path)
	if err != nil {
		return err
	}
	if old == nil {
		p.say("There is no %s.", path)
		return nil
	}
	target := (&service{system: system}).target()
	if _, err := os.Lstat(filepath.Join(filepath.Dir(path), target+".wants", filepath.Base(path))); err == nil {
		return fail("Stop it and take it out: "+ctl+" disable --now "+unitName+"\nthen: outcrop service uninstall", "the service is enabled")
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove unit: %w", err)
	}
	p.say("Removed: %s. Its data are left. Have systemd know: %s daemon-reload", path, ctl)
	return nil
}
