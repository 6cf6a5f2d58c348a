package cli

import (
	"net/url"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/outcrop/outcrop/internal/auth/jwt"
	"github.com/outcrop/outcrop/internal/identity/vendor"
)

// IdentityOptions say how users consent to what agents do for them.
type IdentityOptions struct {
	// PublicURL is how browsers reach the server; empty is the first listener.
	PublicURL string
	// GatewayDomain is below which gateways have host names, in lower case; empty is none.
	GatewayDomain string
	// Vendors is a file with entries for the table of OAuth vendors, absolute; empty is
	// that of the data directory.
	Vendors string
	// TrustedIssuers are the names of those whose tokens stand for the users of agents,
	// besides the server's own pools.
	TrustedIssuers []string
}

func (o *IdentityOptions) register(fs *pflag.FlagSet) {
	fs.Var((*nonEmpty)(&o.PublicURL), "public-url", "`URL` by which browsers reach the server, for the links and callback URLs of OAuth (default: where it listens; see docs/identity.md)")
	fs.Var((*nonEmpty)(&o.GatewayDomain), "gateway-domain", "`domain` below which every gateway has a host name of its own, ID.gateway.DOMAIN, and every consent portal, ID.consent-portal.DOMAIN, which lead here by your DNS (default: they are at /gw/ID and /portal/ID; see docs/gateway.md)")
	fs.StringArrayVar(&o.TrustedIssuers, "trusted-issuer", nil, "`URL` of an issuer whose tokens stand for users of agents, besides the server's own pools (may be repeated; default: any, or with --strict no other; see docs/identity.md)")
	fs.Var((*nonEmpty)(&o.Vendors), "oauth-vendors", "`file` with endpoints of OAuth vendors in place of the published ones (default: oauth-vendors.json in the data directory; see docs/identity.md)")
}

// check reads what it can, so that mistakes show before the server starts, and makes
// the path absolute.
func (o *IdentityOptions) check() error {
	if o.PublicURL != "" {
		u, err := url.Parse(o.PublicURL)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
			return misuse("--public-url %s is no URL of scheme and host alone, such as https://agents.example.com", o.PublicURL)
		}
	}
	if o.GatewayDomain = strings.ToLower(o.GatewayDomain); o.GatewayDomain != "" && !isDomain(o.GatewayDomain) {
		return misuse("--gateway-domain %s is no domain, such as example.com", o.GatewayDomain)
	}
	for _, issuer := range o.TrustedIssuers {
		if _, ok := jwt.DiscoveryURL(issuer); !ok {
			return misuse("--trusted-issuer %s is not the name of an issuer, such as https://login.example.com", issuer)
		}
	}
	if o.Vendors == "" {
		return nil
	}
	file, err := os.ReadFile(o.Vendors)
	if err != nil {
		return misuse("--oauth-vendors: %s", err)
	}
	table, err := vendor.Published()
	if err == nil {
		_, err = table.With(file)
	}
	if err != nil {
		return misuse("--oauth-vendors %s: %s", o.Vendors, err)
	}
	o.Vendors = canonical(o.Vendors)
	return nil
}

// isDomain reports whether a text is the name of a domain: labels of letters, digits and
// hyphens (RFC 1123 2.1).
func isDomain(text string) bool {
	for label := range strings.SplitSeq(text, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || strings.Trim(label, "-") != label {
			return false
		}
	}
	return len(text) <= 200
}
