package app

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/image/oci"
	"github.com/outcrop/outcrop/internal/image/registry"
	"github.com/outcrop/outcrop/internal/store"
)

// kept shows the image registry of this server to those who unpack images.
type kept struct {
	images  *registry.Storage
	account string
	port    string // where we listen
}

var _ oci.Local = kept{}

// Repository implements oci.Local for the names that ECR gives registries.
func (k kept) Repository(host, name string) oci.LocalRepository {
	scope, ok := registry.ParseHost(host)
	if !ok || scope.Account != k.account {
		return nil
	}
	return keptRepository{k.images, registry.Name{Scope: scope, Repository: name}}
}

// Canonical is an image's reference as ECR writes it, where it is an image of this
// server by the address at which one pushes: then the account and region are those
// of who asks. Any other is returned as it is.
func (k kept) Canonical(scope store.Scope, reference string) string {
	return registry.Canonical(scope, reference, k.reaches)
}

// reaches reports whether a host, with its port, is this machine at our port.
func (k kept) reaches(host string) bool {
	name, port, err := net.SplitHostPort(host)
	if err != nil || port != k.port {
		return false
	}
	ip, err := netip.ParseAddr(name)
	if err != nil {
		return name == "localhost"
	}
	if ip = ip.Unmap(); ip.IsLoopback() {
		return true
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Unmap() == ip {
			return true
		}
	}
	return false
}

// keptRepository is one repository of ours.
type keptRepository struct {
	images *registry.Storage
	name   registry.Name
}

// Manifest implements oci.LocalRepository. What is not there is refused in
// AgentCore's words, which clients of AWS know.
func (r keptRepository) Manifest(ctx context.Context, reference string) (string, []byte, error) {
	id, err := registry.ParseReference(reference)
	if err != nil {
		return "", nil, fault.Validation("%s", fault.From(err).Message)
	}
	i, raw, err := r.images.Manifest(ctx, r.name, id)
	if f, refused := errors.AsType[*fault.Error](err); refused && f.Status < 500 {
		err = registry.NoImage(r.name, id).Because(err)
	}
	return i.MediaType, raw, err
}

// Blob implements oci.LocalRepository.
func (r keptRepository) Blob(ctx context.Context, digest string) (io.ReadSeekCloser, error) {
	d, err := registry.ParseDigest(digest)
	if err != nil {
		return nil, err
	}
	return r.images.Open(ctx, r.name, d)
}
