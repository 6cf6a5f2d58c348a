package principal

import (
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/store"
)

// uses remembers when a use was written last. The zero value has none.
type uses struct {
	mu sync.Mutex
	at map[string]time.Time
}

// due reports whether the use of an id is to be written, and counts it as written.
func (u *uses) due(id string, now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if at, ok := u.at[id]; ok && now.Sub(at) < useGrain {
		return false
	}
	if u.at == nil || len(u.at) >= store.DefaultCached {
		u.at = map[string]time.Time{}
	}
	u.at[id] = now
	return true
}

func (u *uses) forget(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.at, id)
}
