package app

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awscredentials "github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/aws/smithy-go"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/principal"
	"github.com/outcrop/outcrop/internal/resource"
	"github.com/outcrop/outcrop/internal/runtime/runtimetest"
	"github.com/outcrop/outcrop/internal/secret/secrettest"
)

// house is a runtime service behind real keys and policies.
type house struct {
	*runtimetest.Kit
	t         *testing.T
	directory *principal.Directory
	guests    *guests
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t}
	var own *agentCore
	h.Kit = runtimetest.New(t, runtimetest.Options{Access: func(k *runtimetest.Kit) runtimetest.Access {
		box := secrettest.At(t, filepath.Join(k.Dir, "principals.key"))
		account := make([]byte, 12) // its digits are the first that are read
		for i, digit := range []byte(runtimetest.Account) {
			account[i] = digit - '0'
		}
		var err error
		h.directory, _, err = principal.Open(t.Context(), principal.Config{
			Store: k.Store, Box: box, Rand: io.MultiReader(bytes.NewReader(account), rand.Reader), Now: time.Now,
		})
		h.must(err)
		own = newAgentCore(k.Store, nil)
		joined := &attached{runtimetest.Account, map[string]auth.Resources{"iam": h.directory, "bedrock-agentcore": own, "s3": newBuckets(k.Store, runtimetest.Account, k.Objects)}}
		h.guests = newGuests(h.directory, nil, false, slog.New(slog.DiscardHandler))
		return runtimetest.Access{Keys: h.directory, Directory: h.directory, Authorizer: &auth.Authorizer{Identities: h.directory, Resources: joined}, Roles: h.guests}
	}})
	own.owners = map[string]resource.Owner{"runtime": h.Service}
	if h.directory.Account().ID != runtimetest.Account {
		t.Fatal(h.directory.Account().ID)
	}
	h.Put("agent.zip", runtimetest.Zip(t, "main.py", "pass"))
	return h
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// caller calls with some credentials.
type caller struct {
	control *control.Client
	data    *bedrockagentcore.Client
	arn     string
}

func (h *house) caller(c principal.Credentials, arn string) caller {
	cfg := aws.Config{
		Region: runtimetest.Region, BaseEndpoint: &h.URL, Retryer: func() aws.Retryer { return aws.NopRetryer{} },
		Credentials: awscredentials.NewStaticCredentialsProvider(c.AccessKeyID, c.Secret.Reveal(), c.SessionToken.Reveal()),
	}
	return caller{control.NewFromConfig(cfg), bedrockagentcore.NewFromConfig(cfg), arn}
}

func (h *house) root() caller {
	c, err := h.directory.Root(h.t.Context())
	h.must(err)
	return h.caller(c, auth.RootARN(runtimetest.Account))
}

// user makes a user with a policy of these statements.
func (h *house) user(name string, statements ...string) caller {
	h.t.Helper()
	ctx := h.t.Context()
	u, err := h.directory.CreateUser(ctx, principal.NewUser{Name: name})
	h.must(err)
	h.allow(name, statements...)
	_, c, err := h.directory.CreateAccessKey(ctx, name)
	h.must(err)
	return h.caller(c, u.ARN)
}

// allow replaces a user's policy.
func (h *house) allow(user string, statements ...string) {
	h.t.Helper()
	if len(statements) > 0 {
		h.must(h.directory.PutInline(h.t.Context(), principal.Holder{Kind: principal.UserHolder, Name: user}, "p", policyText(statements...)))
	}
}

func policyText(statements ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
}

// grant is a statement that allows.
func grant(action, resource, more string) string {
	return `{"Effect":"Allow","Action":"` + action + `","Resource":"` + resource + `"` + more + `}`
}

// refused wants a refusal with these parts in its text.
func (h *house) refused(err error, code string, parts ...string) {
	h.t.Helper()
	var e smithy.APIError
	if !errors.As(err, &e) || e.ErrorCode() != code {
		h.t.Errorf("%v, want %s", err, code)
		return
	}
	for _, part := range parts {
		if !strings.Contains(e.ErrorMessage(), part) {
			h.t.Errorf("%q does not say %q", e.ErrorMessage(), part)
		}
	}
}

