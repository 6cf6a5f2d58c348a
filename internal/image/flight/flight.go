// Package flight has one maker at a time of each thing that has a key.
package flight

import (
	"context"
	"sync"
)

// Group is who makes what. The zero value is ready, and safe for concurrent use.
type Group struct {
	mu   sync.Mutex
	made map[string]chan struct{} // closed when the maker is done
}

// TakeOff waits until nobody else makes key, and claims it until the returned
// function is called, once. The error is ctx's.
func (g *Group) TakeOff(ctx context.Context, key string) (land func(), err error) {
	for {
		g.mu.Lock()
		other := g.made[key]
		if other == nil {
			mine := make(chan struct{})
			if g.made == nil {
				g.made = map[string]chan struct{}{}
			}
			g.made[key] = mine
			g.mu.Unlock()
			return func() {
				g.mu.Lock()
				delete(g.made, key)
				g.mu.Unlock()
				close(mine)
			}, nil
		}
		g.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Under reports whether somebody makes key now.
func (g *Group) Under(key string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.made[key] != nil
}
