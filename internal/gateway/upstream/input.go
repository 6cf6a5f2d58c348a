package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/outcrop/outcrop/internal/gateway/jsonraw"
	"github.com/outcrop/outcrop/internal/gateway/target"
)

// maxRounds is how often a server of the newest revision may want more from a caller of
// an older one, during one call.
const maxRounds = 10

// complete sends a request until it is complete. A server of the newest revision answers
// with what it wants to know, and is asked again with that (2026-07-28, multi round-trip
// requests): callers of that revision do so themselves, for older ones the gateway asks
// as they know it.
func (s *server) complete(ctx context.Context, c *target.Call, r *request) (answer, error) {
	own := r.params
	for round := 0; ; round++ {
		a, got, err := s.exchange(ctx, c, r)
		if err != nil || !got.modern || c.Version >= modern {
			return a, err
		}
		want, err := wanted(a.result)
		if want == nil || err != nil {
			a.result = outdated(a.result)
			return a, err
		}
		if round == maxRounds {
			return answer{}, target.Fail(typeInput, nil, "The MCP server of the target asked for more input %d times, and again.", maxRounds)
		}
		replies, err := s.inquire(ctx, c, want.InputRequests)
		if err != nil {
			return answer{}, err
		}
		r.params = want.answered(own, replies)
	}
}

// askable says whom a gateway can ask.
const askable = "Clients before 2026-07-28 are asked where they have a session and declared that they can be asked, and the gateway has sessionConfiguration and streamingConfiguration."

// input is a result that is none yet.
type input struct {
	ResultType    string                     `json:"resultType"`
	InputRequests map[string]json.RawMessage `json:"inputRequests"`
	RequestState  *json.RawMessage           `json:"requestState"`
}

// wanted is what a result asks for, or nil where it is complete.
func wanted(result []byte) (*input, error) {
	if resultType(result) != "input_required" {
		return nil, nil
	}
	var in input
	if err := json.Unmarshal(result, &in); err != nil {
		return nil, &malformed{what: "its inputRequests are no object"}
	}
	return &in, nil
}

// answered are the params of the request that brings what was wanted.
func (in *input) answered(own []byte, replies map[string]json.RawMessage) []byte {
	b := slices.Clone(own)
	if replies != nil {
		b = append(comma(b), `"inputResponses":{`...)
		for i, key := range slices.Sorted(maps.Keys(replies)) {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(append(quote(b, key), ':'), replies[key]...)
		}
		b = append(b, '}')
	}
	if in.RequestState != nil {
		b = append(append(comma(b), `"requestState":`...), *in.RequestState...)
	}
	return b
}

func comma(b []byte) []byte {
	if len(b) > 0 {
		b = append(b, ',')
	}
	return b
}

// inquire asks the caller for each thing that is wanted.
func (s *server) inquire(ctx context.Context, c *target.Call, requests map[string]json.RawMessage) (map[string]json.RawMessage, error) {
	if requests == nil {
		return nil, nil
	}
	if c.Client == nil {
		return nil, target.Fail(typeInput, nil, "The MCP server of the target asks for more input, and the client cannot be asked. "+askable)
	}
	if len(requests) > maxAsked {
		return nil, malformedf("it asks more than %d things of the caller at once", maxAsked)
	}
	type question struct {
		Method string          `json:"method"`
		Params json.RawMessage `json:"params"`
	}
	keys := slices.Sorted(maps.Keys(requests))
	questions, answers := make([]question, len(keys)), make([]json.RawMessage, len(keys))
	for i, key := range keys {
		if err := json.Unmarshal(requests[key], &questions[i]); err != nil || questions[i].Method == "" {
			return nil, &malformed{what: "one of its inputRequests is no request"}
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	for i, q := range questions {
		group.Go(func() error {
			reply, err := c.Client.Ask(ctx, q.Method, q.Params)
			if err == nil && !jsonraw.Object(reply) {
				err = errors.New("the client's answer is no JSON object")
			}
			answers[i] = reply
			return err
		})
	}
	if err := group.Wait(); err != nil {
		var rpc *target.Error
		if errors.As(err, &rpc) || errors.Is(err, context.Canceled) {
			return nil, err
		}
		return nil, target.Fail(typeInput, err, "The MCP server of the target asks for more input, and the client did not give it. "+askable)
	}
	out := make(map[string]json.RawMessage, len(keys))
	for i, key := range keys {
		out[key] = answers[i]
	}
	return out, nil
}

// metaServer is the member of a result's _meta in which a server of the newest revision
// says what it is.
const metaServer = "io.modelcontextprotocol/serverInfo"

// outdated is a result as callers of older revisions know it: without its type, and without
// what the server is, which the gateway does not say of targets in their initialize.
func outdated(result []byte) []byte {
	if !bytes.Contains(result, []byte(`"resultType"`)) && !bytes.Contains(result, []byte(metaServer)) {
		return result
	}
	return without(result, func(key string, value []byte) []byte {
		switch {
		case key == "resultType":
			return nil
		case key != "_meta" || value[0] != '{':
			return value
		}
		meta := without(value, func(key string, value []byte) []byte {
			if key == metaServer {
				return nil
			}
			return value
		})
		if len(meta) == len("{}") && len(value) != len(meta) {
			return nil
		}
		return meta
	})
}

// without is an object whose members are what keep returns for them; nil leaves one out.
func without(object []byte, keep func(key string, value []byte) []byte) []byte {
	out := append(make([]byte, 0, len(object)), '{')
	for key, value := range jsonraw.Members(object) {
		if value = keep(string(key), value); value == nil {
			continue
		}
		quoted, err := json.Marshal(string(key))
		if err != nil { // text
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, quoted...), ':'), value...)
	}
	return append(out, '}')
}

// resultType is what a result says that it is, or nothing.
func resultType(result []byte) string {
	if !bytes.Contains(result, []byte(`"resultType"`)) {
		return ""
	}
	return memberText(result, "resultType")
}
