package app

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/secretstore"
	"github.com/outcrop/outcrop/internal/telemetry"
)

// serving makes a gateway with an authorizer, and returns its id and ARN once it serves.
func (g *portal) serving(name string, authorizer types.AuthorizerType) (id, arn string) {
	g.t.Helper()
	made, err := g.control.CreateGateway(g.t.Context(), &control.CreateGatewayInput{Name: &name, RoleArn: &g.source.Role, AuthorizerType: authorizer, ProtocolType: types.GatewayProtocolTypeMcp})
	g.must(err)
	for changed := g.gateways.Changed(); ; changed = g.gateways.Changed() {
		if _, err := g.gateways.View(g.t.Context(), *made.GatewayId); err == nil {
			return *made.GatewayId, *made.GatewayArn
		}
		select {
		case <-changed:
		case <-time.After(20 * time.Second):
			g.t.Fatalf("gateway %s does not serve", name)
		}
	}
}

// post sends a message to a gateway with credentials.
func (g *portal) post(cr target.Credentials, id, message string) (status int, answer string) {
	g.t.Helper()
	r, err := http.NewRequestWithContext(g.t.Context(), http.MethodPost, g.url+"/gw/"+id+"/mcp", strings.NewReader(message))
	g.must(err)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "caller")
	g.must(cr.Apply(g.t.Context(), r, &target.Call{}))
	a, err := http.DefaultClient.Do(r)
	g.must(err)
	body, err := io.ReadAll(a.Body)
	g.must(err)
	g.must(a.Body.Close())
	return a.StatusCode, string(body)
}

// TestDeniedAtAuthenticateOnly: callers need no permission for a gateway that only
// authenticates them, and one that a policy denies stays out.
func TestDeniedAtAuthenticateOnly(t *testing.T) {
	g := newPortal(t)
	g.role()
	id, arn := g.serving("open", types.AuthorizerTypeAuthenticateOnly)
	cr := g.with("GATEWAY_IAM_ROLE", &agentcorecontrol.CredentialProvider{IamCredentialProvider: &agentcorecontrol.IamCredentialProvider{Service: new("bedrock-agentcore")}})
	ping := func(want int, text string) {
		t.Helper()
		if status, body := g.post(cr, id, `{"jsonrpc":"2.0","id":1,"method":"ping"}`); status != want || !strings.Contains(body, text) {
			t.Errorf("%d %s, want %d %s", status, body, want, text)
		}
	}
	policy := func(effect, principal string) {
		t.Helper()
		_, err := g.control.PutResourcePolicy(t.Context(), &control.PutResourcePolicyInput{ResourceArn: &arn, Policy: new(policyText(
			`{"Effect":"` + effect + `","Principal":{"AWS":"` + principal + `"},"Action":"bedrock-agentcore:InvokeGateway","Resource":"` + arn + `"}`))})
		g.must(err)
	}
	ping(200, `"result":{}`)
	policy("Allow", "arn:aws:iam::"+g.source.Scope.Account+":root") // not the role, which needs none
	ping(200, `"result":{}`)
	policy("Deny", g.source.Role)
	ping(403, `"code":-32002`)
	_, err := g.control.DeleteResourcePolicy(t.Context(), &control.DeleteResourcePolicyInput{ResourceArn: &arn})
	g.must(err)
	ping(200, `"result":{}`)
	g.allow(`{"Effect":"Deny","Action":"bedrock-agentcore:InvokeGateway","Resource":"*"}`)
	ping(403, `"code":-32002`)
}

