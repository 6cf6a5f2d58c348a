package store

import (
	"sync"
	"sync/atomic"
)

// Topics is the part of Store.Changed and Store.Watch that lies within one process;
// the zero value is ready.
type Topics struct {
	mu      sync.Mutex
	waiting map[Topic]chan struct{}
	// changing are those of the commit under way, which readers may see already.
	changing atomic.Pointer[map[Topic]struct{}]
}

// Commit runs commit, which changes topics, and then wakes them. One at a time is
// under way.
func (t *Topics) Commit(topics map[Topic]struct{}, commit func() error) error {
	t.changing.Store(&topics)
	defer t.changing.Store(nil)
	if err := commit(); err != nil {
		return err
	}
	for topic := range topics {
		t.Wake(topic)
	}
	return nil
}

// Watch begins to watch topic.
func (t *Topics) Watch(topic Topic) Watch {
	return Watch{topics: t, topic: topic, changed: t.Changed(topic)}
}

// Watch says for how long holds what was read after it began. It ends before anybody
// can read what another commit has written of its topic: who has read that, and then
// asks a cache, gets nothing older. The zero value holds for ever.
type Watch struct {
	topics  *Topics
	topic   Topic
	changed <-chan struct{}
}

// Holds reports whether nothing of the topic has been written since.
func (w Watch) Holds() bool {
	if w.topics == nil {
		return true
	}
	// The commit under way is looked for first: it ends after its topics are woken.
	if changing := w.topics.changing.Load(); changing != nil {
		if _, is := (*changing)[w.topic]; is {
			return false
		}
	}
	select {
	case <-w.changed:
		return false
	default:
		return true
	}
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
