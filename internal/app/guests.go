package app

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/netprofile"
	"github.com/outcrop/outcrop/internal/principal"
	"github.com/outcrop/outcrop/internal/runtime"
	"github.com/outcrop/outcrop/internal/sandbox/network"
	"github.com/outcrop/outcrop/internal/sandbox/network/inlet"
	"github.com/outcrop/outcrop/internal/sandbox/network/metadata"
)

// guests makes what sessions find around them.
type guests struct {
	directory *principal.Directory
	// networks says what they reach.
	networks *netprofile.Registry
	machine  *network.Machine
	resolver network.Resolver
	// api is where their calls to this server come in. They go the way of all
	// others: that they came from a guest gives them no rights.
	api *inlet.Listener
	log *slog.Logger
	now func() time.Time

	denials denials
}

func newGuests(directory *principal.Directory, networks *netprofile.Registry, log *slog.Logger) *guests {
	return &guests{
		directory: directory, networks: networks, machine: network.NewMachine(), resolver: network.NewSystemForwarder("/etc/resolv.conf"),
		api: inlet.New(network.API), log: log, now: time.Now,
	}
}

// guestAPI is what AWS_ENDPOINT_URL of a guest says.
func guestAPI() string { return "http://" + network.API.String() }

// Enter implements runtime.Guests.
func (g *guests) Enter(ctx context.Context, guest runtime.Guest) (around runtime.Surroundings, err error) {
	configured, err := g.networks.Read(ctx)
	if err != nil {
		return around, err
	}
	policy, reach := configured.Policy(mode(guest.Network))
	role, err := g.directory.BeginRoleSession(guest.Role, guest.RoleSession)
	if err != nil {
		return around, err
	}
	n, err := network.New(network.Config{
		Policy: policy, Machine: g.machine, Resolver: g.resolver, Now: g.now,
		Note: func(r network.Refusal) { guest.Note(r.String()) },
	})
	if err != nil {
		role.End()
		return around, fmt.Errorf("make network of session %s: %w", guest.RoleSession, err)
	}
	n.Handle(network.API, func(ctx context.Context) (net.Conn, error) {
		return g.api.Connect(ctx, netip.AddrPortFrom(network.Guest, 0))
	})
	stop := metadata.Attach(n, metadata.New(metadata.Config{
		Credentials: credentials(role, guest.Template), Copied: guest.Template, Role: guest.Role, Region: guest.Scope.Region,
		ContainerToken: guest.ContainerToken, Now: g.now, Log: g.log,
	}))
	forget := g.denials.watch(role.ARN(), guest.Note)
	return runtime.Surroundings{Network: n, Reach: reach, Leave: func(keep bool) {
		forget()
		stop()
		n.Close()
		if keep || guest.Template { // its memory lives on
			role.Retire()
		} else {
			role.End()
		}
	}}, nil
}

// credentials makes those of a role for the metadata service.
func credentials(role *principal.RoleSession, template bool) func(context.Context) (metadata.Credentials, error) {
	life := principal.Lifetime
	if template {
		life = principal.TemplateLifetime
	}
	return func(ctx context.Context) (metadata.Credentials, error) {
		c, err := role.Credentials(ctx, life)
		if err != nil {
			return metadata.Credentials{}, err
		}
		return metadata.Credentials{
			AccessKeyID: c.AccessKeyID, SecretAccessKey: c.Secret.Reveal(), Token: c.SessionToken.Reveal(), Issued: c.Issued, Expires: c.Expires,
		}, nil
	}
}

// mode is what a runtime's network configuration asks for. What is no mode that we
// know reaches nothing.
func mode(c *agentcorecontrol.NetworkConfiguration) (m network.Mode, subnets []string) {
	if c == nil || c.NetworkMode == nil {
		return network.Sandbox, nil
	}
	switch *c.NetworkMode {
	case agentcorecontrol.NetworkModePUBLIC:
		return network.Public, nil
	case agentcorecontrol.NetworkModeVPC:
		if c.NetworkModeConfig != nil {
			subnets = c.NetworkModeConfig.Subnets
		}
		return network.VPC, subnets
	}
	return network.Sandbox, nil
}

var _ runtime.Guests = (*guests)(nil)
