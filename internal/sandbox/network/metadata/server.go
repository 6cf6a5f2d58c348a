package metadata

import (
	"log/slog"
	"net/http"
	"time"
)

// What a guest may take of the service: ratePerSecond requests on average, and
// rateBurst at once. EC2 answers some thousand packets a
// second; an SDK asks for three things an hour.
const (
	ratePerSecond = 100
	rateBurst     = 500
	maxHeader     = 8 << 10
	maxBody       = 1 << 10 // nothing that is asked for has one
	readTimeout   = 5 * time.Second
	writeTimeout  = 10 * time.Second
	idleTimeout   = time.Minute
)

// NewServer returns a server for the connections of one session, with bounds on
// all that a guest decides. Whoever serves closes it when the session ends.
func NewServer(h *Handler) *http.Server {
	return &http.Server{
		Handler:           http.MaxBytesHandler(h, maxBody),
		ReadHeaderTimeout: readTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeader,
		ErrorLog:       slog.NewLogLogger(h.cfg.Log.Handler(), slog.LevelDebug),
	}
}
