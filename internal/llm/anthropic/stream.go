package anthropic

import (
	"encoding/json"
	"errors"
	"io"
	"iter"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/llm/chat"
	"github.com/outcrop/outcrop/internal/llm/sse"
)

// DecodeStream reads an answer that streams. failed words an error that the
// provider tells in the stream, by the status it would have had.
func DecodeStream(r io.Reader, failed func(status int, text string) *fault.Error) iter.Seq2[chat.Event, error] {
	return func(yield func(chat.Event, error) bool) {
		d := decoder{yield: yield, failed: failed, at: map[int]int{}}
		for e, err := range sse.Read(r) {
			if err == nil {
				err = d.event(e.Data)
			}
			if errors.Is(err, sse.ErrTooLong) {
				err = chat.BadAnswer("%v", err)
			}
			if err == errGone || d.finished {
				return
			}
			if err != nil {
				yield(chat.Event{}, err)
				return
			}
		}
		yield(chat.Event{}, chat.BadAnswer("it ended before it was whole"))
	}
}

// errGone ends a stream that nobody reads any more.
var errGone = errors.New("nobody reads")

type decoder struct {
	yield    func(chat.Event, error) bool
	failed   func(status int, text string) *fault.Error
	at       map[int]int // the provider's index of a block -> ours
	next     int
	usage    chat.Usage
	finished bool
}

func (d *decoder) emit(e chat.Event) error {
	if !d.yield(e, nil) {
		return errGone
	}
	return nil
}

func (d *decoder) event(data []byte) error {
	var e event
	if err := json.Unmarshal(data, &e); err != nil {
		return chat.BadAnswer("an event of it is not the JSON of Messages").Because(err)
	}
	switch e.Type {
	case "message_start":
		if e.Message != nil {
			d.usage = e.Message.Usage.neutral()
		}
	case "content_block_start":
		return d.start(&e)
	case "content_block_delta":
		return d.delta(&e)
	case "content_block_stop":
		if at, ok := d.block(&e); ok {
			return d.emit(chat.Event{Kind: chat.BlockStop, Index: at})
		}
	case "message_delta":
		return d.stop(&e)
	case "message_stop":
		err := d.emit(chat.Event{Kind: chat.Finished, Usage: d.usage})
		d.finished = true
		return err
	case "error":
		if e.Error != nil {
			return d.failed(statusOf(e.Error.Type), e.Error.Message)
		}
		return d.failed(500, "")
	}
	return nil // pings, and what newer versions add
}

// block is our index of an event's block. Blocks of a kind that has no place in a
// neutral answer are left out.
func (d *decoder) block(e *event) (at int, ok bool) {
	if e.Index == nil {
		return 0, false
	}
	at, ok = d.at[*e.Index]
	return at, ok
}

func (d *decoder) start(e *event) error {
	if e.Index == nil || e.ContentBlock == nil {
		return chat.BadAnswer("a block of it begins without an index")
	}
	out := chat.Event{Kind: chat.BlockStart, Index: d.next}
	b := e.ContentBlock
	switch b.Type {
	case "text", "thinking", "redacted_thinking":
	case "tool_use":
		out.ToolUse = &chat.ToolUse{ID: b.ID, Name: b.Name}
	default:
		return nil
	}
	d.at[*e.Index] = d.next
	d.next++
	if err := d.emit(out); err != nil {
		return err
	}
	switch {
	case b.Data != "":
		return d.emit(chat.Event{Kind: chat.RedactedDelta, Index: out.Index, Redacted: []byte(b.Data)})
	case b.Text != nil && *b.Text != "":
		return d.emit(chat.Event{Kind: chat.TextDelta, Index: out.Index, Text: *b.Text})
	}
	return nil
}

func (d *decoder) delta(e *event) error {
	at, ok := d.block(e)
	if !ok || e.Delta == nil {
		return nil
	}
	for _, one := range []struct {
		text *string
		kind chat.Kind
	}{
		{e.Delta.Text, chat.TextDelta}, {e.Delta.PartialJSON, chat.InputDelta},
		{e.Delta.Thinking, chat.ThinkingDelta}, {e.Delta.Signature, chat.SignatureDelta},
	} {
		if one.text != nil && *one.text != "" {
			return d.emit(chat.Event{Kind: one.kind, Index: at, Text: *one.text})
		}
	}
	return nil
}

func (d *decoder) stop(e *event) error {
	if u := e.Usage; u != nil {
		for from, to := range map[*int]*int{u.Input: &d.usage.Input, u.Output: &d.usage.Output, u.CacheRead: &d.usage.CacheRead, u.CacheWrite: &d.usage.CacheWrite} {
			if from != nil {
				*to = *from
			}
		}
	}
	if e.Delta == nil || e.Delta.StopReason == nil {
		return nil
	}
	return d.emit(chat.Event{Kind: chat.Stopped, Stop: stopReason(*e.Delta.StopReason)})
}

func stopReason(s string) chat.StopReason {
	switch r := chat.StopReason(s); r {
	case chat.EndTurn, chat.StopToolUse, chat.MaxTokens, chat.StopSequence, chat.ContextExceeded:
		return r
	}
	if s == "refusal" {
		return chat.ContentFiltered
	}
	return chat.EndTurn // pause_turn, and what newer versions add
}

// statusOf is the status that goes with an error's type.
func statusOf(kind string) int {
	switch kind {
	case "invalid_request_error":
		return 400
	case "authentication_error":
		return 401
	case "billing_error":
		return 402
	case "permission_error":
		return 403
	case "not_found_error":
		return 404
	case "request_too_large":
		return 413
	case "rate_limit_error":
		return 429
	case "timeout_error":
		return 504
	case "overloaded_error":
		return 529
	}
	return 500
}

func (u *usage) neutral() chat.Usage {
	return chat.Usage{Input: u.Input, Output: u.Output, CacheRead: u.CacheRead, CacheWrite: u.CacheWrite}
}
