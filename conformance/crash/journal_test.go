package crash

import (
	"fmt"
	"maps"
	"slices"
	"sync"
)

// absent is the state of what does not exist.
const absent = ""

// fate is what a client knows of one thing: the state that was acknowledged and
// the one that a call under way may have brought about.
type fate struct {
	acked   string
	pending string
	open    bool
}

// allows tells whether a state may be seen.
func (f fate) allows(state string) bool {
	return state == f.acked || f.open && state == f.pending
}

// journal is the client's own log of acknowledgements. A name belongs to one
// goroutine, so that at most one change of it is under way.
type journal struct {
	mu    sync.Mutex
	fates map[string]fate
}

func newJournal() *journal { return &journal{fates: map[string]fate{}} }

// change records that name is about to become state, has call do it, and
// records the acknowledgement if there is one. A refused or broken call leaves
// both possible.
func (j *journal) change(name, state string, call func() error) error {
	j.mu.Lock()
	f := j.fates[name]
	f.pending, f.open = state, true
	j.fates[name] = f
	j.mu.Unlock()
	if err := call(); err != nil {
		return err
	}
	j.settle(name, state)
	return nil
}

// settle records what name is, for certain.
func (j *journal) settle(name, state string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if state == absent {
		delete(j.fates, name)
		return
	}
	j.fates[name] = fate{acked: state}
}

// reconcile holds what is there now, by name, against the journal, and takes it
// as the truth from then on. It returns what contradicts.
func (j *journal) reconcile(found map[string]string) []error {
	j.mu.Lock()
	defer j.mu.Unlock()
	var wrong []error
	for _, name := range slices.Sorted(maps.Keys(j.fates)) {
		f := j.fates[name]
		if state := found[name]; !f.allows(state) {
			wrong = append(wrong, fmt.Errorf("%s is %q; acknowledged was %q, under way %q (%v)", name, state, f.acked, f.pending, f.open))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if _, known := j.fates[name]; !known {
			wrong = append(wrong, fmt.Errorf("%s is there with %q, although nobody made it or its deletion was acknowledged", name, found[name]))
		}
	}
	clear(j.fates)
	for name, state := range found {
		j.fates[name] = fate{acked: state}
	}
	return wrong
}
