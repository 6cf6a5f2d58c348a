package pipeline

import (
	"io"
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
	if e.claim.ContentHash != "" || e.r.ContentLength == 0 {
		return func() {}
	}
	e.hurryBody(most)
	return e.patient
}

// strangerRate is the least rate, in bytes a second, at which strangers must take their
// answers.
const strangerRate = 16 << 10

// hurryStranger gives the body of somebody whom nobody asks who they are as long as a body
// of most bytes may take, to its end, and them as long to take each part of the answer.
func (e *exchange) hurryStranger(most int64) {
	if e.r.ProtoMajor == 1 { // of HTTP/2 a deadline ends streams that have nothing to say
		control := http.NewResponseController(e.w)
		e.w.before = func(length int) {
			_ = control.SetWriteDeadline(time.Now().Add(strangerPatience + time.Duration(length/strangerRate)*time.Second))
		}
	}
	if e.r.Body == nil || e.r.ContentLength == 0 {
		return
	}
	e.hurryBody(most)
	e.r.Body = &hurried{e.r.Body, e.patient}
}

// answered lifts what strangers had for their answer: the next request of the connection
// may be another's.
func (e *exchange) answered() {
	if e.w.before != nil {
		_ = http.NewResponseController(e.w).SetWriteDeadline(time.Time{})
	}
}

// hurryBody sets the deadline by the length of the body.
func (e *exchange) hurryBody(most int64) {
	length := e.r.ContentLength
	if length < 0 || length > most {
		length = most
	}
	_ = http.NewResponseController(e.w).SetReadDeadline(time.Now().Add(strangerPatience + time.Duration(length/unprovenRate)*time.Second))
}

// hurried is a body with a deadline that ends with it: net/http goes on reading, to know
// whether the caller is there, and takes a deadline for the caller's end.
type hurried struct {
	io.ReadCloser
	over func()
}

func (h *hurried) Read(p []byte) (int, error) {
	n, err := h.ReadCloser.Read(p)
	if err == io.EOF {
		h.over()
	}
	return n, err
}

// hurry sets the deadline, by the connection's own clock. net/http sets another
// one before the next request. A writer without a connection has none.
func (e *exchange) hurry() {
	_ = http.NewResponseController(e.w).SetReadDeadline(time.Now().Add(strangerPatience))
}

// patient lifts the deadline: the caller is known.
func (e *exchange) patient() {
	_ = http.NewResponseController(e.w).SetReadDeadline(time.Time{})
}
