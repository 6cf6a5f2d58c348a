package issuer

import (
	"crypto/sha256"
	"maps"
	"sync"
	"time"
)

// attempts counts the failures to sign in by user, those who do not exist as well,
// so that a pause tells nobody who does.
type attempts struct {
	mu     sync.Mutex
	failed map[string]failures
}

type failures struct {
	count int
	until time.Time // nobody signs in before
	last  time.Time
}

// attemptKey is what the failures of a user are counted by: the sub of one who is
// there, whatever they are called by, and else the name, at a length that strangers
// do not choose.
func attemptKey(in Pool, u User, name string) string {
	if u.Sub != "" {
		return in.ID + "/" + u.Sub
	}
	sum := sha256.Sum256([]byte(in.handle(name)))
	return in.ID + "/" + encodedURL(sum[:])
}

// After freeFailures each one makes the next wait twice as long, from a second to
// longestPause (Cognito's developer guide, lockout behavior).
const (
	freeFailures = 5
	longestPause = 15 * time.Minute
	maxCounted   = 10_000
)

// try reports whether a user may try now, and counts it as a failure until it is
// forgiven: many at once do not pass together.
func (a *attempts) try(key string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	f := a.failed[key]
	if now.Before(f.until) {
		return false
	}
	if now.Sub(f.last) > longestPause {
		f = failures{}
	}
	f.count++
	f.last = now
	if over := f.count - freeFailures; over >= 0 {
		f.until = now.Add(min(time.Second<<min(over, 20), longestPause))
	}
	if a.failed == nil {
		a.failed = map[string]failures{}
	}
	if len(a.failed) >= maxCounted {
		a.forgetOld(now)
	}
	a.failed[key] = f
	return true
}

// paused reports whether a user may not try now, and counts nothing.
func (a *attempts) paused(key string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return now.Before(a.failed[key].until)
}

// forgetOld makes room: first what is over, else those who have free failures left.
// Who waits, or has waited, stays: many other names do not shorten a pause. Each such
// entry has cost five hashes of some 25 ms, so that there are never many more than
// maxCounted.
func (a *attempts) forgetOld(now time.Time) {
	for key, f := range a.failed {
		if now.Sub(f.last) > longestPause {
			delete(a.failed, key)
		}
	}
	if len(a.failed) >= maxCounted {
		maps.DeleteFunc(a.failed, func(_ string, f failures) bool { return f.count < freeFailures })
	}
}

// forgive forgets the failures of a user who has signed in.
func (a *attempts) forgive(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.failed, key)
}

// uncount takes back one try at which no password was looked at.
func (a *attempts) uncount(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f, ok := a.failed[key]
	if !ok {
		return
	}
	f.count--
	if f.count < freeFailures {
		f.until = time.Time{}
	}
	if f.count <= 0 {
		delete(a.failed, key)
		return
	}
	a.failed[key] = f
}
