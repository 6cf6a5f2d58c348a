package jwt

import (
	"container/list"
	"sync"
)

// lru keeps a bounded number of values; those used least recently go first. It is
// safe for concurrent use.
type lru[K comparable, V any] struct {
	mu    sync.Mutex
	max   int
	order *list.List // of *entry, the latest first
	at    map[K]*list.Element
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

func newLRU[K comparable, V any](limit int) *lru[K, V] {
	return &lru[K, V]{max: limit, order: list.New(), at: map[K]*list.Element{}}
}

func (l *lru[K, V]) get(key K) (V, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.at[key]; ok {
		l.order.MoveToFront(e)
		return e.Value.(*entry[K, V]).value, true
	}
	var none V
	return none, false
}

func (l *lru[K, V]) put(key K, value V) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.set(key, value)
}

// getOr returns the value of key, made where there is none.
func (l *lru[K, V]) getOr(key K, make func() V) V {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.at[key]; ok {
		l.order.MoveToFront(e)
		return e.Value.(*entry[K, V]).value
	}
	value := make()
	l.set(key, value)
	return value
}

// set is called with mu held.
func (l *lru[K, V]) set(key K, value V) {
	if e, ok := l.at[key]; ok {
		e.Value.(*entry[K, V]).value = value
		l.order.MoveToFront(e)
		return
	}
	l.at[key] = l.order.PushFront(&entry[K, V]{key, value})
	if l.order.Len() > l.max {
		oldest := l.order.Remove(l.order.Back()).(*entry[K, V])
		delete(l.at, oldest.key)
	}
}
