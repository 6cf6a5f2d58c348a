package guest

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	data "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"

	"github.com/outcrop/outcrop/conformance/server"
)

// written is what the agent of testdata/hosts tells.
type written struct {
	Names                map[string]string
	Arn, Endpoint, Plain string
}

// TestWrittenHosts: AWS's host names in an agent's code lead to this server over TLS,
// and those to AWS that its owner wants there.
func TestWrittenHosts(t *testing.T) {
	s := server.Start(t, server.Options{})
	const here = "192.0.0.1"
	python := store(t, s, "testdata/hosts")
	names := map[string]bool{
		"bedrock-agentcore.us-west-2.amazonaws.com": true, "bedrock-agentcore-control.us-east-1.amazonaws.com": true,
		"sts.amazonaws.com": true, "s3.us-east-1.amazonaws.com": true, "agents.s3.us-east-1.amazonaws.com": true,
		"nobodys-bucket.s3.us-east-1.amazonaws.com": false, "ec2.us-east-1.amazonaws.com": false, "example.invalid": false,
	}
	for name, tt := range map[string]struct {
		env   map[string]string
		names map[string]bool
		call  bool
	}{
		"served": {nil, names, true},
		"one elsewhere": {map[string]string{"AWS_ENDPOINT_URL_STS": "https://sts.us-east-1.amazonaws.com"}, map[string]bool{
			"sts.us-east-1.amazonaws.com": false, "sts.us-west-2.amazonaws.com": true,
		}, false},
		"all elsewhere": {map[string]string{"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, map[string]bool{
			"sts.us-east-1.amazonaws.com": false, "s3.us-east-1.amazonaws.com": false,
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			name := strings.ReplaceAll(name, " ", "_")
			got := tellHosts(t, s, create(t, s, name, python, tt.env), name, tt.names, tt.call)
			for n, want := range tt.names {
				if (got.Names[n] == here) != want {
					t.Errorf("%s is at %q", n, got.Names[n])
				}
			}
			if tt.call && (got.Endpoint != "https://sts.us-east-1.amazonaws.com" || !strings.Contains(got.Plain, "MissingAuthenticationToken") ||
				!strings.HasPrefix(got.Arn, "arn:aws:sts::"+s.Account+":assumed-role/outcrop-default/BedrockAgentCore-")) {
				t.Errorf("%+v", got)
			}
		})
	}
}

// tellHosts asks the agent.
func tellHosts(t *testing.T, s *server.Server, arn, name string, names map[string]bool, call bool) (out written) {
	t.Helper()
	ask := map[string]any{"call": call, "names": []string{}}
	for n := range names {
		ask["names"] = append(ask["names"].([]string), n)
	}
	payload, err := json.Marshal(ask)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := data.NewFromConfig(s.AWS()).InvokeAgentRuntime(t.Context(), &data.InvokeAgentRuntimeInput{
		AgentRuntimeArn: &arn, RuntimeSessionId: aws.String(server.SessionID(name)), Payload: payload,
	})
	if err != nil {
		logs, _, _ := s.CLI(t.Context(), "logs", name)
		t.Fatalf("%v\n%s", err, logs)
	}
	defer answer.Response.Close()
	if err := json.NewDecoder(answer.Response).Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}
