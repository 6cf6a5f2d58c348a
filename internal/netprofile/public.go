package netprofile

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/sandbox/network"
)

// PublicChange adds to what network mode PUBLIC reaches, and takes away from it.
type PublicChange struct {
	AddRanges, RemoveRanges []netip.Prefix
	// Hosts are NAME or *.SUFFIX.
	AddHosts, RemoveHosts []string
}

// ChangePublic applies a change as a whole or not at all. What is there already is
// not added twice; what is to be removed must be there.
func (r *Registry) ChangePublic(ctx context.Context, change PublicChange) (Configuration, error) {
	change.AddHosts, change.RemoveHosts = lower(change.AddHosts), lower(change.RemoveHosts)
	if err := CheckHosts(change.AddHosts); err != nil {
		return Configuration{}, err
	}
	return r.change(ctx, func(c *Configuration) error {
		for _, p := range change.RemoveRanges {
			if !slices.Contains(c.Ranges, p) {
				return fault.NotFound("Range %s is not among the allowed ones", p)
			}
		}
		for _, h := range change.RemoveHosts {
			if !slices.Contains(c.Hosts, h) {
				return fault.NotFound("Host %s is not among the allowed ones", h)
			}
		}
		c.Ranges = merged(c.Ranges, change.AddRanges, change.RemoveRanges, comparePrefixes)
		c.Hosts = merged(c.Hosts, change.AddHosts, change.RemoveHosts, strings.Compare)
		switch {
		case len(c.Ranges) > MaxRanges:
			return fault.Invalid("addRanges", "%d ranges would be allowed; at most %d can be: join some", len(c.Ranges), MaxRanges)
		case len(c.Hosts) > MaxHosts:
			return fault.Invalid("addHosts", "%d hosts would be allowed; at most %d can be: use *.SUFFIX", len(c.Hosts), MaxHosts)
		}
		return nil
	})
}

// CheckHosts refuses what is neither NAME nor *.SUFFIX.
func CheckHosts(list []string) error {
	for _, h := range list {
		if err := network.CheckHost(h); err != nil {
			return fault.Invalid("addHosts", "Host %q: %v, such as api.example.com or *.example.com", h, err)
		}
	}
	return nil
}

// merged is a list without some entries and with others, in order.
func merged[T comparable](have, add, remove []T, order func(a, b T) int) []T {
	out := slices.DeleteFunc(slices.Clone(have), func(v T) bool { return slices.Contains(remove, v) })
	out = append(out, add...)
	slices.SortFunc(out, order)
	return slices.Compact(out)
}

func lower(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = strings.ToLower(strings.TrimSuffix(s, "."))
	}
	return out
}
