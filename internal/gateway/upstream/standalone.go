package upstream

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/gateway/target"
)

// standalone is the stream on which a server sends what it does not send on the stream of
// a request (2025-11-25, streamable HTTP, listening for messages from the server). SDKs
// send a question there unless they are told for which request they ask.
type standalone struct {
	s   *server
	l   *link
	st  *stream
	end context.CancelFunc
	// settled is closed when the server has answered, or will not soon.
	settled func()
	heard   <-chan struct{}

	// Under the link's lock.
	calls []*target.Call // those that run, the newest last
	last  target.Call    // who answers while none runs: with nobody to ask
	idle  *time.Timer    // ends it when no call has run for a while
}

const (
	// lingers is how long a stream stays after the last call, for the next one: it would
	// wait for a stream of its own.
	lingers = 10 * time.Second
	// maxSettling bounds how long a call waits for its session's stream.
	maxSettling = time.Second
	// Between a stream's end and the next one, while calls run.
	hearAgain    = 100 * time.Millisecond
	hearAgainMax = 5 * time.Second
	hearLasts    = 10 * time.Second
)

// attend has a session's standalone stream heard while a call runs whose caller can be
// asked. It waits for the stream, since what a server sends before is lost.
func (s *server) attend(ctx context.Context, l *link, got *session, c *target.Call) (leave func()) {
	if l == nil || got.id == "" || c.Session == "" || c.Client == nil || len(c.Capabilities) <= len("{}") || s.mute.Load() {
		return func() {}
	}
	a := l.attend(ctx, s, got, c)
	if a == nil {
		return func() {}
	}
	if !s.tardy.Load() {
		timer := time.NewTimer(maxSettling)
		defer timer.Stop()
		select {
		case <-a.heard:
		case <-timer.C:
			s.tardy.Store(true) // it sends no head before it has something to say
		case <-ctx.Done():
		}
	}
	return func() { a.leave(c) }
}

// attend adds a call to those that a session's stream is heard for, or returns nil.
func (l *link) attend(ctx context.Context, s *server, got *session, c *target.Call) *standalone {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.aside
	switch {
	case l.left || l.session != got || got.speechless:
		return nil
	case a == nil:
		heard := make(chan struct{})
		a = &standalone{s: s, l: l, st: &stream{s: s, got: got, id: s.ids.Add(1), changed: s.changed}, heard: heard, settled: sync.OnceFunc(func() { close(heard) })}
		ctx, a.end = context.WithCancel(context.WithoutCancel(ctx))
		l.aside = a
		s.loose.Go(func() { a.run(ctx) })
	}
	a.busy()
	a.calls = append(a.calls, c)
	return a
}

// busy ends the wait for a stream's end.
func (a *standalone) busy() {
	if a.idle != nil {
		a.idle.Stop()
		a.idle = nil
		a.s.lingering.Add(-1)
	}
}

// leave takes a call out. With the last one end the questions that it was asked.
func (a *standalone) leave(c *target.Call) {
	a.l.mu.Lock()
	defer a.l.mu.Unlock()
	i := slices.Index(a.calls, c)
	a.calls = slices.Delete(a.calls, i, i+1)
	if len(a.calls) > 0 {
		return
	}
	a.last = bare(c)
	a.st.withdrawAll()
	if a.l.aside != a {
		return
	}
	if a.s.lingering.Add(1) > int64(a.s.limits.Calls) {
		a.s.lingering.Add(-1)
		a.l.hush()
		return
	}
	a.idle = time.AfterFunc(lingers, func() {
		a.l.mu.Lock()
		defer a.l.mu.Unlock()
		if a.l.aside == a && a.idle != nil {
			a.l.hush()
		}
	})
}

// hush ends the stream of a link, whose lock is held.
func (l *link) hush() {
	if a := l.aside; a != nil {
		a.busy()
		a.end()
		l.aside = nil
	}
}

// caller is who is told and asked now: the newest call that runs.
func (a *standalone) caller() (c *target.Call, runs bool) {
	a.l.mu.Lock()
	defer a.l.mu.Unlock()
	if n := len(a.calls); n > 0 {
		return a.calls[n-1], true
	}
	last := a.last
	return &last, false
}

// run hears one stream after another, while calls run.
func (a *standalone) run(ctx context.Context) {
	defer a.st.asked.Wait()
	defer a.end()
	defer context.AfterFunc(a.s.life, a.end)()
	for wait := hearAgain; ; wait = min(2*wait, hearAgainMax) {
		began := time.Now()
		again := a.hear(ctx)
		_, runs := a.caller()
		if !again || !runs || ctx.Err() != nil {
			a.over(again)
			return
		}
		if time.Since(began) > hearLasts {
			wait = hearAgain
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// over says that nothing is heard any more.
func (a *standalone) over(again bool) {
	a.settled()
	a.l.mu.Lock()
	defer a.l.mu.Unlock()
	if a.busy(); a.l.aside != a {
		return
	}
	a.l.aside = nil // nothing that is kept leads to a call: a target is closed when nobody has it
	a.st.got.speechless = !again
}

// hear follows one stream to its end, and reports whether another one may follow.
func (a *standalone) hear(ctx context.Context) (again bool) {
	c, _ := a.caller()
	began := time.Now()
	head, err := a.s.get(ctx, a.st.got, c, a.st.lastID)
	if err != nil {
		a.settled()
		return true
	}
	defer head.Body.Close()
	switch status := head.StatusCode; {
	case mute(head):
		a.s.mute.Store(true)
		return false
	case status == http.StatusConflict: // it has not seen the end of the one before
		return true
	case status >= 500, status == http.StatusUnauthorized, status == http.StatusRequestTimeout, status == http.StatusTooManyRequests:
		a.settled()
		return true
	case status != http.StatusOK:
		return false
	}
	a.s.tardy.Store(time.Since(began) > maxSettling)
	a.settled()
	in := a.s.readers.get(head.Body)
	defer a.s.readers.put(in)
	defer context.AfterFunc(ctx, func() { head.Body.Close() })()
	e := &events{in: in, left: int64(a.s.limits.Stream), max: a.s.limits.Answer, lastID: a.st.lastID}
	for {
		data, err := e.next()
		if a.st.lastID = e.lastID; err != nil {
			return true
		}
		a.st.call, _ = a.caller()
		// An answer that the server does not take ends nothing here: its tool says so.
		if _, done, err := a.st.take(ctx, func(error) {}, data); err != nil || done {
			return true
		}
	}
}

// mute tells whether a server answers that it has no stream to listen to.
func mute(head *http.Response) bool {
	return head.StatusCode == http.StatusMethodNotAllowed || head.StatusCode == http.StatusNotImplemented ||
		head.StatusCode/100 == 2 && mediaType(head.Header) != "text/event-stream"
}

// get asks for a stream of a session, from where one before it ended.
func (s *server) get(ctx context.Context, got *session, c *target.Call, after string) (*http.Response, error) {
	h := s.header(got, c, 8)
	h["Accept"] = []string{"text/event-stream"}
	if after != "" {
		h[headerLastEvent] = []string{after}
	}
	return s.do(s.to(http.MethodGet, c, h).WithContext(ctx), c)
}
