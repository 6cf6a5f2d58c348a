package http1

import (
	"runtime"
	"time"
)

// AwaitNoise returns when something has come on every idle connection: an end, or bytes
// that nobody asked for. What was read meanwhile is lost, and the connection with it.
func (t *Transport) AwaitNoise() {
	t.idle.mu.Lock()
	defer t.idle.mu.Unlock()
	for _, list := range t.idle.byAddress {
		for _, c := range list {
			for deadline := time.Now().Add(10 * time.Second); c.quiet() && time.Now().Before(deadline); {
				runtime.Gosched()
			}
		}
	}
}
