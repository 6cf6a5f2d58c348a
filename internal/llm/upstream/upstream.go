// Package upstream sends requests to a provider of models and tells its failures
// in Bedrock's words.
//
// Where a provider is, the operator has said: it may be on a private network or on
// this machine, so no address is refused. Everything is bounded and timed, no
// redirect is followed (it could lead a key elsewhere), and nothing is tried again:
// the SDKs of callers do that.
package upstream

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
)

// The bounds of what a provider may take and send.
const (
	// maxWhole is the longest answer that is read whole, in bytes.
	maxWhole = 32 << 20
	// maxRefusal is how much of a refusal is read, in bytes.
	maxRefusal  = 64 << 10
	dialTimeout = 10 * time.Second
	// maxIdle is how many connections of one provider are kept open.
	maxIdle = 64
)

// Config says what to call. All members are required but Sign and Proxy.
type Config struct {
	// Name is the provider's, in the configuration.
	Name string
	// URL is what paths are appended to.
	URL *url.URL
	// Timeout bounds the wait for an answer to begin, Idle that for each further
	// piece of one that streams.
	Timeout, Idle time.Duration
	// Proxy says what to go through; nil is nothing.
	Proxy func(*http.Request) (*url.URL, error)
	// Sign adds the provider's own credentials to a request with this body.
	Sign func(r *http.Request, body []byte) error
}

// Client calls one provider.
type Client struct {
	cfg       Config
	transport *http.Transport
	http      *http.Client
}

// New returns a client, which is closed by Close.
func New(cfg Config) *Client {
	t := &http.Transport{
		Proxy: cfg.Proxy, DialContext: (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSHandshakeTimeout: dialTimeout, ResponseHeaderTimeout: cfg.Timeout,
		MaxIdleConnsPerHost: maxIdle, IdleConnTimeout: 90 * time.Second, MaxResponseHeaderBytes: 256 << 10, ForceAttemptHTTP2: true,
	}
	return &Client{cfg: cfg, transport: t, http: &http.Client{
		Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Close closes connections that nobody uses.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Name is the provider's.
func (c *Client) Name() string { return c.cfg.Name }

// Call is one request.
type Call struct {
	// Path is escaped, and appended to the provider's URL.
	Path string
	// Body is JSON.
	Body []byte
	// Accept is the media type wanted; empty is JSON.
	Accept string
	// Header is added.
	Header http.Header
}

// Stream posts a body and returns the answer's, which the caller closes. Errors,
// also those of reading, are fault.Errors or those of ctx.
func (c *Client) Stream(ctx context.Context, call Call) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	resp, err := c.post(ctx, call)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	s := &stream{c: c, ctx: ctx, cancel: cancel, body: resp.Body}
	s.timer = time.AfterFunc(c.cfg.Idle, func() { cancel(errIdle) })
	s.timer.Stop()
	return s, nil
}

// Whole posts a body and returns the whole answer.
func (c *Client) Whole(ctx context.Context, call Call) ([]byte, error) {
	s, err := c.Stream(ctx, call)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	b, err := io.ReadAll(io.LimitReader(s, maxWhole+1))
	if err == nil && len(b) > maxWhole {
		err = c.failed("its answer is longer than %d MiB", maxWhole>>20)
	}
	return b, err
}

// Failed says that the provider's answer is none, or broke off.
func (c *Client) failed(format string, args ...any) *fault.Error {
	return fault.New("ModelErrorException", http.StatusFailedDependency, "The provider '"+c.cfg.Name+"' of the model failed: "+format, args...)
}

// post returns an answer whose status is a success.
func (c *Client) post(ctx context.Context, call Call) (*http.Response, error) {
	target := strings.TrimSuffix(c.cfg.URL.String(), "/") + call.Path
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(call.Body))
	if err != nil {
		return nil, c.failed("it cannot be asked").Because(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", cmp.Or(call.Accept, "application/json"))
	for name, values := range call.Header {
		r.Header[name] = values
	}
	r.Header.Set("User-Agent", "outcrop")
	if c.cfg.Sign != nil {
		if err := c.cfg.Sign(r, call.Body); err != nil {
			return nil, fault.Denied("The server has no credentials for the provider '%s' of the model; its operator finds the reason in the log", c.cfg.Name).Because(err)
		}
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, c.unreached(ctx, err)
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal)) // as much of it as there is
		return nil, c.refusal(resp, text)
	}
	return resp, nil
}

// unreached says why there is no answer.
func (c *Client) unreached(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause // the caller has gone
	}
	var timeout net.Error
	var op *net.OpError
	dialled := errors.As(err, &op) && op.Op == "dial"
	if errors.As(err, &timeout) && timeout.Timeout() && !dialled {
		return c.late().Because(err)
	}
	return fault.New("ServiceUnavailableException", http.StatusServiceUnavailable,
		"The provider '%s' of the model cannot be reached", c.cfg.Name).Because(err)
}

func (c *Client) late() *fault.Error {
	return fault.New("ModelTimeoutException", http.StatusRequestTimeout, "The provider '%s' of the model did not answer in time", c.cfg.Name)
}

var errIdle = errors.New("nothing came for too long")

// stream is an answer's body that is cut off when nothing comes.
type stream struct {
	c      *Client
	ctx    context.Context // of this answer alone
	cancel context.CancelCauseFunc
	body   io.ReadCloser
	timer  *time.Timer
	close  sync.Once
}

func (s *stream) Read(p []byte) (int, error) {
	s.timer.Reset(s.c.cfg.Idle)
	n, err := s.body.Read(p)
	s.timer.Stop()
	if err == nil || err == io.EOF {
		return n, err
	}
	switch cause := context.Cause(s.ctx); {
	case errors.Is(cause, errIdle):
		return n, s.c.late().Because(err)
	case cause != nil:
		return n, cause
	}
	return n, s.c.failed("its answer broke off").Because(err)
}

func (s *stream) Close() error {
	s.timer.Stop()
	err := s.body.Close()
	s.close.Do(func() { s.cancel(nil) })
	return err
}
