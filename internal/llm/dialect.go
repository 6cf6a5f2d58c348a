package llm

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"regexp"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/llm/anthropic"
	"github.com/outcrop/outcrop/internal/llm/chat"
	"github.com/outcrop/outcrop/internal/llm/converse"
	"github.com/outcrop/outcrop/internal/llm/openai"
	"github.com/outcrop/outcrop/internal/llm/upstream"
	"github.com/outcrop/outcrop/internal/secret"
)

// decoder reads a provider's stream.
type decoder func(io.Reader) iter.Seq2[chat.Event, error]

// dialect is what differs between kinds of providers.
type dialect interface {
	stream(m *Model, req *chat.Request) (upstream.Call, decoder, error)
	count(ctx context.Context, m *Model, req *chat.Request) (int, error)
	embed(ctx context.Context, m *Model, ask embedding) ([][]float32, int, error)
}

// embedding is what vectors are asked for.
type embedding struct {
	texts      []string
	dimensions int
	// query is set of what somebody searches with, not of what is found.
	query bool
}

func (m *Model) dialect() dialect {
	switch m.provider.kind {
	case Anthropic:
		return anthropicDialect{}
	case Bedrock:
		return bedrockDialect{}
	}
	return openaiDialect{}
}

// eventStream is the media type of server-sent events.
const eventStream = "text/event-stream"

// CountTokens asks the provider how many tokens a request has. A provider that
// cannot say is refused for: an estimate would be taken for a count.
func (m *Model) CountTokens(ctx context.Context, req *chat.Request) (int, error) {
	return m.dialect().count(ctx, m, req)
}

// Embed returns a vector for each text, and how many tokens they had. dimensions is
// how long the vectors should be; 0 leaves it to the model.
func (m *Model) Embed(ctx context.Context, texts []string, dimensions int) (vectors [][]float32, tokens int, err error) {
	if len(texts) == 0 {
		return nil, 0, nil
	}
	return m.dialect().embed(ctx, m, embedding{texts: texts, dimensions: dimensions})
}

type openaiDialect struct{}

func (openaiDialect) stream(m *Model, req *chat.Request) (upstream.Call, decoder, error) {
	body, err := openai.EncodeRequest(req, m.name, m.provider.completion)
	read := func(r io.Reader) iter.Seq2[chat.Event, error] { return openai.DecodeStream(r, m.provider.Status) }
	return upstream.Call{Path: "/chat/completions", Accept: eventStream, Body: body}, read, err
}

func (openaiDialect) count(_ context.Context, m *Model, _ *chat.Request) (int, error) {
	return 0, fault.Validation("CountTokens is not available for the model '%s': the API of its provider '%s' has no way to count tokens, "+
		"and a guess is no count. Converse tells them in its usage", clip(m.ID), m.provider.Name())
}

func (openaiDialect) embed(ctx context.Context, m *Model, ask embedding) ([][]float32, int, error) {
	body, err := openai.EncodeEmbedding(m.name, ask.texts, ask.dimensions)
	if err != nil {
		return nil, 0, err
	}
	got, err := m.provider.Whole(ctx, upstream.Call{Path: "/embeddings", Body: body})
	if err != nil {
		return nil, 0, err
	}
	return openai.DecodeEmbedding(got, len(ask.texts))
}

// anthropicKey adds the key, and the version that the API asks for.
func anthropicKey(key secret.String) func(*http.Request, []byte) error {
	return func(r *http.Request, _ []byte) error {
		r.Header.Set("X-Api-Key", key.Reveal())
		r.Header.Set("Anthropic-Version", anthropic.Version)
		return nil
	}
}

type anthropicDialect struct{}

func (anthropicDialect) stream(m *Model, req *chat.Request) (upstream.Call, decoder, error) {
	body, err := anthropic.EncodeRequest(req, m.name)
	read := func(r io.Reader) iter.Seq2[chat.Event, error] {
		return anthropic.DecodeStream(r, m.provider.Status)
	}
	return upstream.Call{Path: "/v1/messages", Accept: eventStream, Body: body}, read, err
}

