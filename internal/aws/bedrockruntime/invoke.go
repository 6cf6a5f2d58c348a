package bedrockruntime

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"reflect"
	"strings"

	model "github.com/outcrop/outcrop/internal/api/model/bedrockruntime"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/llm/anthropic"
	"github.com/outcrop/outcrop/internal/llm/chat"
	"github.com/outcrop/outcrop/internal/llm/openai"
	"github.com/outcrop/outcrop/internal/llm/sse"
)

// isEmpty reports whether no member of a union is set.
func isEmpty(union any) bool { return reflect.ValueOf(union).Elem().IsZero() }

// format is the form of InvokeModel's bodies for models of one maker.
type format struct {
	// kind are the providers that take such bodies as they are.
	kind  llm.Kind
	parse func(body []byte) (*chat.Request, error)
	write func(s *Service, ctx context.Context, id string, r *chat.Response) ([]byte, error)
	// chunks makes what writes the pieces of an answer that streams.
	chunks func(s *Service, ctx context.Context, id string) chunker
}

type chunker interface {
	Write(e chat.Event) ([][]byte, error)
}

// formatOf tells the format of bodies by the maker in the model's id, as Bedrock does.
func formatOf(id string) (format, error) {
	switch maker, _, _ := strings.Cut(llm.Base(id), "."); maker {
	case "anthropic":
		return format{
			kind: llm.Anthropic, parse: anthropic.ParseRequest,
			write: func(_ *Service, ctx context.Context, id string, r *chat.Response) ([]byte, error) {
				return anthropic.EncodeResponse(r, newID(ctx), id)
			},
			chunks: func(_ *Service, ctx context.Context, id string) chunker { return anthropic.NewWriter(newID(ctx), id) },
		}, nil
	case "openai":
		return format{
			kind: llm.OpenAI, parse: openai.ParseRequest,
			write: func(s *Service, ctx context.Context, id string, r *chat.Response) ([]byte, error) {
				return openai.EncodeResponse(r, newID(ctx), id, s.now().Unix())
			},
			chunks: func(s *Service, ctx context.Context, id string) chunker {
				return openai.NewWriter(newID(ctx), id, s.now().Unix())
			},
		}, nil
	}
	return format{}, fault.Validation("The bodies of InvokeModel are known for anthropic.* (Messages), openai.* (chat completions), amazon.titan-embed-* and "+
		"cohere.embed-* models, and '%s' is none of these; Converse takes any model", clip(id))
}

func clip(s string) string { return fault.Clip(s, 256) }

// InvokeModel takes and gives bodies in the format of the model's maker.
func (s *Service) InvokeModel(ctx context.Context, in *model.InvokeModelRequest) (*model.InvokeModelResponse, error) {
	m, err := s.find(ctx, invokeAction, *in.ModelId)
	if err != nil {
		return nil, err
	}
	out := &model.InvokeModelResponse{ContentType: new("application/json")}
	if m.Speaks(llm.Bedrock) {
		r, err := m.Relay(ctx, llm.Relay{Operation: "invoke", Body: in.Body, Header: headers(in.PerformanceConfigLatency, in.ServiceTier, in.Trace)})
		if err != nil {
			return nil, err
		}
		out.Body, err = whole(r)
		return out, err
	}
	if isEmbedding(*in.ModelId) {
		out.Body, err = embed(ctx, m, in.Body)
		return out, err
	}
	f, err := formatOf(*in.ModelId)
	if err != nil {
		return nil, err
	}
	if m.Speaks(f.kind) {
		r, err := m.Relay(ctx, llm.Relay{Body: in.Body})
		if err != nil {
			return nil, err
		}
		out.Body, err = whole(r)
		return out, err
	}
	req, err := f.parse(in.Body)
	if err != nil {
		return nil, err
	}
	got, err := m.Answer(ctx, req)
	if err != nil {
		return nil, err
	}
	out.Body, err = f.write(s, ctx, *in.ModelId, got)
	return out, err
}

