package target

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/outcrop/outcrop/internal/fault"
)

// Web is a Server that is asked over HTTP, not by calls of tools (spec/gateway.md 5.7,
// 5.8, 5.10).
type Web interface {
	Server
	// Send sends a request on and returns the head of the answer, whose header holds what
	// the caller may see alone. The answer's body is the caller's to close; it ends with
	// ctx. It is asked anew for each attempt.
	//
	// The error is a *Failure; its Type says what kind of failure it is.
	Send(ctx context.Context, r *Request) (*http.Response, error)
}

// The types of a Failure of Send: those that rules know (spec/gateway.md 11), and others.
const (
	ConnectionError = "CONNECTION_ERROR"
	Unroutable      = "UNROUTABLE"
	// BadRequest is the caller's fault, TooLarge too; NoCredentials the owner's or the
	// caller's, as its text says.
	BadRequest    = "BAD_REQUEST"
	TooLarge      = "TOO_LARGE"
	NoCredentials = "NO_CREDENTIALS"
	// Busy is that too many requests of the target run already.
	Busy = "BUSY"
)

// Request is one of a caller on its way to a target that is asked over HTTP.
type Request struct {
	// Call says who asks; of its Header an Authorization of an interceptor counts, and its
	// Query does not.
	Call   Call
	Method string
	// Path is what follows the target's name, escaped as it came: empty, or it begins with a
	// slash.
	// Query is without its question mark.
	Path, Query string
	// Header is all that the caller sent. The target picks what passes.
	Header http.Header
	Body   *Body
	// Base is the URL that leads the caller to the target that it named, and ends with a
	// slash.
	Base string
	// Session is the runtime session that the caller named, and Baggage takes the place of
	// the caller's where it is set.
	Session, Baggage string
	// Model is what an inference target asks its provider for, and Usage whether the
	// answer must say how many tokens it used.
	Model string
	Usage bool
}

// MaxBody bounds a request's body, in bytes (spec/gateway.md 6).
const MaxBody = 6 << 20

// Body is a request's body: a stream until somebody wants all of it.
type Body struct {
	stream io.Reader
	length int64 // -1 is not known
	all    []byte
	whole  bool
}

// NewBody is a body of a length in bytes, or -1 where that is not known.
func NewBody(stream io.Reader, length int64) *Body {
	if stream == nil || length == 0 {
		return &Body{whole: true}
	}
	return &Body{stream: stream, length: length}
}

// BodyOf is a body that is there already.
func BodyOf(all []byte) *Body { return &Body{all: all, whole: true} }

func tooLarge() *Failure {
	f := Fail(TooLarge, nil, "The request has more than %d bytes", MaxBody)
	f.Shown = true
	return f
}

// Bytes reads the body to its end; it can then be sent any number of times. The error is
// a *Failure.
func (b *Body) Bytes() ([]byte, error) {
	if b == nil || b.whole {
		if b == nil {
			return nil, nil
		}
		return b.all, nil
	}
	if b.length > MaxBody {
		return nil, tooLarge()
	}
	all, err := io.ReadAll(io.LimitReader(b.stream, MaxBody+1))
	if bounds(err) {
		return nil, tooLarge()
	}
	if err != nil {
		f := Fail(BadRequest, err, "The request broke off")
		f.Shown = true
		return nil, f
	}
	if len(all) > MaxBody {
		return nil, tooLarge()
	}
	b.all, b.whole = all, true
	return all, nil
}

// Whole reports whether all of the body is there.
func (b *Body) Whole() bool { return b == nil || b.whole }

// Put makes it the body of a request: again and again where Bytes was asked for, else
// once, as it comes.
func (b *Body) Put(r *http.Request) error {
	switch {
	case b == nil || b.whole && len(b.all) == 0:
		r.Body, r.ContentLength = http.NoBody, 0
		r.GetBody = func() (io.ReadCloser, error) { return http.NoBody, nil }
	case b.whole:
		all := b.all
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(all)), int64(len(all))
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(all)), nil }
	case b.length > MaxBody:
		return tooLarge()
	default:
		r.Body, r.ContentLength = io.NopCloser(&bounded{b.stream, MaxBody}), b.length
	}
	return nil
}

// bounded fails where a body is too large.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 || bounds(err) {
		return 0, tooLarge()
	}
	return n, err
}

// bounds reports whether the error of a body is that it is too large: who hands it over may
// bound it, too.
func bounds(err error) bool {
	f, ok := errors.AsType[*fault.Error](err)
	return ok && f.Status == http.StatusRequestEntityTooLarge
}

// Speechless is the Server part of a Web: it has no tools.
type Speechless struct{}

// Call implements Server.
func (Speechless) Call(context.Context, Call) (Result, error) {
	return Result{}, Fail(BadRequest, nil, "The target is asked over HTTP, and has no tools")
}

// Close implements Server.
func (Speechless) Close() error { return nil }

var _ fmt.Stringer = (*Body)(nil)

// String implements fmt.Stringer, so that no body gets into a log.
func (*Body) String() string { return "[body]" }
