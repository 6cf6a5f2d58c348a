package gateway

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/conformance/server"
)

// shelf is a service that its model does not say the place of, and functions AWS Lambda,
// as far as one operation needs it.
const (
	shelf = `{"smithy":"2.0","shapes":{
	"x#Shelf":{"type":"service","version":"1","operations":[{"target":"x#GetBook"}],"traits":{"aws.protocols#restJson1":{},"aws.auth#sigv4":{"name":"shelf"}}},
	"x#GetBook":{"type":"operation","input":{"target":"x#In"},"output":{"target":"x#Out"},"traits":{"smithy.api#http":{"method":"GET","uri":"/books/{id}","code":200}}},
	"x#In":{"type":"structure","members":{"id":{"target":"smithy.api#String","traits":{"smithy.api#required":{},"smithy.api#httpLabel":{}}}}},
	"x#Out":{"type":"structure","members":{"title":{"target":"smithy.api#String"}}}}}`
	functions = `{"smithy":"2.0","shapes":{
	"l#Lambda":{"type":"service","version":"1","operations":[{"target":"l#ListFunctions"}],"traits":{"aws.protocols#restJson1":{},"aws.auth#sigv4":{"name":"lambda"},
		"smithy.rules#endpointRuleSet":{"version":"1.0","parameters":{"Region":{"type":"String","builtIn":"AWS::Region","required":true,"documentation":"the region"}},
			"rules":[{"type":"endpoint","conditions":[],"endpoint":{"url":"https://lambda.{Region}.amazonaws.com","properties":{},"headers":{}}}]}}},
	"l#ListFunctions":{"type":"operation","input":{"target":"l#In"},"output":{"target":"l#Out"},"traits":{"smithy.api#http":{"method":"GET","uri":"/2015-03-31/functions","code":200}}},
	"l#In":{"type":"structure","members":{"MaxItems":{"target":"smithy.api#Integer","traits":{"smithy.api#httpQuery":"MaxItems"}}}},
	"l#Out":{"type":"structure","members":{"NextMarker":{"target":"smithy.api#String"}}}}}`
	export = `{"openapi":"3.0.1","info":{"title":"zoo","version":"1"},"paths":{"/pets/{id}":{"get":{"responses":{"200":{"description":"ok"}},
	"parameters":[{"name":"id","in":"path","required":true,"schema":{"type":"string"}}]}}}}`
)

// signedFor is the service that a request is signed for.
func signedFor(r *http.Request) string {
	_, scope, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	if parts := strings.Split(scope, "/"); len(parts) > 4 {
		return parts[3]
	}
	return "nothing"
}

// elsewhere is the shelf's service, and an API Gateway with a stage.
func elsewhere(t *testing.T) string {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/books/{id}", func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, `{"title":"book %s for %s"}`, r.PathValue("id"), signedFor(r))
	})
	mux.HandleFunc("GET /restapis/abc/stages/prod/exports/oas30", func(w http.ResponseWriter, r *http.Request) {
		if signedFor(r) != "apigateway" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = io.WriteString(w, export)
	})
	mux.HandleFunc("GET /stage/abc/prod/pets/{id}", func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "pet %s for %s", r.PathValue("id"), signedFor(r))
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

