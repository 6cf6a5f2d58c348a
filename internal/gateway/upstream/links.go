package upstream

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/gateway/target"
)

// link is a session with a server that keeps sessions, for those calls that share it.
type link struct {
	mu      sync.Mutex
	session *session
	flight  *flight
	aside   *standalone // nil while there is none
	left    bool        // the server was told that the session ends
	// first is the call that opened it: who says goodbye.
	first target.Call

	// Of links, under its lock.
	key    string
	used   time.Time
	active int
}

// flight is a greeting that runs, and that others wait for.
type flight struct {
	done    chan struct{}
	session *session
	err     error
}

// get returns the session, and greets the server where there is none yet.
func (l *link) get(ctx context.Context, greet func(context.Context) (*session, error)) (*session, error) {
	for {
		l.mu.Lock()
		if l.session != nil {
			defer l.mu.Unlock()
			return l.session, nil
		}
		f := l.flight
		if f == nil {
			f = &flight{done: make(chan struct{})}
			l.flight = f
			l.mu.Unlock()
			f.session, f.err = greet(ctx)
			l.mu.Lock()
			if l.flight = nil; f.session != nil && !f.session.shared() {
				l.session = f.session
			}
			l.mu.Unlock()
			close(f.done)
			return f.session, f.err
		}
		l.mu.Unlock()
		select {
		case <-f.done:
			// Who greets on behalf of others may have gone away meanwhile.
			if f.err == nil || !errors.Is(f.err, context.Canceled) {
				return f.session, f.err
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// drop forgets a session, unless another took its place.
func (l *link) drop(s *session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.session == s {
		l.session = nil
		l.hush()
	}
}

// bare is a call without what is called, and who is asked meanwhile.
func bare(c *target.Call) target.Call {
	return target.Call{Caller: c.Caller, Header: c.Header, Query: c.Query, Intercepted: c.Intercepted, Catalogue: c.Catalogue}
}

// links are the sessions of a target, by who shares them.
type links struct {
	mu    sync.Mutex
	byKey map[string]*link
	max   int
	now   func() time.Time
}

// maxIdle is how long a link stays that nobody uses: as long as a session of a gateway can
// last (spec/gateway.md 2.2), as nobody says when one has ended by itself.
const maxIdle = 8 * time.Hour

// acquire returns the link of a key, which release gives back, and those that went for it.
func (ls *links) acquire(key string, c *target.Call) (l *link, gone []*link) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	now := ls.now()
	l = ls.byKey[key]
	if l == nil {
		gone = ls.evict(now)
		l = &link{key: key, first: bare(c)}
		ls.byKey[key] = l
	}
	l.used = now
	l.active++
	return l, gone
}

// release gives a link back. One without a session is of no use to the next call, and goes.
func (ls *links) release(l *link) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if l.active--; l.active > 0 || ls.byKey[l.key] != l {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.session == nil {
		delete(ls.byKey, l.key)
	}
}

// evict takes out those that were not used for long, and where there are too many the one
// that was not for longest. Those that calls use stay.
func (ls *links) evict(now time.Time) (gone []*link) {
	var oldest string
	for key, l := range ls.byKey {
		switch {
		case l.active > 0:
		case now.Sub(l.used) > maxIdle:
			delete(ls.byKey, key)
			gone = append(gone, l)
		case oldest == "" || l.used.Before(ls.byKey[oldest].used):
			oldest = key
		}
	}
	if len(ls.byKey) >= ls.max && oldest != "" {
		gone = append(gone, ls.byKey[oldest])
		delete(ls.byKey, oldest)
	}
	return gone
}

// take takes out the link of a key, or nil.
func (ls *links) take(key string) *link {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.byKey[key]
	delete(ls.byKey, key)
	return l
}

// takeAll takes out all.
func (ls *links) takeAll() []*link {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	var all []*link
	for key, l := range ls.byKey {
		all = append(all, l)
		delete(ls.byKey, key)
	}
	return all
}

// callerDependent tells whether what a target is shown depends on who calls.
func callerDependent(c *agentcorecontrol.CredentialProviderConfiguration) bool {
	if c == nil || c.CredentialProviderType == nil {
		return false
	}
	switch *c.CredentialProviderType {
	case agentcorecontrol.CredentialProviderTypeAPI_KEY, agentcorecontrol.CredentialProviderTypeGATEWAY_IAM_ROLE:
		return false
	case agentcorecontrol.CredentialProviderTypeOAUTH:
		if p := c.CredentialProvider; p != nil && p.OauthCredentialProvider != nil {
			grant := p.OauthCredentialProvider.GrantType
			return grant != nil && *grant != agentcorecontrol.OAuthGrantTypeCLIENT_CREDENTIALS
		}
		return false
	}
	return true
}

// key is under which a call shares a session: that of its caller's session, else that of
// whom the target takes the gateway for. Two users never share one where the target is
// shown anything of them.
func (s *server) key(c *target.Call) string {
	if c.Session != "" {
		return sessionKey(c.Session)
	}
	if !s.dependent && len(c.Header) == 0 && len(c.Query) == 0 {
		return "gateway"
	}
	who := c.Caller
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q", who.Issuer, who.Subject, who.Principal)
	switch {
	case who.Subject == "" && who.Principal == "":
		fmt.Fprintf(h, " %q", who.Token.Reveal())
		for _, name := range slices.Sorted(maps.Keys(c.Header)) {
			fmt.Fprintf(h, " %q %q", name, c.Header[name])
		}
		fmt.Fprintf(h, " %q", c.Query.Encode())
	case c.Intercepted:
		fmt.Fprintf(h, " %q", c.Header.Values("Authorization"))
	}
	return "caller " + string(h.Sum(nil))
}

func sessionKey(session string) string { return "session " + session }
