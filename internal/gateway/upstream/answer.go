package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/gateway/jsonraw"
	"github.com/outcrop/outcrop/internal/gateway/target"
)

// answer is what a server says to a request.
type answer struct {
	result []byte
	header http.Header
}

// send sends a request in a session and waits for its answer. While it comes, the caller
// is told and asked what the server wants. Errors are *refusal, *malformed, *tooLarge,
// *broken, *target.Error for what the server answers, and those of the way there.
func (s *server) send(parent context.Context, got *session, c *target.Call, r *request) (answer, error) {
	// The caller's context ends with its request, while a connection is worth keeping
	// until the server's answer has ended too.
	ctx, cancel := s.outliving(parent)
	unlink := context.AfterFunc(parent, cancel)
	kept := false
	defer func() {
		if unlink(); !kept {
			cancel()
		}
	}()
	id := s.ids.Add(1)
	head, err := s.post(ctx, got, c, r, s.encode(id, got, c, r))
	if err != nil {
		err = s.ended(parent, ctx, err)
		s.cancelled(parent, got, c, r, id, err)
		return answer{}, err
	}
	a := answer{header: head.Header}
	switch kind := mediaType(head.Header); {
	case head.StatusCode < 200 || head.StatusCode > 299:
		err = refused(head)
		head.Body.Close()
	case head.StatusCode == http.StatusAccepted || head.StatusCode == http.StatusNoContent:
		head.Body.Close()
		err = malformedf("it answers a request with HTTP %d and nothing", head.StatusCode)
	case kind == "application/json":
		a.result, err = s.whole(head, id)
		head.Body.Close()
	case kind == "text/event-stream":
		st := &stream{s: s, got: got, call: c, id: id}
		if !c.Catalogue { // many servers tell nobody but the session whose call changed something
			st.changed = s.changed
		}
		a.result, kept, err = st.follow(ctx, head, cancel)
	default:
		head.Body.Close()
		err = malformedf("its Content-Type is %q, and application/json or text/event-stream is meant", target.Clean(kind))
	}
	if err != nil {
		err = s.ended(parent, ctx, err)
		s.cancelled(parent, got, c, r, id, err)
		return answer{}, err
	}
	return a, nil
}

// outliving is a context that does not end with the caller's, and at the latest when a
// call does: a caller's own end, if it comes sooner, needs no second timer.
func (s *server) outliving(parent context.Context) (context.Context, context.CancelFunc) {
	ctx := context.WithoutCancel(parent)
	if end, ok := parent.Deadline(); ok && time.Until(end) <= s.limits.Call {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, s.limits.Call)
}

// ended tells apart why a context ended.
func (s *server) ended(parent, ctx context.Context, err error) error {
	switch {
	case ctx.Err() == nil:
		return err
	case parent.Err() != nil:
		return parent.Err()
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// cancelled tells a server that nobody waits any longer. In the newest revision the end
// of the connection says so.
func (s *server) cancelled(ctx context.Context, got *session, c *target.Call, r *request, id int64, err error) {
	if got.modern || r.method == "initialize" || !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return
	}
	s.background(ctx, func(ctx context.Context) {
		params := append(appendInt([]byte(`"requestId":`), id), `,"reason":"the caller no longer waits"`...)
		_ = s.notify(ctx, got, c, "notifications/cancelled", params)
	})
}

// notify sends a notification.
func (s *server) notify(ctx context.Context, got *session, c *target.Call, method string, params []byte) error {
	body := append([]byte(`{"jsonrpc":"2.0","method":"`), method...)
	if params == nil {
		body = append(body, `"}`...)
	} else {
		body = append(append(append(body, `","params":{`...), params...), "}}"...)
	}
	return s.deliver(ctx, got, c, &request{method: method}, body)
}

// deliver sends a message that is not answered.
func (s *server) deliver(ctx context.Context, got *session, c *target.Call, r *request, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, s.limits.Greeting)
	defer cancel()
	head, err := s.post(ctx, got, c, r, body)
	if err != nil {
		return err
	}
	defer head.Body.Close()
	if head.StatusCode < 200 || head.StatusCode > 299 {
		return refused(head)
	}
	// What has no body is read to its end, for the connection's sake; what has one is
	// not waited for.
	if head.ContentLength >= 0 && head.ContentLength <= maxRefusal {
		_, _ = io.Copy(io.Discard, io.LimitReader(head.Body, maxRefusal))
	}
	return nil
}