// headers are those of a request that mean something to Bedrock itself.
func headers(latency, tier, trace *string) http.Header {
	h := http.Header{}
	for name, value := range map[string]*string{
		"X-Amzn-Bedrock-Performanceconfig-Latency": latency, "X-Amzn-Bedrock-Service-Tier": tier, "X-Amzn-Bedrock-Trace": trace,
	} {
		if value != nil {
			h[name] = []string{*value}
		}
	}
	return h
}

// InvokeModelWithResponseStream gives the pieces of an answer as they come.
func (s *Service) InvokeModelWithResponseStream(ctx context.Context, in *model.InvokeModelWithResponseStreamRequest) (*model.InvokeModelWithResponseStreamResponse, error) {
	m, err := s.find(ctx, streamAction, *in.ModelId)
	if err != nil {
		return nil, err
	}
	out := &model.InvokeModelWithResponseStreamResponse{ContentType: new("application/json")}
	if m.Speaks(llm.Bedrock) {
		r, err := m.Relay(ctx, llm.Relay{
			Operation: "invoke-with-response-stream", Body: in.Body, Stream: true, Header: headers(in.PerformanceConfigLatency, in.ServiceTier, in.Trace)})
		if err != nil {
			return nil, err
		}
		out.Body = relayed[model.ResponseStream](r, "ResponseStream")
		return out, nil
	}
	f, err := formatOf(*in.ModelId)
	if err != nil {
		return nil, err
	}
	if m.Speaks(f.kind) {
		r, err := m.Relay(ctx, llm.Relay{Body: in.Body, Stream: true})
		if err != nil {
			return nil, err
		}
		out.Body = relayedEvents(r)
		return out, nil
	}
	req, err := f.parse(in.Body)
	if err != nil {
		return nil, err
	}
	events, err := m.Stream(ctx, req)
	if err != nil {
		return nil, err
	}
	out.Body = chunksOf(events, f.chunks(s, ctx, *in.ModelId))
	return out, nil
}

func chunksOf(events iter.Seq2[chat.Event, error], to chunker) iter.Seq2[*model.ResponseStream, error] {
	return func(yield func(*model.ResponseStream, error) bool) {
		for e, err := range events {
			var chunks [][]byte
			if err == nil {
				chunks, err = to.Write(e)
			}
			if err != nil {
				yield(nil, midInvoke(err))
				return
			}
			for _, b := range chunks {
				if !yield(&model.ResponseStream{Chunk: &model.PayloadPart{Bytes: b}}, nil) {
					return
				}
			}
		}
	}
}

// relayedEvents takes the frame of server-sent events off, as Bedrock does.
func relayedEvents(r io.ReadCloser) iter.Seq2[*model.ResponseStream, error] {
	return func(yield func(*model.ResponseStream, error) bool) {
		defer r.Close()
		for e, err := range sse.Read(r) {
			if errors.Is(err, sse.ErrTooLong) {
				err = chat.BadAnswer("%v", err)
			}
			if err == nil {
				if string(e.Data) == "[DONE]" {
					return
				}
				err = told(e)
			}
			if err != nil {
				yield(nil, midInvoke(err))
				return
			}
			if e.Name == "ping" {
				continue
			}
			if !yield(&model.ResponseStream{Chunk: &model.PayloadPart{Bytes: e.Data}}, nil) {
				return
			}
		}
	}
}

// told is the error that an event tells, if it does.
func told(e sse.Event) error {
	var failed struct {
		Error *struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	if json.Unmarshal(e.Data, &failed) != nil {
		return chat.BadAnswer("an event of it is not JSON")
	}
	if failed.Error == nil {
		return nil
	}
	return fault.New("ModelStreamErrorException", 424, "The model's provider says: %s", clip(failed.Error.Message))
}

// midInvoke is midStream for streams of InvokeModel, which know timeouts.
func midInvoke(err error) error {
	if fault.Is(err, "ModelTimeoutException") {
		return err
	}
	return midStream(err)
}
