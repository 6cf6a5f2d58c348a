package pipeline

import (
	"net/http"
	"time"
)

// strangerPatience is how long the body of somebody who has not proven who they
// are may take. net/http reads a short one to its end before it answers, so that
// without a bound anybody could hold connections for ever; whoever has
// credentials may take their time.
const strangerPatience = 10 * time.Second

// unprovenRate is the least rate, in bytes a second, at which a body must come
// that proves its signature: without one a few idle connections could hold all
// that such bodies may keep (sigv4.Unproven) for ever.
const unprovenRate = 256 << 10

// hurryProof gives the body as long as a body of most bytes may take, where only
// the body proves the signature. The function it returns lifts that.
func (e *exchange) hurryProof(most int64) (proven func()) {
	length := e.r.ContentLength
	if e.claim.ContentHash != "" || length == 0 {
		return func() {}
	}
	if length < 0 || length > most {
		length = most
	}
	c := http.NewResponseController(e.w)
	_ = c.SetReadDeadline(time.Now().Add(strangerPatience + time.Duration(length/unprovenRate)*time.Second))
	return func() { _ = c.SetReadDeadline(time.Time{}) }
}

// hurry sets the deadline, by the connection's own clock. net/http sets another
// one before the next request. A writer without a connection has none.
func (e *exchange) hurry() {
	_ = http.NewResponseController(e.w).SetReadDeadline(time.Now().Add(strangerPatience))
}
