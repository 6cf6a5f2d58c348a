package lambda

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/session"
)

// What a guest and we say to each other in headers.
const (
	headerRequestID = "Lambda-Runtime-Aws-Request-Id"
	headerDeadline  = "Lambda-Runtime-Deadline-Ms" // epoch
	headerARN       = "Lambda-Runtime-Invoked-Function-Arn"
	headerContext   = "Lambda-Runtime-Client-Context" // base64
	headerStream    = "Outcrop-Log-Stream"
	headerEnd       = "Outcrop-End"    // what the guest writes between two U+001E when it has said all
	headerStreaming = "Outcrop-Stream" // the answer is wanted as it comes
	headerFailed    = "Outcrop-Function-Error"
	headerMemory    = "Outcrop-Max-Memory"   // MB
	headerEnded     = "Outcrop-Ended"        // the guest ends after this answer
	headerType      = "Outcrop-Content-Type" // of a streamed answer
	trailerFailure  = "Outcrop-Failure"      // base64 of a failure after the first byte
)

// call is one invocation in one environment.
type call struct {
	s            *Service
	in           Invocation
	name         Name
	v            *version
	stream, mark string
	limit        time.Duration
	begun        time.Time
	initialised  time.Duration // what the environment took to start; 0 for one that ran
}

// answer is a Result with what the guest said besides.
type answer struct {
	Result
	memory int // MB
	ended  bool
	kind   string // how the environment ended, empty for one that answered
}

// errTimedOut says that the function did not answer within its timeout.
var errTimedOut = errors.New("timed out")

// send invokes the function and reads its answer.
func (c *call) send(ctx context.Context, use *session.Use) (answer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.limit, errTimedOut)
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	unwatch := context.AfterFunc(use.Context(), func() { stop(session.ErrStopping) })
	defer unwatch()
	res, err := c.exchange(ctx, use)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return res, err
}

