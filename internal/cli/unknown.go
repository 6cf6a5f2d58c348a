package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/outcrop/outcrop/internal/client"
)

// beyondSDK are the members of a runtime that AWS's API has and its SDK for Go does
// not, so that an update by the SDK alone would clear them.
func beyondSDK() []string { return []string{"hooksConfiguration", "resourceConfigurations"} }

// longestRuntime bounds what is read of a runtime's description, in bytes.
const longestRuntime = 16 << 20

// membersBeyondSDK returns what a runtime has of these members, as it is written.
func membersBeyondSDK(ctx context.Context, c *client.Client, id *string) (map[string]json.RawMessage, error) {
	var text []byte
	tee := middleware.DeserializeMiddlewareFunc("OutcropKeepAnswer", func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
		out, metadata, err := next.HandleDeserialize(ctx, in)
		answer, ok := out.RawResponse.(*smithyhttp.Response)
		if err != nil || !ok {
			return out, metadata, err
		}
		body := answer.Body
		if text, err = io.ReadAll(io.LimitReader(body, longestRuntime)); err != nil {
			return out, metadata, fmt.Errorf("read runtime: %w", err)
		}
		answer.Body = struct {
			io.Reader
			io.Closer
		}{bytes.NewReader(text), body}
		return out, metadata, nil
	})
	_, err := c.Control().GetAgentRuntime(ctx, &bedrockagentcorecontrol.GetAgentRuntimeInput{AgentRuntimeId: id}, func(o *bedrockagentcorecontrol.Options) {
		o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error { return s.Deserialize.Add(tee, middleware.After) })
	})
	if err != nil {
		return nil, err
	}
	var all, found map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("read runtime %s: %w", aws.ToString(id), err)
	}
	for _, name := range beyondSDK() {
		if value, ok := all[name]; ok && string(value) != "null" {
			if found == nil {
				found = map[string]json.RawMessage{}
			}
			found[name] = value
		}
	}
	return found, nil
}

// withMembers adds members to the body of a call, before it is signed.
func withMembers(members map[string]json.RawMessage) func(*bedrockagentcorecontrol.Options) {
	add := middleware.BuildMiddlewareFunc("OutcropAddMembers", func(ctx context.Context, in middleware.BuildInput, next middleware.BuildHandler) (middleware.BuildOutput, middleware.Metadata, error) {
		request, ok := in.Request.(*smithyhttp.Request)
		if !ok {
			return middleware.BuildOutput{}, middleware.Metadata{}, fmt.Errorf("add members: the request is a %T", in.Request)
		}
		changed, err := addMembers(request, members)
		if err != nil {
			return middleware.BuildOutput{}, middleware.Metadata{}, fmt.Errorf("add members: %w", err)
		}
		in.Request = changed
		return next.HandleBuild(ctx, in)
	})
	return func(o *bedrockagentcorecontrol.Options) {
		if len(members) > 0 {
			o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error { return s.Build.Add(add, middleware.Before) })
		}
	}
}

func addMembers(request *smithyhttp.Request, members map[string]json.RawMessage) (*smithyhttp.Request, error) {
	text, err := io.ReadAll(request.GetStream())
	if err != nil {
		return nil, err
	}
	var body map[string]json.RawMessage
	if err := json.Unmarshal(text, &body); err != nil {
		return nil, err
	}
	for name, value := range members {
		body[name] = value
	}
	if text, err = json.Marshal(body); err != nil {
		return nil, err
	}
	return request.SetStream(bytes.NewReader(text))
}
