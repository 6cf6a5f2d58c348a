// Package ecr is the front of ECR: it turns calls of its API into calls of the
// image registry. The images themselves are pushed and pulled at /v2/, which
// package distribution serves; docs/registry.md says what is real and what not.
package ecr

import (
	"context"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	model "github.com/outcrop/outcrop/internal/api/model/ecr"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/pin"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/image/registry"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
)

// Directory knows who there is, and makes the passwords of the registry.
type Directory interface {
	pin.Directory
	// MakeLogin makes a password for a principal, good in a region until a time.
	MakeLogin(ctx context.Context, p auth.Principal, region string) (secret.String, time.Time, error)
}

// Service implements the generated interface over one image registry.
type Service struct {
	images    *registry.Storage
	directory Directory
}

var _ model.Images = (*Service)(nil)

// New returns the front of images.
func New(images *registry.Storage, directory Directory) *Service { return &Service{images, directory} }

// GetAuthorizationToken hands out the password with which docker logs in.
func (s *Service) GetAuthorizationToken(ctx context.Context, in *model.GetAuthorizationTokenRequest) (*model.GetAuthorizationTokenResponse, error) {
	c := pipeline.From(ctx)
	for _, id := range in.RegistryIds {
		if id != c.Scope.Account {
			return nil, otherRegistry(id, c.Scope)
		}
	}
	password, expires, err := s.directory.MakeLogin(ctx, c.Principal, c.Scope.Region)
	if err != nil {
		return nil, err
	}
	token := base64.StdEncoding.EncodeToString([]byte("AWS:" + password.Reveal()))
	scheme, host := address(c)
	return &model.GetAuthorizationTokenResponse{AuthorizationData: []model.AuthorizationData{{
		AuthorizationToken: &token, ExpiresAt: &expires, ProxyEndpoint: new(scheme + "://" + host),
	}}}, nil
}

// address is where this caller pushes and pulls. Clients log in at the one that
// GetAuthorizationToken says and push to the one in a repository's URI, and look
// the password up by the host in it, so both are the same: ECR's own name for a
// caller who reached us by a name of AWS, and otherwise the address by which they
// did, since ECR's would lead them, and their password, to AWS.
func address(c *pipeline.Call) (scheme, host string) {
	scheme, host, _ = strings.Cut(c.BaseURL, "://")
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	if strings.HasSuffix(name, ".amazonaws.com") || strings.HasSuffix(name, ".api.aws") {
		return "https", registry.Host(c.Scope)
	}
	return scheme, host
}

func otherRegistry(id string, own store.Scope) error {
	return fault.New(registry.CodeInvalid, http.StatusBadRequest,
		"The registry with id '%s' is not on this server; the one of your account has the id '%s'", id, own.Account)
}

// name is the repository that a call is about. There are no registries of other
// accounts here.
func name(ctx context.Context, registryID, repository *string) (registry.Name, error) {
	c := pipeline.From(ctx)
	n := registry.Name{Scope: c.Scope, Repository: wire.Text(repository)}
	if registryID != nil && *registryID != c.Scope.Account {
		other := n
		other.Account = *registryID
		return n, registry.RepositoryNotFound(other)
	}
	return n, nil
}

// named is the repository with an ARN.
func named(ctx context.Context, arn *string) (registry.Name, error) {
	c := pipeline.From(ctx)
	part := strings.SplitN(wire.Text(arn), ":", 6)
	n := registry.Name{Scope: c.Scope}
	ok := len(part) == 6 && part[0] == "arn" && part[2] == "ecr"
	if ok {
		n.Repository, ok = strings.CutPrefix(part[5], "repository/")
	}
	if !ok || !registry.ValidRepository(n.Repository) {
		return n, fault.New(registry.CodeInvalid, http.StatusBadRequest,
			"Invalid parameter at 'resourceArn' failed to satisfy constraint: 'must be the ARN of a repository, such as %s'", registry.Name{Scope: c.Scope, Repository: "NAME"}.ARN())
	}
	if part[3] != c.Scope.Region || part[4] != c.Scope.Account {
		n.Account = part[4]
		return n, registry.RepositoryNotFound(n)
	}
	return n, nil
}

// badToken gives the store's refusal of a page token ECR's words.
func badToken(err error) error {
	if errors.Is(err, store.ErrBadToken) {
		return invalidToken(err)
	}
	return err
}

func invalidToken(cause error) error {
	return fault.New(registry.CodeInvalid, http.StatusBadRequest,
		"Invalid parameter at 'nextToken' failed to satisfy constraint: 'must be the nextToken of the page before'").Because(cause)
}

// encode makes a page token of the last item of a page; decode reads it.
func encode(last string) *string { return new(base64.RawURLEncoding.EncodeToString([]byte(last))) }

func decode(token *string) (string, error) {
	if token == nil {
		return "", nil
	}
	last, err := base64.RawURLEncoding.Strict().DecodeString(*token)
	if err != nil {
		return "", invalidToken(err)
	}
	return string(last), nil
}

// pageSize is that of a listing; ECR's own is 100 (its model).
func pageSize(n *int32) int {
	if n == nil {
		return 100
	}
	return int(*n)
}
