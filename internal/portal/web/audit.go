package web

import (
	"context"
	"net/http"
	"strconv"

	"github.com/outcrop/outcrop/internal/telemetry"
)

// auditSource is the service of the records.
const auditSource = "bedrock-agentcore"

// record keeps who did what; never with which token.
func (h *Handler) record(v *visit) {
	if v.event == "" {
		return
	}
	rec := telemetry.Record{
		Time: v.started, RequestID: v.id, Scope: v.Scope, Principal: v.user.principal(), Event: v.event, Source: auditSource,
		SourceIP: address(v.r).Unmap().String(), UserAgent: v.r.UserAgent(), Resources: append([]string{v.ARN}, v.about...), Status: v.status,
	}
	if v.status >= http.StatusBadRequest {
		rec.ErrorCode, rec.ErrorMessage = "HTTP"+strconv.Itoa(v.status), v.problem
	}
	// The record is kept even if the browser has gone.
	if err := h.cfg.Audit.Audit(context.WithoutCancel(v.r.Context()), rec); err != nil {
		h.cfg.Log.ErrorContext(v.r.Context(), "audit record lost", "error", err)
	}
}
