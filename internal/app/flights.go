package app

import (
	"context"
	"net/http"
	"sync"
)

// flights counts what handlers are at work on. http.Server does not wait for
// connections that were taken from it (WebSockets, shells), nor does it end them;
// their handlers return when they are over.
type flights struct {
	mu      sync.Mutex
	running int
	landed  chan struct{} // closed when none is left; nil while nobody waits
}

// Handler counts the requests of next.
func (f *flights) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.running++
		f.mu.Unlock()
		defer f.land()
		next.ServeHTTP(w, r)
	})
}

func (f *flights) land() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.running--; f.running == 0 && f.landed != nil {
		close(f.landed)
		f.landed = nil
	}
}

// wait returns when no handler is at work, or ctx's error. Nothing begins any more.
func (f *flights) wait(ctx context.Context) error {
	f.mu.Lock()
	if f.running == 0 {
		f.mu.Unlock()
		return nil
	}
	if f.landed == nil {
		f.landed = make(chan struct{})
	}
	landed := f.landed
	f.mu.Unlock()
	select {
	case <-landed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
