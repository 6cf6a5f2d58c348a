package passthrough

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"

	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/outbound"
)

// Link sends the requests of one target that speaks HTTP. It is safe for concurrent use
// once its members are set.
type Link struct {
	// Credentials are the target's, nil for none.
	Credentials target.Credentials
	// Returns are the headers of an answer that the caller may see; a * at the end stands
	// for any end.
	Returns []string

	client *http.Client
	signs  bool
	slots  *target.Slots
}

// NewLink returns a Link that follows no redirects: where one leads is the caller's to
// see. signs says that the credentials cover the body, which is then read first.
func NewLink(c *http.Client, signs bool) *Link {
	mine := *c
	mine.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Link{client: &mine, signs: signs, slots: target.NewSlots(target.Calls, target.Queue)}
}

// Close gives back the connections that nobody uses.
func (l *Link) Close() error {
	l.client.CloseIdleConnections()
	return nil
}

// Send sends a request with the target's credentials, and leaves of the answer's header
// what the caller may see. It waits while too many run, which one does until its answer's
// body is closed. The error is a *target.Failure.
func (l *Link) Send(ctx context.Context, r *http.Request, in *target.Request) (*http.Response, error) {
	switch err := l.slots.Enter(ctx); {
	case err == target.ErrBusy:
		f := target.Fail(target.Busy, err, "The target is busy: %d requests run, and none ended in %s. Try again later", target.Calls, target.Queue)
		f.Shown = true
		return nil, f
	case err != nil:
		return nil, target.Fail(target.ConnectionError, err, "%s was not asked", r.URL.Host)
	}
	resp, err := l.send(ctx, r, in)
	if err != nil {
		l.slots.Leave()
		return nil, err
	}
	resp.Body = &leaving{ReadCloser: resp.Body, slots: l.slots}
	return resp, nil
}

// leaving is the body of an answer, with whose end the call's turn ends.
type leaving struct {
	io.ReadCloser
	slots *target.Slots
	once  sync.Once
}

// Close implements io.Closer.
func (b *leaving) Close() error {
	defer b.once.Do(b.slots.Leave)
	return b.ReadCloser.Close()
}

func (l *Link) send(ctx context.Context, r *http.Request, in *target.Request) (*http.Response, error) {
	if l.signs {
		if _, err := in.Body.Bytes(); err != nil {
			return nil, err
		}
	}
	if err := in.Body.Put(r); err != nil {
		return nil, err
	}
	r = r.WithContext(ctx)
	if l.Credentials != nil {
		if err := l.Credentials.Apply(ctx, r, &in.Call); err != nil {
			return nil, uncredited(err)
		}
	}
	resp, err := l.client.Do(r)
	if err != nil {
		return nil, unreached(r, err)
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		_ = resp.Body.Close()
		return nil, target.Fail(target.ConnectionError, nil, "%s switched protocols though it was not asked to", r.URL.Host)
	}
	kept := http.Header{}
	for name, values := range resp.Header {
		if slices.ContainsFunc(l.Returns, func(pattern string) bool { return fits(pattern, name) }) {
			kept[name] = values
		}
	}
	resp.Header = kept
	return resp, nil
}

// uncredited words what kept credentials from being had.
func uncredited(err error) error {
	if f, ok := errors.AsType[*target.Failure](err); ok {
		c := *f
		c.Type = target.NoCredentials
		return &c
	}
	if e, ok := errors.AsType[*target.Error](err); ok {
		f := target.Fail(target.NoCredentials, err, "%s%s", e.Message, loginURL(e))
		f.Shown = true
		return f
	}
	return err
}

// unreached words what kept a target from answering.
func unreached(r *http.Request, err error) error {
	if f, ok := errors.AsType[*target.Failure](err); ok {
		return f // of the request's own body
	}
	if refused, ok := errors.AsType[*outbound.Refused](err); ok {
		return target.Fail(target.Unroutable, nil, "%s", refused.Error())
	}
	if text := target.Insecure(err); text != "" {
		return target.Fail(target.ConnectionError, outbound.WithoutURL(err), "%s is not trusted: %s", r.URL.Host, text)
	}
	return target.Fail(target.ConnectionError, outbound.WithoutURL(err), "%s could not be reached, or did not answer", r.URL.Host)
}
