package telemetry_test

import (
	"errors"
	"testing"

	"github.com/outcrop/outcrop/internal/telemetry"
)

// FuzzTokens gives any text as the page token of each listing: it is refused, or
// it is one that the listing made.
func FuzzTokens(f *testing.F) {
	d := open(f, f.TempDir(), telemetry.Options{})
	for _, stream := range []string{"a", "b"} {
		d.Append(group, stream, begin, "m")
		if err := d.Audit(f.Context(), record(stream)); err != nil {
			f.Fatal(err)
		}
	}
	flush(f, d)
	page := events(f, d, telemetry.Query{Group: group, Limit: 1})
	_, streams, err := d.ListStreams(f.Context(), telemetry.StreamQuery{Group: group, Limit: 1})
	_, records, err2 := d.Records(f.Context(), telemetry.AuditQuery{Scope: home, Limit: 1})
	if err := errors.Join(err, err2); err != nil || streams == "" || records == "" {
		f.Fatal(err, streams, records)
	}
	made := map[string]bool{"": true, page.Newer: true, page.Older: true, streams: true, records: true}
	for token := range made {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		_, err := d.Events(t.Context(), telemetry.Query{Group: group, Token: token})
		_, _, err2 := d.ListStreams(t.Context(), telemetry.StreamQuery{Group: group, Token: token})
		_, _, err3 := d.Records(t.Context(), telemetry.AuditQuery{Scope: home, Token: token})
		_, _, err4 := d.Groups(t.Context(), home, "", 1, token)
		for _, err := range []error{err, err2, err3, err4} {
			if err == nil && !made[token] || err != nil && !errors.Is(err, telemetry.ErrBadToken) {
				t.Fatalf("%q: %v", token, err)
			}
		}
	})
}
