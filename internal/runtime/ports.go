package runtime

import (
	"slices"
	"strconv"
	"strings"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
)

// A PortRange is of ports, both ends included.
type PortRange struct{ From, To int32 }

// Ports are a runtime's allowedPorts (spec/runtime.md 2.10).
type Ports []PortRange

// portsOf reads what was accepted with a configuration.
func portsOf(list []agentcorecontrol.AllowedPort) Ports {
	var out Ports
	for _, p := range list {
		switch {
		case p.Port != nil:
			out = append(out, PortRange{*p.Port, *p.Port})
		case p.PortRange != nil && p.PortRange.From != nil && p.PortRange.To != nil:
			out = append(out, PortRange{*p.PortRange.From, *p.PortRange.To})
		}
	}
	return out
}

// Allow reports whether a port is one of them.
func (p Ports) Allow(port int32) bool {
	return slices.ContainsFunc(p, func(r PortRange) bool { return r.From <= port && port <= r.To })
}

// String lists them: 8100, 9000-9010.
func (p Ports) String() string {
	texts := make([]string, len(p))
	for i, r := range p {
		texts[i] = strconv.Itoa(int(r.From))
		if r.To != r.From {
			texts[i] += "-" + strconv.Itoa(int(r.To))
		}
	}
	return strings.Join(texts, ", ")
}
