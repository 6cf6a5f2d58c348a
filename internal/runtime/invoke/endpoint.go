package invoke

import (
	"sync"

	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/runtime"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/sessionurl"
)

// endpointURL is the URL that leads to the ports of a session, or nil for a runtime
// that has opened none.
func endpointURL(call *pipeline.Call, key session.Key, ports runtime.Ports) *string {
	if len(ports) == 0 {
		return nil
	}
	url := call.BaseURL + sessionurl.Path + label(key)
	return &url
}

func label(key session.Key) string {
	return sessionurl.Label(key.Scope.Account, key.Scope.Region, key.Owner, key.Endpoint, key.ID)
}

// maxLabels bounds how many sessions labels remembers.
const maxLabels = 4096

// labels remembers which sessions the labels stand for that were asked for.
type labels struct {
	mu  sync.Mutex
	all map[string]session.Key
}

// find returns the session of a label, if there is one.
func (l *labels) find(sessions *session.Manager, text string) (session.Key, bool) {
	l.mu.Lock()
	key, ok := l.all[text]
	l.mu.Unlock()
	if ok && sessions.Knows(key) {
		return key, true
	}
	found := sessions.List(func(k session.Key) bool { return label(k) == text })
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(found) == 0 {
		delete(l.all, text)
		return session.Key{}, false
	}
	if len(l.all) >= maxLabels {
		clear(l.all) // they are found again
	}
	l.all[text] = found[0].Key
	return found[0].Key, true
}
