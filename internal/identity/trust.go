package identity

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"sync"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/identity/oauth"
	"github.com/outcrop/outcrop/internal/object"
	"github.com/outcrop/outcrop/internal/outbound"
	"github.com/outcrop/outcrop/internal/store"
)

// Bundles reads what callers may read: they have been asked for their right to it.
// Refusals are *fault.Error.
type Bundles interface {
	// Object reads an object of an account, s3://BUCKET/KEY, of so many bytes at most.
	Object(ctx context.Context, scope store.Scope, uri string, most int64) ([]byte, error)
	// Secret reads a secret's value by the secret's ARN.
	Secret(ctx context.Context, scope store.Scope, arn string) ([]byte, error)
}

// authorities are those that signed the certificate of a provider's server, which it is
// trusted by beside those that everybody trusts. Exactly one of URI and Secret is set.
type authorities struct {
	URI    string `json:"uri,omitempty"`
	Owner  string `json:"owner,omitempty"` // as given
	Secret string `json:"secret,omitempty"`
	// PEM is the bundle as it was when the provider was made or changed.
	PEM []byte `json:"pem"`
}

const certificateField = "certificateConfigurations"

// planAuthorities reads where the bundle of a provider is.
func planAuthorities(list []agentcorecontrol.CertificateConfiguration) (*authorities, error) {
	if len(list) == 0 {
		return nil, nil
	}
	switch c := list[0]; {
	case c.S3 != nil:
		return &authorities{URI: wire.Text(c.S3.Uri), Owner: wire.Text(c.S3.BucketOwnerAccountId)}, nil
	case c.SecretsManager != nil:
		return &authorities{Secret: wire.Text(c.SecretsManager.SecretArn)}, nil
	}
	return nil, fault.Invalid(certificateField, "%s.1.member must have s3 or secretsManager", certificateField)
}

func (a *authorities) out() []agentcorecontrol.CertificateConfiguration {
	switch {
	case a == nil:
		return nil
	case a.Secret != "":
		return []agentcorecontrol.CertificateConfiguration{{SecretsManager: &agentcorecontrol.SecretsManagerCertificateConfiguration{SecretArn: &a.Secret}}}
	}
	return []agentcorecontrol.CertificateConfiguration{{S3: &agentcorecontrol.S3CertificateConfiguration{Uri: &a.URI, BucketOwnerAccountId: wire.Optional(a.Owner)}}}
}

// fetch reads the bundle of a provider by the caller's right.
func (s *Service) fetch(ctx context.Context, a *authorities) (err error) {
	if a == nil {
		return nil
	}
	call := pipeline.From(ctx)
	if a.Secret != "" {
		arn, err := s.cfg.Secrets.Find(ctx, call.Scope, a.Secret) // policies name it whole, whatever was left out here
		if errors.Is(err, store.ErrNotFound) {
			arn, err = a.Secret, nil
		}
		if err != nil {
			return err
		}
		if err := s.mayOpen(ctx, arn); err != nil {
			return err
		}
		if a.PEM, err = s.cfg.Bundles.Secret(ctx, call.Scope, arn); err != nil {
			return err
		}
	} else {
		bucket, key := object.SplitURI(a.URI)
		switch {
		case bucket == "" || key == "":
			return fault.Invalid(certificateField, "%s: '%s' is no s3://BUCKET/KEY", certificateField, a.URI)
		case a.Owner != "" && a.Owner != call.Scope.Account:
			return fault.Invalid(certificateField, "%s: '%s' is another account; this server has the buckets of %s alone", certificateField, a.Owner, call.Scope.Account)
		}
		if err := call.Authorize(ctx, auth.Requirement{Action: "s3:GetObject", Resource: "arn:aws:s3:::" + bucket + "/" + key}); err != nil {
			return err
		}
		a.PEM, err = s.cfg.Bundles.Object(ctx, call.Scope, a.URI, outbound.MaxAuthorities)
	}
	if err == nil {
		if a.PEM, err = outbound.Authorities(a.PEM, s.cfg.Now()); err != nil {
			return fault.Invalid(certificateField, "%s: %s", certificateField, err)
		}
	}
	return err
}

// asker is how servers are asked that some authorities signed the certificates of. What
// it has learned of them is for who trusts the same.
type asker struct {
	oauth   oauth.Caller
	servers *oauth.Directory
}

func newAsker(c *http.Client, cfg *Config) *asker {
	return &asker{oauth.Caller{HTTP: c, Now: cfg.Now}, &oauth.Directory{HTTP: c, Now: cfg.Now}}
}

// maxAskers bounds those that are kept for authorities of providers' own.
const maxAskers = 64

// askers are those for authorities of providers' own, by a hash of these.
type askers struct {
	mu    sync.Mutex
	known map[[sha256.Size]byte]*asker
}

// asker is how a provider's server is asked.
func (s *Service) asker(p *oauthProvider) (*asker, error) {
	if p.Spec.Authorities == nil {
		return s.everybodys, nil
	}
	key := sha256.Sum256(p.Spec.Authorities.PEM)
	s.askers.mu.Lock()
	defer s.askers.mu.Unlock()
	if a := s.askers.known[key]; a != nil {
		return a, nil
	}
	c, err := s.cfg.Trusting(p.Spec.Authorities.PEM)
	if err != nil {
		return nil, err
	}
	if s.askers.known == nil || len(s.askers.known) >= maxAskers {
		for _, a := range s.askers.known {
			a.oauth.HTTP.CloseIdleConnections()
		}
		s.askers.known = map[[sha256.Size]byte]*asker{}
	}
	a := newAsker(c, &s.cfg)
	s.askers.known[key] = a
	return a, nil
}
