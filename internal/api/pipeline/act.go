package pipeline

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/url"
	"runtime/debug"
	"time"

	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// Actor is a role that a resource acts as, such as a gateway's.
type Actor struct {
	// Principal is the session of the role.
	Principal auth.Principal
	Scope     store.Scope
	// For is the ARN of the resource.
	For string
	// Requires says what the role must be allowed instead of what the operation requires
	// of clients; nil is that.
	Requires func([]auth.Requirement) []auth.Requirement
	// Unrecorded has nothing told in the audit: for what is only tried.
	Unrecorded bool
}

// actingService names the server in the records of what it does by itself.
const actingService = "bedrock-agentcore.amazonaws.com"

// Act makes a call of an operation from inside, for a resource that acts as its role. It
// goes the way of all calls: the role must be allowed what the operation requires, and
// the call is told in the audit, unless it is Unrecorded. Until is how long the answer may
// be used again.
//
// Errors: a *fault.Error, as a client would have been told.
func (p *Pipeline) Act(ctx context.Context, a Actor, svc *schema.Service, op *schema.Operation, in any) (out any, until time.Time, err error) {
	r := (&http.Request{
		URL: &url.URL{}, Header: http.Header{"User-Agent": {actingService}}, TLS: &tls.ConnectionState{},
	}).WithContext(store.WithToken(ctx, store.Token{})) // of a call that leads to this one
	e := &exchange{
		p: p, r: r, started: p.cfg.Now(), match: match{svc: svc, op: op}, in: in, requires: a.Requires, audited: a.Unrecorded,
		call: &Call{RequestID: newID(), Principal: a.Principal, Scope: a.Scope, For: a.For, Header: r.Header, authorizer: p.cfg.Authorizer},
	}
	defer func() {
		if v := recover(); v != nil {
			p.cfg.Log.Error("handler panicked", "request", e.call.RequestID, "panic", v, "stack", string(debug.Stack()))
			out, err = nil, fault.Internal(fmt.Errorf("panic: %v", v))
		}
	}()
	if out, err = e.perform(in); err == nil {
		if err = e.audit(nil, op.Status); err == nil {
			return out, e.call.Until, nil
		}
		err = fault.Internal(err)
	}
	f := fault.From(err)
	e.logRefusal(f)
	if err := e.audit(f, f.Status); err != nil {
		p.lose(err)
	}
	return nil, time.Time{}, f
}
