package telemetry_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	home  = store.Scope{Account: "111122223333", Region: "eu-central-1"}
	group = telemetry.Group{Scope: home, Name: "/aws/bedrock-agentcore/runtimes/hello-1-DEFAULT"}
	begin = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
)

func open(t testing.TB, dir string, o telemetry.Options) *telemetry.DB {
	t.Helper()
	d, err := telemetry.Open(t.Context(), filepath.Join(dir, "telemetry.db"), o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return d
}

func flush(t testing.TB, d *telemetry.DB) {
	t.Helper()
	if err := d.Flush(t.Context()); err != nil {
		t.Fatalf("flush: %v", err)
	}
}

func messages(events []telemetry.Event) string {
	var out []string
	for _, e := range events {
		out = append(out, e.Message)
	}
	return strings.Join(out, " ")
}

func events(t testing.TB, d *telemetry.DB, q telemetry.Query) telemetry.EventPage {
	t.Helper()
	page, err := d.Events(t.Context(), q)
	if err != nil {
		t.Fatalf("events: %v", err)
	}
	return page
}

func TestRunWritesWithinFlushEveryAndTheRestAtItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, t.TempDir(), telemetry.Options{})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- d.Run(ctx) }()
		d.Append(group, "s", time.Now(), "first")
		<-d.Changed(group)
		changed := d.Changed(group)
		asked := time.Now()
		d.Append(group, "s", time.Now(), "second")
		d.Append(group, "s", time.Now(), "third")
		<-changed
		if waited := time.Since(asked); waited > telemetry.FlushEvery {
			t.Errorf("an event waited %s", waited)
		}
		d.Append(group, "s", time.Now(), "last")
		stop()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if got := messages(events(t, d, telemetry.Query{Group: group}).Events); got != "first second third last" {
			t.Errorf("events: %s", got)
		}
	})
}

func TestRunTrims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, t.TempDir(), telemetry.Options{LogAge: time.Hour})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- d.Run(ctx) }()
		d.Append(group, "s", time.Now(), "old")
		time.Sleep(59 * time.Minute) // the bubble's clock
		if got := messages(events(t, d, telemetry.Query{Group: group}).Events); got != "old" {
			t.Errorf("before its age: %q", got)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got := messages(events(t, d, telemetry.Query{Group: group}).Events); got != "" {
			t.Errorf("after its age: %q", got)
		}
		stop()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	})
}

func TestAFloodHarmsOnlyItself(t *testing.T) {
	d := open(t, t.TempDir(), telemetry.Options{})
	d.Append(group, "quiet", begin, "hello")
	big := strings.Repeat("x", telemetry.MaxMessage)
	const sent = 100 // 25 MiB, more than the queue holds
	for range sent {
		d.Append(group, "noisy", begin, big)
	}
	dropped := d.Dropped()
	if dropped < 30 || dropped > 50 {
		t.Errorf("dropped %d of %d", dropped, sent)
	}
	flush(t, d)
	if got := messages(events(t, d, telemetry.Query{Group: group, Streams: telemetry.Streams{Names: []string{"quiet"}}}).Events); got != "hello" {
		t.Errorf("quiet stream: %q", got)
	}
	count, notice := 0, ""
	q := telemetry.Query{Group: group, Streams: telemetry.Streams{Names: []string{"noisy"}}}
	for {
		page := events(t, d, q)
		for _, e := range page.Events {
			if e.Message == big {
				count++
			} else {
				notice = e.Message
			}
		}
		if !page.More {
			break
		}
		q.Token = page.Newer
	}
	if int64(count)+dropped != sent {
		t.Errorf("%d stored and %d dropped of %d", count, dropped, sent)
	}
	if want := fmt.Sprintf("[outcrop] %d earlier log events of this stream were dropped: they came faster than they could be stored", dropped); notice != want {
		t.Errorf("notice: %q", notice)
	}
}

