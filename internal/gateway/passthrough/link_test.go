package passthrough

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/outcrop/outcrop/internal/gateway/target"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// answers is a target that answers, or does not.
type answers struct{ err error }

func (a *answers) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("x"))}, a.err
}

// TestSlots: as many requests of a target run as may, until their answers are closed; a
// further one waits for a while. Failures hold nothing.
func TestSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := &answers{errors.New("gone")}
		l := NewLink(&http.Client{Transport: at}, false)
		send := func(ctx context.Context) (*http.Response, error) {
			r := &http.Request{Method: http.MethodGet, URL: &url.URL{Scheme: "https", Host: "api.example", Path: "/"}, Header: http.Header{}}
			return l.Send(ctx, r, &target.Request{})
		}
		for range 2 * target.Calls {
			if _, err := send(t.Context()); err == nil {
				t.Fatal("it answered")
			}
		}
		at.err = nil
		var open []*http.Response
		for range target.Calls {
			resp, err := send(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, resp)
		}
		began := time.Now()
		_, err := send(t.Context())
		f, ok := errors.AsType[*target.Failure](err)
		if !ok || f.Type != target.Busy || !f.Shown || time.Since(began) != target.Queue {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		left, leave := context.WithCancel(t.Context())
		leave()
		if _, err := send(left); !errors.Is(err, context.Canceled) {
			t.Errorf("a caller who has left: %v", err)
		}
		time.AfterFunc(time.Second, func() {
			open[0].Body.Close()
			open[0].Body.Close() // which is one turn nevertheless
		})
		began = time.Now()
		resp, err := send(t.Context())
		if err != nil || time.Since(began) != time.Second {
			t.Fatalf("%v after %s", err, time.Since(began))
		}
		if _, err := send(t.Context()); err == nil {
			t.Error("a turn was given back twice")
		}
		for _, r := range append(open[1:], resp) {
			r.Body.Close()
		}
	})
}
