package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/spf13/cobra"

	"github.com/outcrop/outcrop/internal/api/model/outcrop"
	"github.com/outcrop/outcrop/internal/client"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/netprofile"
)

const networkHelp = `Shows and changes what agents reach beyond the internet. It is the whole server's, and durable.

An agent of network mode PUBLIC reaches the internet, and no private network but the allowed ranges. With allowed
hosts it reaches those only, by the addresses that their names resolve to. One of network mode VPC reaches what
the profile of its subnets opens; all of them must be mapped, to one profile, and until then it reaches nothing
but Outcrop. Its log says what was refused, and why.

A rule is CIDR[:PORT[-PORT]][/tcp|/udp]. Addresses of the server's own machine are opened one by one, as /32.
Changes are for sessions that start or wake from now on; running ones keep what they have.`

func newNetwork(p *Program, f *flags) *cobra.Command {
	asJSON := new(bool)
	n := networkCommands{p, f, asJSON}
	cmd := &cobra.Command{
		Use:   "network",
		Short: "Show and change what agents reach beyond the internet",
		Long:  networkHelp,
		Example: `  outcrop network
  outcrop network profile set office --rule 10.1.0.0/16:443 --rule 10.1.0.9:5432/tcp --dns 10.1.0.2
  outcrop network map subnet-0123456789abcdef0 office
  outcrop network allow 10.2.0.0/16`,
		Args: noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return n.do(cmd.Context(), "", func(ctx context.Context, c *client.Client) (*outcrop.Network, error) { return c.Network(ctx) })
		},
	}
	cmd.PersistentFlags().BoolVar(asJSON, "json", false, "print all of the configuration as JSON")
	cmd.AddCommand(n.profile(), n.mapSubnets(), n.unmap(), n.allow(), n.disallow(), n.host())
	return cmd
}

// networkCommands are those below `outcrop network`.
type networkCommands struct {
	p      *Program
	f      *flags
	asJSON *bool
}

// do makes a call and shows its answer: all of it where nothing was changed, else
// what was done.
func (n networkCommands) do(ctx context.Context, done string, call func(context.Context, *client.Client) (*outcrop.Network, error)) error {
	c, err := n.p.connect(ctx, n.f)
	if err != nil {
		return err
	}
	all, err := call(ctx, c)
	switch {
	case err != nil:
		return err
	case *n.asJSON:
		return n.p.printJSON(networkRow(all))
	case done != "":
		n.p.say("%s", done)
		return nil
	}
	return n.p.printNetwork(all, n.f)
}

// later ends what is said of a change.
const later = " Sessions that start or wake from now on go by it."

func (n networkCommands) profile() *cobra.Command {
	cmd := parent("profile", "Set, add to or delete a named network",
		"  outcrop network profile set office --rule 10.1.0.0/16:443\n  outcrop network profile add office --rule 10.1.4.7:5432/tcp\n  outcrop network profile delete office")
	var rules, servers []string
	set := &cobra.Command{
		Use:   "set NAME --rule RULE",
		Short: "Make a profile, or replace its rules and DNS servers",
		Long: `Makes a network profile, or replaces all rules and DNS servers of the one of that name; the subnets that are
mapped to it stay. A rule is CIDR[:PORT[-PORT]][/tcp|/udp]; an address alone is a range of one. Without --dns
its names are resolved as the server's own are.`,
		Example: `  outcrop network profile set office --rule 10.1.0.0/16:443 --rule 10.1.0.9:5432/tcp --dns 10.1.0.2
  outcrop network profile set all --rule 0.0.0.0/0`,
		Args: atLeast(1, 1, "one NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := netprofile.CheckName(args[0]); err != nil {
				return notMeant(cmd, err)
			}
			if len(rules) == 0 {
				return below(cmd, "which networks does %s reach? Give each with --rule, such as --rule 10.1.0.0/16:443", args[0])
			}
			if err := allParse(cmd, rules, netprofile.ParseRule); err != nil {
				return err
			}
			if err := allParse(cmd, servers, netprofile.ParseServer); err != nil {
				return err
			}
			in := outcrop.PutNetworkProfileRequest{ProfileName: &args[0], Rules: rules, DnsServers: servers}
			return n.do(cmd.Context(), "Profile "+args[0]+" is set."+later, func(ctx context.Context, c *client.Client) (*outcrop.Network, error) {
				return c.PutNetworkProfile(ctx, in)
			})
		},
	}
	set.Flags().StringArrayVar(&rules, "rule", nil, "what it reaches: `CIDR[:PORT[-PORT]][/tcp|/udp]`, repeatable")
	set.Flags().StringArrayVar(&servers, "dns", nil, "DNS server of its names: `ADDRESS[:PORT]`, up to three")
	remove := &cobra.Command{
		Use: "delete NAME", Aliases: []string{"rm"},
		Short:   "Delete a profile that no subnet is mapped to",
		Example: "  outcrop network profile delete office",
		Args:    atLeast(1, 1, "one NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			err := n.do(cmd.Context(), "Profile "+args[0]+" is deleted.", func(ctx context.Context, c *client.Client) (*outcrop.Network, error) {
				return c.DeleteNetworkProfile(ctx, args[0])
			})
			return n.withFix(cmd.Context(), err, "ConflictException", "Unmap them: outcrop network unmap SUBNET...")
		},
	}
	cmd.AddCommand(set, n.addRules(), remove)
	return cmd
}

