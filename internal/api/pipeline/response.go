package pipeline

import (
	"io"
	"net/http"
)

// response knows whether the head of the answer is out: until then a failure
// can still be told, and afterwards only by breaking the connection.
type response struct {
	http.ResponseWriter
	begun bool
	// lingers is set for HTTP/1 alone, and tooLarge where the answer is that the request is.
	lingers, tooLarge bool
	// before is called with the length of each part of the answer before it is written, or nil.
	before func(length int)
}

// WriteHeader implements http.ResponseWriter. An interim head is not the answer's.
func (w *response) WriteHeader(status int) {
	w.begun = w.begun || status >= http.StatusOK
	if status == http.StatusRequestEntityTooLarge && w.lingers {
		w.tooLarge = true
		w.Header().Set("Connection", "close")
		_ = http.NewResponseController(w.ResponseWriter).EnableFullDuplex() // so that the answer is out before the rest of the body is in
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *response) Write(b []byte) (int, error) {
	w.begun = true
	if w.before != nil {
		w.before(len(b))
	}
	return w.ResponseWriter.Write(b)
}

// ReadFrom lets the kernel copy files where the writer behind can.
func (w *response) ReadFrom(r io.Reader) (int64, error) {
	w.begun = true
	if w.before != nil {
		return io.Copy(struct{ io.Writer }{w}, r)
	}
	return io.Copy(w.ResponseWriter, r)
}

// Unwrap lets an http.ResponseController flush and hijack.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }
