package store

import "sync"

// Topics is the part of Store.Changed that lies within one process; the zero
// value is ready.
type Topics struct {
	mu      sync.Mutex
	waiting map[Topic]chan struct{}
}

// Changed returns the channel that the next Wake of topic closes.
func (t *Topics) Changed(topic Topic) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	ch, ok := t.waiting[topic]
	if !ok {
		if t.waiting == nil {
			t.waiting = map[Topic]chan struct{}{}
		}
		ch = make(chan struct{})
		t.waiting[topic] = ch
	}
	return ch
}

// Wake closes the channel of topic, if anybody has asked for it.
func (t *Topics) Wake(topic Topic) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if ch, ok := t.waiting[topic]; ok {
		close(ch)
		delete(t.waiting, topic)
	}
}
