package pipeline

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/outcrop/outcrop/internal/auth/sigv4"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// fullDisk says what to do about a full disk, whichever step met it: the body's
// spool, the store or a file of the handler. Only an operator can mend it, so
// neither status is one that SDKs try again: S3's is 507, the others have the
// quota that is modelled. Any other error is returned as it is.
func (e *exchange) fullDisk(err error) error {
	var told *fault.Error
	if errors.As(err, &told) && told.Status != http.StatusInternalServerError {
		return err // it says something better
	}
	if !store.IsFull(err) {
		return err
	}
	if told != nil {
		err = errors.Unwrap(told) // what it hides is what we came for
	}
	e.drain()
	const text = "The disk of this server is full; nothing was written. Free some space and try again."
	if e.family() == sigv4.S3 {
		return fault.New("InsufficientStorage", http.StatusInsufficientStorage, text).Because(err)
	}
	// A refusal of this status is not logged for operators, who should know.
	e.p.cfg.Log.WarnContext(e.r.Context(), "disk is full", "request", e.call.RequestID, "error", err)
	return fault.Quota(text).Because(err)
}

// drainLimit bounds what is read, in bytes, only to be thrown away.
const drainLimit = 64 << 20

// lingering is how long a client may go on sending what was refused for its size.
const lingering = 5 * time.Second

// linger reads on where a body was refused for its size, after the answer: many clients read
// that only when they have sent all.
func (e *exchange) linger(body io.Reader) {
	if !e.w.tooLarge || body == nil {
		return
	}
	control := http.NewResponseController(e.w)
	if control.Flush() != nil || control.SetReadDeadline(time.Now().Add(lingering)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, body, drainLimit) // as far as it goes
}

// drain reads the rest of a body that nobody wants any more. A client that still
// sends when the connection is closed meets a reset and may never see the answer.
func (e *exchange) drain() {
	if e.r.Body != nil {
		_, _ = io.CopyN(io.Discard, e.r.Body, drainLimit) // as far as it goes
	}
}
