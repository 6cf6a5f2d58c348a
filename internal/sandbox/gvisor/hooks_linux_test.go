package gvisor

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/outcrop/outcrop/internal/sandbox/gvisor/wire"
)

func TestParseAnswer(t *testing.T) {
	for line, want := range map[string]string{
		"safe 1":                       "safe 1 ",
		"restored 77 ":                 "restored 77 ",
		"unsafe 3 its TLS is own":      "unsafe 3 its TLS is own",
		"failed 3 a\x1b[31mb\x00c\xff": "failed 3 a[31mbc",
		"unsafe 3 " + strings.Repeat("é", hookReason): "unsafe 3 " + strings.Repeat("é", hookReason/2),
		"":                          "none",
		"safe":                      "none",
		"safe x":                    "none",
		"safe 0":                    "none",
		"safe -1":                   "none",
		"safe 99999999999999999999": "none",
		"other 1":                   "none",
	} {
		got := "none"
		if a, reason, ok := parseAnswer(line); ok {
			got = fmt.Sprintf("%s %d %s", a.event, a.pid, reason)
		}
		if got != want {
			t.Errorf("parseAnswer(%q) = %q, want %q", line, got, want)
		}
	}
}

func FuzzParseAnswer(f *testing.F) {
	f.Add("unsafe 3 its TLS")
	f.Fuzz(func(t *testing.T, line string) {
		a, reason, ok := parseAnswer(line)
		if !ok {
			return
		}
		if a.pid <= 0 || a.event == "" || len(reason) > hookReason {
			t.Errorf("parseAnswer(%q) = %+v, %q", line, a, reason)
		}
		for _, r := range reason {
			if !unicode.IsPrint(r) {
				t.Errorf("parseAnswer(%q) lets %q through", line, r)
			}
		}
	})
}

// TestHooksAwait has processes answer well, badly, late and not at all.
func TestHooksAwait(t *testing.T) {
	processes := []wire.Process{{PID: 1, Name: "python3"}, {PID: 7, Name: "no\nde"}}
	for name, tt := range map[string]struct {
		lines    []string // one a second
		cancel   bool
		over     bool
		answered int
		silent   string
		took     time.Duration
	}{
		"all":        {lines: []string{"safe 1", "safe 7"}, answered: 2, silent: "[]", took: 2 * time.Second},
		"a bad one":  {lines: []string{"unsafe 7 why"}, silent: "[process 1 (python3): it cannot be told, or does not answer process 7 (node): why]", took: time.Second},
		"one only":   {lines: []string{"safe 1"}, answered: 1, silent: "[process 7 (node): it cannot be told, or does not answer]", took: hookTime},
		"wrong ones": {lines: []string{"restored 1", "safe 2", "noise"}, silent: "[process 1 (python3): it cannot be told, or does not answer process 7 (node): it cannot be told, or does not answer]", took: hookTime},
		"cancelled":  {lines: []string{"safe 1"}, cancel: true, answered: 0, silent: "[process 1 (python3): it cannot be told, or does not answer process 7 (node): it cannot be told, or does not answer]"},
		"over":       {over: true, silent: "[process 1 (python3): it cannot be told, or does not answer process 7 (node): it cannot be told, or does not answer]"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var h hookAnswers
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if tt.cancel {
					cancel()
				}
				over := make(chan struct{})
				if tt.over {
					close(over)
				}
				go func() {
					for _, line := range tt.lines {
						time.Sleep(time.Second) // the bubble's clock
						ours, theirs := net.Pipe()
						go h.serve(theirs)
						fmt.Fprintln(ours, line)
						ours.Close()
					}
				}()
				begin := time.Now()
				answered, silent := h.await(ctx, question{good: eventSafe, bad: eventUnsafe, processes: processes, patience: hookTime, over: over})
				if len(answered) != tt.answered || fmt.Sprint(silent) != tt.silent || time.Since(begin) != tt.took {
					t.Errorf("await() = %v, %v after %v; want %d, %s after %v", answered, silent, time.Since(begin), tt.answered, tt.silent, tt.took)
				}
				synctest.Wait()
				time.Sleep(hookTime) // for those who still talk
			})
		})
	}
}

// TestHooksBounded: a guest that talks without end is cut off, and what it says is
// not all kept.
func TestHooksBounded(t *testing.T) {
	var h hookAnswers
	ours, theirs := net.Pipe()
	served := make(chan struct{})
	go func() { h.serve(theirs); close(served) }()
	n := 0
	for ; n < 1000; n++ {
		if _, err := fmt.Fprintf(ours, "safe %d %s\n", n+1, strings.Repeat("x", 50)); err != nil {
			break
		}
	}
	<-served
	if n == 1000 {
		t.Error("it was never cut off")
	}
	for i := range 2 * hookMax {
		h.add(hookAnswer{eventSafe, i}, "")
	}
	if len(h.answers) > hookMax {
		t.Errorf("%d answers are kept, at most %d should be", len(h.answers), hookMax)
	}
}
