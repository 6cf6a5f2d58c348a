package cli

import (
	"os"

	"github.com/spf13/pflag"

	"github.com/outcrop/outcrop/internal/outbound"
)

// OutboundOptions say what the server itself calls that callers name: the issuers of
// tokens, say.
type OutboundOptions struct {
	// Private are addresses, ranges and host names that are not public and may be
	// called, as outbound.ParsePrivate reads them.
	Private []string
	// TrustCA are files with certificates of authorities, absolute.
	TrustCA []string
}

func (o *OutboundOptions) register(fs *pflag.FlagSet) {
	fs.StringArrayVar(&o.Private, "allow-private", nil, "`address`, range or host name of your own network that the server may call where callers name it, such as the issuer of their tokens (may be repeated; see docs/tokens.md)")
	fs.StringArrayVar(&o.TrustCA, "trust-ca", nil, "PEM `file` of a certificate authority to trust there, besides the system's (may be repeated)")
}

// check reads what it can, so that mistakes show before the server starts, and makes
// the paths absolute.
func (o *OutboundOptions) check() error {
	if _, err := outbound.ParsePrivate(o.Private); err != nil {
		return misuse("--allow-private: %s", err)
	}
	for i, path := range o.TrustCA {
		pem, err := os.ReadFile(path)
		if err != nil {
			return misuse("--trust-ca: %s", err)
		}
		if _, err := outbound.RootsWith(pem); err != nil {
			return misuse("--trust-ca %s: %s", path, err)
		}
		o.TrustCA[i] = canonical(path)
	}
	return nil
}
