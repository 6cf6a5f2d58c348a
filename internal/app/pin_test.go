package app

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/image/registry"
	"github.com/outcrop/outcrop/internal/key"
	"github.com/outcrop/outcrop/internal/principal"
	"github.com/outcrop/outcrop/internal/secretstore"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite"
)

// trusting is a statement that lets somebody do something.
func trusting(who, action, resource string) string {
	if resource != "" {
		resource = `,"Resource":"` + resource + `"`
	}
	return `{"Effect":"Allow","Principal":{"AWS":"` + who + `"},"Action":"` + action + `"` + resource + `}`
}

// made makes a role that the account may assume, and a session of it.
func made(t *testing.T, d *principal.Directory, name string) (role principal.Role, session principal.Credentials) {
	t.Helper()
	account := d.Account().ID
	role, err := d.CreateRole(t.Context(), principal.NewRole{Name: name, Trust: policyText(trusting(account, "sts:AssumeRole", ""))})
	if err != nil {
		t.Fatal(err)
	}
	s, err := d.AssumeRole(t.Context(), auth.Principal{Kind: auth.Root, Account: account, ARN: auth.RootARN(account)}, principal.Assumption{Role: role.ARN, Name: "s1"})
	if err != nil {
		t.Fatal(err)
	}
	return role, s.Credentials
}

