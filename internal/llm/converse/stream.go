package converse

import (
	"encoding/json"
	"errors"
	"io"
	"iter"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream/eventstreamapi"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/llm/chat"
)

// StreamType is the media type of Bedrock's streams.
const StreamType = "application/vnd.amazon.eventstream"

// Frame is one event of a stream.
type Frame struct {
	// Name is its event type.
	Name string
	// Payload is JSON, valid until the next frame.
	Payload []byte
}

// Frames reads the frames of a stream. An exception of Bedrock's ends it, as a
// fault.Error of its name.
func Frames(r io.Reader) iter.Seq2[Frame, error] {
	return func(yield func(Frame, error) bool) {
		dec := eventstream.NewDecoder()
		var buffer []byte
		for {
			m, err := dec.Decode(r, buffer[:0])
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(Frame{}, unreadable(err))
				return
			}
			buffer = m.Payload
			f := Frame{Name: header(&m, eventstreamapi.EventTypeHeader), Payload: m.Payload}
			if kind := header(&m, eventstreamapi.MessageTypeHeader); kind != eventstreamapi.EventMessageType {
				yield(Frame{}, exception(&m, kind))
				return
			}
			if !yield(f, nil) {
				return
			}
		}
	}
}

// unreadable keeps what the connection says, and calls everything else a bad answer.
func unreadable(err error) error {
	var f *fault.Error
	if errors.As(err, &f) {
		return err
	}
	return chat.BadAnswer("its event stream is broken").Because(err)
}

func header(m *eventstream.Message, name string) string {
	if v := m.Headers.Get(name); v != nil {
		return v.String()
	}
	return ""
}

// exception is what a stream ended with.
func exception(m *eventstream.Message, kind string) error {
	name, text := header(m, eventstreamapi.ExceptionTypeHeader), ""
	if kind == eventstreamapi.ErrorMessageType {
		name, text = header(m, eventstreamapi.ErrorCodeHeader), header(m, eventstreamapi.ErrorMessageHeader)
	}
	var told struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(m.Payload, &told) == nil && told.Message != "" {
		text = told.Message
	}
	if name == "" {
		return chat.BadAnswer("its stream ends with an error that has no name")
	}
	if name[0] >= 'a' && name[0] <= 'z' {
		name = string(name[0]-'a'+'A') + name[1:]
	}
	if name == "InternalServerException" { // it is not ours
		name = "ModelStreamErrorException"
	}
	return fault.New(name, 424, "The model's provider says: %s", text)
}

// event is the payload of any event that a neutral stream has.
type event struct {
	Index int `json:"contentBlockIndex"`
	Start struct {
		ToolUse *toolUse `json:"toolUse"`
	} `json:"start"`
	Delta struct {
		Text    *string `json:"text"`
		ToolUse *struct {
			Input string `json:"input"`
		} `json:"toolUse"`
		Reasoning *struct {
			Text      *string `json:"text"`
			Signature *string `json:"signature"`
			Redacted  []byte  `json:"redactedContent"`
		} `json:"reasoningContent"`
	} `json:"delta"`
	Stop  chat.StopReason `json:"stopReason"`
	Usage struct {
		Input      int `json:"inputTokens"`
		Output     int `json:"outputTokens"`
		CacheRead  int `json:"cacheReadInputTokens"`
		CacheWrite int `json:"cacheWriteInputTokens"`
	} `json:"usage"`
}

// DecodeStream reads the answer of ConverseStream. Blocks of text have no start of
// their own in it, and get one.
func DecodeStream(r io.Reader) iter.Seq2[chat.Event, error] {
	return func(yield func(chat.Event, error) bool) {
		open, finished := -1, false
		for f, err := range Frames(r) {
			var e event
			if err == nil && json.Unmarshal(f.Payload, &e) != nil {
				err = chat.BadAnswer("an event of it is not the JSON of Converse")
			}
			if err != nil {
				yield(chat.Event{}, err)
				return
			}
			for _, out := range events(f.Name, &e, &open) {
				if !yield(out, nil) {
					return
				}
				finished = finished || out.Kind == chat.Finished
			}
		}
		if !finished {
			yield(chat.Event{}, chat.BadAnswer("it ended before it was whole"))
		}
	}
}

// events is one of Bedrock's in neutral form. open is the block that is, or -1.
func events(name string, e *event, open *int) []chat.Event {
	switch name {
	case "contentBlockStart":
		*open = e.Index
		out := chat.Event{Kind: chat.BlockStart, Index: e.Index}
		if u := e.Start.ToolUse; u != nil {
			out.ToolUse = &chat.ToolUse{ID: u.ID, Name: u.Name}
		}
		return []chat.Event{out}
	case "contentBlockDelta":
		delta, ok := deltaOf(e)
		switch {
		case !ok:
			return nil
		case *open == e.Index:
			return []chat.Event{delta}
		}
		*open = e.Index
		return []chat.Event{{Kind: chat.BlockStart, Index: e.Index}, delta}
	case "contentBlockStop":
		if *open != e.Index {
			return nil
		}
		*open = -1
		return []chat.Event{{Kind: chat.BlockStop, Index: e.Index}}
	case "messageStop":
		return []chat.Event{{Kind: chat.Stopped, Stop: e.Stop}}
	case "metadata":
		u := e.Usage
		return []chat.Event{{Kind: chat.Finished, Usage: chat.Usage{Input: u.Input, Output: u.Output, CacheRead: u.CacheRead, CacheWrite: u.CacheWrite}}}
	}
	return nil
}

func deltaOf(e *event) (chat.Event, bool) {
	out := chat.Event{Index: e.Index}
	d := &e.Delta
	switch {
	case d.Text != nil:
		out.Kind, out.Text = chat.TextDelta, *d.Text
	case d.ToolUse != nil:
		out.Kind, out.Text = chat.InputDelta, d.ToolUse.Input
	case d.Reasoning == nil:
		return out, false
	case d.Reasoning.Text != nil:
		out.Kind, out.Text = chat.ThinkingDelta, *d.Reasoning.Text
	case d.Reasoning.Signature != nil:
		out.Kind, out.Text = chat.SignatureDelta, *d.Reasoning.Signature
	case d.Reasoning.Redacted != nil:
		out.Kind, out.Redacted = chat.RedactedDelta, d.Reasoning.Redacted
	default:
		return out, false
	}
	return out, true
}