func (c *call) exchange(ctx context.Context, use *session.Use) (answer, error) {
	res := answer{Result: Result{Version: Latest, RequestID: c.in.RequestID}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://localhost/invoke", bytes.NewReader(c.in.Payload))
	if err != nil {
		return res, err
	}
	invoked := c.name.ARN()
	for name, text := range map[string]string{
		headerRequestID: c.in.RequestID, headerDeadline: strconv.FormatInt(c.s.cfg.Now().Add(c.limit).UnixMilli(), 10), headerARN: invoked,
		headerContext: c.in.ClientContext, headerStream: c.stream, headerEnd: c.mark,
	} {
		if text != "" {
			req.Header.Set(name, text)
		}
	}
	if c.in.Chunk != nil {
		req.Header.Set(headerStreaming, "1")
	}
	resp, err := use.Transport().RoundTrip(req)
	if err != nil {
		return res, err
	}
	defer resp.Body.Close()
	res.memory, _ = strconv.Atoi(resp.Header.Get(headerMemory)) // a guest may say anything
	res.ended = resp.Header.Get(headerEnded) != ""
	if resp.Header.Get(headerFailed) != "" {
		res.FunctionError = unhandled
	}
	if c.in.Chunk != nil && res.FunctionError == "" {
		return res, c.relay(&res, resp)
	}
	res.Payload, err = io.ReadAll(io.LimitReader(resp.Body, maxPayload+answerSlack+1))
	if err == nil && len(res.Payload) > maxPayload+answerSlack {
		res.FunctionError = unhandled
		res.Payload = c.failure("Function.ResponseSizeTooLarge", fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", maxPayload+answerSlack))
		_, err = io.Copy(io.Discard, resp.Body)
	}
	c.late(&res, resp.Trailer)
	return res, err
}

// relay passes a streamed answer on as it comes.
func (c *call) relay(res *answer, resp *http.Response) error {
	if c.in.ContentType != nil {
		c.in.ContentType(resp.Header.Get(headerType))
	}
	buffer := make([]byte, 32<<10)
	var gone error
	for {
		n, err := resp.Body.Read(buffer)
		if n > 0 && gone == nil { // who is gone hears no more, and the function goes on
			gone = c.in.Chunk(bytes.Clone(buffer[:n]))
		}
		if errors.Is(err, io.EOF) {
			c.late(res, resp.Trailer)
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// late takes over a failure that came after the first byte of an answer.
func (c *call) late(res *answer, trailer http.Header) {
	text, err := base64.StdEncoding.DecodeString(trailer.Get(trailerFailure))
	if err == nil && len(text) > 0 {
		res.FunctionError, res.Payload = unhandled, text
	}
}

// failure is a failure's payload.
func (c *call) failure(kind, message string) []byte { return failure(c.in.RequestID, kind, message) }

func failure(id, kind, message string) []byte {
	body, _ := json.Marshal(struct { // two texts
		Type    string `json:"errorType"`
		Message string `json:"errorMessage"`
	}{kind, "RequestId: " + id + " Error: " + message})
	return body
}

// Lambda's names of the ends of environments.
const (
	timedOut    = "Sandbox.Timedout"
	exitError   = "Runtime.ExitError"
	outOfMemory = "Runtime.OutOfMemory"
)

// failed words what became of an invocation whose environment did not answer: that is the
// function's failure, but for a server that stops.
func (c *call) failed(ctx context.Context, use *session.Use, out *output, err error) (answer, error) {
	res := answer{Result: Result{Version: Latest, RequestID: c.in.RequestID, FunctionError: unhandled}}
	kind, text := timedOut, fmt.Sprintf("Task timed out after %.2f seconds", c.limit.Seconds())
	if !errors.Is(err, errTimedOut) {
		ended, cancel := context.WithTimeout(ctx, endWait)
		defer cancel()
		select {
		case <-use.Done():
			out.awaitClosed(ended)
		case <-ended.Done():
			c.s.cfg.Log.Warn("an environment broke off an invocation", "function", c.name.ARN(), "error", err)
		}
		if errors.Is(err, session.ErrStopping) {
			out.cut(c.report(answer{}, "")...)
			// It is not the cause: who reads that sends the invocation again, and it has run.
			return res, fault.New("ServiceException", http.StatusInternalServerError, "The environment of the function was stopped before it answered.")
		}
		kind, text = ending(use.Exit())
	}
	res.kind = kind
	res.Log = out.cut(c.report(res, text)...)
	res.Payload = c.failure(kind, text)
	return res, nil
}

// endWait is how long an environment whose connection broke has to be found dead.
const endWait = 2 * time.Second

// ending words how a guest ended.
func ending(e sandbox.Status) (kind, text string) {
	switch {
	case e.Cause == sandbox.OutOfMemory:
		return outOfMemory, "Runtime exited with error: signal: killed"
	case e.Cause == sandbox.Exited && e.Code != 0:
		return exitError, "Runtime exited with error: exit status " + strconv.Itoa(e.Code)
	}
	return exitError, "Runtime exited without providing a reason"
}

// report are the lines that end an invocation's log; text is what its environment ended of.
func (c *call) report(res answer, text string) []string {
	now := c.s.cfg.Now()
	lines := c.v.Settings.Logs.report(now, c, res, text)
	if w := c.v.warning(); w != "" {
		lines = append(lines, "outcrop: "+w)
	}
	return lines
}

// unstarted is the answer of a function whose environment did not become ready.
func (s *Service) unstarted(in Invocation, doc functionDoc, v *version, env environment, begun time.Time, e *session.StartError) answer {
	kind, text := "Runtime.InitError", "the function was not ready: "+e.Why()
	switch {
	case errors.Is(e, session.ErrExited):
		kind, text = ending(e.Exit)
	case errors.Is(e, session.ErrNotReady):
		kind, text = timedOut, fmt.Sprintf("Task timed out after %.2f seconds", e.Limit.Seconds())
	}
	res := answer{kind: kind, Result: Result{Version: Latest, RequestID: in.RequestID, FunctionError: unhandled, Payload: failure(in.RequestID, kind, text)}}
	out := s.output(doc, v, streamName(s.cfg.Now(), env.key.ID))
	out.begin(in.RequestID, "")
	c := call{s: s, in: in, v: v, begun: begun}
	res.Log = out.cut(c.report(res, text)...)
	return res
}