func (c caller) create(ctx context.Context, name, role string, tags map[string]string) (string, error) {
	out, err := c.control.CreateAgentRuntime(ctx, &control.CreateAgentRuntimeInput{
		AgentRuntimeName: &name, RoleArn: &role, Tags: tags, NetworkConfiguration: &types.NetworkConfiguration{NetworkMode: types.NetworkModePublic},
		AgentRuntimeArtifact: &types.AgentRuntimeArtifactMemberCodeConfiguration{Value: types.CodeConfiguration{
			Code:    &types.CodeMemberS3{Value: types.S3Location{Bucket: aws.String(runtimetest.Bucket), Prefix: aws.String("agent.zip")}},
			Runtime: types.AgentManagedRuntimeTypePython312, EntryPoint: []string{"main.py"},
		}},
	})
	if err != nil {
		return "", err
	}
	return *out.AgentRuntimeArn, nil
}

func (c caller) invoke(ctx context.Context, arn, endpoint string) error {
	in := &bedrockagentcore.InvokeAgentRuntimeInput{AgentRuntimeArn: &arn, Payload: []byte(`{}`)}
	if endpoint != "" {
		in.Qualifier = &endpoint
	}
	out, err := c.data.InvokeAgentRuntime(ctx, in)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, out.Response)
	return errors.Join(err, out.Response.Close())
}

func (c caller) attach(ctx context.Context, arn, policy string) error {
	_, err := c.control.PutResourcePolicy(ctx, &control.PutResourcePolicyInput{ResourceArn: &arn, Policy: &policy})
	return err
}

// roleARN names a role of the house.
func roleARN(name string) string { return "arn:aws:iam::" + runtimetest.Account + ":role/" + name }

const makeRuntimes = `{"Effect":"Allow","Action":["bedrock-agentcore:CreateAgentRuntime","bedrock-agentcore:CreateWorkloadIdentity"],"Resource":"*"}`

