package crash

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	data "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
)

// vaultWorkload is who asks for API keys.
const vaultWorkload = "crash-workload"

// managedPrefix begins the names of the secrets that hold API keys.
const managedPrefix = "bedrock-agentcore-identity!"

// surveyVault reads what the workers of vault_test.go made, by its use: what was sealed
// is opened, users sign in, an agent asks for its API key.
func (r *rig) surveyVault(ctx context.Context, s *survey) error {
	if err := r.surveyKeys(ctx, s); err != nil {
		return err
	}
	managed, err := r.surveySecrets(ctx, s)
	if err != nil {
		return err
	}
	providers, err := r.surveyProviders(ctx, s)
	if err != nil {
		return err
	}
	if managed != providers {
		return fmt.Errorf("%d secrets hold the API keys of %d providers", managed, providers)
	}
	return r.surveyPools(ctx, s)
}

func (r *rig) surveyKeys(ctx context.Context, s *survey) error {
	var list struct{ Keys []struct{ KeyID string } }
	if err := r.JSON11(ctx, "kms.ListKeys", map[string]any{"Limit": 1000}, &list); err != nil {
		return err
	}
	for _, k := range list.Keys {
		var got struct {
			KeyMetadata struct{ Description, KeyState string }
		}
		if err := r.JSON11(ctx, "kms.DescribeKey", map[string]any{"KeyId": k.KeyID}, &got); err != nil {
			return err
		}
		name := got.KeyMetadata.Description
		if !strings.HasPrefix(name, vaultPrefix) {
			continue
		}
		s.found["key/"+name] = got.KeyMetadata.KeyState
		var aliases struct{ Aliases []struct{ AliasName string } }
		if err := r.JSON11(ctx, "kms.ListAliases", map[string]any{"KeyId": k.KeyID}, &aliases); err != nil {
			return err
		}
		for _, a := range aliases.Aliases {
			s.found[a.AliasName] = name
		}
	}
	var failed error
	r.ciphertexts.Range(func(name, blob any) bool {
		var opened struct{ Plaintext []byte }
		err := r.JSON11(ctx, "kms.Decrypt", map[string]any{"CiphertextBlob": blob}, &opened)
		switch {
		case err == nil:
			s.found["sealed/"+name.(string)] = string(opened.Plaintext)
		case !refused(err):
			failed = err
		}
		return failed == nil
	})
	return failed
}

// surveySecrets counts those that hold API keys besides.
func (r *rig) surveySecrets(ctx context.Context, s *survey) (managed int, err error) {
	for next := ""; ; {
		in := map[string]any{"MaxResults": 100}
		if next != "" {
			in["NextToken"] = next
		}
		var list struct {
			SecretList []struct{ Name string }
			NextToken  string
		}
		if err := r.JSON11(ctx, "secretsmanager.ListSecrets", in, &list); err != nil {
			return 0, err
		}
		for _, found := range list.SecretList {
			switch {
			case strings.HasPrefix(found.Name, managedPrefix):
				managed++
			case strings.HasPrefix(found.Name, vaultPrefix):
				values := map[string]string{}
				for _, stage := range []string{"AWSCURRENT", "AWSPREVIOUS"} {
					var got struct{ SecretString string }
					err := r.JSON11(ctx, "secretsmanager.GetSecretValue", map[string]any{"SecretId": found.Name, "VersionStage": stage}, &got)
					if err != nil && !refused(err) {
						return 0, err
					}
					values[stage] = got.SecretString
				}
				s.found["secret/"+found.Name] = values["AWSCURRENT"] + " after " + values["AWSPREVIOUS"]
			}
		}
		if next = list.NextToken; next == "" {
			return managed, nil
		}
	}
}

func (r *rig) surveyProviders(ctx context.Context, s *survey) (n int, err error) {
	pages := control.NewListApiKeyCredentialProvidersPaginator(r.runtimes, &control.ListApiKeyCredentialProvidersInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return 0, err
		}
		for _, p := range page.CredentialProviders {
			token, err := r.agents.GetWorkloadAccessToken(ctx, &data.GetWorkloadAccessTokenInput{WorkloadName: aws.String(vaultWorkload)})
			if err != nil {
				return 0, err
			}
			got, err := r.agents.GetResourceApiKey(ctx, &data.GetResourceApiKeyInput{
				ResourceCredentialProviderName: p.Name, WorkloadIdentityToken: token.WorkloadAccessToken,
			})
			if err != nil {
				return 0, err
			}
			s.found["provider/"+*p.Name] = *got.ApiKey
			n++
		}
	}
	return n, nil
}

func (r *rig) surveyPools(ctx context.Context, s *survey) error {
	for next := ""; ; {
		in := map[string]any{"MaxResults": 60}
		if next != "" {
			in["NextToken"] = next
		}
		var list struct {
			UserPools []struct{ ID, Name string }
			NextToken string
		}
		if err := r.JSON11(ctx, "cognito-idp.ListUserPools", in, &list); err != nil {
			return err
		}
		for _, pool := range list.UserPools {
			if err := r.surveyPool(ctx, s, pool.Name, pool.ID); err != nil {
				return err
			}
		}
		if next = list.NextToken; next == "" {
			return nil
		}
	}
}

// surveyPool reads a pool, of which all fits into a page.
func (r *rig) surveyPool(ctx context.Context, s *survey, name, id string) error {
	s.found["pool/"+name] = "there"
	var clients struct {
		UserPoolClients []struct{ ClientID, ClientName string }
	}
	var users struct{ Users []struct{ Username string } }
	var groups struct{ Groups []struct{ GroupName string } }
	for operation, out := range map[string]any{"ListUserPoolClients": &clients, "ListUsers": &users, "ListGroups": &groups} {
		if err := r.JSON11(ctx, "cognito-idp."+operation, map[string]any{"UserPoolId": id}, out); err != nil {
			return err
		}
	}
	app := ""
	for _, c := range clients.UserPoolClients {
		s.found["client/"+name], app = c.ClientName, c.ClientID
	}
	for _, g := range groups.Groups {
		s.found["group/"+name+"/"+g.GroupName] = "there"
		var members struct{ Users []struct{ Username string } }
		if err := r.JSON11(ctx, "cognito-idp.ListUsersInGroup", map[string]any{"UserPoolId": id, "GroupName": g.GroupName}, &members); err != nil {
			return err
		}
		for _, u := range members.Users {
			s.found["member/"+name+"/"+u.Username] = "there"
		}
	}
	for _, u := range users.Users {
		s.found["user/"+name+"/"+u.Username] = "there"
		for _, password := range passwords() {
			err := r.JSON11(ctx, "cognito-idp.AdminInitiateAuth", map[string]any{
				"UserPoolId": id, "ClientId": app, "AuthFlow": "ADMIN_USER_PASSWORD_AUTH", "AuthParameters": map[string]string{"USERNAME": u.Username, "PASSWORD": password},
			}, nil)
			switch {
			case err == nil:
				s.found["password/"+name+"/"+u.Username] = password
			case !refused(err):
				return err
			}
		}
	}
	return nil
}
