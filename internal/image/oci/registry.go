package oci

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	dockerconfig "github.com/docker/cli/cli/config"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/iprange"
)

const (
	dialTimeout   = 15 * time.Second
	answerTimeout = 60 * time.Second // until an answer begins, and between its bytes
	maxRedirects  = 5
	maxManifest   = 8 << 20 // bytes, a configuration's too
	retries       = 3
)

// RegistryConfig is how registries are reached. The zero value knows public ones
// over TLS.
type RegistryConfig struct {
	// DockerConfig is the path of a docker configuration (config.json) whose
	// credentials and credential helpers are used. Empty means none. A missing
	// file is no error: the operator may not have logged in yet.
	DockerConfig string
	// Insecure are hosts, with their ports, that may be spoken to without TLS.
	// Those of this machine's loopback may be anyway.
	Insecure []string
	// Private are hosts that may be at private addresses of this machine's networks;
	// those of Insecure may be anyway. Any other that is there is refused: who names
	// an image is not who may reach those.
	Private []string
	// RootCAs replaces the system's authorities.
	RootCAs *x509.CertPool
	// Dial replaces the dialer that keeps to public addresses and to what Private
	// and Insecure say.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Proxy chooses a proxy as http.Transport.Proxy does. Nil means none.
	Proxy func(*http.Request) (*url.URL, error)
}

// Credentials are a registry's for one pull. The zero value means those of the
// docker configuration, or none.
type Credentials struct{ Username, Password string }

// String and GoString keep the password out of logs.
func (Credentials) String() string { return "[redacted]" }

// GoString is String.
func (Credentials) GoString() string { return "[redacted]" }

// registries makes clients.
type registries struct {
	cfg   RegistryConfig
	local Local
	stall time.Duration // answerTimeout but in tests
	base  http.RoundTripper
	close func() // ends idle connections
}

func newRegistries(cfg RegistryConfig, local Local) *registries {
	r := &registries{cfg: cfg, local: local, stall: answerTimeout}
	dial := cfg.Dial
	if dial == nil {
		dial = r.dial
	}
	t := &http.Transport{
		Proxy: cfg.Proxy, DialContext: dial, ForceAttemptHTTP2: true,
		TLSClientConfig:     &tls.Config{RootCAs: cfg.RootCAs, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: dialTimeout, ResponseHeaderTimeout: answerTimeout, IdleConnTimeout: 30 * time.Second,
		// Layers are compressed by themselves, and their digests are of the bytes sent.
		DisableCompression: true,
	}
	r.close = t.CloseIdleConnections
	r.base = transport.NewUserAgent(guard{inner: t, allowed: r.mayBePlain}, "outcrop")
	return r
}

// mayBePlain tells whether a host, with its port, may be spoken to without TLS.
func (r *registries) mayBePlain(host string) bool {
	return loopback(hostname(host)) || slices.Contains(r.cfg.Insecure, host)
}

func hostname(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		return h
	}
	return strings.Trim(host, "[]")
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// A guard lets nothing out without TLS but to hosts that may have it so: the
// registry library tries plain HTTP for private addresses by itself, and an
// answer may redirect anywhere. It also bounds manifests.
type guard struct {
	inner   *http.Transport
	allowed func(host string) bool
}

func (g guard) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && !g.allowed(r.URL.Host) {
		return nil, errPlain
	}
	answer, err := g.inner.RoundTrip(r)
	if err == nil && strings.Contains(r.URL.Path, "/manifests/") {
		answer.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(answer.Body, maxManifest), answer.Body}
	}
	return answer, err
}

var errPlain = errors.New("the registry answers without TLS only")

// A client speaks to one repository.
type client struct {
	repo      name.Repository
	transport http.RoundTripper
	http      *http.Client
	stall     time.Duration   // how long a download may bring nothing
	local     LocalRepository // in place of transport and http
}

// parse reads a reference as docker does: docker.io/library where nothing else is
// said, latest where there is neither tag nor digest.
func (r *registries) parse(reference string) (name.Reference, error) {
	const longest = 1024
	if len(reference) > longest {
		return nil, fault.Validation("The image's name has %d characters; the limit is %d.", len(reference), longest)
	}
	ref, err := name.ParseReference(reference)
	if err == nil && r.mayBePlain(ref.Context().RegistryStr()) {
		ref, err = name.ParseReference(reference, name.Insecure)
	}
	if err != nil {
		return nil, fault.Validation("%s is no image's name. Write it as REGISTRY/REPOSITORY:TAG or REGISTRY/REPOSITORY@sha256:DIGEST.", quote(reference)).Because(err)
	}
	return ref, nil
}

