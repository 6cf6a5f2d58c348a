package llm

import "context"

// Embedder makes vectors of texts with the model that the configuration names for it.
type Embedder struct {
	model  *Model
	config Embeddings
}

// Embedder returns the configuration's. It reports false where none is named.
func (m *Models) Embedder() (*Embedder, bool) {
	if m.config.Embeddings == nil {
		return nil, false
	}
	model, err := m.Find(m.config.Embeddings.Model)
	if err != nil {
		return nil, false // ParseConfig refuses it
	}
	return &Embedder{model: model, config: *m.config.Embeddings}, true
}

// Model is the id of the model that makes the vectors.
func (e *Embedder) Model() string { return e.model.ID }

// Documents returns a vector for each of some texts that are to be found. Errors are
// fault.Errors or those of ctx.
func (e *Embedder) Documents(ctx context.Context, texts []string) ([][]float32, error) {
	return e.embed(ctx, e.config.DocumentPrefix, texts, false)
}

// Query returns the vector of what somebody searches with.
func (e *Embedder) Query(ctx context.Context, text string) ([]float32, error) {
	vectors, err := e.embed(ctx, e.config.QueryPrefix, []string{text}, true)
	if err != nil {
		return nil, err
	}
	return vectors[0], nil
}

func (e *Embedder) embed(ctx context.Context, prefix string, texts []string, query bool) ([][]float32, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	prefixed := make([]string, len(texts))
	for i, text := range texts {
		prefixed[i] = prefix + text
	}
	vectors, _, err := e.model.dialect().embed(ctx, e.model, embedding{texts: prefixed, dimensions: e.config.Dimensions, query: query})
	return vectors, err
}
