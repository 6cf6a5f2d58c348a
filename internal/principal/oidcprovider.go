package principal

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// AWS's quotas of OpenID Connect providers.
const (
	MaxOIDCProviders = 100
	MaxClientIDs     = 100
	MaxThumbprints   = 5
)

// OIDCProvider is an issuer of tokens whom the account knows: trust policies of roles
// may name it as a Federated principal.
type OIDCProvider struct {
	// ARN ends in the issuer's name without its scheme, which is Host.
	ARN, Host string
	// Issuer is the name as tokens bear it.
	Issuer string
	// ClientIDs are the audiences that its tokens may be for.
	ClientIDs []string
	// Thumbprints are kept, and nothing is verified by them.
	Thumbprints []string
	Created     time.Time
	Tags        []Tag // by key
}

// oidcState is what is stored of a provider. Its document's id is the issuer's name
// without the scheme.
type oidcState struct {
	Issuer      string   `json:"issuer"`
	ClientIDs   []string `json:"clientIds,omitempty"`
	Thumbprints []string `json:"thumbprints,omitempty"`
	Tags        []Tag    `json:"tags,omitempty"`
}

type oidcDoc = store.Resource[none, oidcState]

func oidcProviders() store.Collection[none, oidcState] {
	return store.Collection[none, oidcState]{Kind: "iam-oidc-provider"}
}

const oidcKind = "oidc-provider"

func (d *Directory) oidcProvider(doc oidcDoc) OIDCProvider {
	s := doc.State
	return OIDCProvider{
		ARN: d.arn(oidcKind, "/", doc.ID), Host: doc.ID, Issuer: s.Issuer, ClientIDs: s.ClientIDs, Thumbprints: s.Thumbprints, Created: doc.Created, Tags: s.Tags,
	}
}

// NewOIDCProvider is what CreateOIDCProvider takes; URL is required.
type NewOIDCProvider struct {
	URL                    string
	ClientIDs, Thumbprints []string
	Tags                   []Tag
}

// IssuerHost is an issuer's name without its scheme, as ARNs and condition keys have it.
func IssuerHost(issuer string) string {
	if _, rest, ok := strings.Cut(issuer, "://"); ok {
		return rest
	}
	return issuer
}

// CreateOIDCProvider makes a provider. It is not asked for anything yet: one that
// cannot be reached is found out when a token of it comes.
func (d *Directory) CreateOIDCProvider(ctx context.Context, in NewOIDCProvider) (p OIDCProvider, err error) {
	s := oidcState{Issuer: in.URL}
	if err := checkIssuerURL(in.URL); err != nil {
		return p, err
	}
	for _, id := range in.ClientIDs {
		if s.ClientIDs, err = withClient(s.ClientIDs, id); err != nil {
			return p, err
		}
	}
	if s.Thumbprints, err = thumbprints(in.Thumbprints); err != nil {
		return p, err
	}
	if s.Tags, err = retag(nil, in.Tags); err != nil {
		return p, err
	}
	sortTags(s.Tags)
	err = d.update(ctx, func(tx store.Tx) error {
		if n, err := count(tx, d.scope(), oidcProviders()); err != nil {
			return err
		} else if n >= MaxOIDCProviders {
			return limit("Cannot exceed quota for OpenIdConnectProvidersPerAccount: %d", MaxOIDCProviders)
		}
		doc, err := oidcProviders().Create(tx, oidcDoc{Scope: d.scope(), ID: IssuerHost(in.URL), State: s})
		if errors.Is(err, store.ErrExists) {
			return exists("Provider with url %s already exists.", in.URL)
		}
		p = d.oidcProvider(doc)
		return err
	})
	return p, err
}

// checkIssuerURL refuses what is no issuer's name (OpenID Connect Core 2, iss). Other
// than AWS's, a name may have a port, and may do without TLS: this server's own user
// pools have such names, and what else is called without it is what an operator opened
// (package outbound).
func checkIssuerURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || u.Opaque != "" || len(text) > 255:
		return invalid("Invalid Open ID Connect Provider URL: '%s' is not a URL such as https://idp.example.com/path of at most 255 characters", text)
	case strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }):
		return invalid("Invalid Open ID Connect Provider URL: '%s' must be written in printable ASCII characters, others escaped", text)
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.ContainsAny(text, "*?#\\"):
		return invalid("Invalid Open ID Connect Provider URL: '%s' must have no user, query, fragment or wildcard", text)
	case !strings.HasPrefix(text, "https://") && !strings.HasPrefix(text, "http://"):
		return invalid("Invalid Open ID Connect Provider URL: '%s' must begin with https:// (or http://, for an issuer in a private network that the operator opens)", text)
	}
	if u.Host != strings.ToLower(u.Host) {
		return invalid("Invalid Open ID Connect Provider URL: the host of '%s' must be in lower case", text)
	}
	return nil
}

// withClient adds a client id, of those that are there already none.
func withClient(all []string, id string) ([]string, error) {
	switch {
	case id == "" || len(id) > 255:
		return nil, invalid("A client ID must have 1 to 255 characters")
	case slices.Contains(all, id):
		return all, nil
	case len(all) >= MaxClientIDs:
		return nil, limit("Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: %d", MaxClientIDs)
	}
	return append(slices.Clone(all), id), nil
}

var thumbprint = regexp.MustCompile(`^[0-9A-Fa-f]{40}$`)

