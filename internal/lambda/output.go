package lambda

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/telemetry"
)

// tailBytes is what an answer shows of an invocation's log (LogType Tail).
const tailBytes = 4 << 10

// output is where what an environment says goes: one stream of the function's log group.
// While an invocation runs it is kept for its answer too, and the guest says by a mark
// where the invocation's part ends.
type output struct {
	logs   telemetry.Appender
	group  telemetry.Group
	stream string
	form   *jsonLog
	now    func() time.Time
	sink   *telemetry.Sink
	stderr *telemetry.Sink
	closed chan struct{} // the guest is gone, and all it said is written
	once   sync.Once

	mu   sync.Mutex
	mark []byte        // that the guest will write; nil outside invocations
	kept []byte        // the beginning of a mark, perhaps
	seen chan struct{} // closed when the mark came
	tail []byte
	open bool // what was given last has no line end yet
}

func (s *Service) output(doc functionDoc, v *version, stream string) *output {
	o := &output{logs: s.cfg.Logs, group: telemetry.Group{Scope: doc.Scope, Name: v.logGroup(doc.ID)}, stream: stream, form: v.Settings.Logs, now: s.cfg.Now, closed: make(chan struct{})}
	o.sink = telemetry.NewSink(o.logs, o.group, stream, s.cfg.Now)
	o.stderr = telemetry.NewSink(o.logs, o.group, stream, s.cfg.Now)
	return o
}

// begin opens the log of an invocation, whose end the guest writes mark for.
func (o *output) begin(id, mark string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mark, o.kept, o.tail, o.seen = []byte(mark), nil, nil, make(chan struct{})
	for _, l := range o.form.start(o.now(), id) {
		o.line(l)
	}
}

// markWait is how long the log of an invocation that has answered may be on its way.
const markWait = 200 * time.Millisecond

// end waits for what the guest said, and returns the end of the invocation's log with
// lines added.
func (o *output) end(lines ...string) []byte {
	o.mu.Lock()
	seen := o.seen
	o.mu.Unlock()
	timer := time.NewTimer(markWait)
	defer timer.Stop()
	select {
	case <-seen:
	case <-o.closed:
	case <-timer.C:
	}
	return o.cut(lines...)
}

// cut is end for a guest that writes no mark any more.
func (o *output) cut(lines ...string) []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.give(o.kept)
	o.mark, o.kept = nil, nil
	for _, l := range lines {
		o.line(l)
	}
	return o.tail
}

// line writes a line of ours; the caller holds the mutex.
func (o *output) line(text string) {
	o.logs.Append(o.group, o.stream, o.now(), text)
	o.keep([]byte(text + "\n"))
}

// keep adds to the tail; the caller holds the mutex.
func (o *output) keep(p []byte) {
	o.tail = append(o.tail, p...)
	o.tail = o.tail[max(0, len(o.tail)-tailBytes):]
}

// give passes on what the guest said; the caller holds the mutex.
func (o *output) give(p []byte) {
	if len(p) == 0 {
		return
	}
	_, _ = o.sink.Write(p) // fails after Close alone, when nobody listens
	o.keep(p)
	o.open = p[len(p)-1] != '\n'
}

// Write takes what the guest says.
func (o *output) Write(p []byte) (int, error) {
	n := len(p)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mark == nil {
		o.give(p)
		return n, nil
	}
	if len(o.kept) > 0 {
		p = append(o.kept, p...)
		o.kept = nil
	}
	if i := bytes.Index(p, o.mark); i >= 0 {
		o.give(p[:i])
		if o.open { // what was not ended is a line all the same
			o.give([]byte("\n"))
		}
		rest := bytes.Clone(p[i+len(o.mark):])
		o.mark = nil
		close(o.seen)
		o.give(rest)
		return n, nil
	}
	// Its beginning may stand at the end.
	cut := len(p)
	for k := min(len(o.mark)-1, len(p)); k > 0; k-- {
		if bytes.HasPrefix(o.mark, p[len(p)-k:]) {
			cut = len(p) - k
			break
		}
	}
	o.kept = bytes.Clone(p[cut:])
	o.give(p[:cut])
	return n, nil
}

// errorOutput takes what the guest says on its standard error, which has no marks.
type errorOutput output

func (e *errorOutput) Write(p []byte) (int, error) {
	o := (*output)(e)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.keep(p)
	return o.stderr.Write(p)
}

// note writes lines of ours.
func (o *output) note(text string) {
	for line := range strings.Lines(text) {
		o.logs.Append(o.group, o.stream, o.now(), "outcrop: "+strings.TrimRight(line, "\r\n"))
	}
}

func (o *output) close(e session.End) {
	o.once.Do(func() {
		_ = o.sink.Close() // gives the last line; never fails
		_ = o.stderr.Close()
		if e.Why != "" && !e.Hibernated {
			o.note("the environment ended: " + e.Why)
		}
		close(o.closed)
	})
}

// awaitClosed waits until a guest that has ended has nothing more to say.
func (o *output) awaitClosed(ctx context.Context) {
	select {
	case <-o.closed:
	case <-ctx.Done():
	}
}

// streamName names the log stream of an environment as Lambda does.
func streamName(at time.Time, id string) string {
	return at.UTC().Format("2006/01/02") + "/[" + Latest + "]" + id
}

// note writes a line about a version into the function's log.
func (s *Service) note(doc functionDoc, v *version, text string) {
	s.output(doc, v, streamName(s.cfg.Now(), preparation)).note(text)
}

// preparation stands for an environment in the log of a version that is prepared.
const preparation = "preparation"

// SessionNote returns what writes a line of ours into the log of an environment that no
// process runs.
func SessionNote(logs telemetry.Appender, now func() time.Time) func(session.Key, string) {
	return func(key session.Key, text string) {
		name, _ := FunctionOf(key.Owner)
		o := output{logs: logs, group: telemetry.Group{Scope: key.Scope, Name: LogGroup(name)}, stream: streamName(now(), key.ID), now: now}
		o.note(text)
	}
}