// open logs in to a reference's repository.
func (r *registries) open(ctx context.Context, ref name.Reference, c Credentials) (*client, error) {
	repo := ref.Context()
	if r.local != nil {
		if local := r.local.Repository(repo.RegistryStr(), repo.RepositoryStr()); local != nil {
			return &client{repo: repo, stall: r.stall, local: local}, nil
		}
	}
	auth, err := r.credentials(ctx, repo, c)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, answerTimeout, errSlow)
	defer cancel()
	base := transport.NewRetry(fence{r.base, hostname(repo.RegistryStr())}, transport.WithRetryBackoff(transport.Backoff{Duration: 200 * time.Millisecond, Factor: 3, Jitter: 0.1, Steps: retries}))
	t, err := transport.NewWithContext(ctx, repo.Registry, auth, base, []string{repo.Scope(transport.PullScope)})
	if err != nil {
		return nil, explain(ctx, ref, err)
	}
	return &client{repo: repo, transport: t, http: &http.Client{Transport: t, CheckRedirect: redirect}, stall: r.stall}, nil
}

// credentials finds those of a repository.
func (r *registries) credentials(ctx context.Context, repo name.Repository, c Credentials) (authn.Authenticator, error) {
	if c != (Credentials{}) {
		return &authn.Basic{Username: c.Username, Password: c.Password}, nil
	}
	if r.cfg.DockerConfig == "" {
		return authn.Anonymous, nil
	}
	file, err := os.Open(r.cfg.DockerConfig)
	if errors.Is(err, os.ErrNotExist) {
		return authn.Anonymous, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read docker configuration: %w", err)
	}
	defer file.Close()
	config, err := dockerconfig.LoadFromReader(file)
	if err != nil {
		return nil, fmt.Errorf("read docker configuration %s: %w", filepath.Base(r.cfg.DockerConfig), err)
	}
	key := repo.RegistryStr()
	if key == name.DefaultRegistry {
		key = authn.DefaultAuthKey
	}
	found, err := config.GetAuthConfig(key)
	if err != nil {
		return nil, fmt.Errorf("ask for the credentials of %s: %w", key, err)
	}
	a := authn.AuthConfig{Username: found.Username, Password: found.Password, Auth: found.Auth, IdentityToken: found.IdentityToken, RegistryToken: found.RegistryToken}
	if a == (authn.AuthConfig{}) {
		return authn.Anonymous, nil
	}
	return authn.FromConfig(a), ctx.Err()
}

// redirect follows where registries keep their blobs, but not from elsewhere into
// this machine or its own network.
func redirect(r *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return errors.New("too many redirects")
	}
	from, to := via[0].URL.Hostname(), r.URL.Hostname()
	ip, err := netip.ParseAddr(to)
	if from != to && (to == "localhost" || err == nil && !iprange.Public(ip)) {
		return fmt.Errorf("redirected to %s", to)
	}
	return nil
}

// manifest fetches what a reference names. Its digest was checked where the
// reference says one, and is computed where it does not.
func (c *client) manifest(ctx context.Context, ref name.Reference) (*remote.Descriptor, error) {
	if c.local != nil {
		return localManifest(ctx, c.local, ref)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, answerTimeout, errSlow)
	defer cancel()
	d, err := remote.Get(ref, remote.WithContext(ctx), remote.WithTransport(c.transport))
	if err != nil {
		return nil, explain(ctx, ref, err)
	}
	return d, nil
}

var errSlow = fmt.Errorf("no answer within %v", answerTimeout)

// explain turns what registries answer into what a caller can act on.
func explain(ctx context.Context, ref name.Reference, err error) error {
	var status *transport.Error
	host := ref.Context().RegistryStr()
	switch {
	case errors.Is(err, errPrivate):
		return fault.Validation("The registry %s is at a private address. Have the operator list it: outcrop serve --private-registry %[1]s", host).Because(err)
	case errors.Is(err, errPlain):
		return fault.Validation("The registry %s is not spoken to without TLS. Give it a certificate, or have the operator list it: outcrop serve --insecure-registry %[1]s", host).Because(err)
	case errors.Is(err, errAstray):
		return fault.Validation("The registry %s sends us on to this machine, where it is not.", host).Because(err)
	case errors.As(err, &status) && (status.StatusCode == http.StatusUnauthorized || status.StatusCode == http.StatusForbidden):
		return fault.Validation("The registry %s does not let us have %s: it answers %d. Check the credentials for it, and the name: some registries answer so for what they do not have.", host, ref, status.StatusCode).Because(errors.Join(ErrDenied, err))
	case errors.As(err, &status) && status.StatusCode == http.StatusNotFound:
		return fault.Validation("There is no image %s. Push it first, and check its name and tag.", ref).Because(errors.Join(ErrMissing, err))
	case errors.As(err, &status):
		return fault.Validation("The registry %s answers %d when it is asked for %s.", host, status.StatusCode, ref).Because(err)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fault.Validation("The registry %s does not answer in time.", host).Because(context.Cause(ctx))
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	var network net.Error
	var lookup *net.DNSError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &certificate):
		return fault.Validation("The registry %s shows a certificate that this machine does not trust. Have the operator add its authority to the machine's.", host).Because(err)
	case errors.As(err, &lookup) && lookup.IsNotFound:
		return fault.Validation("There is no registry %s: its name is not known. Check the image's name.", host).Because(err)
	case errors.As(err, &network):
		return fault.Validation("The registry %s cannot be reached from this machine.", host).Because(err)
	}
	return fault.Validation("The registry %s does not answer as registries do when it is asked for %s.", host, ref).Because(err)
}