// TestPassRoleIsNoWayUp: who may make agents does not get a role by it that they were not
// given to pass on.
func TestPassRoleIsNoWayUp(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	agentTrust := principal.AgentTrust(runtimetest.Account)
	for name, trust := range map[string]string{
		"agent": agentTrust, "admin": agentTrust, "people": policyText(`{"Effect":"Allow","Principal":{"AWS":"` + runtimetest.Account + `"},"Action":"sts:AssumeRole"}`),
		"another": strings.Replace(agentTrust, `"Condition":{`, `"Condition":{"ArnLike":{"aws:SourceArn":"arn:aws:bedrock-agentcore:us-west-2:`+runtimetest.Account+`:runtime/another-*"},`, 1),
	} {
		_, err := h.directory.CreateRole(ctx, principal.NewRole{Name: name, Trust: trust})
		h.must(err)
	}
	directory := "arn:aws:bedrock-agentcore:us-west-2:" + runtimetest.Account + ":workload-identity-directory/default"
	lesser := h.user("lesser", grant("bedrock-agentcore:CreateAgentRuntime", "*", ""), grant("iam:PassRole", "*", ""))
	_, err := lesser.create(ctx, "a", roleARN("agent"), nil)
	h.refused(err, "AccessDeniedException", "bedrock-agentcore:CreateWorkloadIdentity on resource: "+directory+" because no identity-based policy allows the bedrock-agentcore:CreateWorkloadIdentity action (Service: AgentCredentialProvider, Status Code: 403, Request ID: ")
	u := h.user("maker", makeRuntimes)
	_, err = u.create(ctx, "a", roleARN("agent"), nil)
	h.refused(err, "AccessDeniedException", "User: "+u.arn+" is not authorized to perform: iam:PassRole on resource: "+roleARN("agent")+" because no identity-based policy allows the iam:PassRole action")
	h.allow("maker", makeRuntimes, grant("iam:PassRole", roleARN("agent"), `,"Condition":{"StringEquals":{"iam:PassedToService":"lambda.amazonaws.com"}}`))
	_, err = u.create(ctx, "a", roleARN("agent"), nil)
	h.refused(err, "AccessDeniedException", "iam:PassRole")
	h.allow("maker", makeRuntimes, grant("iam:PassRole", roleARN("a*"), `,"Condition":{"StringEquals":{"iam:PassedToService":"bedrock-agentcore.amazonaws.com"}}`),
		`{"Effect":"Deny","Action":"iam:PassRole","Resource":"`+roleARN("admin")+`"}`)
	_, err = u.create(ctx, "b", roleARN("admin"), nil)
	h.refused(err, "AccessDeniedException", "iam:PassRole on resource: "+roleARN("admin")+" with an explicit deny in an identity-based policy")
	_, err = u.create(ctx, "c", strings.Replace(roleARN("agent"), runtimetest.Account, "999999999999", 1), nil)
	h.refused(err, "AccessDeniedException", "iam:PassRole on resource: arn:aws:iam::999999999999:role/agent")
	_, err = h.root().create(ctx, "d", strings.Replace(roleARN("agent"), runtimetest.Account, "999999999999", 1), nil)
	h.refused(err, "AccessDeniedException", "iam:PassRole on resource: arn:aws:iam::999999999999:role/agent because the role is of account 999999999999 and the caller of account "+runtimetest.Account)
	for _, role := range []string{"people", "another"} {
		_, err = h.root().create(ctx, "e", roleARN(role), nil)
		h.refused(err, "ValidationException", "Role validation failed for '"+roleARN(role)+"'. Please verify that the role exists and its trust policy allows assumption by this service")
	}
	if _, err = h.root().create(ctx, "another", roleARN("another"), nil); err != nil {
		t.Errorf("the runtime that the role trusts: %v", err)
	}
	_, err = u.create(ctx, "f", roleARN("agent"), nil)
	h.refused(err, "AccessDeniedException", "s3:GetObject on resource: arn:aws:s3:::"+runtimetest.Bucket+"/agent.zip")
	h.allow("maker", makeRuntimes, grant("iam:PassRole", roleARN("a*"), ""), grant("s3:GetObject", "arn:aws:s3:::"+runtimetest.Bucket+"/*", ""))
	arn, err := u.create(ctx, "f", roleARN("agent"), nil)
	h.must(err)
	if _, err = u.create(ctx, "g", roleARN("absent"), nil); err != nil {
		t.Errorf("a role that is elsewhere: %v", err)
	}
	h.guests.strict = true
	_, err = h.root().create(ctx, "h", roleARN("absent"), nil)
	h.refused(err, "ValidationException", "Role validation failed")
	_, err = u.control.GetAgentRuntime(ctx, &control.GetAgentRuntimeInput{AgentRuntimeId: aws.String(arn[strings.LastIndexByte(arn, '/')+1:])})
	h.refused(err, "AccessDeniedException", "bedrock-agentcore:GetAgentRuntime on resource: "+arn)
}

