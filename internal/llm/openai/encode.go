package openai

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/llm/chat"
)

// EncodeRequest writes the body that asks model for an answer that streams.
// completion sends the bound of the answer as OpenAI's newest models want it, under
// a name that other servers do not know. The error says what the dialect has no
// words for.
func EncodeRequest(req *chat.Request, model string, completion bool) ([]byte, error) {
	out := ask{Model: model, Stream: true, StreamOptions: &streamOptions{IncludeUsage: true}, Temperature: req.Temperature, TopP: req.TopP, Stop: req.Stop}
	if completion {
		out.MaxCompletion = req.MaxTokens
	} else {
		out.MaxTokens = req.MaxTokens
	}
	if text := joined(req.System); text != "" {
		out.Messages = append(out.Messages, message{Role: "system", Content: text})
	}
	for i := range req.Messages {
		said, err := encodeMessage(&req.Messages[i])
		if err != nil {
			return nil, err
		}
		out.Messages = append(out.Messages, said...)
	}
	for _, t := range req.Tools {
		if t.CachePoint == "" {
			out.Tools = append(out.Tools, tool{Type: "function", Function: toolFunction{Name: t.Name, Description: t.Description, Parameters: t.Schema, Strict: t.Strict}})
		}
	}
	if len(out.Tools) > 0 {
		out.ToolChoice = encodeChoice(req.Choice)
	}
	if s := req.Schema; s != nil {
		name := s.Name
		if name == "" {
			name = "answer" // the dialect wants one
		}
		out.ResponseFormat = &responseFormat{Type: "json_schema", JSONSchema: &jsonSchema{Name: name, Description: s.Description, Schema: s.Schema, Strict: true}}
	}
	return chat.WithExtra(out, req.Extra)
}

func encodeChoice(c chat.Choice) any {
	switch c.Mode {
	case chat.Auto:
		return "auto"
	case chat.AnyTool:
		return "required"
	case chat.NoTool:
		return "none"
	case chat.OneTool:
		return tool{Type: "function", Function: toolFunction{Name: c.Name}}
	}
	return nil
}

// joined are the texts of blocks; cache points are the provider's own matter.
func joined(blocks []chat.Block) string {
	var texts []string
	for _, b := range blocks {
		if b.IsText() && b.Text != "" {
			texts = append(texts, b.Text)
		}
	}
	return strings.Join(texts, "\n\n")
}

// encodeMessage makes one message of each tool's result, and one of the rest. What
// the model thought is left out: the dialect has no way to give it back.
func encodeMessage(m *chat.Message) ([]message, error) {
	var out []message
	var parts []part
	var calls []toolCall
	add := func(b *chat.Block) error {
		p, ok, err := encodePart(b)
		if ok {
			parts = append(parts, p)
		}
		return err
	}
	for i := range m.Content {
		b := &m.Content[i]
		switch {
		case b.ToolUse != nil:
			calls = append(calls, toolCall{ID: b.ToolUse.ID, Type: "function", Function: function{Name: b.ToolUse.Name, Arguments: string(b.ToolUse.Input)}})
		case b.ToolResult != nil:
			text, rest := encodeResult(b.ToolResult)
			out = append(out, message{Role: "tool", ToolCallID: b.ToolResult.ID, Content: text})
			for j := range rest { // a tool says nothing but text here: pictures follow as the user's
				if err := add(&rest[j]); err != nil {
					return nil, err
				}
			}
		default:
			if err := add(b); err != nil {
				return nil, err
			}
		}
	}
	if len(parts) == 0 && calls == nil {
		return out, nil
	}
	return append(out, message{Role: string(m.Role), Content: content(parts), ToolCalls: calls}), nil
}

// content is a string where parts are nothing but text.
func content(parts []part) any {
	if len(parts) == 0 {
		return nil
	}
	texts := make([]string, 0, len(parts))
	for _, p := range parts {
		if p.Text == nil {
			return parts
		}
		texts = append(texts, *p.Text)
	}
	return strings.Join(texts, "\n")
}

// encodeResult is a result as text, and what of it is none.
func encodeResult(r *chat.ToolResult) (text string, rest []chat.Block) {
	var texts []string
	for _, b := range r.Content {
		switch {
		case b.JSON != nil:
			texts = append(texts, string(b.JSON))
		case b.Image != nil || b.Document != nil:
			rest = append(rest, b)
		case b.Text != "":
			texts = append(texts, b.Text)
		}
	}
	text = strings.Join(texts, "\n")
	if r.Failed {
		text = "Error: " + text // there is no other sign of it
	}
	return text, rest
}

// encodePart writes one part of a message; ok is false for what is left out.
func encodePart(b *chat.Block) (p part, ok bool, err error) {
	switch {
	case b.IsText():
		return part{Type: "text", Text: &b.Text}, true, nil
	case b.JSON != nil:
		return part{Type: "text", Text: new(string(b.JSON))}, true, nil
	case b.Image != nil:
		return part{Type: "image_url", ImageURL: &imageURL{dataURL(b.Image)}}, true, nil
	case b.Document != nil:
		d := b.Document
		switch {
		case strings.HasPrefix(d.Type, "text/"):
			return part{Type: "text", Text: new(d.Name + ":\n" + string(d.Data))}, true, nil
		case d.Type == "application/pdf":
			return part{Type: "file", File: &file{Name: d.Name + ".pdf", Data: dataURL(d)}}, true, nil
		}
		return p, false, fault.Validation("A document of type %s cannot be given to this model's provider, which takes PDF and text", d.Type)
	}
	return p, false, nil
}

func dataURL(m *chat.Media) string {
	return "data:" + m.Type + ";base64," + base64.StdEncoding.EncodeToString(m.Data)
}

// EncodeEmbedding writes the body of POST /embeddings. dimensions is how long the
// vectors should be; 0 leaves it to the model.
func EncodeEmbedding(model string, texts []string, dimensions int) ([]byte, error) {
	return json.Marshal(struct {
		Model      string   `json:"model"`
		Input      []string `json:"input"`
		Dimensions int      `json:"dimensions,omitempty"`
		Format     string   `json:"encoding_format"`
	}{model, texts, dimensions, "float"})
}

// DecodeEmbedding reads the answer: one vector a text, in their order, and how many
// tokens they had.
func DecodeEmbedding(body []byte, texts int) (vectors [][]float32, tokens int, err error) {
	var got struct {
		Data []struct {
			Index     int       `json:"index"`
			Embedding []float32 `json:"embedding"`
		} `json:"data"`
		Usage usage `json:"usage"`
	}
	if err := json.Unmarshal(body, &got); err != nil {
		return nil, 0, chat.BadAnswer("it is not the JSON of embeddings").Because(err)
	}
	vectors = make([][]float32, texts)
	for _, d := range got.Data {
		if d.Index < 0 || d.Index >= texts || len(d.Embedding) == 0 {
			return nil, 0, chat.BadAnswer("an embedding of no text")
		}
		vectors[d.Index] = d.Embedding
	}
	for i := range vectors {
		if vectors[i] == nil {
			return nil, 0, chat.BadAnswer("text %d has no embedding", i)
		}
	}
	return vectors, got.Usage.Prompt, nil
}
