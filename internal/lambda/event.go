package lambda

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"net/http"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/lambda"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/work"
)

// event is an invocation that nobody waits for. What its caller sent may be a secret.
type event struct {
	RequestID string `json:"requestId"`
	Sealed    []byte `json:"sealed"`
	// Accepted is when its caller was told that it will be invoked.
	Accepted time.Time `json:"accepted,omitzero"`
	// Failures is how often the function has failed.
	Failures int `json:"failures,omitempty"`
	// Refusals is how often it could not be invoked since.
	Refusals int `json:"refusals,omitempty"`
	// Remote: the function is not here.
	Remote bool `json:"remote,omitempty"`
}

// sealedEvent is what an event seals.
type sealedEvent struct {
	Payload json.RawMessage `json:"payload"`
	Context string          `json:"context,omitempty"`
}

const (
	// maxEvents bounds the asynchronous invocations that run at a time, and as many more
	// wait for their turn: they hold workers that others wait for.
	maxEvents = 4
	// eventLanes are those of a function that are tried for the same time. Of each only the
	// first runs or waits, so that a function with many events has no more turns than others.
	eventLanes = maxEvents
	// maxFailures is how often an asynchronous invocation is tried.
	maxFailures = 3
	// The bounds of events that have not been dealt with: those of one function, and those
	// of an account and region.
	maxOfFunction = 1000
	maxOfScope    = 5000
	// maxAge is for how long an event is tried that cannot be invoked, as on AWS by default
	// (MaximumEventAgeInSeconds).
	maxAge = 6 * time.Hour
)

// retryAfter is how long a failed event waits until it is tried again.
func retryAfter(failures int) time.Duration { return time.Duration(failures) * time.Minute }

// pause is how long an event waits that could not be invoked so often: from a second on, and
// at most five minutes, as on AWS.
func pause(times int) time.Duration { return min(time.Second<<min(times-1, 10), 5*time.Minute) }

// ofEvents begins the keys of events.
func ofEvents(scope store.Scope) string {
	return strings.Join([]string{eventKind, scope.Account, scope.Region, ""}, "/")
}

// eventsKey begins those of one function.
func (p payload) eventsKey() string {
	return ofEvents(p.Scope) + p.Name + "/" + p.ID + "/"
}

// eventKey is that of an event: its lane, whose events all wait equally long.
func (p payload) eventKey() string {
	return fmt.Sprintf("%s%d/%d", p.eventsKey(), p.Event.Failures, crc32.ChecksumIEEE([]byte(p.Event.RequestID))%eventLanes)
}

// later has a function invoked by a work item.
func (s *Service) later(ctx context.Context, n Name, in Invocation) error {
	p, err := checkPayload(in.Payload, maxAsyncPayload)
	if err != nil {
		return err
	}
	if err := checkContext(in.ClientContext); err != nil {
		return err
	}
	if in.RequestID == "" {
		in.RequestID = randomID(16)
	}
	doc, err := s.read(ctx, n)
	gone := fault.Is(err, "ResourceNotFoundException")
	if err != nil && !(gone && s.cfg.Remote != nil) {
		return err
	}
	if !gone && doc.State.Live == nil {
		return unready(&doc.State)
	}
	plain, err := json.Marshal(sealedEvent{p, in.ClientContext})
	if err != nil {
		return err
	}
	sealed, err := s.cfg.Secrets.Seal(ctx, eventOwner(n.Scope, in.RequestID), secret.NewBytes(plain))
	if err != nil {
		return err
	}
	job := payload{Scope: n.Scope, Name: n.Function, ID: doc.State.ID, Event: &event{RequestID: in.RequestID, Sealed: sealed, Accepted: s.cfg.Now(), Remote: gone}}
	return s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		if err := room(tx, job); err != nil {
			return err
		}
		return enqueueAt(tx, eventKind, job.eventKey(), job, time.Time{})
	})
}