// TestBatchesAreRecorded: each call of a batch is decided on by what is known of the request
// that it came with, and is recorded as its caller's.
func TestBatchesAreRecorded(t *testing.T) {
	g := newPortal(t)
	g.role()
	id, arn := g.serving("batches", types.AuthorizerTypeAwsIam)
	g.allow(`{"Effect":"Allow","Action":"bedrock-agentcore:InvokeGateway","Resource":"` + arn + `","Condition":{"IpAddress":{"aws:SourceIp":"127.0.0.1/32"},"StringEquals":{"aws:UserAgent":"caller"}}}`)
	cr := g.with("GATEWAY_IAM_ROLE", &agentcorecontrol.CredentialProvider{IamCredentialProvider: &agentcorecontrol.IamCredentialProvider{Service: new("bedrock-agentcore")}})
	const ping = `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	if status, body := g.post(cr, id, "["+ping+","+ping+","+ping+"]"); status != http.StatusOK || strings.Count(body, `"result":{}`) != 3 {
		t.Fatalf("%d %s", status, body)
	}
	g.must(g.telemetry.Flush(t.Context()))
	records, _, err := g.telemetry.Records(t.Context(), telemetry.AuditQuery{Scope: g.source.Scope, Event: "InvokeGateway"})
	g.must(err)
	ids := map[string]bool{}
	for _, one := range records {
		ids[one.RequestID] = true
		if one.SourceIP != "127.0.0.1" || one.UserAgent != "caller" || one.Status != http.StatusOK || one.ErrorCode != "" || !strings.Contains(one.Principal, "/gw/") || one.AccessKeyID == "" || !slices.Equal(one.Resources, []string{arn}) {
			t.Errorf("%+v", one)
		}
	}
	if len(records) != 3 || len(ids) != 3 {
		t.Errorf("%d records of %d calls", len(records), len(ids))
	}
}

// TestBundleOfADeniedSecret: a policy that names a secret holds for who leaves out the
// letters at the end of its ARN, too.
func TestBundleOfADeniedSecret(t *testing.T) {
	g := newPortal(t)
	made, err := g.secrets.Create(t.Context(), g.source.Scope, "ca", secretstore.Settings{}, "", new(secretstore.Text(secret.NewString("bundle"))))
	g.must(err)
	arn := made.ARN()
	short := strings.TrimSuffix(arn, "-"+made.Suffix)
	read := func(arn string) (string, error) {
		text, err := newGatewayObjects(g.parts, g.source.Scope.Account).Secret(t.Context(), g.source.Scope, g.source.Role, arn)
		return string(text), err
	}
	g.role(grant("secretsmanager:GetSecretValue", "*", ""))
	for _, name := range []string{arn, short} {
		if text, err := read(name); err != nil || text != "bundle" {
			t.Errorf("%s: %s, %v", name, text, err)
		}
	}
	g.allow(grant("secretsmanager:GetSecretValue", "*", ""), `{"Effect":"Deny","Action":"secretsmanager:*","Resource":"`+short+`-??????"}`)
	for _, name := range []string{arn, short} {
		if text, err := read(name); err == nil || text != "" || !strings.Contains(err.Error(), "may not secretsmanager:GetSecretValue on "+arn) {
			t.Errorf("%s: %s, %v", name, text, err)
		}
	}
}

// TestRolesThatMayInvokeAgents: a role needs the right to the runtime and to its endpoint, of
// its own policies or of the runtime's.
func TestRolesThatMayInvokeAgents(t *testing.T) {
	g := newPortal(t)
	g.role(grant("s3:GetObject", "*", ""))
	agent := "arn:aws:bedrock-agentcore:us-west-2:" + g.source.Scope.Account + ":runtime/hello-0123456789"
	may := mayInvoke(g.parts, g.source.Scope.Account)
	for _, c := range []struct {
		statements []string
		want       bool
	}{
		{[]string{grant("s3:GetObject", "*", "")}, false},
		{[]string{grant("bedrock-agentcore:InvokeAgentRuntime", agent, "")}, false},
		{[]string{grant("bedrock-agentcore:InvokeAgentRuntime", agent+"*", "")}, true},
		{[]string{grant("*", "*", ""), `{"Effect":"Deny","Action":"bedrock-agentcore:InvokeAgentRuntime","Resource":"` + agent + `/runtime-endpoint/DEFAULT"}`}, false},
	} {
		g.allow(c.statements...)
		if got, err := may(t.Context(), g.source, agent, "DEFAULT"); err != nil || got != c.want {
			t.Errorf("%s: %t, %v", c.statements, got, err)
		}
	}
}
