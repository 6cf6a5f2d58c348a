package route

import (
	"io"
	"maps"
	"net/http"

	"github.com/outcrop/outcrop/internal/gateway/ratelimit"
)

// answer passes the answer of a target on while it comes.
type answer struct {
	resp   *http.Response
	done   func()
	permit *ratelimit.Permit
}

// ending has something done when the answer was passed on, or given up.
func (a *answer) ending(f func()) *answer {
	before := a.done
	a.done = func() { before(); f() }
	return a
}

func (a *answer) close() {
	_ = a.resp.Body.Close() // nobody waits for the rest
	a.done()
}

// ServeHTTP implements http.Handler.
func (a *answer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	defer a.permit.Release()
	defer a.close()
	control := http.NewResponseController(w)
	_ = control.EnableFullDuplex() // HTTP/2 always does
	header := w.Header()
	maps.Copy(header, a.resp.Header)
	w.WriteHeader(a.resp.StatusCode)
	buf := make([]byte, 32<<10)
	for {
		n, err := a.resp.Body.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return // the caller has left
			}
			if control.Flush() != nil {
				return
			}
		}
		if err == io.EOF {
			return
		}
		if err != nil {
			panic(http.ErrAbortHandler) // what broke off must not look complete
		}
	}
}
