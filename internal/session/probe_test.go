package session_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/session"
)

// says answers every request with a text.
type says string

func (s says) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(string(s)))}, nil
}

func TestHealth(t *testing.T) {
	for text, want := range map[string]session.Health{
		``:                          {},
		`ok`:                        {},
		`[]`:                        {},
		`{"status":"Healthy"}`:      {},
		`{"status":"HealthyBusy"}`:  {Busy: true},
		`{"status":"healthy_busy"}`: {},
		`{"status":"HealthyBusy","time_of_last_update":1700000000}`: {Busy: true, Changed: time.Unix(1700000000, 0)},
		`{"status":"Healthy","time_of_last_update":1700000000.5}`:   {Changed: time.UnixMilli(1700000000500)},
		`{"status":"HealthyBusy","time_of_last_update":"now"}`:      {Busy: true},
		`{"status":"Healthy","time_of_last_update":-1}`:             {},
		`{"status":"Healthy","time_of_last_update":1e300}`:          {},
		`{"status":3,"time_of_last_update":1}`:                      {},
		strings.Repeat(" ", 8192) + `{"status":"HealthyBusy"}`:      {},
	} {
		got, err := session.HTTPHealth(8080, "/ping")(t.Context(), says(text))
		if err != nil || got.Busy != want.Busy || !got.Changed.Equal(want.Changed) {
			t.Errorf("%.60q: %+v, %v, want %+v", text, got, err, want)
		}
	}
}

// FuzzHealth: whatever a guest says, it is a health whose time is sound.
func FuzzHealth(f *testing.F) {
	f.Add(`{"status":"HealthyBusy","time_of_last_update":1700000000}`)
	f.Add(`{"status":"Healthy","time_of_last_update":1e999}`)
	f.Add(`{`)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := session.HTTPHealth(8080, "/ping")(t.Context(), says(text))
		if err != nil {
			t.Fatal(err)
		}
		if y := got.Changed.Year(); !got.Changed.IsZero() && (y < 1970 || y > 9999) {
			t.Fatalf("%q changed in %d", text, y)
		}
	})
}

// TestDialError: a person reads which port was tried, and nothing of what runs
// underneath.
func TestDialError(t *testing.T) {
	under := func(err error) error { return fmt.Errorf("dial port 8080 of sandbox 94ba: %w", err) }
	for want, err := range map[string]error{
		"nothing listened on port 8080": under(sandbox.ErrRefused),
		"its sandbox had ended":         under(sandbox.ErrStopped),
		"the wire broke":                errors.New("the wire broke"),
	} {
		e := &session.DialError{Port: 8080, Err: err}
		if e.Error() != want || !errors.Is(e, err) {
			t.Errorf("%q, want %q", e, want)
		}
	}
}
