package bedrockruntime

import (
	"encoding/json"
	"fmt"

	model "github.com/outcrop/outcrop/internal/api/model/bedrockruntime"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/llm/chat"
)

// asked is what Converse and ConverseStream are asked alike.
type asked model.ConverseRequest

func askedOfStream(in *model.ConverseStreamRequest) asked {
	return asked{
		ModelId: in.ModelId, Messages: in.Messages, System: in.System, InferenceConfig: in.InferenceConfig, ToolConfig: in.ToolConfig,
		AdditionalModelRequestFields: in.AdditionalModelRequestFields, AdditionalModelResponseFieldPaths: in.AdditionalModelResponseFieldPaths,
		RequestMetadata: in.RequestMetadata, PerformanceConfig: in.PerformanceConfig, ServiceTier: in.ServiceTier, OutputConfig: in.OutputConfig,
	}
}

// onlyBedrock refuses what providers other than Bedrock have nothing for.
func onlyBedrock(what string) error {
	return fault.Validation("%s is not available for this model: only Amazon Bedrock itself, as the model's provider, has it", what)
}

// request is what was asked in neutral words.
func (a asked) request() (*chat.Request, error) {
	if err := a.check(); err != nil {
		return nil, err
	}
	out := &chat.Request{}
	var err error
	if out.Extra, err = object(a.AdditionalModelRequestFields, "additionalModelRequestFields"); err != nil {
		return nil, err
	}
	for i := range a.System {
		b := &a.System[i]
		switch {
		case b.Text != nil:
			out.System = append(out.System, chat.Block{Text: *b.Text})
		case b.CachePoint != nil:
			out.System = append(out.System, chat.Block{CachePoint: cachePoint(b.CachePoint)})
		default:
			return nil, onlyBedrock(fmt.Sprintf("system[%d]: guardContent", i))
		}
	}
	for i := range a.Messages {
		m := &a.Messages[i]
		said := chat.Message{Role: chat.Role(*m.Role)}
		for j := range m.Content {
			b, err := block(&m.Content[j], fmt.Sprintf("messages[%d].content[%d]", i, j))
			if err != nil {
				return nil, err
			}
			said.Content = append(said.Content, b)
		}
		out.Messages = append(out.Messages, said)
	}
	if c := a.InferenceConfig; c != nil {
		out.MaxTokens, out.Temperature, out.TopP, out.Stop = integer(c.MaxTokens), decimal(c.Temperature), decimal(c.TopP), c.StopSequences
	}
	if err := a.tools(out); err != nil {
		return nil, err
	}
	return out, a.schema(out)
}

// check refuses what only Bedrock has. What asks for the ordinary is let through.
func (a asked) check() error {
	switch {
	case len(a.Messages) == 0:
		return fault.Validation("messages must have at least one member")
	case len(a.AdditionalModelResponseFieldPaths) > 0:
		return onlyBedrock("additionalModelResponseFieldPaths")
	case a.PerformanceConfig != nil && a.PerformanceConfig.Latency != nil && *a.PerformanceConfig.Latency != model.PerformanceConfigLatencyStandard:
		return onlyBedrock("performanceConfig.latency '" + *a.PerformanceConfig.Latency + "'")
	case a.ServiceTier != nil && *a.ServiceTier.Type != model.ServiceTierTypeDefault:
		return onlyBedrock("serviceTier '" + *a.ServiceTier.Type + "'")
	case a.OutputConfig != nil && a.OutputConfig.Effort != nil:
		return fault.Validation("outputConfig.effort is not available for this model; its provider's own member for it can be given in additionalModelRequestFields")
	}
	return nil
}

func (a asked) tools(out *chat.Request) error {
	if a.ToolConfig == nil {
		return nil
	}
	for i := range a.ToolConfig.Tools {
		t := &a.ToolConfig.Tools[i]
		switch {
		case t.ToolSpec != nil:
			s := t.ToolSpec
			one := chat.Tool{Name: *s.Name, Description: wire.Text(s.Description), Schema: json.RawMessage(s.InputSchema.Json), Strict: wire.True(s.Strict)}
			if len(one.Schema) == 0 {
				one.Schema = json.RawMessage(`{"type":"object"}`)
			}
			out.Tools = append(out.Tools, one)
		case t.CachePoint != nil:
			out.Tools = append(out.Tools, chat.Tool{CachePoint: cachePoint(t.CachePoint)})
		default:
			return onlyBedrock(fmt.Sprintf("toolConfig.tools[%d].systemTool", i))
		}
	}
	if c := a.ToolConfig.ToolChoice; c != nil {
		switch {
		case c.Auto != nil:
			out.Choice.Mode = chat.Auto
		case c.Any != nil:
			out.Choice.Mode = chat.AnyTool
		case c.Tool != nil:
			out.Choice = chat.Choice{Mode: chat.OneTool, Name: wire.Text(c.Tool.Name)}
		}
	}
	return nil
}

