// Package netprofile owns what an operator has opened to sandboxes beyond the
// internet: named profiles of networks, which subnets stand for which profile,
// and the ranges and hosts of network mode PUBLIC.
//
// The configuration is the whole server's, whatever account and region a runtime
// belongs to: it opens networks of this machine. It is one document, since a
// session that starts reads all of it at one moment. A session keeps what it was
// started with.
package netprofile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// The bounds of a configuration: every session that starts reads it.
const (
	MaxProfiles = 100
	MaxRules    = 64 // of one profile
	MaxServers  = 3  // of names, of one profile, as in resolv.conf(5)
	MaxSubnets  = 1000
	MaxRanges   = 64
	MaxHosts    = 64
)

// Configuration is all that an operator has said about networks.
type Configuration struct {
	// Profiles are in the order of their names.
	Profiles []Profile `json:"profiles,omitempty"`
	// Subnets leads the id of a subnet to the name of a profile.
	Subnets map[string]string `json:"subnets,omitempty"`
	// Ranges are opened to network mode PUBLIC, which reaches no private networks
	// otherwise. Hosts, where there are any, narrow it down to these names.
	Ranges []netip.Prefix `json:"ranges,omitempty"`
	Hosts  []string       `json:"hosts,omitempty"`
}

// Profile is a network with a name.
type Profile struct {
	Name string `json:"name"`
	// Rules are what is open; without one, nothing is.
	Rules []Rule `json:"rules"`
	// Servers resolve its names; without any, those of this machine do.
	Servers []netip.AddrPort `json:"servers,omitempty"`
}

// Profile returns the one of a name.
func (c Configuration) Profile(name string) (Profile, bool) {
	for _, p := range c.Profiles {
		if p.Name == name {
			return p, true
		}
	}
	return Profile{}, false
}

// SubnetsOf lists the subnets of a profile, in order.
func (c Configuration) SubnetsOf(profile string) []string {
	var list []string
	for _, id := range slices.Sorted(maps.Keys(c.Subnets)) {
		if c.Subnets[id] == profile {
			list = append(list, id)
		}
	}
	return list
}

type none struct{}

type document = store.Resource[none, Configuration]

// configurations holds the one document there is.
func configurations() store.Collection[none, Configuration] {
	return store.Collection[none, Configuration]{Kind: "network"}
}

const documentID = "configuration"

func everywhere() store.Scope { return store.Scope{Account: store.Global, Region: store.Global} }

// Registry keeps the configuration. It is safe for concurrent use.
type Registry struct{ store store.Store }

// New returns the Registry of a store.
func New(s store.Store) *Registry { return &Registry{s} }

// Read returns the configuration; it is empty until somebody has changed it.
func (r *Registry) Read(ctx context.Context) (Configuration, error) {
	var doc document
	err := r.store.View(ctx, func(tx store.Reader) (err error) {
		doc, err = load(tx)
		return err
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return Configuration{}, err
	}
	return doc.State, nil
}

// load returns the document, and an empty one with ErrNotFound.
func load(r store.Reader) (document, error) {
	doc, err := configurations().Get(r, everywhere(), documentID)
	if errors.Is(err, store.ErrNotFound) {
		return document{Scope: everywhere(), ID: documentID}, err
	}
	if err != nil {
		return doc, fmt.Errorf("read network configuration: %w", err)
	}
	return doc, nil
}

// change lets fn change the configuration and returns the new one, which is
// durable then. An error of fn leaves it as it was.
func (r *Registry) change(ctx context.Context, fn func(*Configuration) error) (Configuration, error) {
	var doc document
	err := r.store.Update(ctx, func(tx store.Tx) error {
		var err error
		doc, err = load(tx)
		missing := errors.Is(err, store.ErrNotFound)
		if err != nil && !missing {
			return err
		}
		if err := fn(&doc.State); err != nil {
			return err
		}
		if missing {
			doc, err = configurations().Create(tx, doc)
		} else {
			doc, err = configurations().Replace(tx, doc)
		}
		return err
	})
	if err != nil {
		return Configuration{}, err
	}
	return doc.State, nil
}

var profileName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_-]{0,47}$`)

// CheckName refuses what cannot be a profile's name.
func CheckName(name string) error {
	if !profileName.MatchString(name) {
		return fault.Invalid("profileName", "Profile name %q must be a letter, then at most 47 letters, digits, '_' and '-'", name)
	}
	return nil
}

// PutProfile makes a profile, or replaces the rules and servers of the one that
// has its name. Its subnets stay.
func (r *Registry) PutProfile(ctx context.Context, p Profile) (Configuration, error) {
	if err := CheckName(p.Name); err != nil {
		return Configuration{}, err
	}
	switch {
	case len(p.Rules) == 0:
		return Configuration{}, fault.Invalid("rules", "Network profile '%s' needs at least one rule, such as 10.1.0.0/16:443: without any it reaches nothing", p.Name)
	case len(p.Servers) > MaxServers:
		return Configuration{}, fault.Invalid("dnsServers", "Network profile '%s' has %d DNS servers; at most %d are asked", p.Name, len(p.Servers), MaxServers)
	}
	p.Rules = tidy(p.Rules)
	if len(p.Rules) > MaxRules {
		return Configuration{}, fault.Invalid("rules", "Network profile '%s' has %d rules; at most %d are kept: join ranges, or leave out ports", p.Name, len(p.Rules), MaxRules)
	}
	return r.change(ctx, func(c *Configuration) error {
		at, exists := slices.BinarySearchFunc(c.Profiles, p.Name, func(have Profile, name string) int { return strings.Compare(have.Name, name) })
		switch {
		case exists:
			c.Profiles[at] = p
		case len(c.Profiles) >= MaxProfiles:
			return fault.Invalid("profileName", "There are %d network profiles already, which is the limit; delete one first", MaxProfiles)
		default:
			c.Profiles = slices.Insert(c.Profiles, at, p)
		}
		return nil
	})
}

// tidy puts rules in order, each of them once: two profiles that say the same are
// equal.
func tidy(rules []Rule) []Rule {
	out := slices.Clone(rules)
	slices.SortFunc(out, compareRules)
	return slices.Compact(out)
}

// DeleteProfile removes a profile that no subnet is mapped to.
func (r *Registry) DeleteProfile(ctx context.Context, name string) (Configuration, error) {
	return r.change(ctx, func(c *Configuration) error {
		if _, ok := c.Profile(name); !ok {
			return unknown(*c, name)
		}
		if subnets := c.SubnetsOf(name); len(subnets) > 0 {
			return fault.Conflict("Network profile '%s' has the subnets %s; unmap them first, or map them to another", name, listed(subnets))
		}
		c.Profiles = slices.DeleteFunc(c.Profiles, func(p Profile) bool { return p.Name == name })
		return nil
	})
}

var subnetID = regexp.MustCompile(`^subnet-[0-9a-zA-Z]{8,17}$`) // spec/runtime.md 2.4

// Map leads subnets to a profile, whatever they led to before.
func (r *Registry) Map(ctx context.Context, profile string, subnets []string) (Configuration, error) {
	if err := CheckSubnets(subnets); err != nil {
		return Configuration{}, err
	}
	return r.change(ctx, func(c *Configuration) error {
		if _, ok := c.Profile(profile); !ok {
			return unknown(*c, profile)
		}
		if c.Subnets == nil {
			c.Subnets = map[string]string{}
		}
		for _, id := range subnets {
			c.Subnets[id] = profile
		}
		if len(c.Subnets) > MaxSubnets {
			return fault.Invalid("subnetIds", "%d subnets would be mapped; at most %d can be: unmap those that no runtime names", len(c.Subnets), MaxSubnets)
		}
		return nil
	})
}

// Unmap takes subnets away from their profiles: they reach nothing then.
func (r *Registry) Unmap(ctx context.Context, subnets []string) (Configuration, error) {
	if err := CheckSubnets(subnets); err != nil {
		return Configuration{}, err
	}
	return r.change(ctx, func(c *Configuration) error {
		for _, id := range subnets {
			if c.Subnets[id] == "" {
				return fault.NotFound("Subnet '%s' is not mapped to any network profile", id)
			}
		}
		for _, id := range subnets {
			delete(c.Subnets, id)
		}
		return nil
	})
}

// CheckSubnets refuses what cannot be subnets' ids.
func CheckSubnets(list []string) error {
	if len(list) == 0 {
		return fault.Invalid("subnetIds", "At least one subnet must be named")
	}
	for _, id := range list {
		if !subnetID.MatchString(id) {
			return fault.Invalid("subnetIds", "Subnet %q must be 'subnet-' and 8 to 17 letters and digits, such as subnet-0123456789abcdef0", id)
		}
	}
	return nil
}

// unknown says which profiles there are instead.
func unknown(c Configuration, name string) error {
	if len(c.Profiles) == 0 {
		return fault.NotFound("There is no network profile '%s', nor any other; make one first", name)
	}
	names := make([]string, 0, len(c.Profiles))
	for _, p := range c.Profiles {
		names = append(names, p.Name)
	}
	return fault.NotFound("There is no network profile '%s'. There are: %s", name, listed(names))
}

// listed writes the first of many names.
func listed(names []string) string {
	const most = 10
	if more := len(names) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), more)
	}
	return strings.Join(names, ", ")
}