// TestAGuestThatFloodsIsHeldUp writes four times what the queue holds.
func TestAGuestThatFloodsIsHeldUp(t *testing.T) {
	d := open(t, t.TempDir(), telemetry.Options{})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	s := telemetry.NewSink(d, group, "s", nil)
	line := []byte(strings.Repeat("x", 64<<10-1) + "\n")
	const lines = 1000
	for range lines {
		if _, err := s.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	groups, _, err := d.Groups(t.Context(), home, "", 1, "")
	if err != nil || d.Dropped() != 0 || groups[0].Bytes != lines*(64<<10-1+64) {
		t.Errorf("%d dropped, %+v, %v", d.Dropped(), groups, err)
	}
}

func TestWaitIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, t.TempDir(), telemetry.Options{}) // and nobody runs Run
		s := telemetry.NewSink(d, group, "s", nil)
		begin := time.Now()
		if _, err := s.Write(make([]byte, 1<<20)); err != nil || time.Since(begin) != 0 {
			t.Errorf("first after %s: %v", time.Since(begin), err)
		}
		if _, err := s.Write(make([]byte, 2<<20)); err != nil || time.Since(begin) != telemetry.Patience {
			t.Errorf("second after %s: %v", time.Since(begin), err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestMessagesAreBoundedAndSafe(t *testing.T) {
	d := open(t, t.TempDir(), telemetry.Options{})
	d.Append(group, "s", begin, "")
	d.Append(group, "s", time.Time{}, "a\xffb\x00c") // now, and so the later one
	d.Append(group, "s", begin, strings.Repeat("é", telemetry.MaxMessage))
	flush(t, d)
	got := events(t, d, telemetry.Query{Group: group}).Events
	if len(got) != 2 || got[1].Message != "a\ufffdb\ufffdc" || got[0].Message != strings.Repeat("é", telemetry.MaxMessage/2) {
		t.Errorf("%d events, last %q", len(got), got[1].Message)
	}
}

// crash copies the files as they are, which is what kill -9 leaves.
func crash(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	for _, name := range []string{"telemetry.db", "telemetry.db-wal"} {
		b, err := os.ReadFile(filepath.Join(from, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return to
}

func record(id string) telemetry.Record {
	return telemetry.Record{Time: begin, RequestID: id, Scope: home, Principal: "arn:aws:iam::111122223333:root", AccessKeyID: "AKIA1",
		Event: "GetResourceApiKey", Source: "bedrock-agentcore", SourceIP: "127.0.0.1", UserAgent: "Boto3/1.44",
		Resources: []string{"arn:a", "arn:b"}, Status: 200}
}

func TestADurableRecordSurvivesACrash(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir, telemetry.Options{})
	if err := d.Audit(t.Context(), record("queued")); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if err := d.AuditDurable(t.Context(), record(fmt.Sprint("durable-", i))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	after := open(t, crash(t, dir), telemetry.Options{})
	records, _, err := after.Records(t.Context(), telemetry.AuditQuery{Scope: home})
	if err != nil || len(records) != 9 {
		t.Fatalf("%d records, %v", len(records), err)
	}
}

func TestAuditWaitsWhenFullAndLosesNothing(t *testing.T) {
	d := open(t, t.TempDir(), telemetry.Options{})
	const n = 5000 // more than the queue holds, and nobody runs Run
	for i := range n {
		if err := d.Audit(t.Context(), record(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	flush(t, d)
	count := 0
	q := telemetry.AuditQuery{Scope: home, Limit: 999}
	for {
		records, next, err := d.Records(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if want := fmt.Sprint(n - 1 - count); r.RequestID != want {
				t.Fatalf("record %s, want %s", r.RequestID, want)
			}
			count++
		}
		if q.Token = next; next == "" {
			break
		}
	}
	if count != n {
		t.Errorf("%d records", count)
	}
}

// TestAWriteThatFailsKeepsAuditRecords hides a table for a while.
func TestAWriteThatFailsKeepsAuditRecords(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir, telemetry.Options{})
	other, err := sql.Open("sqlite", filepath.Join(dir, "telemetry.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	alter := func(statement string) {
		t.Helper()
		if _, err := other.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	alter("ALTER TABLE audit RENAME TO hidden")
	d.Append(group, "s", begin, "lost")
	if err := d.Audit(t.Context(), record("queued")); err != nil {
		t.Fatal(err)
	}
	if err := d.AuditDurable(t.Context(), record("durable")); err == nil {
		t.Fatal("a record that could not be written was taken for durable")
	}
	for i := range 6000 { // until the queue is full, and then it says so
		if err = d.Audit(t.Context(), record(fmt.Sprint(i))); err != nil {
			break
		}
	}
	if err == nil {
		t.Error("a full queue took more")
	}
	for range 2000 { // calls go on; they cannot fill the memory
		r := record("stranger")
		r.Scope, r.UserAgent = store.Scope{}, strings.Repeat("x", 60_000)
		if err := d.Audit(t.Context(), r); err == nil {
			t.Fatal("a full queue took more")
		}
	}
	if n := d.Waiting(); n > 5120 {
		t.Errorf("%d records wait", n)
	}
	alter("ALTER TABLE hidden RENAME TO audit")
	flush(t, d)
	for _, id := range []string{"queued", "durable", "0"} {
		if records, _, err := d.Records(t.Context(), telemetry.AuditQuery{Scope: home, RequestID: id}); err != nil || len(records) != 1 {
			t.Errorf("%s: %d records, %v", id, len(records), err)
		}
	}
	want := "[outcrop] 1 earlier log events of this stream were dropped: they came faster than they could be stored"
	if got := messages(events(t, d, telemetry.Query{Group: group}).Events); got != want || d.Dropped() != 1 {
		t.Errorf("log: %q, %d dropped", got, d.Dropped())
	}
}

func TestAuditQueries(t *testing.T) {
	d := open(t, t.TempDir(), telemetry.Options{})
	yes := true
	for i, change := range []func(*telemetry.Record){
		func(*telemetry.Record) {},
		func(r *telemetry.Record) { r.Scope.Region = "us-east-1" },
		func(r *telemetry.Record) { r.Event, r.ReadOnly = "GetAgentRuntime", true },
		func(r *telemetry.Record) { r.ErrorCode, r.Status, r.Resources = "AccessDeniedException", 403, nil },
		func(r *telemetry.Record) { r.Time = begin.Add(time.Hour) },
		func(r *telemetry.Record) {
			r.UserAgent, r.Resources = strings.Repeat("u", 1<<20)+"\x00", append(r.Resources, make([]string, 1<<20)...)
		},
	} {
		r := record(fmt.Sprint(i))
		change(&r)
		if err := d.Audit(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	flush(t, d)
	for name, c := range map[string]struct {
		query telemetry.AuditQuery
		want  string
	}{
		"all":      {telemetry.AuditQuery{}, "4 5 3 2 0"},
		"event":    {telemetry.AuditQuery{Event: "GetAgentRuntime"}, "2"},
		"readonly": {telemetry.AuditQuery{ReadOnly: &yes}, "2"},
		"error":    {telemetry.AuditQuery{ErrorCode: "AccessDeniedException"}, "3"},
		"resource": {telemetry.AuditQuery{Resource: "arn:b"}, "4 5 2 0"},
		"request":  {telemetry.AuditQuery{RequestID: "0"}, "0"},
		"from":     {telemetry.AuditQuery{From: begin.Add(time.Second)}, "4"},
		"to":       {telemetry.AuditQuery{To: begin.Add(time.Second)}, "5 3 2 0"},
		"nobody":   {telemetry.AuditQuery{Principal: "x"}, ""},
	} {
		c.query.Scope = home
		records, _, err := d.Records(t.Context(), c.query)
		var got []string
		for _, r := range records {
			got = append(got, r.RequestID)
		}
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	got, _, err := d.Records(t.Context(), telemetry.AuditQuery{Scope: home, RequestID: "0"})
	if err != nil || fmt.Sprint(got[0]) != fmt.Sprint(record("0")) {
		t.Errorf("record came back as %v, %v", got, err)
	}
	if _, _, err := d.Records(t.Context(), telemetry.AuditQuery{Scope: home, Token: "x"}); !errors.Is(err, telemetry.ErrBadToken) {
		t.Errorf("bad token: %v", err)
	}
}

func TestClosedRefuses(t *testing.T) {
	d := open(t, t.TempDir(), telemetry.Options{})
	d.Append(group, "s", begin, "queued")
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d.Append(group, "s", begin, "late")
	if d.Dropped() != 1 {
		t.Errorf("dropped %d", d.Dropped())
	}
	if err := d.AuditDurable(t.Context(), record("x")); !errors.Is(err, telemetry.ErrClosed) {
		t.Errorf("audit: %v", err)
	}
	if _, err := d.Events(t.Context(), telemetry.Query{Group: group}); !errors.Is(err, telemetry.ErrClosed) {
		t.Errorf("events: %v", err)
	}
	if err := d.SetRetention(t.Context(), group, 1); !errors.Is(err, telemetry.ErrClosed) {
		t.Errorf("change: %v", err)
	}
}
