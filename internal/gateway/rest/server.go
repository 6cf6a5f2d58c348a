// Package rest is the driver of targets that are HTTP APIs with a description: OpenAPI
// documents, Smithy models, stages of API Gateway (spec/gateway.md 5.2, 5.3, 5.5). The
// description says what request a tool's arguments become; here it is sent, and its answer
// made a tool's result.
package rest

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"

	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/outbound"
)

const (
	// maxAnswer bounds an answer, in bytes (spec/gateway.md 6).
	maxAnswer = 6 << 20
	// maxShown is how much of an answer that is an error is shown, in bytes.
	maxShown = 4 << 10
	// callLimit bounds a call from its beginning to the answer's end.
	callLimit = 5 * time.Minute
	// maxAtOnce is how many calls of a target run at once: one that does not answer keeps
	// no more of the server's connections and memory than that.
	maxAtOnce = 256
)

// api is a description that was read.
type api interface {
	// request writes the request of a tool, and what to sign it for if that is not for the
	// target's credentials to say. *badArguments are the caller's to mend.
	request(ctx context.Context, tool string, arguments json.RawMessage) (*http.Request, target.Credentials, error)
	// answer makes an answer's content, or fails with what the service says is wrong.
	answer(tool string, a *answer) (content, error)
	// exception is how failures are named, which users of AWS search for.
	exception() string
}

// badArguments are arguments of which no request can be made.
type badArguments struct{ error }

// answer is what a service answered.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// fail is a failure of a call to an API.
func fail(a api, cause error, format string, args ...any) error {
	return target.Fail(a.exception(), cause, "%s - %s", a.exception(), fmt.Sprintf(format, args...))
}

// content is one block of a tool's result.
type content struct {
	Type     string    `json:"type"`
	Text     *string   `json:"text,omitempty"`
	Data     string    `json:"data,omitempty"`
	MIMEType string    `json:"mimeType,omitempty"`
	Resource *resource `json:"resource,omitempty"`
}

type resource struct {
	URI      string `json:"uri"`
	MIMEType string `json:"mimeType,omitempty"`
	Blob     string `json:"blob"`
}

func text(s string) content { return content{Type: "text", Text: &s} }

// server calls one API.
type server struct {
	api         api
	http        *http.Client
	credentials target.Credentials // nil for none
	metadata    metadata
	places      chan struct{}
}

// metadata is what passes beside the arguments.
type metadata struct{ returned []string }

var _ target.Server = (*server)(nil)

