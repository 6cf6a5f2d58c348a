package bedrockruntime

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"iter"

	model "github.com/outcrop/outcrop/internal/api/model/bedrockruntime"
	"github.com/outcrop/outcrop/internal/api/protocol"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/llm/chat"
	"github.com/outcrop/outcrop/internal/llm/converse"
)

// maxAnswer bounds an answer that is read whole, in bytes.
const maxAnswer = 32 << 20

// body is the JSON of a request, as it came.
func body(shape string, in any) ([]byte, error) {
	return protocol.MarshalJSON(&model.Service, model.Service.ShapeNamed(shape), in, true)
}

// whole reads an answer to its end.
func whole(r io.ReadCloser) ([]byte, error) {
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, maxAnswer+1))
	if err == nil && len(b) > maxAnswer {
		err = chat.BadAnswer("it is longer than %d MiB", maxAnswer>>20)
	}
	return b, err
}

// relay hands a JSON request on to Bedrock and reads its JSON answer into out.
func relay(ctx context.Context, m *llm.Model, operation, request string, in any, response string, out any) error {
	b, err := body(request, in)
	if err != nil {
		return err
	}
	r, err := m.Relay(ctx, llm.Relay{Operation: operation, Body: b})
	if err != nil {
		return err
	}
	if b, err = whole(r); err != nil {
		return err
	}
	return read(response, b, out)
}

// read reads what Bedrock answered; what it may have added since is left out.
func read(shape string, b []byte, out any) error {
	if err := protocol.UnmarshalJSON(&model.Service, model.Service.ShapeNamed(shape), b, out); err != nil {
		return chat.BadAnswer("it is not the JSON of %s", shape).Because(err)
	}
	return nil
}

func relayConverse(ctx context.Context, m *llm.Model, in *model.ConverseRequest) (*model.ConverseResponse, error) {
	out := new(model.ConverseResponse)
	return out, relay(ctx, m, "converse", "ConverseRequest", in, "ConverseResponse", out)
}

func relayCount(ctx context.Context, m *llm.Model, in *model.CountTokensRequest) (*model.CountTokensResponse, error) {
	out := new(model.CountTokensResponse)
	return out, relay(ctx, m, "count-tokens", "CountTokensRequest", in, "CountTokensResponse", out)
}

func relayConverseStream(ctx context.Context, m *llm.Model, in *model.ConverseStreamRequest) (*model.ConverseStreamResponse, error) {
	b, err := body("ConverseStreamRequest", in)
	if err != nil {
		return nil, err
	}
	r, err := m.Relay(ctx, llm.Relay{Operation: "converse-stream", Body: b, Stream: true})
	if err != nil {
		return nil, err
	}
	return &model.ConverseStreamResponse{Stream: relayed[model.ConverseStreamOutput](r, "ConverseStreamOutput")}, nil
}

// relayed reads the frames of a stream into events of a union: the name of a frame
// is that of its member.
func relayed[T any](r io.ReadCloser, union string) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		defer r.Close()
		for f, err := range converse.Frames(r) {
			out := new(T)
			if err == nil {
				var b bytes.Buffer
				name, _ := json.Marshal(f.Name) // a string
				b.WriteByte('{')
				b.Write(name)
				b.WriteByte(':')
				b.Write(f.Payload)
				b.WriteByte('}')
				err = read(union, b.Bytes(), out)
			}
			if err != nil {
				yield(nil, midStream(err))
				return
			}
			if isEmpty(out) {
				continue // an event that is newer than we are
			}
			if !yield(out, nil) {
				return
			}
		}
	}
}
