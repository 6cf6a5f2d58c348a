package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
)

// The bounds of allowedPorts (spec/runtime.md 2.10).
const (
	leastPort, mostPort = 8000, 12000
	reservedPort        = 8443
	mostAllowed         = 5
)

// noPorts takes all ports away.
const noPorts = "none"

// portRange is of ports of a session, both ends included.
type portRange struct{ from, to int }

func (r portRange) String() string {
	if r.from == r.to {
		return strconv.Itoa(r.from)
	}
	return fmt.Sprintf("%d-%d", r.from, r.to)
}

func (r portRange) overlaps(o portRange) bool { return r.from <= o.to && o.from <= r.to }

// parsePortRange reads 8100 or 8200-8210.
func parsePortRange(text string) (portRange, error) {
	first, last, both := strings.Cut(text, "-")
	if !both {
		last = first
	}
	from, err := strconv.ParseUint(first, 10, 16)
	to, err2 := strconv.ParseUint(last, 10, 16)
	r := portRange{int(from), int(to)}
	switch {
	case err != nil || err2 != nil:
		return r, fmt.Errorf("%q is neither a port, such as 8100, nor a range, such as 8200-8210", text)
	case r.from > r.to:
		return r, fmt.Errorf("the range %s is empty; the lower port stands first: %d-%d", text, r.to, r.from)
	case r.from < leastPort || r.to > mostPort:
		return r, fmt.Errorf("%s is not within %d and %d, where ports of a session are", text, leastPort, mostPort)
	case r.overlaps(portRange{reservedPort, reservedPort}) && both:
		return r, fmt.Errorf("%s holds %d, which is reserved; give the ranges before and after it", text, reservedPort)
	case r.from == reservedPort:
		return r, fmt.Errorf("%d is reserved; have the agent listen on another port", reservedPort)
	}
	return r, nil
}

// parseAllowed reads what --allowed-ports names.
func parseAllowed(texts []string) ([]portRange, error) {
	if len(texts) > mostAllowed {
		return nil, fmt.Errorf("%d are more than the %d ports and ranges that an agent may have; join neighbours to a range, such as 8200-8210", len(texts), mostAllowed)
	}
	var all []portRange
	for _, text := range texts {
		r, err := parsePortRange(text)
		if err != nil {
			return nil, err
		}
		for _, before := range all {
			if r.overlaps(before) {
				return nil, fmt.Errorf("%s and %s overlap; name each port once", before, r)
			}
		}
		all = append(all, r)
	}
	return all, nil
}

// portsOf is what an agent is to have that has old.
func (s *surroundings) portsOf(old []types.AllowedPort) []types.AllowedPort {
	switch {
	case s.noPorts:
		return nil
	case len(s.ports) == 0 || slices.Equal(s.ports, rangesIn(old)):
		return old
	}
	var ports []types.AllowedPort
	for _, r := range s.ports {
		if r.from == r.to {
			ports = append(ports, &types.AllowedPortMemberPort{Value: int32(r.from)})
		} else {
			ports = append(ports, &types.AllowedPortMemberPortRange{Value: types.PortRange{From: aws.Int32(int32(r.from)), To: aws.Int32(int32(r.to))}})
		}
	}
	return ports
}

// rangesIn reads the allowedPorts of a runtime.
func rangesIn(ports []types.AllowedPort) []portRange {
	var all []portRange
	for _, p := range ports {
		switch p := p.(type) {
		case *types.AllowedPortMemberPort:
			all = append(all, portRange{int(p.Value), int(p.Value)})
		case *types.AllowedPortMemberPortRange:
			all = append(all, portRange{int(aws.ToInt32(p.Value.From)), int(aws.ToInt32(p.Value.To))})
		}
	}
	return all
}

// allowedIn are the allowedPorts of a runtime as --allowed-ports takes them.
func allowedIn(ports []types.AllowedPort) []string {
	var texts []string
	for _, r := range rangesIn(ports) {
		texts = append(texts, r.String())
	}
	return texts
}

func allowed(ports []types.AllowedPort, port int) bool {
	return slices.ContainsFunc(rangesIn(ports), func(r portRange) bool { return r.overlaps(portRange{port, port}) })
}

// notAllowed says why a port of an agent is not reached, and how it would be.
func notAllowed(name string, ports []types.AllowedPort, port int, where string) *failure {
	have := allowedIn(ports)
	text := "it has no allowedPorts"
	if len(have) > 0 {
		text = "its allowedPorts are " + strings.Join(have, ", ")
	}
	wanted := append(have, strconv.Itoa(port))
	fix := fmt.Sprintf("Deploy it with the port, as it was deployed before: outcrop deploy FOLDER --name %s --allowed-ports %s%s", name, strings.Join(wanted, ","), where)
	if _, err := parseAllowed(wanted); err != nil {
		fix = fmt.Sprintf("Ports of a session are from %d to %d without %d, in %d ports and ranges at most. Have the agent listen on one of them.", leastPort, mostPort, reservedPort, mostAllowed)
	}
	return fail(fix, "port %d of %s cannot be reached: %s", port, name, text)
}