// again deletes a role and makes another by its name.
func again(t *testing.T, d *principal.Directory, name string) (principal.Role, principal.Credentials) {
	t.Helper()
	if err := d.DeleteRole(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	return made(t, d, name)
}

// TestRolesMadeAgain: who deletes a role and makes another by its name does not have
// what policies gave the first, whoever keeps them; and they tell who is gone.
func TestRolesMadeAgain(t *testing.T) {
	v := newVault(t)
	role, session := made(t, v.directory, "x")
	target, err := v.directory.CreateRole(t.Context(), principal.NewRole{Name: "target", Trust: policyText(trusting(role.ARN, "sts:AssumeRole", ""))})
	v.must(err)
	key := v.ok("kms.CreateKey", map[string]any{"Policy": policyText(trusting(v.account, "kms:*", "*"), trusting(role.ARN, "kms:Encrypt", "*"))}).members["KeyMetadata"].(map[string]any)["KeyId"]
	v.ok("secretsmanager.CreateSecret", map[string]any{"Name": "s", "SecretString": "x"})
	v.ok("secretsmanager.PutResourcePolicy", map[string]any{"SecretId": "s", "ResourcePolicy": policyText(trusting(role.ARN, "secretsmanager:GetSecretValue", "*"))})
	v.ok("ecr.CreateRepository", map[string]any{"repositoryName": "repo"})
	v.ok("ecr.SetRepositoryPolicy", map[string]any{"repositoryName": "repo", "policyText": policyText(trusting(role.ARN, "ecr:ListImages", ""))})
	// By its ARN alone, which is AWS's way to let in whoever has the name.
	byName := v.ok("kms.CreateKey", map[string]any{"Policy": policyText(trusting(v.account, "kms:*", "*"), strings.Replace(
		trusting("*", "kms:Encrypt", "*"), `"Resource"`, `"Condition":{"ArnEquals":{"aws:PrincipalArn":"`+role.ARN+`"}},"Resource"`, 1))}).members["KeyMetadata"].(map[string]any)["KeyId"]

	authorizer := &auth.Authorizer{Identities: v.directory, Resources: v.directory}
	calls := map[string]func(principal.Credentials) string{
		"key": func(c principal.Credentials) string {
			return v.call(c, "kms.Encrypt", map[string]any{"KeyId": key, "Plaintext": "eA=="}).code
		},
		"secret": func(c principal.Credentials) string {
			return v.call(c, "secretsmanager.GetSecretValue", map[string]any{"SecretId": "s"}).code
		},
		"repository": func(c principal.Credentials) string {
			return v.call(c, "ecr.ListImages", map[string]any{"repositoryName": "repo"}).code
		},
		"role": func(c principal.Credentials) string {
			k, err := v.directory.Key(t.Context(), c.AccessKeyID, c.SessionToken.Reveal())
			v.must(err)
			if !authorizer.Decide(t.Context(), k.Principal, auth.Requirement{Action: "sts:AssumeRole", Resource: target.ARN}).Allowed() {
				return denied
			}
			return ""
		},
	}
	texts := func() map[string]string {
		of, err := v.directory.Role(t.Context(), "target")
		v.must(err)
		return map[string]string{
			"key": v.ok("kms.GetKeyPolicy", map[string]any{"KeyId": key}).member("Policy"), "role": of.Trust,
			"secret":     v.ok("secretsmanager.GetResourcePolicy", map[string]any{"SecretId": "s"}).member("ResourcePolicy"),
			"repository": v.ok("ecr.GetRepositoryPolicy", map[string]any{"repositoryName": "repo"}).member("policyText"),
		}
	}
	for name, call := range calls {
		if code := call(session); code != "" {
			t.Errorf("%s: the role is refused: %s", name, code)
		}
	}
	for name, text := range texts() {
		if !strings.Contains(text, role.ARN) || strings.Contains(text, role.ID) {
			t.Errorf("%s tells of a role that is there as %s", name, text)
		}
	}
	_, session = again(t, v.directory, "x")
	for name, call := range calls {
		if code := call(session); code != denied {
			t.Errorf("%s: the role made again is answered %q", name, code)
		}
	}
	for name, text := range texts() {
		if strings.Contains(text, role.ARN) || !strings.Contains(text, `"`+role.ID+`"`) {
			t.Errorf("%s tells of a role that is gone as %s", name, text)
		}
	}
	if code := v.call(session, "kms.Encrypt", map[string]any{"KeyId": byName, "Plaintext": "eA=="}).code; code != "" {
		t.Errorf("by aws:PrincipalArn the role made again is refused: %s", code)
	}
	// Written again, the policy is for the role that there is.
	v.ok("secretsmanager.PutResourcePolicy", map[string]any{"SecretId": "s", "ResourcePolicy": policyText(trusting(role.ARN, "secretsmanager:GetSecretValue", "*"))})
	if code := calls["secret"](session); code != "" {
		t.Errorf("written again, the policy refuses the role: %s", code)
	}
	// A user keeps what it has under another name, and is told by that.
	v.user("ann")
	v.ok("secretsmanager.PutResourcePolicy", map[string]any{"SecretId": "s", "ResourcePolicy": policyText(trusting(v.arn("ann"), "secretsmanager:GetSecretValue", "*"))})
	v.must(v.directory.UpdateUser(t.Context(), "ann", "bea", ""))
	if text := texts()["secret"]; !strings.Contains(text, v.arn("bea")) {
		t.Errorf("a user with another name is told of as %s", text)
	}
}

// TestNobodyIsTrusted: a policy that names somebody who is not there is refused, with
// each service's code and sentence.
func TestNobodyIsTrusted(t *testing.T) {
	v := newVault(t)
	v.ok("secretsmanager.CreateSecret", map[string]any{"Name": "s", "SecretString": "x"})
	v.ok("ecr.CreateRepository", map[string]any{"repositoryName": "repo"})
	id := v.ok("kms.CreateKey", nil).members["KeyMetadata"].(map[string]any)["KeyId"]
	for _, who := range []string{v.arn("none"), "arn:aws:iam::" + v.account + ":role/none", "arn:aws:sts::" + v.account + ":assumed-role/none/s", "AROAAAAAAAAAAAAAAAAAA"} {
		all := policyText(trusting(v.account, "kms:*", "*"), trusting(who, "kms:*", "*"))
		const kmsText = "Policy contains a statement with one or more invalid principals"
		v.wants(v.root, "kms.CreateKey", map[string]any{"Policy": all}, "MalformedPolicyDocumentException", kmsText)
		v.wants(v.root, "kms.PutKeyPolicy", map[string]any{"KeyId": id, "Policy": all, "BypassPolicyLockoutSafetyCheck": true}, "MalformedPolicyDocumentException", kmsText)
		v.wants(v.root, "secretsmanager.PutResourcePolicy", map[string]any{"SecretId": "s", "ResourcePolicy": policyText(trusting(who, "secretsmanager:*", "*"))},
			"MalformedPolicyDocumentException", "This resource policy contains an unsupported principal")
		v.wants(v.root, "ecr.SetRepositoryPolicy", map[string]any{"repositoryName": "repo", "policyText": policyText(trusting(who, "ecr:*", ""))},
			"InvalidParameterException", "Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid repository policy provided")
		trust := policyText(trusting(who, "sts:AssumeRole", ""))
		_, err := v.directory.CreateRole(t.Context(), principal.NewRole{Name: "t", Trust: trust})
		for _, err := range []error{err, v.directory.SetTrust(t.Context(), principal.AgentRole, trust)} {
			if err == nil || !strings.Contains(err.Error(), `Invalid principal in policy: "AWS":"`+who+`"`) {
				t.Errorf("%s: %v", who, err)
			}
		}
	}
	// Another account's are accepted, as its users are not known here.
	v.ok("secretsmanager.PutResourcePolicy", map[string]any{"SecretId": "s", "ResourcePolicy": policyText(trusting("arn:aws:iam::999988887777:role/theirs", "secretsmanager:*", "*"))})
}

// TestRuntimesOfRolesMadeAgain is TestRolesMadeAgain for resource policies of AgentCore.
func TestRuntimesOfRolesMadeAgain(t *testing.T) {
	h := newHouse(t)
	ctx, root := t.Context(), h.root()
	arn, err := root.create(ctx, "hello", roleARN("agent"), nil)
	h.must(err)
	id := arn[strings.LastIndexByte(arn, '/')+1:]
	const action = "bedrock-agentcore:GetAgentRuntime"
	h.refused(root.attach(ctx, arn, policyText(trusting(roleARN("x"), action, arn))), "ValidationException", "The policy is not valid: invalid principal in policy", roleARN("x"))
	role, session := made(t, h.directory, "x")
	get := func(c principal.Credentials) error {
		_, err := h.caller(c, role.ARN).control.GetAgentRuntime(ctx, &control.GetAgentRuntimeInput{AgentRuntimeId: &id})
		return err
	}
	text := func() string {
		out, err := root.control.GetResourcePolicy(ctx, &control.GetResourcePolicyInput{ResourceArn: &arn})
		h.must(err)
		return *out.Policy
	}
	h.must(root.attach(ctx, arn, policyText(trusting(role.ARN, action, arn))))
	h.must(get(session))
	if got := text(); !strings.Contains(got, role.ARN) {
		t.Error(got)
	}
	_, session = again(t, h.directory, "x")
	h.refused(get(session), "AccessDeniedException", action)
	if got := text(); strings.Contains(got, role.ARN) || !strings.Contains(got, role.ID) {
		t.Error(got)
	}
}

// TestPoliciesOfOlderVersions: what older versions stored is pinned at the start.
func TestPoliciesOfOlderVersions(t *testing.T) {
	v := newVault(t)
	ctx := t.Context()
	role, session := made(t, v.directory, "x")
	none := "arn:aws:iam::" + v.account + ":role/later"
	scope := store.Scope{Account: v.account, Region: vaultRegion}
	k, err := v.keys.Create(ctx, scope, key.Settings{Spec: key.Symmetric, Usage: key.EncryptDecrypt, Policy: policyText(trusting(role.ARN, "kms:Encrypt", "*"), trusting(none, "kms:Encrypt", "*"))})
	v.must(err)
	_, err = v.secrets.Create(ctx, scope, "s", secretstore.Settings{Policy: policyText(trusting(role.ARN, "secretsmanager:*", "*"))}, "", nil)
	v.must(err)
	_, err = v.images.CreateRepository(ctx, registry.Name{Scope: scope, Repository: "repo"}, registry.Settings{Policy: policyText(trusting(role.ARN, "ecr:*", ""))})
	v.must(err)
	var log bytes.Buffer
	p := &parts{}
	p.store = v.store.(*sqlite.Store)
	p.directory, p.keys, p.secrets, p.images = v.directory, v.keys, v.secrets, v.images
	v.must(pinPolicies(ctx, p, slog.New(slog.NewTextHandler(&log, nil))))
	if n := strings.Count(log.String(), "level=WARN"); n != 1 || !strings.Contains(log.String(), "resource="+k.ARN()+" principal="+none) {
		t.Errorf("the log says %s", log.String())
	}
	calls := map[string]map[string]any{
		"kms.Encrypt": {"KeyId": k.ID, "Plaintext": "eA=="}, "secretsmanager.DescribeSecret": {"SecretId": "s"}, "ecr.ListImages": {"repositoryName": "repo"},
	}
	for operation, in := range calls {
		if a := v.call(session, operation, in); a.code != "" {
			t.Errorf("%s: %s: %s", operation, a.code, a.text)
		}
	}
	_, session = again(t, v.directory, "x")
	for operation, in := range calls {
		v.wants(session, operation, in, denied, "")
	}
	_, later := made(t, v.directory, "later")
	v.wants(later, "kms.Encrypt", calls["kms.Encrypt"], denied, "")
	log.Reset()
	v.must(pinPolicies(ctx, p, slog.New(slog.NewTextHandler(&log, nil))))
	if log.Len() > 0 {
		t.Errorf("the second start says %s", log.String())
	}
}