func thumbprints(all []string) ([]string, error) {
	if len(all) > MaxThumbprints {
		return nil, invalid("Thumbprint list must contain at most %d entries.", MaxThumbprints)
	}
	for _, t := range all {
		if !thumbprint.MatchString(t) {
			return nil, invalid("Invalid thumbprint '%s': it must be the SHA-1 of a certificate, 40 hexadecimal digits", t)
		}
	}
	return all, nil
}

func sortTags(tags []Tag) {
	slices.SortFunc(tags, func(a, b Tag) int { return cmp.Compare(a.Key, b.Key) })
}

// oidcID is the id of the provider that an ARN names, as far as it is one of the account.
func (d *Directory) oidcID(arn string) (string, error) {
	id, ok := strings.CutPrefix(arn, d.arn(oidcKind, "/", ""))
	if !ok || id == "" {
		return "", invalid("Invalid ARN: '%s' does not name an OpenID Connect provider of this account (%s)", arn, d.arn(oidcKind, "/", "HOST"))
	}
	return id, nil
}

func noOIDC(arn string, err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return noSuch("OpenIDConnect Provider not found for arn %s", arn)
	}
	return err
}

// OIDCProvider returns a provider, or NoSuchEntity.
func (d *Directory) OIDCProvider(ctx context.Context, arn string) (p OIDCProvider, err error) {
	id, err := d.oidcID(arn)
	if err != nil {
		return p, err
	}
	err = d.view(ctx, func(r store.Reader) error {
		doc, err := oidcProviders().Get(r, d.scope(), id)
		p = d.oidcProvider(doc)
		return noOIDC(arn, err)
	})
	return p, err
}

// OIDCProviderOf returns the provider of an issuer, by the name that its tokens bear; ok
// is false where the account knows none.
func (d *Directory) OIDCProviderOf(ctx context.Context, issuer string) (p OIDCProvider, ok bool, err error) {
	p, err = d.OIDCProvider(ctx, d.arn(oidcKind, "/", IssuerHost(issuer)))
	if fault.Is(err, CodeNoSuchEntity) || fault.Is(err, CodeInvalid) {
		return p, false, nil
	}
	return p, err == nil && p.Issuer == issuer, err
}

// OIDCProviders returns all providers by their ARNs.
func (d *Directory) OIDCProviders(ctx context.Context) (out []OIDCProvider, err error) {
	err = d.view(ctx, func(r store.Reader) error {
		out = nil
		for doc, err := range oidcProviders().Each(r, d.scope(), "") {
			if err != nil {
				return err
			}
			out = append(out, d.oidcProvider(doc))
		}
		return nil
	})
	slices.SortFunc(out, func(a, b OIDCProvider) int { return cmp.Compare(a.ARN, b.ARN) })
	return out, err
}

// DeleteOIDCProvider deletes a provider; that there is none is fine, as at AWS. Roles
// that trust it stay, and nobody assumes them by it any more.
func (d *Directory) DeleteOIDCProvider(ctx context.Context, arn string) error {
	id, err := d.oidcID(arn)
	if err != nil {
		return err
	}
	return d.update(ctx, func(tx store.Tx) error {
		err := oidcProviders().Delete(tx, d.scope(), id)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	})
}

func (d *Directory) changeOIDC(ctx context.Context, arn string, fn func(*oidcState) error) error {
	id, err := d.oidcID(arn)
	if err != nil {
		return err
	}
	return d.update(ctx, func(tx store.Tx) error {
		_, err := oidcProviders().Update(tx, d.scope(), id, func(r *oidcDoc) error { return fn(&r.State) })
		return noOIDC(arn, err)
	})
}

// AddClientID lets a provider's tokens be for another client. One that is there stays.
func (d *Directory) AddClientID(ctx context.Context, arn, id string) error {
	return d.changeOIDC(ctx, arn, func(s *oidcState) (err error) {
		s.ClientIDs, err = withClient(s.ClientIDs, id)
		return err
	})
}

// RemoveClientID takes a client away; that it is not there is fine.
func (d *Directory) RemoveClientID(ctx context.Context, arn, id string) error {
	return d.changeOIDC(ctx, arn, func(s *oidcState) error {
		s.ClientIDs = slices.DeleteFunc(slices.Clone(s.ClientIDs), func(c string) bool { return c == id })
		return nil
	})
}

// SetThumbprints replaces the thumbprints of a provider.
func (d *Directory) SetThumbprints(ctx context.Context, arn string, all []string) error {
	all, err := thumbprints(all)
	if err != nil {
		return err
	}
	return d.changeOIDC(ctx, arn, func(s *oidcState) error {
		s.Thumbprints = all
		return nil
	})
}

// TagOIDCProvider adds tags to a provider.
func (d *Directory) TagOIDCProvider(ctx context.Context, arn string, tags []Tag) error {
	return d.changeOIDC(ctx, arn, func(s *oidcState) (err error) {
		s.Tags, err = retag(s.Tags, tags)
		sortTags(s.Tags)
		return err
	})
}

// UntagOIDCProvider removes tags from a provider.
func (d *Directory) UntagOIDCProvider(ctx context.Context, arn string, keys []string) error {
	return d.changeOIDC(ctx, arn, func(s *oidcState) error {
		for _, key := range keys {
			s.Tags = without(s.Tags, key)
		}
		return nil
	})
}
