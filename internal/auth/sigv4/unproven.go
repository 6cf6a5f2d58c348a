package sigv4

import (
	"io"
	"sync"
)

// Unproven bounds, in bytes, what callers make the server keep of their bodies
// before anybody has proven who they are: the body of a signature that covers an
// undeclared hash, which only the whole body can prove, and the body of a
// request without a signature. An access key id is no secret, so that whoever
// has read one could fill memory and disk in its name. Beyond the bound a body
// is refused with the throttling error that SDKs retry; a caller who declares
// the hash is proven by the headers alone and never counted.
type Unproven struct {
	// KeyMemory and KeyDisk bound what one access key id may hold. All requests
	// without a signature share one place of that size.
	KeyMemory, KeyDisk int64
	// Memory and Disk bound what all hold together.
	Memory, Disk int64
}

// DefaultUnproven is enough for 64 bodies of 1 MiB and 5 of 100 MiB in the name
// of one key, and for twice as much in all.
func DefaultUnproven() Unproven {
	return Unproven{KeyMemory: 64 << 20, KeyDisk: 512 << 20, Memory: 128 << 20, Disk: 1 << 30}
}

// kept is an amount in bytes.
type kept struct{ memory, disk int64 }

func (k kept) plus(n kept) kept { return kept{k.memory + n.memory, k.disk + n.disk} }

// ledger counts what is kept unproven. Only known keys enter, and leave with
// their last byte, so that nobody can make it grow.
type ledger struct {
	bound Unproven

	mu  sync.Mutex
	all kept
	key map[string]kept
}

func newLedger(bound Unproven) *ledger {
	return &ledger{bound: bound, key: map[string]kept{}}
}

// hold is what one request keeps unproven. The nil hold is that of a proven
// caller, who may keep what he likes.
type hold struct {
	ledger *ledger
	key    string
	now    kept
}

func (l *ledger) hold(key string) *hold { return &hold{ledger: l, key: key} }

// set makes the hold one of n, or refuses to let it grow so far.
func (h *hold) set(n kept) error {
	if h == nil || n == h.now {
		return nil
	}
	l := h.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	more := kept{n.memory - h.now.memory, n.disk - h.now.disk}
	mine, all := l.key[h.key].plus(more), l.all.plus(more)
	if more.memory > 0 && (mine.memory > l.bound.KeyMemory || all.memory > l.bound.Memory) ||
		more.disk > 0 && (mine.disk > l.bound.KeyDisk || all.disk > l.bound.Disk) {
		return refuse(TooMuchUnproven)
	}
	h.now, l.all = n, all
	if mine == (kept{}) {
		delete(l.key, h.key)
	} else {
		l.key[h.key] = mine
	}
	return nil
}

// release ends the hold: its caller is proven, or the request is over.
func (h *hold) release() { _ = h.set(kept{}) } // what shrinks is not refused

// Stranger returns the body of a request without a signature, counted among what
// is kept unproven, in memory, until it is closed. The error of a Read beyond
// the bound is a fault.Error in the family's words.
func (v *Verifier) Stranger(f Family, body io.ReadCloser) io.ReadCloser {
	return &strangerBody{ReadCloser: body, family: f, hold: v.unproven.hold("")}
}

type strangerBody struct {
	io.ReadCloser
	family Family
	hold   *hold
}

func (b *strangerBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if herr := b.hold.set(kept{memory: b.hold.now.memory + int64(n)}); herr != nil {
		return 0, b.family.Fault(herr)
	}
	return n, err
}

// Close gives back what was counted, and closes the body.
func (b *strangerBody) Close() error {
	b.hold.release()
	return b.ReadCloser.Close()
}

// Bounded returns the body of a request whose caller is proven otherwise, such as by a
// token: nothing is kept of it, and it holds most bytes or fewer. The error of a Read
// beyond that is a fault.Error in the family's words.
func Bounded(f Family, body io.ReadCloser, most int64) io.ReadCloser {
	return &boundedBody{Closer: body, family: f, reader: limitReader{r: body, left: most, max: most}}
}

type boundedBody struct {
	io.Closer
	family Family
	reader limitReader
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.reader.Read(p)
	if err != nil && err != io.EOF {
		return n, b.family.Fault(err)
	}
	return n, err
}
