package telemetry_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/telemetry"
)

// TestRecordsAfter follows what is stored, in the order in which it is, by the same
// filters as Records.
func TestRecordsAfter(t *testing.T) {
	d := open(t, t.TempDir(), telemetry.Options{})
	add := func(id, event, region, code string, ago time.Duration) {
		r := telemetry.Record{
			Time: begin.Add(-ago), RequestID: id, Event: event, Source: "s3", Scope: store.Scope{Account: home.Account, Region: region},
			Principal: "arn:aws:iam::1:user/a/bob", ErrorCode: code, ErrorMessage: code + " it is", Resources: []string{"arn:aws:s3:::bucket/key"},
		}
		if err := d.Audit(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if err := d.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	add("old", "Get", home.Region, "", 0)
	_, cursor, err := d.RecordsAfter(t.Context(), telemetry.AuditQuery{Scope: home}, -1)
	if err != nil {
		t.Fatal(err)
	}
	changed := d.AuditChanged()
	add("a", "Get", home.Region, "AccessDenied", 0)
	<-changed
	add("b", "Put", "elsewhere", "", time.Hour) // later, and of an earlier time
	add("c", "Put", home.Region, "", 0)
	for name, tt := range map[string]struct {
		q    telemetry.AuditQuery
		want string
	}{
		"region":       {telemetry.AuditQuery{Scope: home}, "a c"},
		"account":      {telemetry.AuditQuery{Scope: home, AllRegions: true}, "a b c"},
		"limit":        {telemetry.AuditQuery{Scope: home, AllRegions: true, Limit: 2}, "a b"},
		"failed":       {telemetry.AuditQuery{Scope: home, Failed: new(true)}, "a"},
		"not failed":   {telemetry.AuditQuery{Scope: home, Failed: new(false)}, "c"},
		"not event":    {telemetry.AuditQuery{Scope: home, NotEvent: "Get"}, "c"},
		"sources":      {telemetry.AuditQuery{Scope: home, Sources: []string{"iam", "s3"}}, "a c"},
		"other source": {telemetry.AuditQuery{Scope: home, Sources: []string{"iam"}}, ""},
		"username":     {telemetry.AuditQuery{Scope: home, Username: "bob"}, "a c"},
		"half a name":  {telemetry.AuditQuery{Scope: home, Username: "ob"}, ""},
		"resource":     {telemetry.AuditQuery{Scope: home, ResourceName: "key"}, "a c"},
		"no resource":  {telemetry.AuditQuery{Scope: home, ResourceName: "ey"}, ""},
	} {
		got, next, err := d.RecordsAfter(t.Context(), tt.q, cursor)
		var ids []string
		for _, r := range got {
			ids = append(ids, r.RequestID)
		}
		if err != nil || strings.Join(ids, " ") != tt.want || next <= cursor {
			t.Errorf("%s: %v %d %v, want %s", name, ids, next, err, tt.want)
		}
		if name == "limit" {
			if got, _, err := d.RecordsAfter(t.Context(), tt.q, next); err != nil || len(got) != 1 || got[0].RequestID != "c" {
				t.Errorf("after the limit: %+v %v", got, err)
			}
		}
	}
	got, _, err := d.Records(t.Context(), telemetry.AuditQuery{Scope: home, AllRegions: true})
	if err != nil || fmt.Sprintf("%d %s %s", len(got), got[0].RequestID, got[1].ErrorMessage) != "4 c AccessDenied it is" {
		t.Errorf("%+v %v", got, err)
	}
}
