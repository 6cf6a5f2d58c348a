package gvisor

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/outcrop/outcrop/internal/sandbox/gvisor/wire"
)

// How the hooks inside a guest (package hooks) answer: each by a connection to
// hookAddress with lines of an event, a pid and, for unsafe, a reason.
const (
	eventSafe     = "safe"     // saved: copies of me will be unique
	eventUnsafe   = "unsafe"   // saved: they would not be
	eventRestored = "restored" // resumed: I have become unique
	eventFailed   = "failed"   // resumed: I could not

	hookTime   = 5 * time.Second // for all answers of a guest, and for one connection
	hookPause  = time.Second     // for those of a guest that needs none
	hookLines  = 16              // of one connection
	hookReason = 200             // bytes
	hookMax    = 4096            // answers of a guest
)

// hookAnswers collects what the processes of a guest answer. A guest can say what it
// likes here: it is believed about itself alone.
type hookAnswers struct {
	mu      sync.Mutex
	answers map[hookAnswer]string // to the reason
	changed chan struct{}         // closed with the next answer; nil if nobody waits
}

type hookAnswer struct {
	event string
	pid   int
}

// serve reads a connection's answers and closes it.
func (h *hookAnswers) serve(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(hookTime))
	lines := bufio.NewScanner(io.LimitReader(conn, hookLines*(hookReason+64)))
	for lines.Scan() {
		if a, reason, ok := parseAnswer(lines.Text()); ok {
			h.add(a, reason)
		}
	}
}

// parseAnswer reads a line: the event, the pid, the reason.
func parseAnswer(line string) (a hookAnswer, reason string, ok bool) {
	event, rest, _ := strings.Cut(line, " ")
	number, reason, _ := strings.Cut(rest, " ")
	pid, err := strconv.Atoi(number)
	if err != nil || pid <= 0 {
		return hookAnswer{}, "", false
	}
	switch event {
	case eventSafe, eventUnsafe, eventRestored, eventFailed:
	default:
		return hookAnswer{}, "", false
	}
	return hookAnswer{event, pid}, printable(reason), true
}

// printable makes what a guest says fit for an error's text.
func printable(text string) string {
	text = strings.ToValidUTF8(text[:min(len(text), hookReason)], "")
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
}

func (h *hookAnswers) add(a hookAnswer, reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.answers == nil {
		h.answers = map[hookAnswer]string{}
	}
	if len(h.answers) >= hookMax {
		return
	}
	h.answers[a] = reason
	if h.changed != nil {
		close(h.changed)
		h.changed = nil
	}
}

// reset forgets all answers.
func (h *hookAnswers) reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answers = nil
}

// A silence is a process that has not answered as it should.
type silence struct {
	process wire.Process
	reason  string
}

// String names the process and what is wrong with it.
func (s silence) String() string {
	return fmt.Sprintf("process %d (%s): %s", s.process.PID, printable(s.process.Name), s.reason)
}

// A question is what await waits for an answer to.
type question struct {
	good, bad string // the events that answer it
	processes []wire.Process
	patience  time.Duration
	over      <-chan struct{} // closed when the guest has ended
}

// await returns when each process has given the good answer, when one has given
// the bad one, or when ctx, the patience or the guest is over: then it says who
// has not answered as well.
func (h *hookAnswers) await(ctx context.Context, q question) (answered []wire.Process, silent []silence) {
	late := time.NewTimer(q.patience)
	defer late.Stop()
	for waiting := true; ; {
		h.mu.Lock()
		answered, silent = nil, nil
		failed := false
		for _, p := range q.processes {
			if reason, ok := h.answers[hookAnswer{q.bad, p.PID}]; ok {
				silent = append(silent, silence{p, reason})
				failed = true
			} else if _, ok := h.answers[hookAnswer{q.good, p.PID}]; ok {
				answered = append(answered, p)
			} else {
				silent = append(silent, silence{p, "it cannot be told, or does not answer"})
			}
		}
		if h.changed == nil {
			h.changed = make(chan struct{})
		}
		changed := h.changed
		h.mu.Unlock()
		if failed || len(silent) == 0 || !waiting {
			return answered, silent
		}
		select {
		case <-changed:
		case <-late.C:
			waiting = false
		case <-q.over:
			waiting = false
		case <-ctx.Done():
			waiting = false
		}
	}
}
