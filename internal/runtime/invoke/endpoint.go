package invoke

import (
	"crypto/sha256"
	"encoding/base32"
	"strconv"
	"strings"
	"sync"

	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/runtime"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/store"
)

// endpointPath is what the URL of a session's ports begins with (spec/runtime.md
// 2.10 leaves it to us). AWS's model has it no longer than 128 characters, so it
// names the session by a label.
const endpointPath = "/_outcrop/sessions/"

// endpointURL is the URL that leads to the ports of a session, or nil for a runtime
// that has opened none.
func endpointURL(call *pipeline.Call, key session.Key, ports runtime.Ports) *string {
	if len(ports) == 0 {
		return nil
	}
	url := call.BaseURL + endpointPath + label(key)
	return &url
}

// label names a session in its URL. It is no secret: who uses it shows who they
// are, as for an invocation. It stays the same over restarts of the server.
func label(key session.Key) string {
	h := sha256.New()
	for _, part := range []string{key.Scope.Account, key.Scope.Region, key.Owner, key.Endpoint, key.ID} {
		_, _ = h.Write([]byte(strconv.Itoa(len(part)) + ":" + part)) // never fails (hash.Hash)
	}
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(h.Sum(nil)[:16]))
}

// maxLabels bounds how many sessions labels remembers.
const maxLabels = 4096

// labels remembers which sessions the labels stand for that were asked for.
type labels struct {
	mu  sync.Mutex
	all map[string]session.Key
}

// find returns the session of a label in the caller's own scope, if there is one.
func (l *labels) find(sessions *session.Manager, scope store.Scope, text string) (session.Key, bool) {
	l.mu.Lock()
	key, ok := l.all[text]
	l.mu.Unlock()
	if ok && sessions.Knows(key) {
		return key, key.Scope == scope
	}
	found := sessions.List(func(k session.Key) bool { return k.Scope == scope && label(k) == text })
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
