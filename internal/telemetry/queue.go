package telemetry

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"
)

// The bounds of what waits to be written.
const (
	maxQueuedBytes = 16 << 20
	// maxStreamBytes is what one stream may have in the queue before its writer
	// is asked to wait.
	maxStreamBytes  = 2 << 20
	maxQueuedAudits = 4096
	// eventOverhead is what an event costs beside its message.
	eventOverhead = 64
)

type streamKey struct {
	group  Group
	stream string
}

type queuedEvent struct {
	key     streamKey
	seq     int64 // the order of arrival over all streams
	at      time.Time
	message string
}

func (e queuedEvent) cost() int { return len(e.message) + eventOverhead }

// waiting is what one stream has in the queue.
type waiting struct {
	events  []queuedEvent
	bytes   int
	dropped int64
}

// queue holds log events and audit records until they are written.
type queue struct {
	mu      sync.Mutex
	streams map[streamKey]*waiting
	bytes   int
	seq     int64
	dropped int64 // since the start
	audits  []Record
	// urgent says that one of the audit records must reach the disk, whoever
	// writes it.
	urgent bool
	// accepted counts the audit records ever taken, durable those of them that
	// are on the disk.
	accepted, durable int64
	closed            bool
	wake              chan struct{} // of capacity 1
	pressed           chan struct{} // of capacity 1: somebody waits for room
	taken             chan struct{} // closed by the next take
}

// batch is what one transaction writes.
type batch struct {
	events  []queuedEvent
	dropped map[streamKey]int64
	audits  []Record
	durable bool
	upTo    int64 // queue.accepted when it was taken
}

func newQueue() *queue {
	return &queue{streams: map[streamKey]*waiting{},
		wake: make(chan struct{}, 1), pressed: make(chan struct{}, 1), taken: make(chan struct{})}
}

// push queues an event. When the queue is full the stream with the most in it
// loses its oldest, so that a flood harms only itself.
func (q *queue) push(e queuedEvent) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		q.dropped++
		return
	}
	w := q.streams[e.key]
	if w == nil {
		w = &waiting{}
		q.streams[e.key] = w
	}
	q.seq++
	e.seq = q.seq
	w.events = append(w.events, e)
	w.bytes += e.cost()
	q.bytes += e.cost()
	for q.bytes > maxQueuedBytes {
		q.dropFrom(q.noisiest())
	}
	q.notify()
}

// full returns a channel that is closed when the queue has been emptied, or nil
// when the stream has room.
func (q *queue) full(key streamKey) <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	if w := q.streams[key]; w == nil || w.bytes < maxStreamBytes {
		return nil
	}
	select {
	case q.pressed <- struct{}{}:
	default:
	}
	return q.taken
}

func (q *queue) noisiest() *waiting {
	var most *waiting
	for _, w := range q.streams {
		if most == nil || w.bytes > most.bytes {
			most = w
		}
	}
	return most
}

func (q *queue) dropFrom(w *waiting) {
	cost := w.events[0].cost()
	w.events[0] = queuedEvent{} // lets the message go
	w.events = w.events[1:]
	w.bytes -= cost
	q.bytes -= cost
	w.dropped++
	q.dropped++
}

// errAuditsFull says that audit records cannot be written and no more are taken.
var errAuditsFull = errors.New("the queue of audit records is full")

// pushAudit queues a record. It returns the number to wait for, and whether the
// queue has room for more. A queue that cannot be written takes some more than
// it has room for, and then none: strangers can make records too, and those must
// not fill the memory while the disk is full.
func (q *queue) pushAudit(r Record, durable bool) (number int64, room bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return 0, false, ErrClosed
	}
	if len(q.audits) >= maxQueuedAudits+maxQueuedAudits/4 {
		return 0, false, errAuditsFull
	}
	r.UserAgent = strings.Clone(clip(r.UserAgent)) // not all that a caller sent
	q.audits = append(q.audits, r)
	q.accepted++
	q.urgent = q.urgent || durable
	q.notify()
	return q.accepted, len(q.audits) < maxQueuedAudits, nil
}

func (q *queue) notify() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take empties the queue.
func (q *queue) take() batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	b := batch{audits: q.audits, durable: q.urgent, upTo: q.accepted}
	for key, w := range q.streams {
		b.events = append(b.events, w.events...)
		if w.dropped > 0 {
			if b.dropped == nil {
				b.dropped = map[streamKey]int64{}
			}
			b.dropped[key] = w.dropped
		}
	}
	close(q.taken)
	q.taken = make(chan struct{})
	q.audits, q.urgent, q.streams, q.bytes = nil, false, map[streamKey]*waiting{}, 0
	slices.SortFunc(b.events, func(x, y queuedEvent) int { return cmp.Compare(x.seq, y.seq) })
	return b
}

// restore puts a batch back that could not be written: its audit records, and
// the number of its log events as dropped.
func (q *queue) restore(b batch) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.audits = append(b.audits, q.audits...)
	q.urgent = q.urgent || b.durable
	lose := func(key streamKey, n int64) {
		w := q.streams[key]
		if w == nil {
			w = &waiting{}
			q.streams[key] = w
		}
		w.dropped += n
	}
	for _, e := range b.events {
		lose(e.key, 1)
		q.dropped++
	}
	for key, n := range b.dropped {
		lose(key, n)
	}
}

// confirm notes that a batch has been written.
func (q *queue) confirm(b batch) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if b.durable {
		q.durable = max(q.durable, b.upTo)
	}
}

func (q *queue) isDurable(number int64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.durable >= number
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
}
