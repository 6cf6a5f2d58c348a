package telemetry_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/outcrop/outcrop/internal/telemetry"
)

// BenchmarkSink is the way of one line of 100 bytes from a guest into the file.
func BenchmarkSink(b *testing.B) {
	d := open(b, b.TempDir(), telemetry.Options{})
	ctx, stop := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	s := telemetry.NewSink(d, group, "s", nil)
	line := strings.Repeat("x", 99) + "\n"
	b.ReportAllocs()
	for b.Loop() {
		io.WriteString(s, line)
	}
	s.Close()
	stop()
	if err := <-ended; err != nil {
		b.Error(err)
	}
	b.ReportMetric(float64(d.Dropped())/float64(b.N), "dropped/op")
}

// BenchmarkFlush is what the writer stores a second.
func BenchmarkFlush(b *testing.B) {
	d := open(b, b.TempDir(), telemetry.Options{})
	line := strings.Repeat("x", 100)
	const batch = 1000
	for b.Loop() {
		for range batch {
			d.Append(group, "s", begin, line)
		}
		flush(b, d)
	}
	b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkAudit is what a call's record costs until it is in the file. Ids are those of
// calls, each of which has its own.
func BenchmarkAudit(b *testing.B) {
	for _, durable := range []bool{false, true} {
		b.Run(fmt.Sprintf("durable=%t", durable), func(b *testing.B) {
			d := open(b, b.TempDir(), telemetry.Options{})
			r := record("x")
			r.Time = time.Now()
			b.ReportAllocs()
			for b.Loop() {
				r.RequestID = uuid.Must(uuid.NewV7()).String()
				err := error(nil)
				if durable {
					err = d.AuditDurable(b.Context(), r)
				} else {
					err = d.Audit(b.Context(), r)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRead is what a follower and a reader of pages of 100 events pay in a
// group of 100,000.
func BenchmarkRead(b *testing.B) {
	d := open(b, b.TempDir(), telemetry.Options{})
	const n = 100_000
	for i := range n {
		d.Append(group, fmt.Sprint("s", i%100), begin.Add(time.Duration(i)*time.Millisecond), strings.Repeat("x", 100))
		if i%10_000 == 0 {
			flush(b, d)
		}
	}
	flush(b, d)
	last, err := d.Last(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.Run("tail", func(b *testing.B) {
		for b.Loop() {
			if got, _, err := d.Tail(b.Context(), group, telemetry.Streams{}, last-100, 1000); err != nil || len(got) != 100 {
				b.Fatalf("%d events, %v", len(got), err)
			}
		}
	})
	for name, streams := range map[string]telemetry.Streams{"group": {}, "stream": {Names: []string{"s7"}}, "prefix": {Prefix: "s7"}} {
		b.Run("page of "+name, func(b *testing.B) {
			for b.Loop() {
				page, err := d.Events(b.Context(), telemetry.Query{Group: group, Streams: streams, Limit: 100, Latest: true})
				if err != nil || len(page.Events) != 100 {
					b.Fatalf("%d events, %v", len(page.Events), err)
				}
			}
		})
	}
}
