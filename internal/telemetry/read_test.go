package telemetry_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/telemetry"
)

// fill appends n events whose times are in another order than their arrival, and
// returns their messages in the order of time.
func fill(t *testing.T, d *telemetry.DB, n int) []string {
	t.Helper()
	rng := rand.New(rand.NewPCG(5, 6))
	byTime := make([][]string, n/3+1)
	for i := range n {
		at := rng.IntN(len(byTime)) // several share an instant
		m := fmt.Sprintf("m%03d", i)
		byTime[at] = append(byTime[at], m)
		d.Append(group, fmt.Sprint("stream-", i%3), begin.Add(time.Duration(at)*time.Millisecond), m)
	}
	flush(t, d)
	return slices.Concat(byTime...)
}

func TestPagesInBothDirections(t *testing.T) {
	d := open(t, t.TempDir(), telemetry.Options{})
	want := fill(t, d, 100)
	for _, latest := range []bool{false, true} {
		var got []string
		q := telemetry.Query{Group: group, Limit: 7, Latest: latest}
		for {
			page := events(t, d, q)
			part := strings.Fields(messages(page.Events))
			if latest {
				got = append(part, got...)
				q.Token = page.Older
			} else {
				got = append(got, part...)
				q.Token = page.Newer
			}
			if !page.More {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("latest %t:\n got %v\nwant %v", latest, got, want)
		}
		// At the end the token comes back as it was, and finds what is new.
		page := events(t, d, q)
		if end := map[bool]string{false: page.Newer, true: page.Older}[latest]; len(page.Events) != 0 || end != q.Token {
			t.Errorf("latest %t: after the end: %d events, token %q for %q", latest, len(page.Events), end, q.Token)
		}
	}
}

func TestPagesTurnRound(t *testing.T) {
	d := open(t, t.TempDir(), telemetry.Options{})
	want := fill(t, d, 30)
	first := events(t, d, telemetry.Query{Group: group, Limit: 10})
	second := events(t, d, telemetry.Query{Group: group, Limit: 10, Token: first.Newer})
	back := events(t, d, telemetry.Query{Group: group, Limit: 10, Token: second.Older})
	if messages(back.Events) != strings.Join(want[:10], " ") {
		t.Errorf("back: %s", messages(back.Events))
	}
	again := events(t, d, telemetry.Query{Group: group, Limit: 10, Token: back.Newer})
	if messages(again.Events) != messages(second.Events) {
		t.Errorf("forth: %s", messages(again.Events))
	}
}

func TestQueries(t *testing.T) {
	d := open(t, t.TempDir(), telemetry.Options{})
	for i, stream := range []string{"a/1", "a/2", "b/1", "b"} {
		d.Append(group, stream, begin.Add(time.Duration(i)*time.Second), fmt.Sprint("m", i))
	}
	other := group
	other.Scope.Region = "us-east-1"
	d.Append(other, "a/1", begin, "elsewhere")
	flush(t, d)
	for name, c := range map[string]struct {
		query telemetry.Query
		want  string
	}{
		"all":     {telemetry.Query{}, "m0 m1 m2 m3"},
		"stream":  {telemetry.Query{Streams: telemetry.Streams{Names: []string{"a/2"}}}, "m1"},
		"streams": {telemetry.Query{Streams: telemetry.Streams{Names: []string{"a/2", "b"}}}, "m1 m3"},
		"none":    {telemetry.Query{Streams: telemetry.Streams{Names: []string{"x"}}}, ""},
		"prefix":  {telemetry.Query{Streams: telemetry.Streams{Prefix: "a/"}}, "m0 m1"},
		"from":    {telemetry.Query{From: begin.Add(time.Second)}, "m1 m2 m3"},
		"to":      {telemetry.Query{To: begin.Add(time.Second)}, "m0"},
		"match":   {telemetry.Query{Match: func(m string) bool { return m == "m2" }}, "m2"},
		"limit":   {telemetry.Query{Limit: 1}, "m0"},
		"latest":  {telemetry.Query{Limit: 2, Latest: true}, "m2 m3"},
	} {
		c.query.Group = group
		if got := messages(events(t, d, c.query).Events); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	token := events(t, d, telemetry.Query{Group: group, Limit: 1}).Newer
	for name, q := range map[string]telemetry.Query{
		"group":   {Group: other, Token: token},
		"streams": {Group: group, Token: token, Streams: telemetry.Streams{Prefix: "a"}},
		"garbage": {Group: group, Token: "f/xx"},
		"none":    {Group: group, Token: token[2:]},
	} {
		if _, err := d.Events(t.Context(), q); !errors.Is(err, telemetry.ErrBadToken) {
			t.Errorf("token of another %s: %v", name, err)
		}
	}
	if _, err := d.Events(t.Context(), telemetry.Query{Group: telemetry.Group{Scope: home, Name: "x"}}); !errors.Is(err, telemetry.ErrNotFound) {
		t.Errorf("unknown group: %v", err)
	}
}

func TestAPageThatMatchesLittleIsBounded(t *testing.T) {
	d := open(t, t.TempDir(), telemetry.Options{})
	const n = 600
	for i := range n {
		d.Append(group, "s", begin.Add(time.Duration(i)), fmt.Sprint(i))
	}
	flush(t, d)
	q := telemetry.Query{Group: group, Scan: 500, Match: func(m string) bool { return m == fmt.Sprint(n-1) }}
	page := events(t, d, q)
	if len(page.Events) != 0 || !page.More {
		t.Fatalf("first page: %d events, more %t", len(page.Events), page.More)
	}
	q.Token = page.Newer
	if page = events(t, d, q); messages(page.Events) != fmt.Sprint(n-1) || page.More {
		t.Errorf("second page: %q, more %t", messages(page.Events), page.More)
	}
}

func TestTailMissesNothing(t *testing.T) {
	d := open(t, t.TempDir(), telemetry.Options{})
	d.Append(group, "s", begin, "before")
	flush(t, d)
	cursor, err := d.Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tail := func(limit int) string {
		t.Helper()
		got, next, err := d.Tail(t.Context(), group, telemetry.Streams{Prefix: "s"}, cursor, limit)
		if err != nil {
			t.Fatal(err)
		}
		cursor = next
		return messages(got)
	}
	if got := tail(10); got != "" {
		t.Errorf("nothing new: %q", got)
	}
	changed := d.Changed(group)
	d.Append(group, "s1", begin, "new")
	d.Append(group, "s2", begin.Add(-time.Hour), "late")
	d.Append(group, "other", begin, "filtered")
	flush(t, d)
	<-changed
	if got := tail(1) + " " + tail(10) + tail(10); got != "new late" {
		t.Errorf("tail: %q", got)
	}
	last, err := d.Last(t.Context())
	if err != nil || cursor != last {
		t.Errorf("cursor %d, last %d, %v", cursor, last, err)
	}
}

func TestGroupsAndStreams(t *testing.T) {
	d := open(t, t.TempDir(), telemetry.Options{Now: func() time.Time { return begin }})
	ctx := t.Context()
	if err := d.CreateGroup(ctx, group); err != nil {
		t.Fatal(err)
	}
	if err := d.CreateGroup(ctx, group); !errors.Is(err, telemetry.ErrExists) {
		t.Errorf("second create: %v", err)
	}
	if err := d.CreateStream(ctx, telemetry.Group{Scope: home, Name: "x"}, "s"); !errors.Is(err, telemetry.ErrNotFound) {
		t.Errorf("stream without a group: %v", err)
	}
	const n = 120
	for i := range n {
		d.Append(group, fmt.Sprintf("s%03d", i), begin.Add(time.Duration((i*7)%n)*time.Second), "12345678")
	}
	flush(t, d)
	if err := d.CreateStream(ctx, group, "s000"); !errors.Is(err, telemetry.ErrExists) {
		t.Errorf("second stream: %v", err)
	}
	for _, recent := range []bool{false, true} {
		q := telemetry.StreamQuery{Group: group, Prefix: "s", Recent: recent}
		var got []telemetry.StreamInfo
		for {
			page, next, err := d.ListStreams(ctx, q)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, page...)
			if q.Token = next; next == "" {
				break
			}
		}
		if len(got) != n || !slices.IsSortedFunc(got, func(a, b telemetry.StreamInfo) int {
			if recent {
				return b.LastEvent.Compare(a.LastEvent)
			}
			return strings.Compare(a.Name, b.Name)
		}) {
			t.Errorf("recent %t: %d streams, or out of order", recent, len(got))
		}
	}
	groups, next, err := d.Groups(ctx, home, "/aws/", 10, "")
	if err != nil || next != "" || len(groups) != 1 || groups[0].Bytes != n*(8+64) {
		t.Fatalf("groups: %+v %q %v", groups, next, err)
	}
	if err := d.DeleteStream(ctx, group, "s000"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Events(ctx, telemetry.Query{Group: group}); err != nil {
		t.Fatal(err)
	}
	if got := len(events(t, d, telemetry.Query{Group: group}).Events); got != n-1 {
		t.Errorf("%d events after a stream was deleted", got)
	}
	if err := d.DeleteGroup(ctx, group); err != nil {
		t.Fatal(err)
	}
	if err := d.Trim(ctx); err != nil {
		t.Fatal(err)
	}
	d.Append(group, "s001", begin, "again")
	flush(t, d)
	if got := messages(events(t, d, telemetry.Query{Group: group}).Events); got != "again" {
		t.Errorf("a new group of the name holds %q", got)
	}
}

// TestTrimTakesFromTheLargest has a loud group start after two quiet ones.
func TestTrimTakesFromTheLargest(t *testing.T) {
	const cost = 100 + 64
	d := open(t, t.TempDir(), telemetry.Options{LogBytes: 3000 * cost, Now: func() time.Time { return begin }})
	at := begin
	for _, g := range []struct {
		name string
		n    int
	}{{"quiet", 300}, {"middling", 1400}, {"loud", 5000}} {
		for i := range g.n {
			at = at.Add(time.Millisecond)
			d.Append(telemetry.Group{Scope: home, Name: g.name}, fmt.Sprint("s", i%3), at, fmt.Sprintf("%0100d", i))
		}
		flush(t, d)
	}
	if err := d.Trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	left := map[string]int64{}
	groups, _, err := d.Groups(t.Context(), home, "", 10, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range groups {
		left[g.Name] = g.Bytes / cost
	}
	if left["quiet"] != 300 || left["middling"] < 1300 || left["quiet"]+left["middling"]+left["loud"] != 3000 {
		t.Errorf("events left: %v", left)
	}
	page := events(t, d, telemetry.Query{Group: telemetry.Group{Scope: home, Name: "loud"}})
	if want := fmt.Sprintf("%0100d", 5000-left["loud"]); left["loud"] == 0 || page.Events[0].Message != want {
		t.Errorf("the loud group starts with %v", page.Events[0])
	}
}

func TestTrimKeepsTheNewestThatFit(t *testing.T) {
	d := open(t, t.TempDir(), telemetry.Options{LogBytes: 2500 * 164, AuditRecords: 1000, Now: func() time.Time { return begin }})
	for i := range 4600 {
		d.Append(group, fmt.Sprint("s", i%4), begin.Add(time.Duration(i)), fmt.Sprintf("%0100d", i))
		if err := d.Audit(t.Context(), record(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	flush(t, d)
	if err := d.Trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	groups, _, err := d.Groups(t.Context(), home, "", 10, "")
	if err != nil {
		t.Fatal(err)
	}
	page := events(t, d, telemetry.Query{Group: group})
	if n := len(page.Events); n > 2500 || n < 500 || groups[0].Bytes != int64(n*164) {
		t.Errorf("%d events left, %d bytes counted", n, groups[0].Bytes)
	}
	if newest := events(t, d, telemetry.Query{Group: group, Latest: true, Limit: 1}).Events[0].Message; newest != fmt.Sprintf("%0100d", 4599) {
		t.Errorf("newest: %s", newest)
	}
	records, _, err := d.Records(t.Context(), telemetry.AuditQuery{Scope: home, Limit: 1000, Token: ""})
	if err != nil || len(records) != 1000 || records[0].RequestID != "4599" {
		t.Errorf("%d records left, %v", len(records), err)
	}
}

// TestUnsignedPushNobodyOut: calls without a signature that are somebody's, as sign-ins to
// a user pool or with a token, anybody can make as well. They have half of the room.
func TestUnsignedPushNobodyOut(t *testing.T) {
	d := open(t, t.TempDir(), telemetry.Options{AuditRecords: 500, Now: func() time.Time { return begin }})
	for i := range 3000 {
		r := record(fmt.Sprint(i))
		if i >= 200 {
			r.AccessKeyID = ""
		}
		if err := d.Audit(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	flush(t, d)
	if err := d.Trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	records, _, err := d.Records(t.Context(), telemetry.AuditQuery{Scope: home, Limit: 1000})
	if n := len(records); err != nil || n != 450 || records[0].RequestID != "2999" || records[n-1].RequestID != "0" {
		t.Fatalf("%d records are left, %v", n, err)
	}
}

// TestStrangersPushNobodyOut: calls by nobody who is known leave no more than
// their share, and never cost the record of anybody else.
func TestStrangersPushNobodyOut(t *testing.T) {
	d := open(t, t.TempDir(), telemetry.Options{AuditRecords: 500, StrangerRecords: 100, Now: func() time.Time { return begin }})
	audit := func(id string, scope store.Scope) {
		t.Helper()
		r := record(id)
		r.Scope = scope
		if err := d.Audit(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 400 {
		audit(fmt.Sprint("known", i), home)
		for j := range 12 { // 4,800, more than one step removes
			audit(fmt.Sprint("stranger", 12*i+j), store.Scope{})
		}
	}
	flush(t, d)
	if err := d.Trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	for scope, want := range map[store.Scope]struct {
		left   int
		newest string
	}{home: {400, "known399"}, {}: {100, "stranger4799"}} {
		records, _, err := d.Records(t.Context(), telemetry.AuditQuery{Scope: scope, Limit: 1000})
		if err != nil || len(records) != want.left || records[0].RequestID != want.newest {
			t.Errorf("%v: %d records left, %v; want %d, the newest %s", scope, len(records), err, want.left, want.newest)
		}
	}
	for i := range 300 {
		audit(fmt.Sprint("later", i), home)
	}
	flush(t, d)
	if err := d.Trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	records, _, err := d.Records(t.Context(), telemetry.AuditQuery{Scope: home, Limit: 1000})
	if err != nil || len(records) < 400 || len(records) > 500 || records[0].RequestID != "later299" {
		t.Errorf("%d records left of 700, %v", len(records), err)
	}
}

func TestRetentionOfAGroup(t *testing.T) {
	now := begin
	d := open(t, t.TempDir(), telemetry.Options{Now: func() time.Time { return now }})
	short := telemetry.Group{Scope: home, Name: "short"}
	for _, g := range []telemetry.Group{group, short} {
		d.Append(g, "s", begin, "old")
	}
	flush(t, d)
	if err := d.SetRetention(t.Context(), short, 1); err != nil {
		t.Fatal(err)
	}
	now = begin.Add(25 * time.Hour)
	if err := d.Trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a, b := len(events(t, d, telemetry.Query{Group: group}).Events), len(events(t, d, telemetry.Query{Group: short}).Events); a != 1 || b != 0 {
		t.Errorf("%d and %d events left", a, b)
	}
	now = begin.Add(31 * 24 * time.Hour)
	if err := d.Trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	streams, _, err := d.ListStreams(t.Context(), telemetry.StreamQuery{Group: group})
	if err != nil || len(streams) != 0 {
		t.Errorf("empty streams left: %v, %v", streams, err)
	}
}