func (n networkCommands) addRules() *cobra.Command {
	var rules []string
	cmd := &cobra.Command{
		Use:   "add NAME --rule RULE",
		Short: "Open more to a profile that there is",
		Long: `Adds to the rules of a network profile. Those that it has, its DNS servers and the subnets that are mapped to it
stay. A rule is CIDR[:PORT[-PORT]][/tcp|/udp]; an address alone is a range of one.`,
		Example: "  outcrop network profile add office --rule 10.1.4.7:5432/tcp",
		Args:    atLeast(1, 1, "one NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(rules) == 0 {
				return below(cmd, "what more does %s reach? Give each with --rule, such as --rule 10.1.0.0/16:443", args[0])
			}
			if err := allParse(cmd, rules, netprofile.ParseRule); err != nil {
				return err
			}
			err := n.do(cmd.Context(), "Profile "+args[0]+" reaches more."+later, func(ctx context.Context, c *client.Client) (*outcrop.Network, error) {
				all, err := c.Network(ctx)
				if err != nil {
					return nil, err
				}
				in := outcrop.PutNetworkProfileRequest{ProfileName: &args[0], Rules: rules}
				for _, have := range all.Profiles {
					if aws.ToString(have.ProfileName) == args[0] {
						in.Rules, in.DnsServers = slices.Concat(have.Rules, rules), have.DnsServers
						return c.PutNetworkProfile(ctx, in)
					}
				}
				f := fail("Make it: outcrop network profile set "+quotePOSIX(args[0])+" --rule "+strings.Join(rules, " --rule ")+n.f.suffix(), "there is no network profile %q", args[0])
				return nil, f
			})
			return err
		},
	}
	cmd.Flags().StringArrayVar(&rules, "rule", nil, "what more it reaches: `CIDR[:PORT[-PORT]][/tcp|/udp]`, repeatable")
	return cmd
}

func (n networkCommands) mapSubnets() *cobra.Command {
	return &cobra.Command{
		Use:   "map SUBNET... PROFILE",
		Short: "Have agents in these subnets reach a profile",
		Long: `Maps subnets, as agents of network mode VPC name them, to a profile. Nobody but Outcrop has to know them. A
session has one network, so all subnets of an agent must be mapped to the same profile.`,
		Example: "  outcrop network map subnet-0123456789abcdef0 office\n  outcrop network map subnet-0123456789abcdef0 subnet-0123456789abcdef1 office",
		Args:    atLeast(2, -1, "one SUBNET or more, then a PROFILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			subnets, profile := args[:len(args)-1], args[len(args)-1]
			if strings.HasPrefix(profile, "subnet-") {
				return below(cmd, "the last argument names the profile, and %s is a subnet", profile)
			}
			if err := netprofile.CheckSubnets(subnets); err != nil {
				return notMeant(cmd, err)
			}
			in := outcrop.MapSubnetsRequest{SubnetIds: subnets, ProfileName: &profile}
			err := n.do(cmd.Context(), mapped(subnets)+" mapped to "+profile+"."+later, func(ctx context.Context, c *client.Client) (*outcrop.Network, error) {
				return c.MapSubnets(ctx, in)
			})
			return n.withFix(cmd.Context(), err, "ResourceNotFoundException",
				"Make it: outcrop network profile set "+profile+" --rule 10.1.0.0/16:443")
		},
	}
}

