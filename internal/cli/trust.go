package cli

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/ca"
	"github.com/outcrop/outcrop/internal/client/statefile"
)

// caBundle is the variable by which AWS's own clients are told what to trust.
const caBundle = "AWS_CA_BUNDLE"

// roots are those of AWS_CA_BUNDLE for an endpoint over TLS, or the system's, and with
// them the CA of this user's own server that is there. Nil is the system's alone.
func (p *Program) roots(endpoint string) (*x509.CertPool, error) {
	if !strings.HasPrefix(strings.ToLower(endpoint), "https:") {
		return nil, nil
	}
	own, err := p.ownRoot(endpoint)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if file := p.env(caBundle); file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fail("Unset it, or name a file of certificates: outcrop ca", "%s cannot be read: %v", caBundle, err)
		}
		if !roots.AppendCertsFromPEM(text) {
			return nil, fail("Unset it, or name a file of certificates: outcrop ca", "%s names %s, which has no certificates in PEM", caBundle, file)
		}
	} else if own == nil {
		return nil, nil
	} else if system, err := x509.SystemCertPool(); err == nil { // a system may have none
		roots = system
	}
	roots.AppendCertsFromPEM(own)
	return roots, nil
}

// ownRoot is the certificate, in PEM, of the private CA of this user's server that runs
// at an endpoint over TLS; nil where there is none.
func (p *Program) ownRoot(endpoint string) ([]byte, error) {
	records, err := p.records()
	if err != nil {
		return nil, err
	}
	_, live, err := p.serverAt(records, endpoint)
	if err != nil || live == nil || !strings.HasPrefix(endpoint, "https:") {
		return nil, err
	}
	root, err := os.ReadFile(filepath.Join(live.DataDirectory, "ca", ca.RootName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // the operator has a certificate of their own
		return nil, fmt.Errorf("read certificate of the CA: %w", err)
	}
	return root, nil
}

// speaksTLS reports whether an endpoint is where a server was told to speak TLS: the very
// address, or for a server on all addresses one of this machine's loopback.
func speaksTLS(r statefile.Record, endpoint string) bool {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "https" {
		return false
	}
	asked, err := netip.ParseAddr(u.Hostname())
	local := u.Hostname() == "localhost" || err == nil && asked.IsLoopback()
	return slices.ContainsFunc(r.TLSAddresses, func(address string) bool {
		host, port, err := net.SplitHostPort(address)
		if err != nil || port != cmp.Or(u.Port(), "443") {
			return false
		}
		at, err := netip.ParseAddr(host)
		return host == u.Hostname() || err == nil && (at == asked || local && at.IsUnspecified() || u.Hostname() == "localhost" && at.IsLoopback())
	})
}

// trustExports have the clients of a shell trust the private CA of this user's server at
// an endpoint over TLS; there are none where there is nothing to add.
func (p *Program) trustExports(endpoint string) ([]variable, error) {
	root, err := p.ownRoot(endpoint)
	if err != nil || root == nil {
		return nil, err
	}
	bundle, err := p.writeBundle(root)
	if err != nil {
		return nil, err
	}
	return bundleExports(bundle), nil
}

// bundleExports have every client read a bundle. Node.js adds it to its own roots.
func bundleExports(bundle string) []variable {
	var vs []variable
	for _, name := range bundleVariables() {
		vs = append(vs, variable{name, bundle})
	}
	return append(vs, variable{"NODE_EXTRA_CA_CERTS", bundle})
}
