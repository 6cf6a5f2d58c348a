package lambda

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/conformance/server"
)

// prepared is a server with a function that answers, or ends its environment, and that
// new environments are restored for.
func prepared(b *testing.B) *server.Server {
	b.Helper()
	s := server.Start(b, server.Options{})
	create(b, s, "f", "import os\ndef h(e, c):\n    if e.get('end'): os._exit(1)\n    return 1", 10)
	active(b, s, "f")
	for deadline := time.Now().Add(time.Minute); !strings.Contains(s.Log(), "snapshot made"); {
		if time.Now().After(deadline) {
			b.Fatalf("no snapshot was made:\n%s", s.Log())
		}
		post(b, s, false)
	}
	post(b, s, true) // what was booted
	return s
}

// post invokes the function and returns how long it took.
func post(b *testing.B, s *server.Server, end bool) time.Duration {
	b.Helper()
	begun := time.Now()
	status, body, err := ask(b.Context(), s, http.MethodPost, functions+"/f/invocations", map[string]any{"end": end})
	if err != nil || status != http.StatusOK || !end && body != "1" {
		b.Fatalf("%d %s %v", status, body, err)
	}
	return time.Since(begun)
}

// BenchmarkWarm is an invocation in an environment that runs, over HTTP, signed.
func BenchmarkWarm(b *testing.B) {
	s := prepared(b)
	post(b, s, false)
	for b.Loop() {
		post(b, s, false)
	}
}

// BenchmarkRestored is the first invocation in an environment that is restored from the
// function's snapshot.
func BenchmarkRestored(b *testing.B) {
	s := prepared(b)
	var sum time.Duration
	n := 0
	for b.Loop() {
		post(b, s, true)
		sum, n = sum+post(b, s, false), n+1
	}
	b.ReportMetric(float64(sum.Milliseconds())/float64(n), "ms/first")
}