// whole reads an answer that is one JSON text.
func (s *server) whole(head *http.Response, id int64) ([]byte, error) {
	raw, err := s.read(head)
	if err != nil {
		return nil, err
	}
	list, err := messages(raw)
	if err != nil {
		return nil, err
	}
	rpc, answers := false, false
	for m, err := range list {
		if err != nil {
			return nil, err
		}
		rpc, answers = rpc || m.version != nil, answers || m.response()
		if m.response() && (m.answers(id) || m.failure != nil && (m.id == nil || string(m.id) == "null")) {
			return m.outcome()
		}
	}
	switch {
	case !rpc: // such as what an API says of itself, or an echo of the request's method
		return nil, &malformed{what: `it is no JSON-RPC message: its member jsonrpc is not "2.0"`}
	case !answers:
		return nil, &malformed{what: "it has no answer to the request"}
	}
	return nil, &malformed{what: "it answers another request"}
}

// outcome is a response's result.
func (m message) outcome() ([]byte, error) {
	if err := m.err(); err != nil {
		return nil, err
	}
	if m.result[0] != '{' {
		return nil, &malformed{what: "its result is no JSON object"}
	}
	return m.result, nil
}

// read reads a body up to what an answer may have.
func (s *server) read(head *http.Response) ([]byte, error) {
	limit := int64(s.limits.Answer)
	if head.ContentLength > limit {
		return nil, &tooLarge{limit: limit}
	}
	if head.ContentLength >= 0 {
		raw := make([]byte, head.ContentLength)
		if _, err := io.ReadFull(head.Body, raw); err != nil {
			return nil, err
		}
		// The end is read as well: a connection is kept after it alone.
		_, err := head.Body.Read(make([]byte, 1))
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		return raw, nil
	}
	raw, err := io.ReadAll(io.LimitReader(head.Body, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(raw)) > limit {
		return nil, &tooLarge{limit: limit}
	}
	return raw, nil
}

// maxRefusal bounds what is read of a body that is no answer, in bytes.
const maxRefusal = 64 << 10

// refused reads what a server says with a status that is not one of success.
func refused(head *http.Response) *refusal {
	e := &refusal{status: head.StatusCode}
	if head.StatusCode >= 300 && head.StatusCode < 400 {
		if to, err := head.Location(); err == nil {
			// Where it leads, without what may be secret.
			to.RawQuery, to.User, to.Fragment = "", nil, ""
			e.location = target.Clean(to.String())
		}
		return e
	}
	raw, _ := io.ReadAll(io.LimitReader(head.Body, maxRefusal))
	if echoes(head.Request, raw) {
		return e
	}
	kind := mediaType(head.Header)
	if raw = jsonraw.Trim(raw); jsonraw.Object(raw) {
		for key, value := range jsonraw.Members(raw) {
			if string(key) != "error" || value[0] != '{' {
				continue
			}
			rpc := &target.Error{}
			if json.Unmarshal(value, rpc) == nil && rpc.Code != 0 {
				e.rpc = rpc
			}
		}
	}
	if e.rpc == nil && (kind == "text/plain" || kind == "application/json") {
		e.text = target.Clean(string(raw))
	}
	return e
}

// echoes tells whether a server says again what it was sent in a header or the URL's query,
// where credentials are. What it says so is told nobody.
func echoes(r *http.Request, said []byte) bool {
	if r == nil {
		return false
	}
	has := func(values []string) bool {
		return slices.ContainsFunc(values, func(v string) bool {
			v = v[strings.LastIndexByte(v, ' ')+1:] // without a scheme such as Bearer
			return len(v) >= 6 && bytes.Contains(said, []byte(v))
		})
	}
	for name, values := range r.Header {
		switch name {
		case "Accept", "Content-Type", "User-Agent", headerVersion, headerMethod, headerName:
			continue
		}
		if has(values) {
			return true
		}
	}
	for _, values := range r.URL.Query() {
		if has(values) {
			return true
		}
	}
	return false
}

// mediaType is a header's Content-Type without parameters, in lower case.
func mediaType(h http.Header) string {
	text := h.Get("Content-Type")
	switch text {
	case "application/json", "text/event-stream":
		return text
	}
	kind, _, err := mime.ParseMediaType(text)
	if err != nil && kind == "" {
		kind, _, _ = strings.Cut(text, ";")
	}
	return strings.ToLower(strings.TrimSpace(kind))
}

// background runs what nobody waits for. Close does.
func (s *server) background(ctx context.Context, f func(context.Context)) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	s.loose.Go(func() {
		defer cancel()
		f(ctx)
	})
}

// farewell bounds what is said to a server that nobody waits for.
const farewell = 5 * time.Second
