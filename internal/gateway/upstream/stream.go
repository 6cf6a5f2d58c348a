package upstream

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/gateway/jsonraw"
	"github.com/outcrop/outcrop/internal/gateway/target"
)

// stream follows what a server sends before, and with, the answer to one request.
type stream struct {
	s    *server
	got  *session
	call *target.Call
	id   int64 // its request's, or one that no request has
	// changed is told that lists of the server have changed; nil is nobody.
	changed func()

	lastID string
	retry  time.Duration

	asked sync.WaitGroup
	mu    sync.Mutex
	open  map[string]context.CancelFunc // requests of the server that are asked, by id
}

const (
	// maxAsked is how many requests of a server are asked of its caller at once, during
	// one call.
	maxAsked = 16
	// maxResumes is how often a stream that brings nothing new is asked for again.
	maxResumes = 3
	// Between a stream's end and its being asked for again, where the server names no time.
	defaultRetry = time.Second
	maxRetry     = 30 * time.Second
)

// follow reads until the answer is there, and asks for the rest of a stream that breaks
// off where its server lets it. Where it reports kept, cancel is called when the server
// has ended the stream, or took too long for it.
func (st *stream) follow(ctx context.Context, head *http.Response, cancel context.CancelFunc) (result []byte, kept bool, err error) {
	asking, stop := context.WithCancelCause(ctx)
	defer st.asked.Wait()
	defer stop(nil)
	for idle := 0; ; {
		before := st.lastID
		result, kept, err = st.events(asking, stop, head, cancel)
		var cut *broken
		if !errors.As(err, &cut) || st.got.modern || st.lastID == "" || asking.Err() != nil {
			if asking.Err() != nil && ctx.Err() == nil {
				err = context.Cause(asking)
			}
			return result, kept, err
		}
		if idle++; st.lastID != before {
			idle = 1
		}
		if idle > maxResumes {
			return nil, false, err
		}
		if head, err = st.resume(asking, cut); err != nil {
			return nil, false, err
		}
	}
}

// events takes the events of one connection.
func (st *stream) events(ctx context.Context, stop context.CancelCauseFunc, head *http.Response, cancel context.CancelFunc) ([]byte, bool, error) {
	in := st.s.readers.get(head.Body)
	e := &events{in: in, left: int64(st.s.limits.Stream), max: st.s.limits.Answer, lastID: st.lastID}
	unwatch := context.AfterFunc(ctx, func() { head.Body.Close() })
	for {
		data, err := e.next()
		st.lastID, st.retry = e.lastID, e.retry
		var result []byte
		var done bool
		if err == nil {
			result, done, err = st.take(ctx, stop, data)
		} else if large := (*tooLarge)(nil); !errors.As(err, &large) {
			err = &broken{err: err}
		}
		if err == nil && !done {
			continue
		}
		unwatch()
		if !done {
			head.Body.Close()
			st.s.readers.put(in)
			return nil, false, err
		}
		st.s.drain(head, in, cancel)
		return result, true, err
	}
}

// drain reads the end of a stream whose answer has come, so that its connection can be
// kept, and does not wait for it long.
func (s *server) drain(head *http.Response, in *bufio.Reader, cancel context.CancelFunc) {
	s.loose.Go(func() {
		timer := time.AfterFunc(time.Second, cancel)
		_, _ = io.Copy(io.Discard, io.LimitReader(in, maxRefusal))
		timer.Stop()
		head.Body.Close()
		cancel()
		s.readers.put(in)
	})
}

// take takes the messages of one event. It reports done with the answer.
func (st *stream) take(ctx context.Context, stop context.CancelCauseFunc, data []byte) (result []byte, done bool, err error) {
	list, err := messages(data)
	if err != nil {
		return nil, false, err
	}
	for m, err := range list {
		switch {
		case err != nil:
			return nil, false, err
		case m.response():
			if m.answers(st.id) || m.failure != nil && (m.id == nil || string(m.id) == "null") {
				result, err := m.outcome()
				return result, true, err
			}
		case m.method != nil && m.id != nil && string(m.id) != "null":
			if err := st.ask(ctx, stop, m); err != nil {
				return nil, false, err
			}
		case m.method != nil:
			st.tell(m)
		}
	}
	return nil, false, nil
}

