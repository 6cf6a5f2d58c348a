package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
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
	// api is where their calls to this server come in; it is there before the first
	// guest. They go the way of all others: that they came from a guest gives them
	// no rights.
	api *inside
	log *slog.Logger
	now func() time.Time
	// hosts leads AWS's names here; nil leads them to AWS.
	hosts *guestHosts
	// strict asks that the roles of agents exist.
	strict bool

	denials denials
}

func newGuests(directory *principal.Directory, networks *netprofile.Registry, strict bool, log *slog.Logger) *guests {
	return &guests{
		strict:    strict,
		directory: directory, networks: networks, machine: network.NewMachine(), resolver: network.NewSystemForwarder("/etc/resolv.conf"),
		log: log, now: time.Now,
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
	role, err := g.assume(ctx, guest)
	if err != nil {
		return around, err
	}
	var own func(context.Context, string) bool
	if g.hosts != nil {
		own = func(ctx context.Context, name string) bool { return g.hosts.own(ctx, name, guest.Elsewhere) }
	}
	n, err := network.New(network.Config{
		Own: own, Policy: policy, Machine: g.machine, Resolver: g.resolver, Now: g.now,
		Note: func(r network.Refusal) { guest.Note(r.String()) },
	})
	if err != nil {
		role.End()
		return around, fmt.Errorf("make network of session %s: %w", guest.RoleSession, err)
	}
	api, named, shut := g.api.open(guest.RoleSession, guest.Note)
	for at, l := range map[netip.AddrPort]*inlet.Listener{network.API: api, network.TLS: named} {
		n.Handle(at, func(ctx context.Context) (net.Conn, error) {
			return l.Connect(ctx, netip.AddrPortFrom(network.Guest, 0))
		})
	}
	stop := metadata.Attach(n, metadata.New(metadata.Config{
		Credentials: credentials(role, guest.Template), Copied: guest.Template, Role: guest.Role, Region: guest.Scope.Region,
		ContainerToken: guest.ContainerToken, Now: g.now, Log: g.log,
	}))
	forget := g.denials.watch(role.ARN(), guest.Note)
	return runtime.Surroundings{Network: n, Reach: reach, Leave: func(keep bool) {
		forget()
		stop()
		shut()
		n.Close()
		if keep || guest.Template { // its memory lives on
			role.Retire()
		} else {
			role.End()
		}
	}}, nil
}

// assume begins a guest's session of its role.
func (g *guests) assume(ctx context.Context, guest runtime.Guest) (*principal.RoleSession, error) {
	role, err := g.directory.BeginRoleSession(ctx, principal.RoleUse{Role: guest.Role, Name: guest.RoleSession, Source: guest.ARN, Service: guest.Service, Template: guest.Template})
	if errors.Is(err, principal.ErrTrust) {
		return nil, runtime.RoleFault(guest.Role).Because(err)
	}
	if err != nil || role.Exists() {
		return role, err
	}
	if g.strict {
		role.End()
		return nil, runtime.RoleFault(guest.Role).Because(errors.New("it does not exist, and the server is strict"))
	}
	if !guest.Template {
		guest.Note("the execution role " + guest.Role + " does not exist, and its sessions are allowed nothing; " + howToMakeFor(cmp.Or(guest.Service, principal.AgentService), guest.Role, guest.Scope.Account))
	}
	return role, nil
}

// howToMake tells how to make the role with an ARN, which AgentCore is to assume.
func howToMake(arn, account string) string { return howToMakeFor(principal.AgentService, arn, account) }

// howToMakeFor tells how to make the role with an ARN, which a service is to assume.
func howToMakeFor(service, arn, account string) string {
	_, path, _ := strings.Cut(arn, ":role/")
	i := strings.LastIndexByte(path, '/')
	name, under := path[i+1:], ""
	if i >= 0 {
		under = " --path /" + path[:i+1]
	}
	return "make it with: aws iam create-role --role-name " + name + under + ` --assume-role-policy-document '` + principal.ServiceTrust(service, account) + `', and give it policies (docs/iam.md)`
}

// CheckRole implements runtime.Roles.
func (g *guests) CheckRole(ctx context.Context, role, source string) error {
	why, err := g.unfit(ctx, principal.RoleUse{Role: role, Source: source})
	if why != nil {
		return runtime.RoleFault(role).Because(why)
	}
	return err
}

// unfit tells why a role cannot be had for a use; err is of no role.
func (g *guests) unfit(ctx context.Context, use principal.RoleUse) (why, err error) {
	exists, err := g.directory.CheckRole(ctx, use)
	if errors.Is(err, principal.ErrTrust) || errors.Is(err, principal.ErrRole) {
		return err, nil
	}
	if err == nil && !exists && g.strict {
		return errors.New("it does not exist, and the server is strict"), nil
	}
	return nil, err
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

var (
	_ runtime.Guests = (*guests)(nil)
	_ runtime.Roles  = (*guests)(nil)
)
