package identity

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/conformance/server"
	"github.com/outcrop/outcrop/conformance/terraform"
)

// TestIAMTerraform applies users, groups, roles and policies, finds nothing to do,
// changes what may be changed, and destroys it all.
func TestIAMTerraform(t *testing.T) {
	t.Parallel()
	s := server.Start(t, server.Options{})
	tf := terraform.New(t, s, "testdata/iam")
	for _, team := range []string{"blue", "green"} {
		tf.Apply("team=" + team)
	}
	var seen struct {
		Account, Role, Managed, Forge string
		Passes                        bool
		Users, Roles                  []string
	}
	if err := json.Unmarshal([]byte(tf.Run("output", "-no-color", "-json", "seen")), &seen); err != nil {
		t.Fatal(err)
	}
	if seen.Account != s.Account || seen.Role != "arn:aws:iam::"+s.Account+":role/teams/agent" || seen.Managed != "AmazonS3ReadOnlyAccess" ||
		!seen.Passes || strings.Join(seen.Users, " ") != "ann" || strings.Join(seen.Roles, " ") != "agent" ||
		seen.Forge != "arn:aws:iam::"+s.Account+":oidc-provider/forge.example.com/realms/ci" {
		t.Errorf("Terraform sees %+v", seen)
	}
	tf.Destroy("team=green")
	left := s.Run(t, nil, pinned.Program(t, "aws"), "iam", "get-account-authorization-details", "--filter", "User", "Role", "Group", "LocalManagedPolicy",
		"--query", "[UserDetailList[].UserName,GroupDetailList[].GroupName,RoleDetailList[].RoleName,Policies[].PolicyName][]", "--output", "text")
	if strings.TrimSpace(left) != "outcrop-default" {
		t.Errorf("what is left: %s", left)
	}
}

// TestIAMScript administers users and roles as scripts do with boto3, and makes the
// roles that the starter toolkit makes with its own calls.
func TestIAMScript(t *testing.T) {
	t.Parallel()
	s := server.Start(t, server.Options{})
	t.Log(s.Run(t, []string{"ACCOUNT=" + s.Account}, pinned.Program(t, "python"), "testdata/iam.py"))
}

// TestIAMCommands administers with the AWS CLI.
func TestIAMCommands(t *testing.T) {
	t.Parallel()
	s := server.Start(t, server.Options{})
	t.Log(s.Run(t, []string{"ACCOUNT=" + s.Account}, "bash", "testdata/iam.sh"))
}

// TestIdentityCommands makes a user and a role with outcrop's own commands, asks what
// they may do, and deploys an agent for which the role of agents is made again.
func TestIdentityCommands(t *testing.T) {
	t.Parallel()
	s := server.Start(t, server.Options{})
	cli := func(args ...string) string {
		t.Helper()
		out, errs, err := s.CLI(t.Context(), args...)
		if err != nil {
			t.Fatalf("outcrop %s: %v\n%s\n%s", strings.Join(args, " "), err, out, errs)
		}
		return out + errs
	}
	var made struct{ ARN, AccessKeyID, SecretAccessKey string }
	if err := json.Unmarshal([]byte(cli("user", "create", "ann", "--attach", "ReadOnlyAccess", "--key", "--json")), &made); err != nil {
		t.Fatal(err)
	}
	env := []string{"AWS_ACCESS_KEY_ID=" + made.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + made.SecretAccessKey}
	if who := s.Run(t, env, pinned.Program(t, "aws"), "sts", "get-caller-identity", "--query", "Arn", "--output", "text"); strings.TrimSpace(who) != made.ARN {
		t.Errorf("the key is %s's, want %s", who, made.ARN)
	}
	for action, want := range map[string]string{"s3:ListAllMyBuckets": "allowed: ", "iam:CreateUser": "not allowed: "} {
		if answer := cli("policy", "simulate", "user/ann", action); !strings.HasPrefix(answer, want) {
			t.Errorf("simulate %s prints %s", action, answer)
		}
	}
	if _, errs, err := s.CLI(t.Context(), "user", "create", "bob", "--attach", "NoSuchPolicy"); err == nil || !strings.Contains(errs, "does not exist or is not attachable") {
		t.Errorf("a policy that is not there: %v, %s", err, errs)
	}
	cli("role", "create", "reader", "--attach", "AmazonS3ReadOnlyAccess", "--trust", "account")
	if all := cli("user", "ls") + cli("role", "ls"); strings.Contains(all, "bob") || !strings.Contains(all, "role/reader") {
		t.Errorf("there are\n%s", all)
	}
	cli("user", "delete", "ann", "--force")
	cli("role", "delete", "reader", "--force")

	s.Python()
	cli("role", "delete", "outcrop-default", "--force")
	if out := cli("deploy", "../clients/testdata/hello"); !strings.Contains(out, "made the role outcrop-default") {
		t.Errorf("deploy prints\n%s", out)
	}
	if out := cli("deploy", "../clients/testdata/hello", "--name", "again"); strings.Contains(out, "made the role") {
		t.Errorf("the role is there already: deploy prints\n%s", out)
	}
}
