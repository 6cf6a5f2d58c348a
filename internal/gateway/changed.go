package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/work"
)

const (
	// changePause is between two looks at what a server offers by itself, of which
	// changeBurst may follow one another sooner; changeSettle is how long one waits for a
	// server that has more to say.
	changePause  = time.Minute
	changeBurst  = 3
	changeSettle = 2 * time.Second
	// changeBusy is how long a look waits while targets of its gateway are worked on: it
	// takes no turn from those who change them.
	changeBusy = 5 * time.Second
	// maxChanging bounds the targets whose last look is remembered.
	maxChanging = 10_000
)

// changing is what is known of targets whose servers said that they offer something else.
type changing struct {
	mu sync.Mutex
	at map[string]*change // by target
}

// change is that of one target.
type change struct {
	due  bool      // a look is asked for
	next time.Time // before which none begins
}

// begin notes that a target is to be looked at, and returns when; it reports false where
// that is noted already.
func (c *changing) begin(key string, now time.Time) (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.at[key]
	if one == nil {
		for k, old := range c.at {
			if len(c.at) < maxChanging {
				break
			}
			if !old.due && now.Sub(old.next) > changeBurst*changePause {
				delete(c.at, k)
			}
		}
		one = &change{}
		c.at[key] = one
	}
	if one.due {
		return time.Time{}, false
	}
	one.due = true
	at := now.Add(changeSettle)
	if one.next.After(at) {
		at = one.next
	}
	return at, true
}

// end notes that a target was looked at, or is not to be.
func (c *changing) end(key string, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if one := c.at[key]; one != nil {
		if earliest := now.Add(-(changeBurst - 1) * changePause); one.next.Before(earliest) {
			one.next = earliest
		}
		one.due, one.next = false, one.next.Add(changePause)
	}
}

// Announced tells the service that the server of a target may offer something else than it
// did (spec/gateway.md 17.12). It is looked at soon, and in the long run once a minute at
// most; where it offers something else, the target is synchronized.
func (s *Service) Announced(ctx context.Context, scope store.Scope, gateway, id string) {
	key := workKey(scope, childID(gateway, id))
	at, first := s.changing.begin(key, s.cfg.Now())
	if !first {
		return
	}
	err := s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		return enqueue(tx, store.Work{Kind: changedKind, Key: key + " changed", NotBefore: at}, payload{Scope: scope, Gateway: gateway, Target: id})
	})
	if err != nil {
		s.changing.end(key, s.cfg.Now())
		s.cfg.Log.WarnContext(ctx, "a change of a target is not looked at", "gateway", gateway, "target", id, "error", err)
	}
}

// compare finds out whether a target's server offers something else.
type compare struct{ s *Service }

func (h compare) Do(ctx context.Context, item *work.Item) error {
	s := h.s
	var job payload
	if err := json.Unmarshal(item.Payload, &job); err != nil {
		return work.Permanent(err)
	}
	in, err := s.readTarget(ctx, job, listens)
	if err != nil {
		return permanent(err)
	}
	if in == nil {
		return h.done(ctx, item, job, false)
	}
	busy, err := s.busy(ctx, job)
	if err != nil {
		return err
	}
	if busy {
		return work.Later(changeBusy)
	}
	for _, turns := range []chan struct{}{s.looking, s.working} {
		select {
		case turns <- struct{}{}:
			defer func() { <-turns }()
		default:
			return work.Later(changeBusy)
		}
	}
	made, err := s.catalogue(ctx, in)
	if err != nil {
		// What serves goes on: a server that tells of changes and cannot be asked just now
		// is not the target's owner's to mend.
		s.cfg.Log.InfoContext(ctx, "what a target offers now cannot be had", "gateway", job.Gateway, "target", job.Target, "error", err)
		return h.done(ctx, item, job, false)
	}
	same, err := s.offered(ctx, in, made)
	if err != nil {
		return permanent(err)
	}
	return h.done(ctx, item, job, !same)
}

// done ends a look, and has the target synchronized where it offers something else.
func (h compare) done(ctx context.Context, item *work.Item, job payload, other bool) error {
	err := h.s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		if other {
			err := h.s.synchronize(tx, job.Scope, job.Gateway, job.Target)
			if f, ok := errors.AsType[*fault.Error](err); err != nil && !(ok && f.Status < http.StatusInternalServerError) {
				return err // else the target was changed meanwhile, and is read anew
			}
		}
		return item.Complete(tx)
	})
	if err == nil {
		h.s.changing.end(workKey(job.Scope, childID(job.Gateway, job.Target)), h.s.cfg.Now())
	}
	return err
}

// Failed lets the next change be looked at.
func (h compare) Failed(_ store.Tx, w store.Work, _ error) error {
	var job payload
	if err := json.Unmarshal(w.Payload, &job); err == nil {
		h.s.changing.end(workKey(job.Scope, childID(job.Gateway, job.Target)), h.s.cfg.Now())
	}
	return nil
}

// listens reports whether what a target offers is read by the gateway itself, without
// anybody having to agree. Targets that are worked on are read anyway.
func listens(st *targetState) bool {
	return synchronizes(kindNamed(st.Kind)) && !st.Static && st.Listing != agentcorecontrol.ListingModeDYNAMIC && st.Grant != agentcorecontrol.OAuthGrantTypeAUTHORIZATION_CODE &&
		(st.Status == agentcorecontrol.TargetStatusREADY || st.Status == agentcorecontrol.TargetStatusSYNCHRONIZE_UNSUCCESSFUL)
}

// busy reports whether a target of a gateway is worked on.
func (s *Service) busy(ctx context.Context, job payload) (busy bool, err error) {
	err = s.cfg.Store.View(ctx, func(r store.Reader) error {
		busy = false
		for t, err := range s.docs.targets.Each(r, job.Scope, job.Gateway) {
			if err != nil {
				return err
			}
			busy = busy || working(t.State.Status)
		}
		return nil
	})
	return busy, err
}

// offered reports whether a catalogue is the one that serves.
func (s *Service) offered(ctx context.Context, in *asked, made target.Catalogue) (bool, error) {
	serves, ok, err := s.served(ctx, in)
	if err != nil || !ok {
		return false, err
	}
	was, err := json.Marshal(serves.Catalogue)
	if err != nil {
		return false, err
	}
	is, err := json.Marshal(made)
	return bytes.Equal(was, is), err
}
