package cli

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"

	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"

	"github.com/outcrop/outcrop/internal/api/model"
	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/awshost"
	"github.com/outcrop/outcrop/internal/client"
)

// writeHostsFile prints lines that lead AWS's names to the server's own port 443: those of
// services, and those of what there is now that has a name of its own.
func (p *Program) writeHostsFile(ctx context.Context, t client.Target, connect func() (*client.Client, error)) error {
	r, ok := p.known(t.Endpoint)
	i := slices.IndexFunc(r.TLSAddresses, func(a string) bool { return portOf(a) == "443" })
	if !ok || i < 0 {
		return fail("Start it with that: outcrop serve --tls-listen 127.0.0.1:443 --aws-hosts",
			"the server at %s does not listen on port 443, which is where clients without a proxy go", t.Endpoint)
	}
	at, _, err := net.SplitHostPort(r.TLSAddresses[i])
	if err != nil {
		return err
	}
	if a, err := netip.ParseAddr(at); err == nil && a.IsUnspecified() {
		at = "127.0.0.1"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Outcrop answers these names of AWS's in %s. Names of buckets need lines of their own.\n", t.Region)
	for _, name := range awshost.Lines(t.Region, r.Account, inHostsFile) {
		fmt.Fprintf(&b, "%s %s\n", at, name)
	}
	c, err := connect()
	var made []string
	if err == nil {
		made, err = named(ctx, c, t.Region)
	}
	if len(made) > 0 {
		b.WriteString("# Gateways and domains of user pools, as they are now.\n")
	}
	for _, name := range made {
		fmt.Fprintf(&b, "%s %s\n", at, name)
	}
	if _, err := io.WriteString(p.Stdout, b.String()); err != nil {
		return err
	}
	if err != nil {
		p.say("Gateways or domains of user pools are left out: %v", err)
	}
	return nil
}

// inHostsFile reports whether a service is served, by its signing name: a machine's
// hosts file is everybody's, so that others keep going to AWS.
func inHostsFile(service string) bool {
	return slices.ContainsFunc(model.Services(), func(s *schema.Service) bool { return s.SigningName == service })
}

// named are the names that AWS would give the gateways and the domains of user pools of a
// region.
func named(ctx context.Context, c *client.Client, region string) ([]string, error) {
	var out []string
	pages := control.NewListGatewaysPaginator(c.Control(), &control.ListGatewaysInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return out, err
		}
		for _, g := range page.Items {
			out = append(out, awshost.Gateway(*g.GatewayId, region))
		}
	}
	domains, err := c.PoolDomains(ctx)
	for _, d := range domains {
		out = append(out, awshost.PoolDomain(d, region))
	}
	return out, err
}