// room refuses an event for which there is none.
func room(r store.Reader, job payload) error {
	for _, bound := range []struct {
		prefix, whose, reason string
		most                  int
	}{
		{job.eventsKey(), "The function has", lambda.ThrottleReasonFunctionInvocationRateLimitExceeded, maxOfFunction},
		{ofEvents(job.Scope), "The functions of this account and region have", lambda.ThrottleReasonCallerRateLimitExceeded, maxOfScope},
	} {
		n, err := r.CountWork(bound.prefix)
		if err != nil {
			return err
		}
		if n >= bound.most {
			f := throttled(fmt.Sprintf("%s %d asynchronous invocations that wait, as many as there may be. Try again when some have run.", bound.whose, n))
			f.Members["Reason"] = bound.reason
			return f
		}
	}
	return nil
}

func eventOwner(scope store.Scope, id string) secret.Owner {
	return secret.Owner{Scope: scope.String(), Kind: "function.event", ID: id}
}

// deliver invokes a function for an event.
type deliver struct{ s *Service }

// Do implements work.Handler. An event may be delivered twice when a server dies, as on AWS.
func (d deliver) Do(ctx context.Context, item *work.Item) error {
	s := d.s
	job, doc, there, err := s.job(ctx, item.Work)
	if err != nil || job.Event == nil || !there && !job.Event.Remote {
		return err
	}
	if job.Event.Accepted.IsZero() {
		job.Event.Accepted = item.Created
	}
	leave, err := s.turn(ctx)
	if err != nil {
		return err
	}
	defer leave()
	plain, err := s.cfg.Secrets.Open(ctx, eventOwner(job.Scope, job.Event.RequestID), job.Event.Sealed)
	if err != nil {
		return work.Permanent(err)
	}
	var body sealedEvent
	if err := json.Unmarshal(plain.Reveal(), &body); err != nil {
		return work.Permanent(err)
	}
	res, err := s.Invoke(ctx, Invocation{
		Scope: job.Scope, Function: job.Name, Payload: body.Payload, ClientContext: body.Context, RequestID: job.Event.RequestID,
	})
	f := fault.From(err)
	switch {
	case err != nil && (f.Status >= http.StatusInternalServerError || f.Code == "TooManyRequestsException") && s.cfg.Now().Sub(job.Event.Accepted) < maxAge:
		job.Event.Refusals++
		if item.Payload, err = json.Marshal(job); err != nil {
			return err
		}
		return work.Later(pause(job.Event.Refusals))
	case err != nil:
		s.lost(doc, there, job, "could not be invoked: "+f.Message)
		return work.Permanent(err)
	case res.FunctionError == "":
		return nil
	}
	job.Event.Refusals = 0
	if job.Event.Failures++; job.Event.Failures >= maxFailures {
		s.lost(doc, there, job, "failed for the last time")
		return nil
	}
	return s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		if err := item.Complete(tx); err != nil {
			return err
		}
		return enqueueAt(tx, eventKind, job.eventKey(), job, s.cfg.Now().Add(retryAfter(job.Event.Failures)))
	})
}

// turn waits for one of those that may run. It is nobody's who finds too many waiting.
func (s *Service) turn(ctx context.Context) (leave func(), err error) {
	select {
	case s.waiting <- struct{}{}:
		defer func() { <-s.waiting }()
	default:
		return nil, work.Later(time.Second)
	}
	select {
	case s.events <- struct{}{}:
		return func() { <-s.events }, nil
	case <-ctx.Done():
		return nil, work.Later(time.Second) // not the event's fault
	}
}

// lost says in a function's log that an event is not tried any more.
func (s *Service) lost(doc functionDoc, there bool, job payload, why string) {
	if there && doc.State.Live != nil {
		s.note(doc, doc.State.Live, "the asynchronous invocation "+job.Event.RequestID+" "+why)
	}
}

// Failed has nothing to record: the function's log tells of its failures.
func (deliver) Failed(store.Tx, store.Work, error) error { return nil }