func (n networkCommands) unmap() *cobra.Command {
	return &cobra.Command{
		Use:     "unmap SUBNET...",
		Short:   "Have agents in these subnets reach nothing but Outcrop",
		Example: "  outcrop network unmap subnet-0123456789abcdef0",
		Args:    atLeast(1, -1, "one SUBNET or more"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := netprofile.CheckSubnets(args); err != nil {
				return notMeant(cmd, err)
			}
			err := n.do(cmd.Context(), mapped(args)+" not mapped any more."+later, func(ctx context.Context, c *client.Client) (*outcrop.Network, error) {
				return c.UnmapSubnets(ctx, outcrop.UnmapSubnetsRequest{SubnetIds: args})
			})
			return n.withFix(cmd.Context(), err, "ResourceNotFoundException", "All that are: outcrop network")
		},
	}
}

func (n networkCommands) allow() *cobra.Command {
	return &cobra.Command{
		Use:     "allow RANGE...",
		Short:   "Open ranges to agents of network mode PUBLIC",
		Long:    "Opens ranges that network mode PUBLIC keeps closed: private ones, and single addresses of the server's machine, as /32.",
		Example: "  outcrop network allow 10.2.0.0/16 192.168.1.7",
		Args:    atLeast(1, -1, "one RANGE or more"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := allParse(cmd, args, netprofile.ParseRange); err != nil {
				return err
			}
			if err := n.public(cmd, strings.Join(args, ", ")+" allowed.", outcrop.UpdatePublicNetworkRequest{AddRanges: args}); err != nil {
				return err
			}
			n.warnWide(args)
			return nil
		},
	}
}

// widest is the shortest prefix that may be meant: that of 10.0.0.0/8.
const widest = 8

// warnWide says what ranges open that were checked already.
func (n networkCommands) warnWide(ranges []string) {
	for _, text := range ranges {
		if r, err := netprofile.ParseRange(text); err == nil && r.Bits() < widest {
			n.p.say("Warning: %s opens every private network in it that this server's machine reaches to all agents of network mode PUBLIC. "+
				"Close it again: outcrop network disallow %s%s", r, r, n.f.suffix())
		}
	}
}

func (n networkCommands) disallow() *cobra.Command {
	return &cobra.Command{
		Use:     "disallow RANGE...",
		Short:   "Close ranges again that were allowed",
		Example: "  outcrop network disallow 10.2.0.0/16",
		Args:    atLeast(1, -1, "one RANGE or more"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := allParse(cmd, args, netprofile.ParseRange); err != nil {
				return err
			}
			return n.public(cmd, strings.Join(args, ", ")+" not allowed any more.", outcrop.UpdatePublicNetworkRequest{RemoveRanges: args})
		},
	}
}

func (n networkCommands) host() *cobra.Command {
	cmd := parent("host", "Narrow network mode PUBLIC down to some hosts", "  outcrop network host add api.example.com '*.pypi.org'\n  outcrop network host remove api.example.com")
	cmd.AddCommand(&cobra.Command{
		Use:   "add HOST...",
		Short: "Let agents of network mode PUBLIC reach these hosts, and no others",
		Long: `Adds to the hosts that network mode PUBLIC reaches. From the first one on it reaches no others: any other name
is not resolved, and no address that was not resolved from one of them is connected to. A HOST is a name, or
*.SUFFIX for all names below it.`,
		Example: "  outcrop network host add api.example.com '*.pypi.org'",
		Args:    atLeast(1, -1, "one HOST or more"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := netprofile.CheckHosts(args); err != nil {
				return notMeant(cmd, err)
			}
			return n.public(cmd, strings.Join(args, ", ")+" allowed; only allowed hosts are reached.", outcrop.UpdatePublicNetworkRequest{AddHosts: args})
		},
	}, &cobra.Command{
		Use:     "remove HOST...",
		Short:   "Take hosts off the list; without any, all are reached again",
		Example: "  outcrop network host remove api.example.com",
		Args:    atLeast(1, -1, "one HOST or more"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return n.public(cmd, strings.Join(args, ", ")+" off the list.", outcrop.UpdatePublicNetworkRequest{RemoveHosts: args})
		},
	})
	return cmd
}

