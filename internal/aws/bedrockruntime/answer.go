package bedrockruntime

import (
	"errors"
	"iter"

	"github.com/go-json-experiment/json/jsontext"

	model "github.com/outcrop/outcrop/internal/api/model/bedrockruntime"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/llm/chat"
)

func contentOf(blocks []chat.Block) []model.ContentBlock {
	out := make([]model.ContentBlock, 0, len(blocks))
	for _, b := range blocks {
		var c model.ContentBlock
		switch {
		case b.ToolUse != nil:
			c.ToolUse = &model.ToolUseBlock{ToolUseId: &b.ToolUse.ID, Name: &b.ToolUse.Name, Input: jsontext.Value(b.ToolUse.Input)}
		case b.Thinking != nil && b.Thinking.Redacted != nil:
			c.ReasoningContent = &model.ReasoningContentBlock{RedactedContent: b.Thinking.Redacted}
		case b.Thinking != nil:
			t := &model.ReasoningTextBlock{Text: &b.Thinking.Text}
			if b.Thinking.Signature != "" {
				t.Signature = &b.Thinking.Signature
			}
			c.ReasoningContent = &model.ReasoningContentBlock{ReasoningText: t}
		default:
			c.Text = new(b.Text)
		}
		out = append(out, c)
	}
	return out
}

func usageOf(u chat.Usage) *model.TokenUsage {
	out := &model.TokenUsage{InputTokens: new(int32(u.Input)), OutputTokens: new(int32(u.Output)), TotalTokens: new(int32(u.Total()))}
	if u.CacheRead > 0 || u.CacheWrite > 0 {
		out.CacheReadInputTokens, out.CacheWriteInputTokens = new(int32(u.CacheRead)), new(int32(u.CacheWrite))
	}
	return out
}

// streamOf gives the events of an answer Bedrock's form. As there, blocks of text
// have no start of their own.
func streamOf(events iter.Seq2[chat.Event, error]) iter.Seq2[*model.ConverseStreamOutput, error] {
	return func(yield func(*model.ConverseStreamOutput, error) bool) {
		if !yield(&model.ConverseStreamOutput{MessageStart: &model.MessageStartEvent{Role: new(model.ConversationRoleAssistant)}}, nil) {
			return
		}
		for e, err := range events {
			if err != nil {
				yield(nil, midStream(err))
				return
			}
			if out := eventOf(e); out != nil && !yield(out, nil) {
				return
			}
		}
	}
}

func eventOf(e chat.Event) *model.ConverseStreamOutput {
	at := new(int32(e.Index))
	delta := func(d *model.ContentBlockDelta) *model.ConverseStreamOutput {
		return &model.ConverseStreamOutput{ContentBlockDelta: &model.ContentBlockDeltaEvent{Delta: d, ContentBlockIndex: at}}
	}
	switch e.Kind {
	case chat.BlockStart:
		if e.ToolUse == nil {
			return nil
		}
		start := &model.ContentBlockStart{ToolUse: &model.ToolUseBlockStart{ToolUseId: &e.ToolUse.ID, Name: &e.ToolUse.Name}}
		return &model.ConverseStreamOutput{ContentBlockStart: &model.ContentBlockStartEvent{Start: start, ContentBlockIndex: at}}
	case chat.TextDelta:
		return delta(&model.ContentBlockDelta{Text: &e.Text})
	case chat.InputDelta:
		return delta(&model.ContentBlockDelta{ToolUse: &model.ToolUseBlockDelta{Input: &e.Text}})
	case chat.ThinkingDelta:
		return delta(&model.ContentBlockDelta{ReasoningContent: &model.ReasoningContentBlockDelta{Text: &e.Text}})
	case chat.SignatureDelta:
		return delta(&model.ContentBlockDelta{ReasoningContent: &model.ReasoningContentBlockDelta{Signature: &e.Text}})
	case chat.RedactedDelta:
		return delta(&model.ContentBlockDelta{ReasoningContent: &model.ReasoningContentBlockDelta{RedactedContent: e.Redacted}})
	case chat.BlockStop:
		return &model.ConverseStreamOutput{ContentBlockStop: &model.ContentBlockStopEvent{ContentBlockIndex: at}}
	case chat.Stopped:
		return &model.ConverseStreamOutput{MessageStop: &model.MessageStopEvent{StopReason: new(string(e.Stop))}}
	case chat.Finished:
		return &model.ConverseStreamOutput{Metadata: &model.ConverseStreamMetadataEvent{
			Usage: usageOf(e.Usage), Metrics: &model.ConverseStreamMetrics{LatencyMs: new(e.Latency.Milliseconds())}}}
	}
	return nil
}

// midStream words an error for those who have part of an answer: streams have
// fewer errors than calls.
func midStream(err error) error {
	var f *fault.Error
	if !errors.As(err, &f) {
		return err
	}
	switch f.Code {
	case "ValidationException", "ThrottlingException", "ServiceUnavailableException", "ModelStreamErrorException":
		return f
	}
	return fault.New("ModelStreamErrorException", 424, "%s", f.Message).Because(err)
}
