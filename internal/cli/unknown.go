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

// wholeRuntime returns a runtime, and what it has of the members that the SDK does
// not know, as they are written.
func wholeRuntime(ctx context.Context, c *client.Client, id *string) (*bedrockagentcorecontrol.GetAgentRuntimeOutput, map[string]json.RawMessage, error) {
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
	r, err := c.Control().GetAgentRuntime(ctx, &bedrockagentcorecontrol.GetAgentRuntimeInput{AgentRuntimeId: id}, func(o *bedrockagentcorecontrol.Options) {
		o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error { return s.Deserialize.Add(tee, middleware.After) })
	})
	if err != nil {
		return nil, nil, err
	}
	var all, found map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, nil, fmt.Errorf("read runtime %s: %w", aws.ToString(id), err)
	}
	for _, name := range beyondSDK() {
		if value, ok := all[name]; ok && string(value) != "null" {
			if found == nil {
				found = map[string]json.RawMessage{}
			}
			found[name] = value
		}
	}
	return r, found, nil
}

// warmup is a runtime's warm-up hook.
type warmup struct {
	Path string `json:"path"`
	Port int    `json:"port,omitempty"` // 0 is the agent's own
}

func (w warmup) String() string {
	if w.Port != 0 {
		return fmt.Sprintf("POST :%d%s", w.Port, w.Path)
	}
	return "POST " + w.Path
}

// warmupIn reads the warm-up hook of these members; nil is none. A hook of a form
// that this version does not know is none, too.
func warmupIn(members map[string]json.RawMessage) *warmup {
	var hooks struct {
		Build struct {
			Warmup struct {
				Action struct {
					Post *warmup `json:"httpPost"`
				} `json:"action"`
			} `json:"warmup"`
		} `json:"build"`
	}
	if err := json.Unmarshal(members["hooksConfiguration"], &hooks); err != nil {
		return nil
	}
	return hooks.Build.Warmup.Action.Post
}

// memoryIn is the minimumMemoryInMiB of these members; 0 is none.
func memoryIn(members map[string]json.RawMessage) int64 {
	var resources []struct {
		Memory int64 `json:"minimumMemoryInMiB"`
	}
	if err := json.Unmarshal(members["resourceConfigurations"], &resources); err != nil || len(resources) == 0 {
		return 0
	}
	return resources[0].Memory
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