func (n networkCommands) public(cmd *cobra.Command, done string, in outcrop.UpdatePublicNetworkRequest) error {
	err := n.do(cmd.Context(), done+later, func(ctx context.Context, c *client.Client) (*outcrop.Network, error) {
		return c.UpdatePublicNetwork(ctx, in)
	})
	return n.withFix(cmd.Context(), err, "ResourceNotFoundException", "All that are: outcrop network")
}

// withFix adds the way out of a refusal.
func (n networkCommands) withFix(ctx context.Context, err error, code, fix string) error {
	if !client.Is(err, code) {
		return err
	}
	f := n.p.explain(ctx, err)
	f.fix = fix + n.f.suffix()
	return f
}

// parent is a command that does nothing but hold others.
func parent(name, short, example string) *cobra.Command {
	return &cobra.Command{
		Use: name, Short: short, Example: example, Args: noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return below(cmd, "%s needs one of its commands", shortPath(cmd))
		},
	}
}

// noSuchCommand refuses what is no command of this one.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	f := misuse("%s has no command %q", shortPath(cmd), args[0])
	cmd.SuggestionsMinimumDistance = 2 // letters, as for the program's own commands
	f.fix = didYouMean(cmd.CommandPath(), args[0], cmd.SuggestionsFor(args[0])) + "See: " + cmd.CommandPath() + " --help"
	return f
}

// shortPath names a command without the program.
func shortPath(cmd *cobra.Command) string {
	_, path, _ := strings.Cut(cmd.CommandPath(), " ")
	return path
}

// below is a misuse of a command, with its help as the way out.
func below(cmd *cobra.Command, format string, args ...any) error {
	f := misuse(format, args...)
	f.fix = "See: " + cmd.CommandPath() + " --help"
	return f
}

// atLeast checks how many arguments a command gets; most of -1 is any number.
func atLeast(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= least && (most < 0 || len(args) <= most) {
			return nil
		}
		f := misuse("%s takes %s", shortPath(cmd), what)
		f.fix = "Usage: " + cmd.UseLine() + "\nSee: " + cmd.CommandPath() + " --help"
		return f
	}
}

// allParse refuses what the server would refuse, before anything is sent.
func allParse[T any](cmd *cobra.Command, texts []string, parse func(string) (T, error)) error {
	for _, t := range texts {
		if _, err := parse(t); err != nil {
			return notMeant(cmd, err)
		}
	}
	return nil
}

// notMeant is a misuse that the server would word as err does.
func notMeant(cmd *cobra.Command, err error) error { return below(cmd, "%s", fault.From(err).Message) }

func mapped(subnets []string) string {
	if len(subnets) == 1 {
		return subnets[0] + " is"
	}
	return strings.Join(subnets, ", ") + " are"
}

func (p *Program) printNetwork(all *outcrop.Network, f *flags) error {
	var b strings.Builder
	for _, profile := range all.Profiles {
		b.WriteString("profile " + aws.ToString(profile.ProfileName) + "\n")
		writeField(&b, "rules", profile.Rules, "-")
		writeField(&b, "dns", profile.DnsServers, "the server's own")
		writeField(&b, "subnets", profile.SubnetIds, "-")
	}
	b.WriteString("network mode PUBLIC\n")
	writeField(&b, "ranges", append([]string{"the internet"}, all.AllowedRanges...), "")
	writeField(&b, "hosts", all.AllowedHosts, "all")
	if _, err := p.Stdout.Write([]byte(b.String())); err != nil {
		return err
	}
	if len(all.Profiles) == 0 {
		p.say("There are no profiles, so agents of network mode VPC reach nothing but Outcrop. Make one: outcrop network profile set NAME --rule 10.1.0.0/16:443%s", f.suffix())
	}
	return nil
}

func writeField(b *strings.Builder, name string, values []string, none string) {
	text := strings.Join(values, ", ")
	if text == "" {
		text = none
	}
	b.WriteString("  " + name + strings.Repeat(" ", 9-len(name)) + text + "\n")
}

// networkRow is the configuration in JSON, under the names of the wire.
func networkRow(all *outcrop.Network) map[string]any {
	profiles := make([]any, 0, len(all.Profiles))
	for _, p := range all.Profiles {
		profiles = append(profiles, map[string]any{
			"profileName": aws.ToString(p.ProfileName), "rules": p.Rules, "dnsServers": p.DnsServers, "subnetIds": p.SubnetIds,
		})
	}
	return map[string]any{"profiles": profiles, "allowedRanges": all.AllowedRanges, "allowedHosts": all.AllowedHosts}
}
