package store

import "sync"

// DefaultCached bounds a Cache that says nothing else.
const DefaultCached = 4096

// Cache holds what was made of stored documents until any document of their kind is
// written, by this process or, on a shared store, by another. The zero value is
// empty. It is safe for concurrent use.
type Cache[K comparable, V any] struct {
	// Most bounds how many values are held; 0 is DefaultCached. One more than that
	// empties it.
	Most int

	mu     sync.RWMutex
	values map[K]V
	watch  Watch
}

// Get returns the value of a key, unless something has been written since.
func (c *Cache[K, V]) Get(k K) (V, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if !c.watch.Holds() {
		var none V
		return none, false
	}
	v, ok := c.values[k]
	return v, ok
}

// Put adds what was read after watch began (Store.Watch), so that a write in between
// is not missed. All values of a cache hang on one topic.
func (c *Cache[K, V]) Put(k K, v V, watch Watch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !watch.Holds() {
		return
	}
	most := c.Most
	if most == 0 {
		most = DefaultCached
	}
	if c.values == nil || !c.watch.Holds() || len(c.values) >= most {
		c.values, c.watch = map[K]V{}, watch
	}
	c.values[k] = v
}
