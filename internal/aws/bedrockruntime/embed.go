package bedrockruntime

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/llm"
)

func isTitan(id string) bool { return strings.HasPrefix(llm.Base(id), "amazon.titan-embed") }

func isEmbedding(id string) bool {
	return isTitan(id) || strings.HasPrefix(llm.Base(id), "cohere.embed")
}

// embed answers InvokeModel for the ids of embedding models: one text in Titan's
// format, many in Cohere's.
func embed(ctx context.Context, m *llm.Model, body []byte) ([]byte, error) {
	if isTitan(m.ID) {
		return embedTitan(ctx, m, body)
	}
	var in struct {
		Texts  []string `json:"texts"`
		Images []string `json:"images"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, fault.Malformed("The body is not a request for embeddings of Cohere: %s", clip(err.Error()))
	}
	if len(in.Texts) == 0 || len(in.Texts) > 96 || in.Images != nil {
		return nil, fault.Validation("texts must have between 1 and 96 members, and images cannot be embedded here")
	}
	vectors, _, err := m.Embed(ctx, in.Texts, 0)
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{"id": newID(ctx), "embeddings": vectors, "texts": in.Texts, "response_type": "embeddings_floats"})
}

func embedTitan(ctx context.Context, m *llm.Model, body []byte) ([]byte, error) {
	var in struct {
		InputText  *string `json:"inputText"`
		Dimensions int     `json:"dimensions"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, fault.Malformed("The body is not a request for embeddings of Titan: %s", clip(err.Error()))
	}
	if in.InputText == nil {
		return nil, fault.Validation("inputText is required")
	}
	if in.Dimensions < 0 || in.Dimensions > 1<<14 {
		return nil, fault.Validation("dimensions is %d; it must be between 1 and %d", in.Dimensions, 1<<14)
	}
	vectors, tokens, err := m.Embed(ctx, []string{*in.InputText}, in.Dimensions)
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{"embedding": vectors[0], "inputTextTokenCount": tokens})
}
