package telemetry_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

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

func BenchmarkAudit(b *testing.B) {
	for _, durable := range []bool{false, true} {
		b.Run(fmt.Sprintf("durable=%t", durable), func(b *testing.B) {
			d := open(b, b.TempDir(), telemetry.Options{})
			r := record("x")
			r.Time = time.Now()
			b.ReportAllocs()
			for b.Loop() {
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
