package netprofile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/sandbox/network"
)

// Policy is what a session reaches that starts now, with this network mode and
// these subnets. basis is the same as long as the same is reached: a guest that
// was saved in other surroundings has perhaps concluded from them that something
// cannot be reached.
//
// All subnets of a session must lead to one profile. On AWS its address is in one
// of them, and which is not the caller's choice; taking several profiles together
// would join networks that the operator keeps apart, and taking one of them would
// be a guess. So anything else reaches nothing, and says why.
func (c Configuration) Policy(mode network.Mode, subnets []string) (p network.Policy, basis string) {
	switch mode {
	case network.Public:
		p = network.Policy{
			Mode: network.Public, Allow: c.Ranges, Hosts: c.Hosts, AllowCommand: "outcrop network allow", HostCommand: "outcrop network host add",
		}
		return p, fmt.Sprint("PUBLIC ", c.Ranges, c.Hosts)
	case network.VPC:
		return c.vpc(subnets)
	}
	return network.Policy{Mode: network.Sandbox}, "SANDBOX"
}

func (c Configuration) vpc(subnets []string) (network.Policy, string) {
	subnets = slices.Compact(slices.Sorted(slices.Values(subnets)))
	p := network.Policy{Mode: network.VPC}
	const nothing = "VPC, nothing"
	var unmapped, names []string
	for _, id := range subnets {
		if name := c.Subnets[id]; name == "" {
			unmapped = append(unmapped, id)
		} else if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	switch {
	case len(unmapped) > 0 || len(names) == 0:
		p.Subnets, p.MapCommand = unmapped, mapCommand(unmapped, names)
		return p, nothing
	case len(names) > 1:
		p.Subnets, p.MapCommand = subnets, mapCommand(subnets, names)
		p.Reason = fmt.Sprintf("subnets %s are mapped to different network profiles (%s), and a session has one network",
			strings.Join(subnets, ", "), strings.Join(names, ", "))
		return p, nothing
	}
	profile, _ := c.Profile(names[0]) // mapped ones are not deleted
	p.Profile = &network.Profile{Name: names[0], RuleCommand: "outcrop network profile add " + names[0] + " --rule"}
	for _, r := range profile.Rules {
		p.Profile.Rules = append(p.Profile.Rules, network.Rule(r))
	}
	if len(profile.Servers) > 0 {
		p.Profile.Resolver = network.NewForwarder(profile.Servers...)
	}
	return p, fmt.Sprint("VPC ", profile.Rules, profile.Servers)
}

// mapCommand maps subnets to the profile that the others have, or to one that the
// operator names.
func mapCommand(subnets, names []string) string {
	profile := "PROFILE"
	if len(names) == 1 {
		profile = names[0]
	}
	if len(subnets) == 0 {
		return ""
	}
	return "outcrop network map " + strings.Join(subnets, " ") + " " + profile
}
