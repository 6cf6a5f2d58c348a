// Package client speaks to an Outcrop server: with the AWS SDK for what AWS has
// operations for, and with our own signed API for the rest.
//
// It reads neither the environment nor AWS's configuration files, so that a
// profile somebody forgot about can never send a call to AWS; where the server
// is and which key to use are values that its caller passes in.
package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// DefaultRegion is where resources go when nobody names a region.
const DefaultRegion = "us-east-1"

// Target says where a server is and who calls it.
type Target struct {
	// Endpoint is an absolute http or https URL without a path.
	Endpoint string
	// Region is signed for; empty is DefaultRegion.
	Region          string
	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string
	// Token is a user's, for agents that are called with one in place of a signature.
	// Where there is no key, nothing else can be called.
	Token string
	// Source says in a few words where the endpoint came from, for errors.
	Source string
}

// Format hides the secrets from logs and errors, whatever the verb.
func (t Target) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "%s as %s/[redacted]", t.Endpoint, t.AccessKeyID)
}

// Config is what a Client is made of.
type Config struct {
	Target Target
	// Proxy chooses a proxy as http.Transport.Proxy does; nil is none.
	Proxy func(*http.Request) (*url.URL, error)
	// Roots are trusted in place of the system's; nil is the system's.
	Roots *x509.CertPool
	// UserAgent is put after the SDK's own.
	UserAgent string
	// Now is the clock requests are signed by; nil is time.Now. It is that of
	// our own API alone: the SDK's operations use the system's.
	Now func() time.Time
}

// Client calls one server as one principal. It is safe for concurrent use.
type Client struct {
	target Target
	key    aws.Credentials // what target says, as signers want it
	base   *url.URL
	aws    aws.Config
	http   *http.Client // answers soon, or is given up
	agents *http.Client // waits: an agent may think for 15 minutes before its first byte (spec/runtime.md)
	signer *v4.Signer
	now    func() time.Time
	agent  string
	proxy  func(*http.Request) (*url.URL, error)
	roots  *x509.CertPool
}

// New returns a client; it sends nothing yet.
func New(cfg Config) (*Client, error) {
	base, err := ParseEndpoint(cfg.Target.Endpoint)
	if err != nil {
		return nil, err
	}
	if cfg.Target.Token == "" && (cfg.Target.AccessKeyID == "" || cfg.Target.SecretAccessKey == "") {
		return nil, fmt.Errorf("no access key for %s", cfg.Target.Endpoint)
	}
	if cfg.Target.Region == "" {
		cfg.Target.Region = DefaultRegion
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	key := aws.Credentials{
		AccessKeyID: cfg.Target.AccessKeyID, SecretAccessKey: cfg.Target.SecretAccessKey,
		SessionToken: cfg.Target.SessionToken, Source: "outcrop",
	}
	c := &Client{
		target: cfg.Target, key: key, base: base, now: cfg.Now, signer: v4.NewSigner(), agent: cfg.UserAgent, proxy: cfg.Proxy, roots: cfg.Roots,
		http: newHTTP(cfg, answerTime), agents: newHTTP(cfg, 0),
	}
	c.aws = aws.Config{
		Region:       c.target.Region,
		BaseEndpoint: aws.String(base.String()),
		HTTPClient:   ForSDK(c.http),
		AppID:        "outcrop",
		Credentials:  aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return key, nil }),
		Retryer:      func() aws.Retryer { return newRetryer() },
	}
	return c, nil
}

// bearer sends what an SDK has signed with a token in place of its signature.
type bearer struct {
	to    aws.HTTPClient
	token string
}

func (b bearer) Do(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	for _, name := range []string{"X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Content-Sha256"} {
		r.Header.Del(name)
	}
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.to.Do(r)
}

// sign signs a request whose body has a hash, for a service of AWS's.
func (c *Client) sign(ctx context.Context, req *http.Request, hash, service string) error {
	return c.signer.SignHTTP(ctx, c.key, req, hash, service, c.target.Region, c.now())
}

// ParseEndpoint accepts http://HOST[:PORT] and https://HOST[:PORT].
func ParseEndpoint(endpoint string) (*url.URL, error) {
	u, err := url.Parse(endpoint)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
		return nil, fmt.Errorf("endpoint %q is no URL like http://127.0.0.1:8642", endpoint)
	}
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("endpoint %q has more than scheme, host and port", endpoint)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

// answerTime is how long an answer of the server's own may take to begin once
// the request is sent: twice what the slowest, a log that is followed, takes.
const answerTime = time.Minute

// newHTTP returns a client of its own connections; wait bounds how long an
// answer takes to begin, and 0 does not.
func newHTTP(cfg Config, wait time.Duration) *http.Client {
	t := transport(cfg.Proxy)
	t.ResponseHeaderTimeout = wait
	t.TLSClientConfig = tlsConfig(cfg.Roots)
	return &http.Client{
		Transport: t,
		// A redirect would be followed with a signature for another URL.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// tlsConfig is nil where nothing is special.
func tlsConfig(roots *x509.CertPool) *tls.Config {
	if roots == nil {
		return nil
	}
	return &tls.Config{RootCAs: roots}
}

func transport(proxy func(*http.Request) (*url.URL, error)) *http.Transport {
	return &http.Transport{
		Proxy:                 proxy,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConnsPerHost:   8,
		ExpectContinueTimeout: time.Second,
		// An event stream must reach us as it is sent.
		DisableCompression: true,
	}
}

// newRetryer repeats what a server asked to have repeated, and nothing else: a
// lost connection must not run an agent twice, and a server that is down should
// be reported at once.
func newRetryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = 5
		o.MaxBackoff = 3 * time.Second
		o.Retryables = []retry.IsErrorRetryable{retry.RetryableErrorCode{Codes: map[string]struct{}{
			"RetryableConflictException": {}, "ThrottlingException": {}, "SlowDown": {},
		}}}
	})
}

// Target returns what the client was made for.
func (c *Client) Target() Target { return c.target }

// Control returns the client of the control plane.
func (c *Client) Control() *bedrockagentcorecontrol.Client {
	return bedrockagentcorecontrol.NewFromConfig(c.aws)
}

// Data returns the client of the data plane. What an agent itself answers, and is no
// success, is an *AgentError.
func (c *Client) Data() *bedrockagentcore.Client {
	return bedrockagentcore.NewFromConfig(c.aws, func(o *bedrockagentcore.Options) {
		o.HTTPClient = ForSDK(c.agents)
		if c.target.Token != "" {
			o.HTTPClient = bearer{o.HTTPClient, c.target.Token}
		}
		o.APIOptions = append(o.APIOptions, keepAgentErrors)
	})
}

// S3 returns the client of the object store; buckets go into the path, since a
// server on an address has no names below it.
func (c *Client) S3() *s3.Client {
	return s3.NewFromConfig(c.aws, func(o *s3.Options) { o.UsePathStyle = true })
}

// STS returns the client that tells who the caller is.
func (c *Client) STS() *sts.Client { return sts.NewFromConfig(c.aws) }
