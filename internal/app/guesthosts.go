package app

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/outcrop/outcrop/internal/awshost"
	"github.com/outcrop/outcrop/internal/ca"
	"github.com/outcrop/outcrop/internal/durable"
	"github.com/outcrop/outcrop/internal/issuer"
	"github.com/outcrop/outcrop/internal/object"
	"github.com/outcrop/outcrop/internal/runtime"
)

// guestHosts makes AWS's host names lead agents here: what is written down in an agent's
// code, or in a library of its, needs no AWS_ENDPOINT_URL. Their certificates are of an
// authority that no client outside is asked to trust.
type guestHosts struct {
	tls *tls.Config
	// bundle is a file with the certificates that guests trust: the machine's own, and
	// the authority's.
	bundle string
	// serves reports whether a service is served, by its signing name.
	serves  func(name string) bool
	objects *object.Storage
	pools   *issuer.Pools
	account string
}

// guestCA is the directory of that authority.
const guestCA = "guest-ca"

// openGuestHosts returns nil where AWS's names lead to AWS: the operator wants that, or
// the machine has no certificates to trust that the authority's could be added to.
func (s *Server) openGuestHosts(ctx context.Context, cfg Config, f foundation, objects *object.Storage, pools *issuer.Pools) (*guestHosts, error) {
	if cfg.NoGuestHosts {
		return nil, nil
	}
	roots, err := systemRoots()
	if err != nil {
		cfg.Log.Warn("AWS's host names lead agents to AWS, as no certificates of authorities were found that they could trust; install ca-certificates", "error", err)
		return nil, nil
	}
	dir := filepath.Join(cfg.DataDir, guestCA)
	authority, err := ca.Open(ctx, ca.Config{Dir: dir, Box: f.box, Now: time.Now})
	if err != nil {
		return nil, fmt.Errorf("open CA of agents: %w", err)
	}
	bundle := filepath.Join(dir, "bundle.pem")
	text := slices.Concat(bytes.TrimSpace(roots), []byte("\n"), authority.Root())
	if have, err := os.ReadFile(bundle); err != nil || !bytes.Equal(have, text) { // guests have it open
		if err := durable.File(bundle, text); err != nil {
			return nil, fmt.Errorf("write certificates that agents trust: %w", err)
		}
		if err := os.Chmod(bundle, 0o644); err != nil { // guests are other users
			return nil, fmt.Errorf("show agents the certificates that they trust: %w", err)
		}
	}
	return &guestHosts{tls: authority.TLS(nil), bundle: bundle, objects: objects, pools: pools, account: s.account}, nil
}

// serve tells which services are served, and returns how their names are.
func (h *guestHosts) serve(serves func(name string) bool) *tls.Config {
	if h == nil {
		return nil
	}
	h.serves = serves
	return h.tls
}

// bundleFile is the file of certificates that guests trust, or empty.
func (h *guestHosts) bundleFile() string {
	if h == nil {
		return ""
	}
	return h.bundle
}

// systemRoots returns the certificates of authorities that this machine trusts, from
// where distributions keep them.
func systemRoots() ([]byte, error) {
	for _, path := range []string{
		"/etc/ssl/certs/ca-certificates.crt",                // Debian, Alpine, Arch
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // Fedora
		"/etc/pki/tls/certs/ca-bundle.crt",                  // RHEL
		"/etc/ssl/ca-bundle.pem",                            // openSUSE
		"/etc/ssl/cert.pem",
	} {
		pem, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		return pem, err
	}
	return nil, errors.New("there is no bundle at any of the usual places")
}

// own reports whether a name leads a guest here: it is that of a service that is served.
// A bucket's and a pool's domain does if it is one of this server's: agents read public
// ones of AWS's too, and sign in to others.
// elsewhere are names that the guest's owner wants to be AWS's.
func (h *guestHosts) own(ctx context.Context, name string, elsewhere []string) bool {
	host, ok := awshost.Parse(name)
	if !ok || !h.serves(host.Service) || slices.Contains(elsewhere, name) || slices.Contains(elsewhere, runtime.Everywhere) {
		return false
	}
	switch {
	case host.Service == "s3" && host.Prefix != "":
		_, err := h.objects.Bucket(ctx, h.account, host.Prefix)
		return err == nil
	case host.Service == "cognito-idp" && host.Prefix != "":
		_, found, err := h.pools.Domain(ctx, host.Region, host.Prefix)
		return err == nil && found
	}
	return true
}