// TestServicesOfAWSKind: services of Smithy models and stages of API Gateway, at what the
// operator names and at this server itself, are called as the gateway's role.
func TestServicesOfAWSKind(t *testing.T) {
	at := elsewhere(t)
	s := server.Start(t, server.Options{Args: []string{
		"--smithy-endpoint", "shelf=" + at + "/v1", "--api-gateway-endpoint", at, "--api-gateway-stage-url", at + "/stage/{restApiId}/{stage}",
	}})
	ctx, api := t.Context(), control.NewFromConfig(s.AWS())
	s.Run(t, nil, pinned.Program(t, "aws"), "iam", "create-role", "--role-name", "gateway", "--assume-role-policy-document",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"bedrock-agentcore.amazonaws.com"},"Action":"sts:AssumeRole"}]}`)
	made, err := api.CreateGateway(ctx, &control.CreateGatewayInput{
		Name: aws.String("services"), RoleArn: aws.String("arn:aws:iam::" + s.Account + ":role/gateway"),
		ProtocolType: types.GatewayProtocolTypeMcp, AuthorizerType: types.AuthorizerTypeNone, ExceptionLevel: types.ExceptionLevelDebug,
	})
	if err != nil {
		t.Fatal(err)
	}
	gateway := *made.GatewayId
	s.Until("the gateway is READY", func() bool {
		out, err := api.GetGateway(ctx, &control.GetGatewayInput{GatewayIdentifier: &gateway})
		return err == nil && out.Status == types.GatewayStatusReady
	})
	for name, config := range map[string]types.McpTargetConfiguration{
		"shelf":     &types.McpTargetConfigurationMemberSmithyModel{Value: &types.ApiSchemaConfigurationMemberInlinePayload{Value: shelf}},
		"functions": &types.McpTargetConfigurationMemberSmithyModel{Value: &types.ApiSchemaConfigurationMemberInlinePayload{Value: functions}},
		"zoo": &types.McpTargetConfigurationMemberApiGateway{Value: types.ApiGatewayTargetConfiguration{
			RestApiId: aws.String("abc"), Stage: aws.String("prod"), ApiGatewayToolConfiguration: &types.ApiGatewayToolConfiguration{
				ToolFilters:   []types.ApiGatewayToolFilter{{FilterPath: aws.String("/pets/*"), Methods: []types.RestApiMethod{types.RestApiMethodGet}}},
				ToolOverrides: []types.ApiGatewayToolOverride{{Name: aws.String("getPet"), Path: aws.String("/pets/{id}"), Method: types.RestApiMethodGet}},
			},
		}},
	} {
		out, err := api.CreateGatewayTarget(ctx, &control.CreateGatewayTargetInput{
			GatewayIdentifier: &gateway, Name: &name, TargetConfiguration: &types.TargetConfigurationMemberMcp{Value: config},
			CredentialProviderConfigurations: []types.CredentialProviderConfiguration{{CredentialProviderType: types.CredentialProviderTypeGatewayIamRole}},
		})
		if err != nil {
			t.Fatal(err)
		}
		s.Until("target "+name+" is READY", func() bool { return targetReady(ctx, s, gateway, *out.TargetId) })
	}
	call := func(tool, arguments, want string) {
		t.Helper()
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, *made.GatewayUrl, strings.NewReader(fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":%q,"arguments":%s}}`, tool, arguments)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Accept", "application/json, text/event-stream")
		r.Header.Set("Mcp-Protocol-Version", "2025-06-18")
		a, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close()
		var answer struct {
			Result struct{ Content []struct{ Text string } }
		}
		body, err := io.ReadAll(a.Body)
		if err != nil || json.Unmarshal(body, &answer) != nil || len(answer.Result.Content) != 1 || !strings.Contains(answer.Result.Content[0].Text, want) {
			t.Errorf("%s: %s %v, want %s", tool, body, err, want)
		}
	}
	call("shelf___GetBook", `{"id":"7"}`, `{"title":"book 7 for shelf"}`)
	call("shelf___GetBook", `{}`, "argument id: is missing, and required")
	call("zoo___getPet", `{"id":"7"}`, "pet 7 for execute-api")
	call("functions___ListFunctions", `{"MaxItems":5}`, "SmithyClientException - The service answered with status 403 Forbidden: AccessDeniedException")
	s.Run(t, nil, pinned.Program(t, "aws"), "iam", "put-role-policy", "--role-name", "gateway", "--policy-name", "own", "--policy-document",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"lambda:ListFunctions","Resource":"*"}]}`)
	call("functions___ListFunctions", `{"MaxItems":5}`, `{"Functions":[]`)
}
