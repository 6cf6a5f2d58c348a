package pipeline

import (
	"errors"
	"net/http"
	"syscall"

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
	if errors.As(err, &told) {
		return err
	}
	if !errors.Is(err, store.ErrFull) && !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return err
	}
	const text = "The disk of this server is full; nothing was written. Free some space and try again."
	e.p.cfg.Log.WarnContext(e.r.Context(), "disk is full", "request", e.call.RequestID, "error", err)
	if e.family() == sigv4.S3 {
		return fault.New("InsufficientStorage", http.StatusInsufficientStorage, text).Because(err)
	}
	return fault.Quota(text).Because(err)
}