// TestResourcePoliciesDecide: of a runtime and its endpoint both must let in, and either
// keeps out, whoever calls.
func TestResourcePoliciesDecide(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	root := h.root()
	arn, err := root.create(ctx, "hello", roleARN("agent"), map[string]string{"team": "a"})
	h.must(err)
	id := arn[strings.LastIndexByte(arn, '/')+1:]
	for {
		out, err := root.control.GetAgentRuntime(ctx, &control.GetAgentRuntimeInput{AgentRuntimeId: &id})
		h.must(err)
		if out.Status == types.AgentRuntimeStatusReady {
			break
		}
	}
	endpoint := arn + "/runtime-endpoint/DEFAULT"
	const action = "bedrock-agentcore:InvokeAgentRuntime"
	ann, bob, tagged := h.user("ann"), h.user("bob", grant(action, arn, "")), h.user("tagged", grant(action, "*", `,"Condition":{"StringEquals":{"aws:ResourceTag/team":"b"}}`))
	statement := func(effect, who, on string) string {
		return policyText(`{"Effect":"` + effect + `","Principal":` + who + `,"Action":"` + action + `","Resource":"` + on + `"}`)
	}
	isAnn, isRoot := `{"AWS":"`+ann.arn+`"}`, `{"AWS":"`+root.arn+`"}`

	h.refused(ann.invoke(ctx, arn, ""), "AccessDeniedException", action+" on resource: "+arn+" because no identity-based policy allows")
	h.refused(bob.invoke(ctx, arn, ""), "AccessDeniedException", action+" on resource: "+endpoint+" because no identity-based policy allows")
	h.refused(tagged.invoke(ctx, arn, ""), "AccessDeniedException", action+" on resource: "+arn)
	h.must(root.invoke(ctx, arn, ""))

	h.must(root.attach(ctx, arn, statement("Allow", isAnn, arn)))
	h.refused(ann.invoke(ctx, arn, ""), "AccessDeniedException", "on resource: "+endpoint)
	h.must(root.attach(ctx, endpoint, statement("Allow", isAnn, arn+"/endpoint/DEFAULT"))) // the other way to write it
	h.must(ann.invoke(ctx, arn, ""))
	h.must(ann.invoke(ctx, arn, "DEFAULT"))

	h.must(root.attach(ctx, endpoint, statement("Deny", isRoot, endpoint)))
	h.refused(root.invoke(ctx, arn, ""), "AccessDeniedException", "on resource: "+endpoint+" with an explicit deny in a resource-based policy")
	h.must(root.attach(ctx, arn, statement("Deny", `"*"`, arn)))
	h.refused(ann.invoke(ctx, arn, ""), "AccessDeniedException", "on resource: "+arn+" with an explicit deny in a resource-based policy")
	for _, partition := range []string{"arn:aws-cn:", "arn::"} { // the same runtime by another name
		h.refused(root.invoke(ctx, strings.Replace(arn, "arn:aws:", partition, 1), ""), "AccessDeniedException", "with an explicit deny in a resource-based policy")
	}
	for _, on := range []string{arn, endpoint} { // whoever locked the root out of calls can let it in again
		_, err := root.control.DeleteResourcePolicy(ctx, &control.DeleteResourcePolicyInput{ResourceArn: &on})
		h.must(err)
	}
	h.must(root.invoke(ctx, arn, ""))
}

// TestDeletedUsersAreNobody: neither a key nor a session outlives its user.
func TestDeletedUsersAreNobody(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	u := h.user("u", grant("*", "*", ""))
	keys, err := h.directory.AccessKeys(ctx, "u")
	h.must(err)
	k, err := h.directory.Key(ctx, keys[0].ID, "")
	h.must(err)
	s, err := h.directory.SessionToken(ctx, k.Principal, time.Hour)
	h.must(err)
	session := h.caller(s.Credentials, u.arn)
	list := func(c caller) error {
		_, err := c.control.ListAgentRuntimes(ctx, &control.ListAgentRuntimesInput{})
		return err
	}
	h.must(list(u))
	h.must(list(session))
	h.must(h.directory.SetAccessKey(ctx, "u", keys[0].ID, false))
	h.refused(list(u), "UnrecognizedClientException")
	h.must(list(session)) // as at AWS: the key is asleep, the user is there
	h.must(h.directory.DeleteAccessKey(ctx, "u", keys[0].ID))
	h.must(h.directory.DeleteInline(ctx, principal.Holder{Kind: principal.UserHolder, Name: "u"}, "p"))
	h.refused(list(session), "AccessDeniedException", "because no identity-based policy allows")
	h.must(h.directory.DeleteUser(ctx, "u"))
	h.refused(list(session), "UnrecognizedClientException")
	h.user("u", grant("*", "*", ""))
	h.refused(list(session), "UnrecognizedClientException")
}

