package mcp

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/outcrop/outcrop/internal/fault"
)

// maxBatch bounds the messages of a batch.
const maxBatch = 50

// batch takes several messages at once, as revision 2025-03-26 alone has them: one after
// another, each as if it had come by itself. What would come before the answer has no place
// in a list of answers, so that nobody is told or asked anything meanwhile.
func (x *exchange) batch(text []byte) {
	list, f := x.unpacked(text)
	if f != nil {
		x.refuse(f)
		return
	}
	next, calls := []byte("["), 0
	for _, message := range list {
		answer := x.part(message, &calls)
		if answer == nil {
			continue
		}
		if next[0] == '[' {
			x.out.w.Header().Set("Content-Type", "application/json")
			x.out.w.WriteHeader(http.StatusOK)
		}
		for _, b := range [...][]byte{next, answer} {
			if _, err := x.out.w.Write(b); err != nil {
				return // the caller has left
			}
		}
		next = []byte(",")
	}
	if next[0] == '[' {
		x.out.finish(http.StatusAccepted, nil)
		return
	}
	_, _ = x.out.w.Write([]byte("]")) // the caller may have left
}

// unpacked are the messages of a batch, which must be of the revision that has batches, as
// must be the session that it belongs to.
func (x *exchange) unpacked(text []byte) ([]jsontext.Value, *failure) {
	x.msg = &message{} // none of them is what is refused here
	of, f := x.revision(meta{})
	if f == nil && of == oldest && x.view.SessionLife > 0 {
		var s session
		s, f = x.belongs()
		of = s.Version
	}
	switch {
	case f != nil:
		return nil, f
	case of != oldest:
		return nil, invalid(codeInvalidRequest, "Batches are of revision %s alone, and this is %s. Send one message in a request", oldest, of)
	}
	var list []jsontext.Value
	d := jsontext.NewDecoder(bytes.NewReader(text), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	_, err := d.ReadToken()
	for err == nil && d.PeekKind() != ']' {
		if len(list) == maxBatch {
			return nil, invalid(codeInvalidRequest, "The batch has more than %d messages. Send the others in another request", maxBatch)
		}
		var message jsontext.Value
		message, err = d.ReadValue()
		list = append(list, message.Clone())
	}
	if err == nil {
		_, err = d.ReadToken()
	}
	switch {
	case err != nil || firstToken(text[d.InputOffset():]) != 0:
		return nil, invalid(codeParse, "The request is not JSON: %s", reason(err))
	case len(list) == 0:
		return nil, invalid(codeInvalidRequest, "The batch is empty. Send one message at least")
	}
	return list, nil
}

// another lets a call of a batch in: the first one is the request's own.
func (x *exchange) another() *failure {
	if x.batched == nil {
		return nil
	}
	if *x.batched++; *x.batched == 1 {
		return nil
	}
	id, err := x.came.Again(x.ctx, x.needs)
	if err == nil {
		x.request, x.seen.ID = id, id
		return nil
	}
	f := fault.From(err)
	if f.Status >= http.StatusInternalServerError {
		return internal(err)
	}
	return refused(codeUnauthorized, "%s", f.Message)
}

// part takes one message of a batch and returns its answer, or nothing where none is wanted.
func (x *exchange) part(text []byte, calls *int) []byte {
	w := &partWriter{header: http.Header{}}
	one := &exchange{
		e: x.e, ctx: x.ctx, client: x.client, view: x.view, caller: x.caller, header: x.header, query: x.query, request: x.request, seen: x.seen, batched: calls, came: x.came, needs: x.needs,
	}
	one.out = &stream{x: one, w: w, control: http.NewResponseController(w)}
	defer one.ended()
	one.one(text)
	switch {
	case one.msg != nil && one.msg.answers():
		return nil
	case w.body == nil && one.msg.call() && !one.cancelled.Load():
		one.refuse(internal(errors.New("the gateway's interceptor gave an answer without a body, which a batch has no place for")))
	}
	return w.body
}

// partWriter keeps the answer to one message of a batch. Its status and headers are those of
// no request.
type partWriter struct {
	header http.Header
	body   json.RawMessage
}

// Header implements http.ResponseWriter.
func (w *partWriter) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *partWriter) WriteHeader(int) {}

// Write implements http.ResponseWriter.
func (w *partWriter) Write(b []byte) (int, error) {
	w.body = append(w.body, b...)
	return len(b), nil
}
