package operator

import (
	"context"
	"net/netip"

	"github.com/outcrop/outcrop/internal/api/model/outcrop"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/netprofile"
)

// Networks keeps what an operator has opened to sandboxes. It checks what it is
// given, and every change returns the whole configuration.
type Networks interface {
	Read(ctx context.Context) (netprofile.Configuration, error)
	PutProfile(ctx context.Context, p netprofile.Profile) (netprofile.Configuration, error)
	DeleteProfile(ctx context.Context, name string) (netprofile.Configuration, error)
	Map(ctx context.Context, profile string, subnets []string) (netprofile.Configuration, error)
	Unmap(ctx context.Context, subnets []string) (netprofile.Configuration, error)
	ChangePublic(ctx context.Context, change netprofile.PublicChange) (netprofile.Configuration, error)
}

// GetNetwork tells what sandboxes reach beyond the internet.
func (s *Service) GetNetwork(ctx context.Context, _ *outcrop.GetNetworkRequest) (*outcrop.Network, error) {
	return networkAnswer(s.cfg.Networks.Read(ctx))
}

// PutNetworkProfile makes a profile, or replaces its rules and name servers.
func (s *Service) PutNetworkProfile(ctx context.Context, in *outcrop.PutNetworkProfileRequest) (*outcrop.Network, error) {
	rules, err := parsed("rules", in.Rules, netprofile.ParseRule)
	if err != nil {
		return nil, err
	}
	servers, err := parsed("dnsServers", in.DnsServers, netprofile.ParseServer)
	if err != nil {
		return nil, err
	}
	return networkAnswer(s.cfg.Networks.PutProfile(ctx, netprofile.Profile{Name: *in.ProfileName, Rules: rules, Servers: servers}))
}

// DeleteNetworkProfile removes a profile that no subnet is mapped to.
func (s *Service) DeleteNetworkProfile(ctx context.Context, in *outcrop.DeleteNetworkProfileRequest) (*outcrop.Network, error) {
	return networkAnswer(s.cfg.Networks.DeleteProfile(ctx, *in.ProfileName))
}

// MapSubnets leads subnets to a profile.
func (s *Service) MapSubnets(ctx context.Context, in *outcrop.MapSubnetsRequest) (*outcrop.Network, error) {
	return networkAnswer(s.cfg.Networks.Map(ctx, *in.ProfileName, in.SubnetIds))
}

// UnmapSubnets takes subnets away from their profiles.
func (s *Service) UnmapSubnets(ctx context.Context, in *outcrop.UnmapSubnetsRequest) (*outcrop.Network, error) {
	return networkAnswer(s.cfg.Networks.Unmap(ctx, in.SubnetIds))
}

// UpdatePublicNetwork changes what network mode PUBLIC reaches.
func (s *Service) UpdatePublicNetwork(ctx context.Context, in *outcrop.UpdatePublicNetworkRequest) (*outcrop.Network, error) {
	add, err := parsed("addRanges", in.AddRanges, netprofile.ParseRange)
	if err != nil {
		return nil, err
	}
	remove, err := parsed("removeRanges", in.RemoveRanges, netprofile.ParseRange)
	if err != nil {
		return nil, err
	}
	return networkAnswer(s.cfg.Networks.ChangePublic(ctx, netprofile.PublicChange{
		AddRanges: add, RemoveRanges: remove, AddHosts: in.AddHosts, RemoveHosts: in.RemoveHosts,
	}))
}

// parsed reads each text of a member; the first that cannot be read is the error.
func parsed[T any](member string, texts []string, parse func(string) (T, error)) ([]T, error) {
	var out []T
	for _, t := range texts {
		v, err := parse(t)
		if err != nil {
			f := *fault.From(err)
			f.Fields = []fault.Field{{Name: member, Message: f.Message}}
			return nil, &f
		}
		out = append(out, v)
	}
	return out, nil
}

func networkAnswer(c netprofile.Configuration, err error) (*outcrop.Network, error) {
	if err != nil {
		return nil, err
	}
	out := &outcrop.Network{
		Profiles: []outcrop.NetworkProfile{}, AllowedHosts: append([]string{}, c.Hosts...),
		AllowedRanges: texts(c.Ranges, netip.Prefix.String),
	}
	for _, p := range c.Profiles {
		out.Profiles = append(out.Profiles, outcrop.NetworkProfile{
			ProfileName: new(p.Name), Rules: texts(p.Rules, netprofile.Rule.String), DnsServers: texts(p.Servers, netip.AddrPort.String),
			SubnetIds: append([]string{}, c.SubnetsOf(p.Name)...),
		})
	}
	return out, nil
}

// texts writes each of a list, which is never null on the wire.
func texts[T any](list []T, text func(T) string) []string {
	out := make([]string, 0, len(list))
	for _, v := range list {
		out = append(out, text(v))
	}
	return out
}