// tell passes a notification on, but for those that are the gateway's own business.
func (st *stream) tell(m message) {
	method := jsonraw.Text(m.method)
	switch {
	case method == "notifications/cancelled":
		st.withdraw(m.params)
		return
	case strings.HasSuffix(method, "/list_changed"):
		if st.changed != nil {
			st.changed()
		}
		return
	case method == "notifications/resources/updated", method == "notifications/message" && !logged(st.call, m.params):
		return
	}
	if st.call.Client != nil {
		st.call.Client.Notify(method, m.params)
	}
}

// logged reports whether a caller wants a log message. Those since 2026-07-28 say from which
// level on, and servers of that revision heed it; older ones send all.
func logged(c *target.Call, params []byte) bool {
	if c.Version < modern {
		return true
	}
	levels := []string{"debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"}
	least := slices.Index(levels, memberText(c.Meta, metaLogLevel))
	return least >= 0 && slices.Index(levels, memberText(params, "level")) >= least
}

// withdraw ends a request of the server that it takes back.
func (st *stream) withdraw(params []byte) {
	if len(params) == 0 || params[0] != '{' {
		return
	}
	for key, value := range jsonraw.Members(params) {
		if string(key) == "requestId" {
			st.mu.Lock()
			if end := st.open[string(value)]; end != nil {
				end()
			}
			st.mu.Unlock()
		}
	}
}

// withdrawAll ends all requests of the server that have no answer yet.
func (st *stream) withdrawAll() {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, end := range st.open {
		end()
	}
}

// ask passes a request of the server on to the caller, and the caller's answer back.
// Meanwhile the stream goes on.
func (st *stream) ask(ctx context.Context, stop context.CancelCauseFunc, m message) error {
	if st.got.modern {
		return &malformed{what: "it sends a request, which servers of its revision do not"}
	}
	id := string(m.id)
	ctx, end := context.WithCancel(ctx)
	st.mu.Lock()
	_, twice := st.open[id]
	full := len(st.open) >= maxAsked
	if !full && !twice {
		if st.open == nil {
			st.open = map[string]context.CancelFunc{}
		}
		st.open[id] = end
	}
	st.mu.Unlock()
	switch {
	case twice: // else all of one id would count as one
		end()
		return &malformed{what: "it asks a second thing under an id before the first has its answer"}
	case full:
		end()
		return malformedf("it asks more than %d things of the caller at once", maxAsked)
	}
	c := st.call
	st.asked.Go(func() {
		defer end()
		body := st.reply(ctx, c, id, jsonraw.Text(m.method), m.params)
		st.mu.Lock()
		delete(st.open, id)
		st.mu.Unlock()
		if ctx.Err() != nil {
			return
		}
		if err := st.s.deliver(ctx, st.got, c, &request{}, body); err != nil && ctx.Err() == nil {
			stop(err)
		}
	})
	return nil
}

// reply is the response to a request of the server.
func (st *stream) reply(ctx context.Context, c *target.Call, id, method string, params []byte) []byte {
	b := append(append([]byte(`{"jsonrpc":"2.0","id":`), id...), ',')
	result, err := st.answer(ctx, c, method, params)
	if err == nil && !jsonraw.Object(result) {
		err = &target.Error{Code: -32603, Message: "The client's answer is no JSON object."}
	}
	if err == nil {
		return append(append(append(b, `"result":`...), result...), '}')
	}
	var rpc *target.Error
	if !errors.As(err, &rpc) {
		rpc = &target.Error{Code: -32603, Message: "The client did not answer."}
	}
	text, err := json.Marshal(rpc)
	if err != nil {
		text = []byte(`{"code":-32603,"message":"The client did not answer."}`)
	}
	return append(append(append(b, `"error":`...), text...), '}')
}

func (st *stream) answer(ctx context.Context, c *target.Call, method string, params []byte) ([]byte, error) {
	switch {
	case method == "ping":
		return []byte("{}"), nil
	case c.Client == nil:
		return nil, &target.Error{Code: -32601, Message: "The client cannot be asked for " + target.Clean(method) + "."}
	}
	return c.Client.Ask(ctx, method, params)
}

// resume asks for the rest of a stream, after the time that its server names.
func (st *stream) resume(ctx context.Context, cut *broken) (*http.Response, error) {
	wait := defaultRetry
	if st.retry > 0 {
		wait = min(st.retry, maxRetry)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	head, err := st.s.get(ctx, st.got, st.call, st.lastID)
	if err != nil {
		return nil, err
	}
	if head.StatusCode != http.StatusOK || mediaType(head.Header) != "text/event-stream" {
		head.Body.Close()
		return nil, cut
	}
	return head, nil
}

func appendInt(b []byte, n int64) []byte { return strconv.AppendInt(b, n, 10) }
