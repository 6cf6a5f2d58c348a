package converse

import (
	"encoding/json"
	"strings"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/llm/chat"
)

// Embed asks Bedrock for embeddings, in the words of the model's maker: Titan takes
// one text a call, Cohere up to 96, and wants to know whether they are what somebody
// searches with. invoke sends a body to InvokeModel.
func Embed(model string, texts []string, dimensions int, query bool, invoke func([]byte) ([]byte, error)) (vectors [][]float32, tokens int, err error) {
	step, purpose := 1, ""
	if strings.HasPrefix(model, "cohere.embed") {
		step, purpose = 96, "search_document"
		if query {
			purpose = "search_query"
		}
	} else if !strings.HasPrefix(model, "amazon.titan-embed") {
		return nil, 0, fault.Validation("Embeddings of Bedrock are taken of amazon.titan-embed-* and cohere.embed-* models, and '%s' is neither", model)
	}
	for len(texts) > 0 {
		some := texts[:min(step, len(texts))]
		texts = texts[len(some):]
		got, n, err := embedSome(some, purpose, dimensions, invoke)
		if err != nil {
			return nil, 0, err
		}
		vectors, tokens = append(vectors, got...), tokens+n
	}
	return vectors, tokens, nil
}

// embedSome asks once. purpose is Cohere's input_type; Titan has none.
func embedSome(texts []string, purpose string, dimensions int, invoke func([]byte) ([]byte, error)) ([][]float32, int, error) {
	ask := map[string]any{"inputText": texts[0]}
	if dimensions > 0 {
		ask["dimensions"] = dimensions
	}
	if purpose != "" {
		ask = map[string]any{"texts": texts, "input_type": purpose}
	}
	body, err := json.Marshal(ask)
	if err != nil {
		return nil, 0, err
	}
	body, err = invoke(body)
	if err != nil {
		return nil, 0, err
	}
	var got struct {
		Embedding  []float32   `json:"embedding"`
		Tokens     int         `json:"inputTextTokenCount"`
		Embeddings [][]float32 `json:"embeddings"`
	}
	if err := json.Unmarshal(body, &got); err != nil {
		return nil, 0, chat.BadAnswer("it is not the JSON of embeddings").Because(err)
	}
	if got.Embedding != nil {
		got.Embeddings = [][]float32{got.Embedding}
	}
	if len(got.Embeddings) != len(texts) {
		return nil, 0, chat.BadAnswer("it has %d embeddings of %d texts", len(got.Embeddings), len(texts))
	}
	return got.Embeddings, got.Tokens, nil
}