// TestTokensMeetPolicies: whoever a runtime's authorizer lets in is held to the policy
// on the runtime, if there is one, which can ask about the token.
func TestTokensMeetPolicies(t *testing.T) {
	h, i := newHouse(t), runtimetest.NewIssuer(t)
	root, ctx := h.root(), t.Context()
	made, err := root.control.CreateAgentRuntime(ctx, &control.CreateAgentRuntimeInput{
		AgentRuntimeName: aws.String("guarded"), RoleArn: aws.String(runtimetest.Role), NetworkConfiguration: &types.NetworkConfiguration{NetworkMode: types.NetworkModePublic},
		AgentRuntimeArtifact: &types.AgentRuntimeArtifactMemberCodeConfiguration{Value: types.CodeConfiguration{
			Code:    &types.CodeMemberS3{Value: types.S3Location{Bucket: aws.String(runtimetest.Bucket), Prefix: aws.String("agent.zip")}},
			Runtime: types.AgentManagedRuntimeTypePython312, EntryPoint: []string{"main.py"},
		}},
		AuthorizerConfiguration: &types.AuthorizerConfigurationMemberCustomJWTAuthorizer{Value: types.CustomJWTAuthorizerConfiguration{
			DiscoveryUrl: aws.String(i.URL + "/.well-known/openid-configuration"), AllowedClients: []string{"app"},
		}},
	})
	h.must(err)
	for {
		got, err := root.control.GetAgentRuntime(ctx, &control.GetAgentRuntimeInput{AgentRuntimeId: made.AgentRuntimeId})
		h.must(err)
		if got.Status == types.AgentRuntimeStatusReady {
			break
		}
		<-h.Store.Changed("document/runtime")
	}
	call := func(sub string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL+"/runtimes/"+url.QueryEscape(*made.AgentRuntimeArn)+"/invocations", strings.NewReader("{}"))
		h.must(err)
		r.Header.Set("Authorization", "Bearer "+i.Token(map[string]any{"sub": sub}))
		resp, err := http.DefaultClient.Do(r)
		h.must(err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		h.must(err)
		return resp.StatusCode, string(body)
	}
	expect := func(when string, want map[string]int) {
		t.Helper()
		for sub, status := range want {
			if got, body := call(sub); got != status {
				t.Errorf("%s, %s: %d %s, want %d", when, sub, got, body, status)
			}
		}
	}
	attach := func(statements ...string) {
		t.Helper()
		_, err := root.control.PutResourcePolicy(ctx, &control.PutResourcePolicyInput{ResourceArn: made.AgentRuntimeArn, Policy: aws.String(policyText(statements...))})
		h.must(err)
	}
	statement := func(effect, condition string) string {
		return `{"Effect":"` + effect + `","Principal":"*","Action":"bedrock-agentcore:InvokeAgentRuntime","Resource":"` + *made.AgentRuntimeArn + `"` + condition + `}`
	}
	expect("without a policy", map[string]int{"ann": 200, "bob": 200})
	attach(statement("Allow", `,"Condition":{"StringEquals":{"bedrock-agentcore:InboundJwtClaim/sub":"ann","bedrock-agentcore:InboundJwtClaim/iss":"`+i.URL+`"}}`))
	expect("where ann may", map[string]int{"ann": 200, "bob": 403})
	attach(statement("Allow", ""), statement("Deny", `,"Condition":{"ForAnyValue:StringEquals":{"bedrock-agentcore:InboundJwtClaim/aud":"agents"},"StringEquals":{"bedrock-agentcore:InboundJwtClaim/sub":"ann"}}`))
	expect("where ann may not", map[string]int{"ann": 403, "bob": 200})
}

