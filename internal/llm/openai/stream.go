package openai

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"regexp"
	"strconv"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/llm/chat"
	"github.com/outcrop/outcrop/internal/llm/sse"
)

// DecodeStream reads an answer that streams. failed words an error that the
// provider tells in the stream, by the status it would have had.
func DecodeStream(r io.Reader, failed func(status int, text string) *fault.Error) iter.Seq2[chat.Event, error] {
	return func(yield func(chat.Event, error) bool) {
		d := decoder{yield: yield, failed: failed}
		for e, err := range sse.Read(r) {
			if err == nil {
				err = d.event(e.Data)
			}
			if err == errDone {
				break
			}
			if err != nil {
				if err != errGone {
					yield(chat.Event{}, readable(err))
				}
				return
			}
		}
		if err := d.end(); err != nil && err != errGone {
			yield(chat.Event{}, err)
		}
	}
}

// errDone ends a stream as it should, errGone one that nobody reads any more.
var (
	errDone = errors.New("stream is done")
	errGone = errors.New("nobody reads")
)

func readable(err error) error {
	if errors.Is(err, sse.ErrTooLong) {
		return chat.BadAnswer("%v", err)
	}
	return err
}

// decoder makes blocks of deltas: the dialect does not say where one begins or ends.
type decoder struct {
	yield  func(chat.Event, error) bool
	failed func(status int, text string) *fault.Error

	id string // the answer's
	// open says what the block at index is, 0 none; next is the index of the next.
	open        chat.Kind
	index, next int
	// tool is the provider's index of the open tool call, callID its id, and tools how many there were.
	tool, tools int
	callID      string
	stop        chat.StopReason
	stopped     bool
	usage       chat.Usage
}

func (d *decoder) emit(e chat.Event) error {
	if !d.yield(e, nil) {
		return errGone
	}
	return nil
}

func (d *decoder) event(data []byte) error {
	if bytes.Equal(data, []byte("[DONE]")) {
		return errDone
	}
	var a answer
	if err := json.Unmarshal(data, &a); err != nil {
		return chat.BadAnswer("a chunk of it is not the JSON of chat completions").Because(err)
	}
	if a.Error != nil {
		return d.failed(statusOf(a.Error.Code), a.Error.Message)
	}
	if d.id == "" {
		d.id = a.ID
	}
	if u := a.Usage; u != nil {
		d.usage = u.neutral()
	}
	for _, c := range a.Choices {
		if c.Index != 0 {
			continue // nobody asked for more than one
		}
		if c.Delta != nil {
			if err := d.delta(c.Delta); err != nil {
				return err
			}
		}
		if c.FinishReason != nil && *c.FinishReason != "" {
			d.stop, d.stopped = stopReason(*c.FinishReason, d.tools > 0), true
		}
	}
	return nil
}

// statusOf reads the code of an error in a stream, which some servers make a status.
func statusOf(code json.RawMessage) int {
	if n, err := strconv.Atoi(string(bytes.Trim(code, `"`))); err == nil && n >= 400 && n < 600 {
		return n
	}
	if bytes.Contains(code, []byte("rate_limit")) {
		return 429
	}
	return 500
}

func (d *decoder) delta(s *said) error {
	for _, t := range []*string{s.ReasoningContent, s.Reasoning} {
		if t != nil && *t != "" {
			if err := d.text(chat.ThinkingDelta, *t); err != nil {
				return err
			}
			break
		}
	}
	for _, t := range []*string{s.Content, s.Refusal} {
		if t != nil && *t != "" {
			if err := d.text(chat.TextDelta, *t); err != nil {
				return err
			}
		}
	}
	for i := range s.ToolCalls {
		if err := d.call(&s.ToolCalls[i]); err != nil {
			return err
		}
	}
	return nil
}

// text adds to the open block if it is of that kind, and else begins one.
func (d *decoder) text(kind chat.Kind, text string) error {
	if d.open != kind {
		if err := d.begin(kind, nil); err != nil {
			return err
		}
	}
	return d.emit(chat.Event{Kind: kind, Index: d.index, Text: text})
}

func (d *decoder) begin(kind chat.Kind, use *chat.ToolUse) error {
	if err := d.close(); err != nil {
		return err
	}
	d.open, d.index = kind, d.next
	d.next++
	return d.emit(chat.Event{Kind: chat.BlockStart, Index: d.index, ToolUse: use})
}

func (d *decoder) close() error {
	if d.open == 0 {
		return nil
	}
	d.open = 0
	return d.emit(chat.Event{Kind: chat.BlockStop, Index: d.index})
}

// call adds to a tool call. A new one is told by its index; servers that give all
// of them the same tell it by another id.
func (d *decoder) call(c *toolCall) error {
	index := d.tool
	if c.Index != nil {
		index = *c.Index
	}
	if d.open != chat.InputDelta || index != d.tool || c.ID != "" && c.ID != d.callID {
		if c.Function.Name == "" {
			return chat.BadAnswer("it goes on with a tool call that is none")
		}
		use := &chat.ToolUse{ID: c.ID, Name: c.Function.Name}
		if use.ID == "" {
			use.ID = d.madeID()
		}
		d.tool, d.callID = index, use.ID
		d.tools++
		if err := d.begin(chat.InputDelta, use); err != nil {
			return err
		}
	}
	if c.Function.Arguments == "" {
		return nil
	}
	return d.emit(chat.Event{Kind: chat.InputDelta, Index: d.index, Text: c.Function.Arguments})
}

var notOfIDs = regexp.MustCompile(`[^a-zA-Z0-9_-]`)

// madeID names a tool call that its server has not, by the id of the answer.
func (d *decoder) madeID() string {
	id := notOfIDs.ReplaceAllString(d.id, "")
	return fmt.Sprintf("call_%.40s_%d", id, d.tools)
}

func (d *decoder) end() error {
	if !d.stopped {
		return chat.BadAnswer("it ended before it was whole")
	}
	if err := d.close(); err != nil {
		return err
	}
	if err := d.emit(chat.Event{Kind: chat.Stopped, Stop: d.stop}); err != nil {
		return err
	}
	return d.emit(chat.Event{Kind: chat.Finished, Usage: d.usage})
}

// stopReason is the reason in neutral words. Servers that call tools and say "stop"
// mean that the tools are to be called.
func stopReason(s string, tools bool) chat.StopReason {
	switch {
	case s == "length":
		return chat.MaxTokens
	case s == "content_filter":
		return chat.ContentFiltered
	case s == "tool_calls" || s == "function_call" || tools:
		return chat.StopToolUse
	}
	return chat.EndTurn
}

func (u *usage) neutral() chat.Usage {
	out := chat.Usage{Input: u.Prompt, Output: u.Completion}
	if u.Details != nil && u.Details.Cached <= u.Prompt {
		out.CacheRead = u.Details.Cached
		out.Input -= out.CacheRead
	}
	return out
}
