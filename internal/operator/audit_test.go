package operator_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/outcrop"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/operator"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/telemetry"
)

func events(out *outcrop.ListAuditRecordsResponse) string {
	var all []string
	for _, r := range out.Records {
		all = append(all, *r.EventName)
	}
	return strings.Join(all, " ")
}

// TestAudit lists by filters, pages, and follows.
func TestAudit(t *testing.T) {
	svc, db, ctx := newService(t, nil, "")
	at := time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)
	add := func(event, region, principal, code string) {
		at = at.Add(time.Second)
		err := db.Audit(t.Context(), telemetry.Record{Time: at, RequestID: "r-" + event, Event: event, Source: "s3", Principal: principal, ErrorCode: code,
			Scope: store.Scope{Account: scope.Account, Region: region}, Resources: []string{"arn:aws:s3:::bucket"}})
		if err != nil {
			t.Fatal(err)
		}
	}
	add("Get", scope.Region, "arn:aws:iam::1:user/alice", "")
	add("Put", "elsewhere", "arn:aws:iam::1:root", "AccessDenied")
	add("ListAuditRecords", scope.Region, "arn:aws:iam::1:root", "")
	for _, tt := range []struct {
		in   outcrop.ListAuditRecordsRequest
		want string
	}{
		{outcrop.ListAuditRecordsRequest{}, "Put Get"},
		{outcrop.ListAuditRecordsRequest{EventName: ptr("ListAuditRecords")}, "ListAuditRecords"},
		{outcrop.ListAuditRecordsRequest{Region: &scope.Region}, "Get"},
		{outcrop.ListAuditRecordsRequest{Principal: ptr("alice")}, "Get"},
		{outcrop.ListAuditRecordsRequest{Principal: ptr("arn:aws:iam::1:root")}, "Put"},
		{outcrop.ListAuditRecordsRequest{Failed: ptr(true)}, "Put"},
		{outcrop.ListAuditRecordsRequest{ErrorCode: ptr("AccessDenied")}, "Put"},
		{outcrop.ListAuditRecordsRequest{Service: ptr("iam")}, ""},
		{outcrop.ListAuditRecordsRequest{Resource: ptr("bucket"), MaxResults: ptr(int32(1))}, "Put"},
		{outcrop.ListAuditRecordsRequest{Since: ptr(at.Add(-time.Second))}, "Put"},
		{outcrop.ListAuditRecordsRequest{Until: ptr(at.Add(-time.Second))}, "Get"},
	} {
		out, err := svc.ListAuditRecords(ctx, &tt.in)
		if err != nil || events(out) != tt.want {
			t.Errorf("%+v: %v %v, want %s", tt.in, out, err, tt.want)
		}
	}
	if _, err := svc.ListAuditRecords(ctx, &outcrop.ListAuditRecordsRequest{NextToken: ptr("x")}); err == nil || !strings.Contains(err.Error(), "nextToken is not one") {
		t.Error(err)
	}
	out, err := svc.ListAuditRecords(ctx, &outcrop.ListAuditRecordsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	add("After", scope.Region, "", "")
	in := outcrop.ListAuditRecordsRequest{Cursor: out.Cursor}
	if out, err = svc.ListAuditRecords(ctx, &in); err != nil || events(out) != "After" || *out.Cursor <= *in.Cursor {
		t.Errorf("%v %v", out, err)
	}
}

// TestFollowAudit waits for a record, and not for ever.
func TestFollowAudit(t *testing.T) {
	svc, db, ctx := newService(t, nil, "")
	out, err := svc.ListAuditRecords(ctx, &outcrop.ListAuditRecordsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan string)
	go func() {
		got, err := svc.ListAuditRecords(ctx, &outcrop.ListAuditRecordsRequest{Cursor: out.Cursor, WaitSeconds: ptr(int32(20))})
		if err != nil {
			t.Error(err)
		}
		done <- events(got)
	}()
	if err := db.AuditDurable(t.Context(), telemetry.Record{Time: time.Now(), RequestID: "r", Event: "Get", Scope: scope}); err != nil {
		t.Fatal(err)
	}
	if got := <-done; got != "Get" {
		t.Error(got)
	}
}

// quiet is a record to which nothing comes.
type quiet struct{ changed chan struct{} }

func (quiet) Flush(context.Context) error { return nil }
func (quiet) Records(context.Context, telemetry.AuditQuery) ([]telemetry.Record, string, error) {
	return nil, "", nil
}
func (quiet) RecordsAfter(_ context.Context, _ telemetry.AuditQuery, cursor int64) ([]telemetry.Record, int64, error) {
	return nil, cursor, nil
}
func (q quiet) AuditChanged() <-chan struct{} { return q.changed }

// TestFollowingEnds: nobody waits longer than they said, nor when they have gone.
func TestFollowingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := operator.New(operator.Config{Audit: quiet{make(chan struct{})}})
		ctx, cancel := context.WithCancel(pipeline.WithCall(t.Context(), &pipeline.Call{Scope: scope}))
		begin := time.Now()
		in := &outcrop.ListAuditRecordsRequest{Cursor: ptr(int64(7)), WaitSeconds: ptr(int32(20))}
		got, err := svc.ListAuditRecords(ctx, in)
		if err != nil || len(got.Records) != 0 || *got.Cursor != 7 || time.Since(begin) != 20*time.Second {
			t.Errorf("%v %v after %v", got, err, time.Since(begin))
		}
		cancel()
		if _, err := svc.ListAuditRecords(ctx, in); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}
