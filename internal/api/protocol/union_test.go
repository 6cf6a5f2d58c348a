package protocol

import (
	"testing"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/fault"
)

// TestUnknownChoices: a union of which only a member is set that nobody knows is refused by
// that one's name. One beside a known member is ignored, as anywhere.
func TestUnknownChoices(t *testing.T) {
	shape := agentcorecontrol.Service.ShapeNamed("CreateGatewayTargetRequest")
	for body, want := range map[string]string{
		`{"targetConfiguration":{"mcp":{"grpc":{"a":[1]}}}}`: `1 validation error detected: Value with the unknown member "grpc" at 'targetConfiguration.mcp' failed to satisfy constraint: ` +
			"Exactly one member of the union must be set: openApiSchema, smithyModel, lambda, mcpServer, apiGateway, connector",
		`{"targetConfiguration":{"grpc":"x","http":null}}`: `1 validation error detected: Value with the unknown member "grpc" at 'targetConfiguration' failed to satisfy constraint: ` +
			"Exactly one member of the union must be set: mcp, http, inference",
		`{"targetConfiguration":{"mcp":{"grpc":{},"lambda":{}}}}`:   "",
		`{"targetConfiguration":{"mcp":{"grpc":null}},"grpc":true}`: "",
	} {
		in, got := agentcorecontrol.CreateGatewayTargetRequest{}, ""
		if err := UnmarshalJSON(&agentcorecontrol.Service, shape, []byte(body), &in); err != nil {
			f := fault.From(err)
			got = f.Message
			if f.Code != "ValidationException" || len(f.Fields) != 1 {
				t.Errorf("%s: %+v", body, f)
			}
		}
		if got != want {
			t.Errorf("%s: %s", body, got)
		}
	}
}
