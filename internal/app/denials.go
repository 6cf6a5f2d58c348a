package app

import (
	"sync"

	"github.com/outcrop/outcrop/internal/auth"
)

// denials tells a session's log what its execution role was denied. The refusal
// itself is AWS's sentence, which clients parse, and cannot say why.
type denials struct {
	mu       sync.Mutex
	watchers map[string]*denialWatcher // by the ARN of the role's session
}

// denialWatcher is one session's.
type denialWatcher struct {
	note func(string)
	told map[string]bool // actions
}

// maxDenials bounds the actions of one session that are told of.
const maxDenials = 64

// watch has a session's log told until forget is called.
func (d *denials) watch(arn string, note func(string)) (forget func()) {
	w := &denialWatcher{note: note, told: map[string]bool{}}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.watchers == nil {
		d.watchers = map[string]*denialWatcher{}
	}
	d.watchers[arn] = w
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.watchers[arn] == w { // not the next session's of the same name
			delete(d.watchers, arn)
		}
	}
}

// denied implements auth.Authorizer.Denied: each action once.
func (d *denials) denied(p auth.Principal, no auth.Decision) {
	r := no.Requirement
	if p.Kind != auth.AssumedRole {
		return
	}
	d.mu.Lock()
	w := d.watchers[p.ARN]
	fresh := w != nil && !w.told[r.Action] && len(w.told) < maxDenials
	if fresh {
		w.told[r.Action] = true
	}
	d.mu.Unlock()
	if fresh {
		why := no.Because()
		if p.Entity == "" {
			why = "it does not exist, and is allowed nothing until it does (docs/iam.md)"
		}
		w.note("the execution role was denied " + r.Action + " on " + r.Resource + ": " + why)
	}
}
