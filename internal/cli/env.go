package cli

import (
	"cmp"
	"io"
	"net"
	"net/url"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/outcrop/outcrop/internal/client"
)

// The variables that make undoing possible.
const (
	envMarker = "OUTCROP_ENV"    // set while outcrop env is in effect
	envSaved  = "OUTCROP_SAVED_" // before the name of a variable: what it was
)

const envLong = `Prints shell code that points every AWS client of this shell at the server: boto3, the AWS CLI, the SDKs,
Terraform and the AgentCore SDKs. Nothing but shell code goes to standard output.

What would lead a client elsewhere is unset (AWS_PROFILE, AWS_SESSION_TOKEN, endpoints of single services ...).
--unset undoes it all: every variable is again what it was before.

--aws-hosts sets no endpoint. Clients call AWS's own host names, and HTTPS_PROXY leads them to a server that runs with
serve --aws-hosts: for clients that insist on such names. --hosts-file is for those that ignore proxies: it names the
services, and the gateways and the domains of user pools that there are. Print it anew when there are more.`

func newEnv(p *Program, f *flags) *cobra.Command {
	var undo, awsHosts, hostsFile bool
	var shellName string
	cmd := &cobra.Command{
		Use:   "env",
		Short: "Print shell code that points AWS clients at the server",
		Long:  envLong,
		Example: `  eval "$(outcrop env)"                                             sh, bash, zsh
  outcrop env --shell fish | source                                 fish
  outcrop env --shell powershell | Out-String | Invoke-Expression   PowerShell
  eval "$(outcrop env --unset)"                                     as before
  eval "$(outcrop env --aws-hosts)"                                 AWS's host names, over TLS
  outcrop env --hosts-file | sudo tee -a /etc/hosts                 the same without a proxy`,
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			sh, err := shellNamed(cmp.Or(shellName, p.defaultShell()))
			if err != nil {
				return err
			}
			if undo {
				return p.writeShell(p.unsetLines(sh), "outcrop env is not in effect in this shell")
			}
			t, err := p.locate(cmd.Context(), f, false)
			if err != nil {
				return err
			}
			if hostsFile {
				return p.writeHostsFile(cmd.Context(), t, func() (*client.Client, error) { return p.clientOf(t) })
			}
			exports, err := p.exportsOf(t, awsHosts)
			if err != nil {
				return err
			}
			if p.StdoutTerminal {
				p.say("This is shell code with a secret key. To run it: eval \"$(outcrop env)\"")
			}
			return p.writeShell(p.setLines(sh, exports), "")
		},
	}
	cmd.Flags().BoolVar(&undo, "unset", false, "undo what an earlier outcrop env set in this shell")
	cmd.Flags().BoolVar(&awsHosts, "aws-hosts", false, "lead AWS's own host names to the server, in place of endpoints")
	cmd.Flags().BoolVar(&hostsFile, "hosts-file", false, "print lines for /etc/hosts, for a server that runs with --tls-listen 127.0.0.1:443")
	cmd.Flags().StringVar(&shellName, "shell", "", "kind of `shell`: sh, fish or powershell (default sh; powershell on Windows)")
	return cmd
}

// defaultShell is what outcrop was most likely started from. SHELL is the login
// shell, not the running one, so it decides nothing; MSYSTEM is set by Git's bash.
func (p *Program) defaultShell() string {
	if runtime.GOOS == "windows" && p.env("MSYSTEM") == "" {
		return "powershell"
	}
	return "sh"
}

func (p *Program) writeShell(lines []string, none string) error {
	if len(lines) == 0 {
		p.say("%s", none)
		return nil
	}
	_, err := io.WriteString(p.Stdout, strings.Join(lines, "\n")+"\n")
	return err
}

type variable struct{ name, value string }

// endpointVariables are those that hold an endpoint: the SDKs' general one, and
// the AgentCore SDKs' own for the two planes (spec/clients.md 1).
func endpointVariables() []string {
	return []string{
		"AWS_ENDPOINT_URL", "BEDROCK_AGENTCORE_CP_ENDPOINT", "BEDROCK_AGENTCORE_DP_ENDPOINT", "BEDROCK_AGENTCORE_CONTROL_ENDPOINT",
		"BEDROCK_AGENTCORE_DATA_PLANE_ENDPOINT",
	}
}

// exportsOf are the variables that lead to t, or lead AWS's own host names there, and
// have clients trust it.
func (p *Program) exportsOf(t client.Target, awsHosts bool) ([]variable, error) {
	if awsHosts {
		return p.hostsExports(t)
	}
	trust, err := p.trustExports(t.Endpoint)
	return append(p.exports(t), trust...), err
}

// exports are the variables that lead to t.
func (p *Program) exports(t client.Target) []variable {
	var vs []variable
	for _, name := range endpointVariables() {
		vs = append(vs, variable{name, t.Endpoint})
	}
	vs = append(vs, credentials(t)...)
	return append(vs, p.bypassProxy(t)...)
}