func (anthropicDialect) count(ctx context.Context, m *Model, req *chat.Request) (int, error) {
	body, err := anthropic.EncodeCount(req, m.name)
	if err != nil {
		return 0, err
	}
	got, err := m.provider.Whole(ctx, upstream.Call{Path: "/v1/messages/count_tokens", Body: body})
	if err != nil {
		return 0, err
	}
	var counted struct {
		InputTokens *int `json:"input_tokens"`
	}
	if json.Unmarshal(got, &counted) != nil || counted.InputTokens == nil {
		return 0, chat.BadAnswer("it counts no tokens")
	}
	return *counted.InputTokens, nil
}

func (anthropicDialect) embed(_ context.Context, m *Model, _ embedding) ([][]float32, int, error) {
	return nil, 0, fault.Validation("The provider '%s' of the model '%s' has no embeddings", m.provider.Name(), clip(m.ID))
}

type bedrockDialect struct{}

func (bedrockDialect) stream(m *Model, req *chat.Request) (upstream.Call, decoder, error) {
	body, err := converse.EncodeRequest(req)
	return upstream.Call{Path: converse.Path(m.name, "converse-stream"), Accept: converse.StreamType, Body: body}, converse.DecodeStream, err
}

func (bedrockDialect) count(ctx context.Context, m *Model, req *chat.Request) (int, error) {
	body, err := converse.EncodeCount(req)
	if err != nil {
		return 0, err
	}
	got, err := m.provider.Whole(ctx, upstream.Call{Path: converse.Path(m.name, "count-tokens"), Body: body})
	if err != nil {
		return 0, err
	}
	return converse.DecodeCount(got)
}

func (bedrockDialect) embed(ctx context.Context, m *Model, ask embedding) ([][]float32, int, error) {
	return converse.Embed(Base(m.name), ask.texts, ask.dimensions, ask.query, func(body []byte) ([]byte, error) {
		return m.provider.Whole(ctx, upstream.Call{Path: converse.Path(m.name, "invoke"), Body: body})
	})
}

// Relay hands a body to the model's provider as it is, and returns the answer's,
// which the caller closes. It is for callers who speak what the provider speaks:
// the body of Messages, of chat completions, or of an operation of Bedrock's.
type Relay struct {
	// Operation is the last part of the path at Bedrock, such as converse-stream; the others have one.
	Operation string
	Body      []byte
	// Stream asks for an answer that streams.
	Stream bool
	// Header is added: what the caller said in headers that Bedrock knows.
	Header http.Header
}

// Relay sends r. Errors are fault.Errors, also those of reading.
func (m *Model) Relay(ctx context.Context, r Relay) (io.ReadCloser, error) {
	call := upstream.Call{Body: r.Body, Header: r.Header}
	if r.Stream {
		call.Accept = eventStream
	}
	switch m.provider.kind {
	case Bedrock:
		call.Path = converse.Path(m.name, r.Operation)
		if r.Stream {
			call.Accept = converse.StreamType
		}
		return m.provider.Stream(ctx, call)
	case Anthropic:
		call.Path = "/v1/messages"
	default:
		call.Path = "/chat/completions"
	}
	body, header, err := m.relayed(r)
	if err != nil {
		return nil, err
	}
	call.Body, call.Header = body, header
	return m.provider.Stream(ctx, call)
}

// betaName is what may stand in Anthropic's header.
var betaName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,100}$`)

// relayed is the body with the provider's name of the model and without what only
// Bedrock knows of it.
func (m *Model) relayed(r Relay) ([]byte, http.Header, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(r.Body, &members); err != nil || members == nil {
		return nil, nil, fault.Malformed("The body is not a JSON object").Because(err)
	}
	header := http.Header{}
	if beta := members["anthropic_beta"]; beta != nil && m.provider.kind == Anthropic {
		var names []string
		if err := json.Unmarshal(beta, &names); err != nil {
			return nil, nil, fault.Validation("anthropic_beta must be a list of strings")
		}
		for _, name := range names {
			if !betaName.MatchString(name) {
				return nil, nil, fault.Validation("anthropic_beta must be names of letters, digits, '-', '_' and '.', 100 at most")
			}
		}
		header["Anthropic-Beta"] = names
	}
	delete(members, "anthropic_beta")
	delete(members, "anthropic_version")
	members["model"], _ = json.Marshal(m.name) // a string
	members["stream"] = json.RawMessage("false")
	if r.Stream {
		members["stream"] = json.RawMessage("true")
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(members)
	return b.Bytes(), header, err
}

// Speaks reports whether the model's provider takes bodies of a kind as they are.
func (m *Model) Speaks(kind Kind) bool { return m.provider.kind == kind }
