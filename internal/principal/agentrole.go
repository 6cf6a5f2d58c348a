package principal

import (
	"encoding/json"
	"strings"

	"github.com/outcrop/outcrop/internal/store"
)

// AgentRole is the name of the role that an account has from its beginning, for agents
// that nobody gave another. It may do what AgentCore's own tools let the roles do that
// they make (spec/identity.md 10.3), and is its owner's to change.
const AgentRole = "outcrop-default"

// agentStatements are those of its policy; ACCOUNT stands for the account.
const agentStatements = `[
 {"Sid":"Images","Effect":"Allow","Resource":"*","Action":["ecr:GetAuthorizationToken","ecr:BatchGetImage","ecr:GetDownloadUrlForLayer","ecr:BatchCheckLayerAvailability"]},
 {"Sid":"Logs","Effect":"Allow","Resource":"arn:aws:logs:*:ACCOUNT:log-group:/aws/bedrock-agentcore/runtimes/*",
  "Action":["logs:CreateLogGroup","logs:CreateLogStream","logs:DescribeLogStreams","logs:PutLogEvents"]},
 {"Sid":"LogGroups","Effect":"Allow","Resource":"arn:aws:logs:*:ACCOUNT:log-group:*","Action":"logs:DescribeLogGroups"},
 {"Sid":"Traces","Effect":"Allow","Resource":"*","Action":["xray:PutTraceSegments","xray:PutTelemetryRecords","xray:GetSamplingRules","xray:GetSamplingTargets"]},
 {"Sid":"Metrics","Effect":"Allow","Resource":"*","Action":"cloudwatch:PutMetricData","Condition":{"StringEquals":{"cloudwatch:namespace":"bedrock-agentcore"}}},
 {"Sid":"Models","Effect":"Allow","Resource":"*","Action":["bedrock:InvokeModel","bedrock:InvokeModelWithResponseStream","bedrock:CountTokens","bedrock:ApplyGuardrail"]},
 {"Sid":"Identity","Effect":"Allow","Action":["bedrock-agentcore:GetWorkloadAccessToken","bedrock-agentcore:GetWorkloadAccessTokenForJWT",
   "bedrock-agentcore:GetWorkloadAccessTokenForUserId","bedrock-agentcore:GetResourceApiKey","bedrock-agentcore:GetResourceOauth2Token","bedrock-agentcore:CompleteResourceTokenAuth"],
  "Resource":["arn:aws:bedrock-agentcore:*:ACCOUNT:workload-identity-directory/default","arn:aws:bedrock-agentcore:*:ACCOUNT:workload-identity-directory/default/workload-identity/*",
   "arn:aws:bedrock-agentcore:*:ACCOUNT:token-vault/default","arn:aws:bedrock-agentcore:*:ACCOUNT:token-vault/default/apikeycredentialprovider/*",
   "arn:aws:bedrock-agentcore:*:ACCOUNT:token-vault/default/oauth2credentialprovider/*"]},
 {"Sid":"Secrets","Effect":"Allow","Resource":"arn:aws:secretsmanager:*:ACCOUNT:secret:bedrock-agentcore-identity!default/*","Action":"secretsmanager:GetSecretValue"},
 {"Sid":"Tools","Effect":"Allow","Resource":"*","Action":["bedrock-agentcore:StartCodeInterpreterSession","bedrock-agentcore:InvokeCodeInterpreter",
   "bedrock-agentcore:StopCodeInterpreterSession","bedrock-agentcore:GetCodeInterpreterSession","bedrock-agentcore:ListCodeInterpreterSessions",
   "bedrock-agentcore:StartBrowserSession","bedrock-agentcore:StopBrowserSession","bedrock-agentcore:GetBrowserSession","bedrock-agentcore:ListBrowserSessions",
   "bedrock-agentcore:UpdateBrowserStream","bedrock-agentcore:ConnectBrowserAutomationStream","bedrock-agentcore:ConnectBrowserLiveViewStream"]},
 {"Sid":"WebIdentity","Effect":"Allow","Resource":"*","Action":"sts:GetWebIdentityToken"},
 {"Sid":"Memory","Effect":"Allow","Resource":"arn:aws:bedrock-agentcore:*:ACCOUNT:memory/*","Action":["bedrock-agentcore:CreateEvent","bedrock-agentcore:GetEvent",
   "bedrock-agentcore:ListEvents","bedrock-agentcore:ListSessions","bedrock-agentcore:ListActors","bedrock-agentcore:GetMemory",
   "bedrock-agentcore:GetMemoryRecord","bedrock-agentcore:ListMemoryRecords","bedrock-agentcore:RetrieveMemoryRecords"]}
]`

// AgentTrust is the trust policy of a role that agents of an account may have.
func AgentTrust(account string) string { return ServiceTrust(AgentService, account) }

// ServiceTrust is the trust policy of a role that a service may have for an account.
func ServiceTrust(service, account string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"` + service +
		`"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"aws:SourceAccount":"` + account + `"}}}]}`
}

// AgentPolicy is the policy of AgentRole.
func AgentPolicy(account string) string {
	return `{"Version":"2012-10-17","Statement":` + strings.ReplaceAll(agentStatements, "ACCOUNT", account) + `}`
}

// createAgentRole makes AgentRole in a new account.
func createAgentRole(tx store.Tx, account, id string) error {
	text, err := compact(AgentPolicy(account))
	if err != nil {
		return err
	}
	_, err = holders(RoleHolder).Create(tx, holder{
		Scope: store.Scope{Account: account, Region: store.Global}, ID: id, Name: AgentRole, State: holderState{
			Name: AgentRole, Path: "/", Trust: AgentTrust(account), MaxSession: int(DefaultSession.Seconds()),
			Description: "For agents that were given no other role", Inline: map[string]string{"agent": text},
		},
	})
	return err
}

// compact writes JSON without white space.
func compact(text string) (string, error) {
	var v json.RawMessage
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return "", err
	}
	out, err := json.Marshal(v)
	return string(out), err
}
