package lambda

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/lambda"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/image"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/work"
)

// The kinds of this service's work items.
const (
	prepareKind  = "function.prepare"
	deleteKind   = "function.delete"
	snapshotKind = "function.snapshot" // it comes after Active and changes no status
	eventKind    = "function.event"
)

// payload is what an item says about its job.
type payload struct {
	Scope  store.Scope `json:"scope"`
	Name   string      `json:"name"`
	ID     string      `json:"id"`
	Number int         `json:"number,omitempty"`
	// Again says that a snapshot replaces one that is about to be too old.
	Again bool `json:"again,omitempty"`
	// Event is an invocation that nobody waits for.
	Event *event `json:"event,omitempty"`
	// Failure is why environments could not be restored from the last snapshot; it is
	// never stored.
	Failure string `json:"-"`
}

// key keeps the items of one function in order.
func (p payload) key() string {
	return strings.Join([]string{"function", p.Scope.Account, p.Scope.Region, p.Name, p.ID}, "/")
}

func enqueue(tx store.Tx, kind string, job payload) error {
	return enqueueAt(tx, kind, job.key(), job, time.Time{})
}

func enqueueAt(tx store.Tx, kind, key string, job payload, at time.Time) error {
	body, err := json.Marshal(job)
	if err != nil {
		return err
	}
	_, err = tx.EnqueueWork(store.Work{Kind: kind, Key: key, Payload: body, NotBefore: at})
	return err
}

// Handlers are the work handlers of the service, by kind.
func (s *Service) Handlers() map[string]work.Handler {
	return map[string]work.Handler{prepareKind: prepare{s}, deleteKind: remove{s}, snapshotKind: makeSnapshot{s}, eventKind: deliver{s}}
}

// job reads an item's payload and the function it is about; there is false when that is
// gone, or another by now.
func (s *Service) job(ctx context.Context, w store.Work) (job payload, doc functionDoc, there bool, err error) {
	if err := json.Unmarshal(w.Payload, &job); err != nil {
		return job, doc, false, work.Permanent(err)
	}
	err = s.cfg.Store.View(ctx, func(r store.Reader) (err error) {
		doc, err = s.functions.Get(r, job.Scope, job.Name)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return job, doc, false, nil
	}
	return job, doc, err == nil && doc.State.ID == job.ID, err
}

// prepare finds what a version runs with, and makes it the one that is invoked.
type prepare struct{ s *Service }

// Do implements work.Handler.
func (p prepare) Do(ctx context.Context, item *work.Item) error {
	s := p.s
	job, doc, there, err := s.job(ctx, item.Work)
	if err != nil || !there || doc.State.Target.Number != job.Number {
		return err
	}
	v := doc.State.Target
	held, err := s.fit(ctx, doc, &v)
	if err != nil {
		return permanent(err)
	}
	defer held.Release()
	err = s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		d, err := s.functions.Get(tx, job.Scope, job.Name)
		if errors.Is(err, store.ErrNotFound) || err == nil && (d.State.ID != job.ID || d.State.Target.Number != job.Number) {
			return item.Complete(tx)
		}
		if err != nil {
			return err
		}
		st := &d.State
		st.Status, st.Reason, st.ReasonCode = active, "", ""
		st.Update, st.UpdateReason, st.UpdateReasonCode = successful, "", ""
		st.Target, st.Live = v, &v
		if _, err := s.functions.Replace(tx, d); err != nil {
			return err
		}
		if s.cfg.Sessions.Templates() {
			if err := enqueueSnapshot(tx, job, time.Time{}); err != nil {
				return err
			}
		}
		return item.Complete(tx)
	})
	if err != nil {
		return err
	}
	for _, w := range v.Warnings {
		s.note(doc, &v, w)
	}
	s.retire(ctx, owner(job.Name, job.ID), v.Number)
	return nil
}

// permanent fails an item at once by what its function's owner has to mend.
func permanent(err error) error {
	if fault.From(err).Status < http.StatusInternalServerError {
		return work.Permanent(err)
	}
	return err
}

// Failed settles a function that cannot be prepared. What ran before it goes on.
func (p prepare) Failed(tx store.Tx, w store.Work, cause error) error {
	var job payload
	if err := json.Unmarshal(w.Payload, &job); err != nil {
		return err
	}
	reason, code := reasonOf(cause)
	d, err := p.s.functions.Get(tx, job.Scope, job.Name)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil || d.State.ID != job.ID || d.State.Target.Number != job.Number {
		return err
	}
	st := &d.State
	if st.Live == nil {
		st.Status, st.Reason, st.ReasonCode = failed, reason, code
	}
	st.Update, st.UpdateReason, st.UpdateReasonCode = broken, reason, code
	_, err = p.s.functions.Replace(tx, d)
	return err
}

// reasonOf is what a caller reads of work that failed.
func reasonOf(cause error) (reason, code string) {
	f := fault.From(cause)
	switch {
	case f.Status == http.StatusInternalServerError && store.IsFull(cause):
		return "The disk of this server is full. Free some space and try again.", lambda.StateReasonCodeInternalError
	case f.Status >= http.StatusInternalServerError:
		return f.Message, lambda.StateReasonCodeInternalError
	case f.Code == codeNoInterpreter:
		return f.Message, lambda.StateReasonCodeInvalidRuntime
	}
	return f.Message, lambda.StateReasonCodeInvalidZipFileException
}

// remove ends the environments of a function that is gone.
type remove struct{ s *Service }

// Do implements work.Handler.
func (d remove) Do(ctx context.Context, item *work.Item) error {
	var job payload
	if err := json.Unmarshal(item.Payload, &job); err != nil {
		return work.Permanent(err)
	}
	own := owner(job.Name, job.ID)
	d.s.mu.Lock()
	delete(d.s.pools, own)
	d.s.mu.Unlock()
	return d.s.cfg.Sessions.StopOwner(ctx, job.Scope, own)
}

// Failed leaves the environments to their own end.
func (remove) Failed(store.Tx, store.Work, error) error { return nil }

// fit brings a version's code onto this machine as its interpreter can run it, and fills
// in what was found out. The caller releases it.
func (s *Service) fit(ctx context.Context, doc functionDoc, v *version) (*image.Code, error) {
	in, warnings, err := s.interpreter(ctx, v)
	if err != nil {
		return nil, err
	}
	held, err := s.cfg.Code.Open(v.Digest)
	if err != nil {
		return nil, err
	}
	others, err := s.cfg.Interpreters(ctx)
	if err != nil {
		held.Release()
		return nil, err
	}
	o := image.FitOptions{Pinned: v.Fit, Fetch: s.cfg.Wheels, Note: func(text string) { s.note(doc, v, text) }}
	for _, other := range others {
		if language, _, err := image.ParseRuntime(other.Runtime); err == nil && language == image.Python && other.Executable != in.Executable {
			o.Pythons = append(o.Pythons, other.Executable)
		}
	}
	fitted, err := s.cfg.Code.Fit(ctx, held, in, o)
	if err != nil {
		held.Release()
		return nil, err
	}
	v.Interpreter, v.Fit, v.Warnings = in.Runtime, fitted.Fit, warnings
	if s.cfg.SDKs != nil {
		sdk, warning := s.cfg.SDKs.For(ctx, fitted.Dir, in)
		v.SDK = sdk
		if warning != "" {
			v.Warnings = append(v.Warnings, warning)
		}
	}
	return fitted, nil
}