func (a asked) schema(out *chat.Request) error {
	if a.OutputConfig == nil || a.OutputConfig.TextFormat == nil {
		return nil
	}
	f := a.OutputConfig.TextFormat
	if f.Structure.JsonSchema == nil {
		return fault.Validation("outputConfig.textFormat.structure must have jsonSchema")
	}
	s := f.Structure.JsonSchema
	if !json.Valid([]byte(*s.Schema)) {
		return fault.Validation("outputConfig.textFormat.structure.jsonSchema.schema is not JSON")
	}
	out.Schema = &chat.Schema{Name: wire.Text(s.Name), Description: wire.Text(s.Description), Schema: json.RawMessage(*s.Schema)}
	return nil
}

func cachePoint(c *model.CachePointBlock) string {
	if c.Ttl != nil {
		return *c.Ttl
	}
	return "default"
}

// block is one of a message's; at is where it stands.
func block(b *model.ContentBlock, at string) (out chat.Block, err error) {
	switch {
	case b.Text != nil:
		out.Text = *b.Text
	case b.Image != nil:
		out.Image, err = image(b.Image, at+".image")
	case b.Document != nil:
		out.Document, err = document(b.Document, at+".document")
	case b.ToolUse != nil:
		u := b.ToolUse
		if u.Type != nil {
			return out, onlyBedrock(at + ".toolUse.type")
		}
		out.ToolUse = &chat.ToolUse{ID: *u.ToolUseId, Name: *u.Name, Input: json.RawMessage(u.Input)}
	case b.ToolResult != nil:
		out.ToolResult, err = result(b.ToolResult, at+".toolResult")
	case b.CachePoint != nil:
		out.CachePoint = cachePoint(b.CachePoint)
	case b.ReasoningContent != nil:
		out.Thinking = &chat.Thinking{Redacted: b.ReasoningContent.RedactedContent}
		if t := b.ReasoningContent.ReasoningText; t != nil {
			out.Thinking.Text, out.Thinking.Signature = *t.Text, wire.Text(t.Signature)
		}
	default:
		err = onlyBedrock(at + "." + member(b))
	}
	return out, err
}

// member names what no other provider is given.
func member(b *model.ContentBlock) string {
	switch {
	case b.Video != nil:
		return "video"
	case b.Audio != nil:
		return "audio"
	case b.GuardContent != nil:
		return "guardContent"
	case b.CitationsContent != nil:
		return "citationsContent"
	case b.SearchResult != nil:
		return "searchResult"
	}
	return "toolAddition or toolRemoval"
}

func result(r *model.ToolResultBlock, at string) (*chat.ToolResult, error) {
	out := &chat.ToolResult{ID: *r.ToolUseId, Failed: r.Status != nil && *r.Status == model.ToolResultStatusError}
	for i := range r.Content {
		c := &r.Content[i]
		here := fmt.Sprintf("%s.content[%d]", at, i)
		var b chat.Block
		var err error
		switch {
		case c.Text != nil:
			b.Text = *c.Text
		case c.Json != nil:
			b.JSON = json.RawMessage(c.Json)
		case c.Image != nil:
			b.Image, err = image(c.Image, here+".image")
		case c.Document != nil:
			b.Document, err = document(c.Document, here+".document")
		default:
			err = onlyBedrock(here + ": video or searchResult")
		}
		if err != nil {
			return nil, err
		}
		out.Content = append(out.Content, b)
	}
	return out, nil
}

func image(b *model.ImageBlock, at string) (*chat.Media, error) {
	if b.Source.S3Location != nil {
		return nil, onlyBedrock(at + ".source.s3Location (send its bytes)")
	}
	return &chat.Media{Type: chat.MediaType(*b.Format), Data: b.Source.Bytes}, nil
}

func document(b *model.DocumentBlock, at string) (*chat.Media, error) {
	out := &chat.Media{Type: "text/plain", Name: *b.Name}
	switch {
	case b.Source.S3Location != nil:
		return nil, onlyBedrock(at + ".source.s3Location (send its bytes)")
	case b.Citations != nil && wire.True(b.Citations.Enabled):
		return nil, onlyBedrock(at + ".citations")
	case b.Source.Text != nil:
		out.Data = []byte(*b.Source.Text)
	case b.Source.Content != nil:
		for _, c := range b.Source.Content {
			out.Data = append(out.Data, wire.Text(c.Text)+"\n"...)
		}
	default:
		out.Data = b.Source.Bytes
		if b.Format != nil {
			out.Type = chat.MediaType(*b.Format)
		}
	}
	return out, nil
}

func integer(n *int32) *int {
	if n == nil {
		return nil
	}
	return new(int(*n))
}

// decimal keeps 0.3 what it is: as a float64 a float32 of it has more digits.
func decimal(f *float32) *float64 {
	if f == nil {
		return nil
	}
	var out float64
	if _, err := fmt.Sscan(fmt.Sprint(*f), &out); err != nil {
		out = float64(*f)
	}
	return &out
}
