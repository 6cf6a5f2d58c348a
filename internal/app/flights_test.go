package app

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

func TestFlights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f flights
		if err := f.wait(t.Context()); err != nil {
			t.Errorf("of none: %v", err)
		}
		h := f.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Minute)
			if r.URL.Path == "/broken" {
				panic(http.ErrAbortHandler)
			}
		}))
		for _, path := range []string{"/", "/broken"} {
			go func() {
				defer func() { _ = recover() }()
				h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", path, nil))
			}()
		}
		synctest.Wait()
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := f.wait(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("of two under way: %v", err)
		}
		begun := time.Now()
		if err := f.wait(t.Context()); err != nil || time.Since(begun) != 59*time.Second {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
	})
}