// Close implements target.Server.
func (s *server) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// Call implements target.Server.
func (s *server) Call(ctx context.Context, c target.Call) (target.Result, error) {
	select {
	case s.places <- struct{}{}:
		defer func() { <-s.places }()
	default:
		return target.Result{}, target.Fail("TooManyRequestsException", nil, "%d calls of this target are running. Try again later", maxAtOnce)
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	r, credentials, err := s.api.request(ctx, c.Tool, c.Arguments)
	if bad, ok := errors.AsType[*badArguments](err); ok {
		f := target.Fail("ParamValidationException", nil, "Parameter validation failed: %v", bad.error)
		f.Shown = true // whoever called can mend it
		return target.Result{}, f
	}
	if err != nil {
		return target.Result{}, err
	}
	propagate(r, c)
	if r.Header["User-Agent"] == nil {
		r.Header["User-Agent"] = []string{target.UserAgent}
	}
	if credentials == nil {
		credentials = s.credentials
	}
	if credentials != nil {
		if err := credentials.Apply(ctx, r, &c); err != nil {
			return target.Result{}, err
		}
	}
	a, err := s.send(r)
	if err != nil {
		return target.Result{}, err
	}
	return s.result(c.Tool, a)
}

// propagate puts what the caller sent, and the target lets through, on a request. What the
// operation itself says comes first.
func propagate(r *http.Request, c target.Call) {
	for name, values := range c.Header {
		if _, own := r.Header[name]; !own || c.Intercepted && name == "Authorization" {
			r.Header[name] = values
		}
	}
	if len(c.Query) == 0 {
		return
	}
	own := r.URL.Query()
	for name, values := range c.Query {
		if own.Has(name) {
			continue
		}
		for _, value := range values {
			if r.URL.RawQuery != "" {
				r.URL.RawQuery += "&"
			}
			r.URL.RawQuery += escape(name) + "=" + escape(value)
		}
	}
}

// send sends a request, and reads the answer within its bounds.
func (s *server) send(r *http.Request) (*answer, error) {
	resp, err := s.http.Do(r)
	if err != nil {
		return nil, s.unreached(r, err)
	}
	defer resp.Body.Close()
	content := io.Reader(resp.Body)
	if strings.EqualFold(resp.Header.Get("Content-Encoding"), "gzip") { // nobody asked for it
		if content, err = gzip.NewReader(resp.Body); err != nil {
			return nil, s.unreached(r, err)
		}
	}
	body, err := io.ReadAll(io.LimitReader(content, maxAnswer+1))
	if err != nil {
		return nil, s.unreached(r, err)
	}
	if len(body) > maxAnswer {
		return nil, fail(s.api, nil, "The answer of %s has more than %d bytes", r.URL.Host, maxAnswer)
	}
	return &answer{resp.StatusCode, resp.Header, body}, nil
}

// unreached says why there is no answer. The URL is left out: its query may hold a key.
func (s *server) unreached(r *http.Request, err error) error {
	host := r.URL.Host
	var refused *outbound.Refused
	switch {
	case errors.As(err, &refused):
		return fail(s.api, nil, "%s", refused.Error())
	case errors.Is(r.Context().Err(), context.Canceled):
		return fail(s.api, context.Canceled, "The caller left before %s answered", host)
	case errors.Is(err, context.DeadlineExceeded):
		return fail(s.api, nil, "%s did not answer within %s", host, callLimit)
	}
	if text := target.Insecure(err); text != "" {
		return fail(s.api, outbound.WithoutURL(err), "%s is not trusted: %s", host, text)
	}
	text := target.Unreached(err)
	if text == "" {
		text = target.Clean(outbound.WithoutURL(err).Error())
	}
	return fail(s.api, outbound.WithoutURL(err), "%s could not be reached, or broke off its answer: %s", host, text)
}

// result makes a tool's result of an answer.
func (s *server) result(tool string, a *answer) (target.Result, error) {
	block, err := s.api.answer(tool, a)
	if err != nil {
		return target.Result{}, err
	}
	body, err := json.Marshal(struct {
		IsError bool      `json:"isError"`
		Content []content `json:"content"`
	}{Content: []content{block}})
	if err != nil {
		return target.Result{}, err
	}
	out := target.Result{Body: body}
	for _, name := range s.metadata.returned {
		if values := a.header.Values(name); len(values) > 0 {
			if out.Header == nil {
				out.Header = http.Header{}
			}
			out.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	return out, nil
}

// ok reports whether an answer is what was asked for.
func (a *answer) ok() bool { return a.status >= 200 && a.status < 300 }

// failure is an answer of an API that is an error, with the beginning of what it says.
func (a *answer) failure(of api) error {
	shown := a.body[:min(len(a.body), maxShown)]
	said := strings.ToValidUTF8(string(shown), "")
	if !utf8.Valid(a.body) || strings.ContainsRune(said, 0) {
		said = "(not text)"
	}
	if len(a.body) > maxShown {
		said += "..."
	}
	return fail(of, nil, "The service answered with status %d %s: %s", a.status, http.StatusText(a.status), said)
}

// block makes a content block of a body, by its media type.
func (a *answer) block() content {
	kind, params, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if err != nil {
		kind = ""
	}
	family, _, _ := strings.Cut(kind, "/")
	switch {
	case len(a.body) == 0:
		return text("")
	case family == "image" && kind != "image/svg+xml", family == "audio":
		return content{Type: family, Data: base64.StdEncoding.EncodeToString(a.body), MIMEType: kind}
	case utf8.Valid(a.body) && !bytes.ContainsRune(a.body, 0):
		return text(strings.TrimPrefix(string(a.body), "\ufeff")) // which no parser of JSON takes
	}
	if charset, err := htmlindex.Get(params["charset"]); err == nil && charset != unicode.UTF8 {
		if said, err := charset.NewDecoder().Bytes(a.body); err == nil {
			return text(string(said))
		}
	}
	if kind == "" {
		kind = "application/octet-stream"
	}
	return content{Type: "resource", Resource: &resource{URI: "about:blank", MIMEType: kind, Blob: base64.StdEncoding.EncodeToString(a.body)}}
}