// credentials are the variables that say who calls, in which region.
func credentials(t client.Target) []variable {
	return []variable{
		{"AWS_ACCESS_KEY_ID", t.AccessKeyID},
		{"AWS_SECRET_ACCESS_KEY", t.SecretAccessKey},
		{"AWS_REGION", t.Region},
		{"AWS_DEFAULT_REGION", t.Region},
		{"AWS_EC2_METADATA_DISABLED", "true"},
	}
}

// bypassProxy keeps calls to this machine away from a proxy: Python's clients
// would send even loopback through it.
func (p *Program) bypassProxy(t client.Target) []variable {
	u, err := url.Parse(t.Endpoint)
	if err != nil {
		return nil
	}
	host := u.Hostname()
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil
	}
	var vs []variable
	for _, name := range []string{"no_proxy", "NO_PROXY"} {
		old := p.before(name)
		behind := p.env("http_proxy") + p.env("HTTP_PROXY") + p.env("all_proxy") + p.env("ALL_PROXY")
		if behind == "" || old == "*" || slices.Contains(strings.Split(old, ","), host) {
			continue
		}
		vs = append(vs, variable{name, strings.TrimPrefix(old+","+host, ",")})
	}
	return vs
}

// before is what a variable was before outcrop env changed it.
func (p *Program) before(name string) string {
	if p.env(envMarker) == "" {
		return p.env(name)
	}
	if saved, ok := p.lookup(envSaved + name); ok {
		return saved
	}
	if slices.Contains(strings.Fields(p.env(envMarker)), name) {
		return ""
	}
	return p.env(name)
}

// misleading returns the variables of the environment that would lead a client
// away from what exports say, sorted.
func (p *Program) misleading(exports []variable) []string {
	var names []string
	for _, entry := range p.Environ {
		name, _, _ := strings.Cut(entry, "=")
		if slices.Contains(endpointVariables(), name) && !slices.ContainsFunc(exports, func(v variable) bool { return v.name == name }) {
			names = append(names, name)
		}
		switch name {
		case "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN",
			"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT":
			names = append(names, name)
		default:
			// A service's own endpoint goes before the general one.
			if rest, ok := strings.CutPrefix(name, "AWS_ENDPOINT_URL_"); ok && isVariable(rest) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// setLines saves what is there, sets and unsets. Old values are moved by the
// shell itself and never printed. Run again it keeps what was saved first.
func (p *Program) setLines(sh shell, exports []variable) []string {
	var lines []string
	active := p.env(envMarker) != ""
	save := func(name string, ours bool) {
		_, there := p.lookup(name)
		_, saved := p.lookup(envSaved + name)
		if there && !saved && !(active && ours) {
			lines = append(lines, sh.move(envSaved+name, name))
		}
	}
	misleading := p.misleading(exports)
	ours := strings.Fields(p.env(envMarker)) // set by an earlier run
	exported := func(name string) bool {
		return slices.ContainsFunc(exports, func(v variable) bool { return v.name == name })
	}
	for _, name := range ours { // which may have said something else
		if !exported(name) && !slices.Contains(misleading, name) && isVariable(name) {
			lines = append(lines, p.restore(sh, name)...)
		}
	}
	for _, v := range exports {
		save(v.name, slices.Contains(ours, v.name))
	}
	for _, name := range misleading {
		save(name, slices.Contains(ours, name))
		lines = append(lines, sh.unset(name))
	}
	ours = slices.DeleteFunc(ours, func(name string) bool { return !exported(name) })
	for _, v := range exports {
		lines = append(lines, sh.set(v.name, v.value))
		if !slices.Contains(ours, v.name) {
			ours = append(ours, v.name)
		}
	}
	return append(lines, sh.set(envMarker, strings.Join(ours, " ")))
}

// restore makes a variable what it was.
func (p *Program) restore(sh shell, name string) []string {
	if _, saved := p.lookup(envSaved + name); saved {
		return []string{sh.move(name, envSaved+name), sh.unset(envSaved + name)}
	}
	return []string{sh.unset(name)}
}

// unsetLines brings back what was saved and unsets what was set beside it.
func (p *Program) unsetLines(sh shell) []string {
	var lines []string
	for _, name := range strings.Fields(p.env(envMarker)) {
		if _, saved := p.lookup(envSaved + name); !saved && isVariable(name) {
			lines = append(lines, sh.unset(name))
		}
	}
	var saved []string
	for _, entry := range p.Environ {
		name, _, _ := strings.Cut(entry, "=")
		if old, ok := strings.CutPrefix(name, envSaved); ok && isVariable(old) {
			saved = append(saved, old)
		}
	}
	slices.Sort(saved)
	for _, name := range slices.Compact(saved) {
		lines = append(lines, p.restore(sh, name)...)
	}
	if len(lines) > 0 {
		lines = append(lines, sh.unset(envMarker))
	}
	return lines
}

// isVariable reports whether s can be part of shell code as a variable's name.
// The environment can hold other names, which no shell could have made.
func isVariable(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_')
	}) < 0
}
