package oidc

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/outcrop/outcrop/internal/telemetry"
)

// recorded is an answer that the audit has a record of. The record of one that hands
// out a secret is on the disk before the first byte of it is out, and without it there
// is no such answer.
type recorded struct {
	http.ResponseWriter
	h       *Handler
	r       *http.Request
	event   string
	f       face
	started time.Time
	secret  bool

	about   []string // what the call is about beside the pool, by ARN
	problem string   // what the user was told

	status int
	void   bool // the record could not be kept: the rest of the answer goes nowhere
}

// WriteHeader keeps the record of an answer that hands out a secret.
func (a *recorded) WriteHeader(status int) {
	if a.status != 0 {
		return
	}
	a.status = status
	if a.secret && status < http.StatusMultipleChoices {
		if err := a.h.cfg.Audit.AuditDurable(context.WithoutCancel(a.r.Context()), a.record()); err != nil {
			a.h.cfg.Log.ErrorContext(a.r.Context(), "token not handed out: its record cannot be kept", "error", err)
			a.status, a.void = http.StatusInternalServerError, true
			writeError(a.ResponseWriter, a.status, "server_error", "Something went wrong here. Try again later.")
			return
		}
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *recorded) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	if a.void {
		return len(b), nil
	}
	return a.ResponseWriter.Write(b)
}

// Unwrap lets net/http find what the writer can do.
func (a *recorded) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// end keeps the record of any other answer.
func (a *recorded) end() {
	if a.secret && (a.status < http.StatusMultipleChoices && a.status != 0) {
		return // it was kept before the answer
	}
	if err := a.h.cfg.Audit.Audit(context.WithoutCancel(a.r.Context()), a.record()); err != nil {
		a.h.cfg.Log.ErrorContext(a.r.Context(), "audit record lost", "error", err)
	}
}

type recordKey struct{}

// about says in the audit which client and user a call is about; either may be empty. Of
// users it has the sub, and of names that are nobody's nothing: people type passwords
// there.
func about(ctx context.Context, clientID, sub string) {
	a, ok := ctx.Value(recordKey{}).(*recorded)
	if !ok {
		return // a page that changes nothing
	}
	for _, arn := range []struct{ kind, id string }{{"/client/", clientID}, {"/user/", sub}} {
		if named := a.f.pool.ARN() + arn.kind + arn.id; arn.id != "" && !contains(a.about, named) {
			a.about = append(a.about, named)
		}
	}
}

// told says in the audit what a user was told.
func told(ctx context.Context, text string) {
	if a, ok := ctx.Value(recordKey{}).(*recorded); ok {
		a.problem = text
	}
}

// record says what was asked and what came of it; never who tried to be whom with
// what.
func (a *recorded) record() telemetry.Record {
	ip, _, err := net.SplitHostPort(a.r.RemoteAddr)
	if err != nil {
		ip = a.r.RemoteAddr
	}
	rec := telemetry.Record{
		Time: a.started, RequestID: uuid.NewString(), Scope: a.f.pool.Scope, Event: a.event, Source: "cognito-idp", SourceIP: ip,
		UserAgent: a.r.UserAgent(), Resources: append([]string{a.f.pool.ARN()}, a.about...), Status: a.status, ReadOnly: a.event == "UserInfo_GET",
	}
	if a.status >= http.StatusBadRequest {
		rec.ErrorCode, rec.ErrorMessage = "HTTP"+strconv.Itoa(a.status), a.problem
	}
	return rec
}