// TestZipsAreReadForTheirCaller: who may make agents has none of a zip that he may not
// read, whatever the execution role may, and learns nothing of it; what was made of one
// runs on without that right.
func TestZipsAreReadForTheirCaller(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	const all, zip = "arn:aws:s3:::*", "arn:aws:s3:::" + runtimetest.Bucket + "/agent.zip"
	_, err := h.directory.CreateRole(ctx, principal.NewRole{Name: "agent", Trust: principal.AgentTrust(runtimetest.Account)})
	h.must(err)
	h.must(h.directory.PutInline(ctx, principal.Holder{Kind: principal.RoleHolder, Name: "agent"}, "p", policyText(grant("s3:*", "*", ""))))
	maker := []string{grant("bedrock-agentcore:*", "*", ""), grant("iam:PassRole", "*", "")}
	u := h.user("maker", maker...)
	code := func(key string, version *string) types.AgentRuntimeArtifact {
		return &types.AgentRuntimeArtifactMemberCodeConfiguration{Value: types.CodeConfiguration{
			Code:    &types.CodeMemberS3{Value: types.S3Location{Bucket: aws.String(runtimetest.Bucket), Prefix: &key, VersionId: version}},
			Runtime: types.AgentManagedRuntimeTypePython312, EntryPoint: []string{"main.py"},
		}}
	}
	network := &types.NetworkConfiguration{NetworkMode: types.NetworkModePublic}
	create := func(name, key string, version *string) error {
		_, err := u.control.CreateAgentRuntime(ctx, &control.CreateAgentRuntimeInput{
			AgentRuntimeName: &name, RoleArn: aws.String(roleARN("agent")), NetworkConfiguration: network, AgentRuntimeArtifact: code(key, version),
		})
		return err
	}
	refusal := "User: " + u.arn + " is not authorized to perform: s3:GetObject on resource: "
	h.refused(create("a", "agent.zip", nil), "AccessDeniedException", refusal+zip+" because no identity-based policy allows the s3:GetObject action")
	h.refused(create("a", "absent.zip", nil), "AccessDeniedException", refusal+"arn:aws:s3:::"+runtimetest.Bucket+"/absent.zip")
	h.refused(create("a", "agent.zip", aws.String("v-1")), "AccessDeniedException", "s3:GetObjectVersion on resource: "+zip)
	h.allow("maker", append(maker, grant("s3:GetObject", all, ""), `{"Effect":"Deny","Action":"s3:GetObject","Resource":"`+zip+`"}`)...)
	h.refused(create("a", "agent.zip", nil), "AccessDeniedException", refusal+zip+" with an explicit deny in an identity-based policy")
	h.allow("maker", append(maker, grant("s3:GetObject", all, ""))...)
	h.refused(create("a", "absent.zip", nil), "ValidationException", "cannot be read")
	h.refused(create("a", "agent.zip", aws.String("v-1")), "AccessDeniedException", "s3:GetObjectVersion")

	// What AgentCore's managed policy gives, and a right for this way alone.
	for name, condition := range map[string]string{
		"a": `,"Condition":{"StringEquals":{"s3:ResourceAccount":"${aws:PrincipalAccount}"}}`,
		"b": `,"Condition":{"StringEquals":{"aws:CalledViaLast":"bedrock-agentcore.amazonaws.com"},"ForAnyValue:StringEquals":{"aws:CalledVia":"bedrock-agentcore.amazonaws.com"},"Bool":{"aws:ViaAWSService":"true"}}`,
	} {
		h.allow("maker", append(maker, grant("s3:GetObject", all, condition))...)
		h.must(create(name, "agent.zip", nil))
	}
	list, err := u.control.ListAgentRuntimes(ctx, &control.ListAgentRuntimesInput{})
	h.must(err)
	made := list.AgentRuntimes[0]
	for {
		out, err := u.control.GetAgentRuntime(ctx, &control.GetAgentRuntimeInput{AgentRuntimeId: made.AgentRuntimeId})
		h.must(err)
		if out.Status == types.AgentRuntimeStatusReady {
			break
		}
		<-h.Store.Changed("document/runtime")
	}
	h.allow("maker", maker...)
	h.must(u.invoke(ctx, *made.AgentRuntimeArn, ""))
	_, err = u.control.UpdateAgentRuntime(ctx, &control.UpdateAgentRuntimeInput{
		AgentRuntimeId: made.AgentRuntimeId, RoleArn: aws.String(roleARN("agent")), NetworkConfiguration: network, AgentRuntimeArtifact: code("agent.zip", nil),
	})
	h.refused(err, "AccessDeniedException", refusal+zip)
}
