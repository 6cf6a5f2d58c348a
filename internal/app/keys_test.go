package app

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/outcrop/outcrop/internal/api/model/ecr"
	"github.com/outcrop/outcrop/internal/api/model/iam"
	"github.com/outcrop/outcrop/internal/api/model/kms"
	"github.com/outcrop/outcrop/internal/api/model/secretsmanager"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/sigv4"
	ecrfront "github.com/outcrop/outcrop/internal/aws/ecr"
	iamfront "github.com/outcrop/outcrop/internal/aws/iam"
	kmsfront "github.com/outcrop/outcrop/internal/aws/kms"
	secretsfront "github.com/outcrop/outcrop/internal/aws/secretsmanager"
	"github.com/outcrop/outcrop/internal/image/registry"
	"github.com/outcrop/outcrop/internal/key"
	"github.com/outcrop/outcrop/internal/principal"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/secret/secrettest"
	"github.com/outcrop/outcrop/internal/secretstore"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite"
	"github.com/outcrop/outcrop/internal/telemetry"
)

// vault is the keys, secrets and entities of IAM behind real access keys and policies.
type vault struct {
	t         *testing.T
	url       string
	account   string
	directory *principal.Directory
	keys      *key.Keys
	secrets   *secretstore.Secrets
	images    *registry.Storage
	store     store.Store
	root      principal.Credentials
}

const vaultRegion = "us-east-1"

func newVault(t *testing.T) *vault {
	t.Helper()
	dir, v := t.TempDir(), &vault{t: t}
	box := secrettest.Box(t)
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "outcrop.db"), sqlite.Options{})
	v.must(err)
	t.Cleanup(func() { v.must(db.Close()) })
	records, err := telemetry.Open(t.Context(), filepath.Join(dir, "telemetry.db"), telemetry.Options{})
	v.must(err)
	t.Cleanup(func() { v.must(records.Close()) })
	v.directory, _, err = principal.Open(t.Context(), principal.Config{Store: db, Box: box, Rand: rand.Reader, Now: time.Now})
	v.must(err)
	v.root, err = v.directory.Root(t.Context())
	v.must(err)
	log := slog.New(slog.DiscardHandler)
	v.keys, v.secrets = openKeys(Config{Log: log}, foundation{store: db, box: box})
	v.images, err = registry.New(t.Context(), registry.Config{Dir: filepath.Join(dir, "registry"), Store: db})
	v.must(err)
	v.account, v.store = v.directory.Account().ID, db
	authorizer := &auth.Authorizer{Identities: v.directory, Resources: &attached{v.account, map[string]auth.Resources{
		"iam": v.directory, "kms": keyPolicies(db, v.keys), "secretsmanager": secretPolicies(db, v.secrets), "ecr": repositories(db, v.images),
	}}}
	api, err := pipeline.New(pipeline.Config{
		Version: "test", Services: []*schema.Service{&kms.Service, &secretsmanager.Service, &ecr.Service, &iam.Service},
		Handlers: slices.Concat(kms.KeysHandlers(kmsfront.New(v.keys, v.directory)), secretsmanager.SecretsHandlers(secretsfront.New(v.secrets, v.keys, v.directory)),
			ecr.ImagesHandlers(ecrfront.New(v.images, v.directory)), iamfront.New(v.directory, nil).Handlers()),
		Resource: entities{v.directory}.complete,
		Verifier: sigv4.New(sigv4.Config{Keys: v.directory, SpoolDir: dir}), Authorizer: authorizer, Store: db, Audit: records, Log: log, Now: time.Now,
	})
	v.must(err)
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	v.url = server.URL
	return v
}

func (v *vault) must(err error) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
}

// reply is what a call came to: an error's code and text, or members.
type reply struct {
	code, text string
	members    map[string]any
}

func (a reply) member(name string) string { s, _ := a.members[name].(string); return s }

// call makes a signed call of an operation, such as kms.Decrypt.
func (v *vault) call(c principal.Credentials, operation string, in map[string]any) reply {
	v.t.Helper()
	service, name, _ := strings.Cut(operation, ".")
	target := map[string]string{"kms": "TrentService", "secretsmanager": "secretsmanager", "ecr": "AmazonEC2ContainerRegistry_V20150921"}[service]
	if in == nil {
		in = map[string]any{}
	}
	body, err := json.Marshal(in)
	v.must(err)
	r, err := http.NewRequestWithContext(v.t.Context(), http.MethodPost, v.url+"/", bytes.NewReader(body))
	v.must(err)
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", target+"."+name)
	sum := sha256.Sum256(body)
	v.must(v4.NewSigner().SignHTTP(v.t.Context(), aws.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.Secret.Reveal(), SessionToken: c.SessionToken.Reveal()}, r, hex.EncodeToString(sum[:]), service, vaultRegion, time.Now()))
	resp, err := http.DefaultClient.Do(r)
	v.must(err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	v.must(err)
	var out reply
	if len(raw) > 0 {
		v.must(json.Unmarshal(raw, &out.members))
	}
	if resp.StatusCode != http.StatusOK {
		out.code, out.text = out.member("__type"), out.member("message")+out.member("Message")
		out.code = out.code[strings.LastIndexByte(out.code, '#')+1:]
	}
	return out
}

// ok makes a call of the root that has to succeed.
func (v *vault) ok(operation string, in map[string]any) reply {
	v.t.Helper()
	a := v.call(v.root, operation, in)
	if a.code != "" {
		v.t.Fatalf("%s: %s: %s", operation, a.code, a.text)
	}
	return a
}

// wants wants a call to be refused so.
func (v *vault) wants(c principal.Credentials, operation string, in map[string]any, code, text string) {
	v.t.Helper()
	if a := v.call(c, operation, in); a.code != code || !strings.Contains(a.text, text) {
		v.t.Errorf("%s: %s: %s, want %s: %s", operation, a.code, a.text, code, text)
	}
}

// user makes a user with a policy of these statements.
func (v *vault) user(name string, statements ...string) principal.Credentials {
	v.t.Helper()
	_, err := v.directory.CreateUser(v.t.Context(), principal.NewUser{Name: name})
	v.must(err)
	v.allow(name, statements...)
	_, c, err := v.directory.CreateAccessKey(v.t.Context(), name)
	v.must(err)
	return c
}

func (v *vault) allow(name string, statements ...string) {
	v.t.Helper()
	if len(statements) > 0 {
		v.must(v.directory.PutInline(v.t.Context(), principal.Holder{Kind: principal.UserHolder, Name: name}, "p", policyText(statements...)))
	}
}

func (v *vault) arn(name string) string { return "arn:aws:iam::" + v.account + ":user/" + name }

const denied = "AccessDeniedException"

// TestKeyPolicies: what a key's policy does not allow nobody may.
func TestKeyPolicies(t *testing.T) {
	v := newVault(t)
	made := v.ok("kms.CreateKey", nil).members["KeyMetadata"].(map[string]any)
	arn, id := made["Arn"].(string), made["KeyId"].(string)
	v.ok("kms.CreateAlias", map[string]any{"AliasName": "alias/a", "TargetKeyId": id})
	ann, bob := v.user("ann", grant("kms:*", "*", "")), v.user("bob")
	encrypt := map[string]any{"KeyId": "alias/a", "Plaintext": "eA=="}
	blob := v.call(ann, "kms.Encrypt", encrypt).member("CiphertextBlob")
	if blob == "" {
		t.Fatal("the default policy leaves nothing to identity policies")
	}
	v.wants(bob, "kms.Encrypt", encrypt, denied, "not authorized to perform: kms:Encrypt on resource: "+arn+" because no identity-based policy allows")
	v.wants(bob, "kms.Decrypt", map[string]any{"CiphertextBlob": blob}, denied, "kms:Decrypt on resource: "+arn)
	// Who may not sees no difference between what is there and what is not.
	v.wants(bob, "kms.DescribeKey", map[string]any{"KeyId": "alias/none"}, denied, "kms:DescribeKey")
	v.wants(bob, "kms.DescribeKey", map[string]any{"KeyId": "00000000-0000-4000-8000-000000000000"}, denied, "kms:DescribeKey")
	v.wants(ann, "kms.DescribeKey", map[string]any{"KeyId": "alias/none"}, "NotFoundException", "is not found")
	// The key's own policy, that names bob and leaves nothing to the account but its care.
	v.ok("kms.PutKeyPolicy", map[string]any{"KeyId": id, "Policy": `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + v.account + `:root"},"Action":["kms:PutKeyPolicy","kms:CreateGrant"],"Resource":"*"},
		{"Effect":"Allow","Principal":{"AWS":"` + v.arn("bob") + `"},"Action":"kms:Decrypt","Resource":"*",
		 "Condition":{"StringEquals":{"kms:EncryptionContext:tenant":"blue"}}},
		{"Effect":"Allow","Principal":{"AWS":"` + v.arn("bob") + `"},"Action":"kms:Encrypt","Resource":"*"}]}`})
	v.wants(ann, "kms.Encrypt", encrypt, denied, "because no resource-based policy allows the kms:Encrypt action")
	v.wants(v.root, "kms.Encrypt", encrypt, denied, "because no resource-based policy allows")
	about := map[string]any{"KeyId": id, "Plaintext": "eA==", "EncryptionContext": map[string]string{"tenant": "blue"}}
	blue := v.call(bob, "kms.Encrypt", about).member("CiphertextBlob")
	if got := v.call(bob, "kms.Decrypt", map[string]any{"CiphertextBlob": blue, "EncryptionContext": map[string]string{"tenant": "blue"}}); got.member("Plaintext") != "eA==" {
		t.Errorf("bob decrypts: %+v", got)
	}
	v.wants(bob, "kms.Decrypt", map[string]any{"CiphertextBlob": blob}, denied, "kms:Decrypt")
	// An alias of one's own leads to no key that one may not use.
	v.wants(bob, "kms.CreateAlias", map[string]any{"AliasName": "alias/mine", "TargetKeyId": id}, denied, "kms:CreateAlias")
	v.wants(ann, "kms.CreateAlias", map[string]any{"AliasName": "alias/mine", "TargetKeyId": id}, denied, "kms:CreateAlias on resource: "+arn)
	v.wants(v.root, "kms.PutKeyPolicy", map[string]any{"KeyId": id, "Policy": "{}"}, "MalformedPolicyDocumentException", "Statement")
}

// TestRequestTags: conditions see the tags of KMS, whose members have names of their own.
func TestRequestTags(t *testing.T) {
	v := newVault(t)
	const blue = `,"Condition":{"StringEquals":{"aws:RequestTag/team":"blue"},"ForAllValues:StringEquals":{"aws:TagKeys":["team"]}}`
	ann := v.user("ann", grant("kms:*", "*", blue))
	tags := func(list ...string) map[string]any {
		var out []map[string]string
		for i := 0; i < len(list); i += 2 {
			out = append(out, map[string]string{"TagKey": list[i], "TagValue": list[i+1]})
		}
		return map[string]any{"Tags": out}
	}
	if a := v.call(ann, "kms.CreateKey", tags("team", "blue")); a.code != "" {
		t.Errorf("%+v", a)
	}
	for _, in := range []map[string]any{tags("team", "red"), tags("team", "blue", "other", "x"), {}} {
		v.wants(ann, "kms.CreateKey", in, denied, "kms:CreateKey")
	}
}

// TestForeignKeys: keys and ciphertexts of another account.
func TestForeignKeys(t *testing.T) {
	v := newVault(t)
	theirs := store.Scope{Account: "999988887777", Region: vaultRegion}
	other, err := v.keys.Create(t.Context(), theirs, key.Settings{Spec: key.Symmetric, Usage: key.EncryptDecrypt, Policy: key.DefaultPolicy(theirs.Account)})
	v.must(err)
	v.must(v.keys.CreateAlias(t.Context(), other.Ref, "alias/theirs"))
	sealed, _, err := v.keys.Encrypt(t.Context(), other.Ref, "", nil, secret.NewString("x").Bytes())
	v.must(err)
	blob := base64.StdEncoding.EncodeToString(sealed)
	v.wants(v.root, "kms.Decrypt", map[string]any{"CiphertextBlob": blob}, denied, other.ARN())
	v.wants(v.root, "kms.Encrypt", map[string]any{"KeyId": "arn:aws:kms:us-east-1:999988887777:alias/theirs", "Plaintext": "eA=="}, denied, other.ARN())
	v.wants(v.root, "kms.Encrypt", map[string]any{"KeyId": other.ID, "Plaintext": "eA=="}, "NotFoundException", "does not exist")
	v.wants(v.root, "kms.CreateAlias", map[string]any{"AliasName": "alias/mine", "TargetKeyId": other.ARN()}, "NotFoundException", "does not exist")
	v.wants(v.root, "kms.ScheduleKeyDeletion", map[string]any{"KeyId": other.ARN()}, "NotFoundException", "does not exist")
	v.ok("kms.CreateKey", nil)
	own := v.ok("kms.CreateKey", nil).members["KeyMetadata"].(map[string]any)["KeyId"]
	v.ok("kms.CreateAlias", map[string]any{"AliasName": "alias/mine", "TargetKeyId": own})
	v.wants(v.root, "kms.UpdateAlias", map[string]any{"AliasName": "alias/mine", "TargetKeyId": other.ARN()}, "NotFoundException", "does not exist")
	v.wants(v.root, "kms.Decrypt", map[string]any{"CiphertextBlob": blob, "KeyId": own}, "IncorrectKeyException", "does not identify")
}

// TestSecretPolicies: identity policies know a secret by its whole ARN, and its own
// policy lets in and keeps out.
func TestSecretPolicies(t *testing.T) {
	v := newVault(t)
	arn := v.ok("secretsmanager.CreateSecret", map[string]any{"Name": "app/db", "SecretString": "x", "ClientRequestToken": strings.Repeat("0", 32)}).member("ARN")
	ann, bob := v.user("ann", grant("secretsmanager:GetSecretValue", "arn:aws:secretsmanager:*:*:secret:app/*", "")), v.user("bob")
	for _, id := range []string{"app/db", arn, arn[:len(arn)-7]} {
		get := map[string]any{"SecretId": id}
		if a := v.call(ann, "secretsmanager.GetSecretValue", get); a.member("SecretString") != "x" {
			t.Errorf("%s: %+v", id, a)
		}
		v.wants(bob, "secretsmanager.GetSecretValue", get, denied, "not authorized to perform: secretsmanager:GetSecretValue on resource: "+arn+" because no identity-based policy")
	}
	v.wants(bob, "secretsmanager.GetSecretValue", map[string]any{"SecretId": "none"}, denied, "secret:none")
	policy := func(effect, who string) {
		v.ok("secretsmanager.PutResourcePolicy", map[string]any{"SecretId": arn, "ResourcePolicy": `{"Version":"2012-10-17","Statement":{"Effect":"` + effect +
			`","Principal":{"AWS":"` + v.arn(who) + `"},"Action":"secretsmanager:GetSecretValue","Resource":"*"}}`})
	}
	policy("Allow", "bob")
	if a := v.call(bob, "secretsmanager.GetSecretValue", map[string]any{"SecretId": arn}); a.member("SecretString") != "x" {
		t.Errorf("its own policy lets nobody in: %+v", a)
	}
	policy("Deny", "ann")
	v.wants(ann, "secretsmanager.GetSecretValue", map[string]any{"SecretId": "app/db"}, denied, "explicit deny in a resource-based policy")
	v.wants(ann, "secretsmanager.BatchGetSecretValue", map[string]any{"SecretIdList": []string{arn}}, denied, "BatchGetSecretValue")
	v.allow("ann", grant("secretsmanager:BatchGetSecretValue", "*", ""))
	batch := v.call(ann, "secretsmanager.BatchGetSecretValue", map[string]any{"SecretIdList": []string{arn}})
	if raw, err := json.Marshal(batch.members); err != nil || strings.Contains(string(raw), `"SecretString"`) || !strings.Contains(string(raw), "explicit deny") {
		t.Errorf("a batch goes round the policy: %s", raw)
	}
	// Tags decide, too.
	v.allow("bob", grant("secretsmanager:DeleteSecret", "*", `,"Condition":{"StringEquals":{"aws:ResourceTag/team":"b"}}`))
	v.wants(bob, "secretsmanager.DeleteSecret", map[string]any{"SecretId": arn}, denied, "DeleteSecret")
	v.ok("secretsmanager.TagResource", map[string]any{"SecretId": arn, "Tags": []map[string]string{{"Key": "team", "Value": "b"}}})
	if a := v.call(bob, "secretsmanager.DeleteSecret", map[string]any{"SecretId": arn}); a.code != "" {
		t.Errorf("by its tag: %+v", a)
	}
}

// TestSecretID: a condition on how a secret is named holds for one of a batch as well.
func TestSecretID(t *testing.T) {
	v := newVault(t)
	arn := v.ok("secretsmanager.CreateSecret", map[string]any{"Name": "app/db", "SecretString": "x", "ClientRequestToken": strings.Repeat("0", 32)}).member("ARN")
	ann := v.user("ann", grant("secretsmanager:*", "*", ""),
		`{"Effect":"Deny","Action":"secretsmanager:GetSecretValue","Resource":"*","Condition":{"StringEquals":{"secretsmanager:SecretId":"app/db"}}}`)
	v.wants(ann, "secretsmanager.GetSecretValue", map[string]any{"SecretId": "app/db"}, denied, "explicit deny")
	batch := func(in map[string]any) string {
		raw, err := json.Marshal(v.call(ann, "secretsmanager.BatchGetSecretValue", in).members)
		v.must(err)
		return string(raw)
	}
	if got := batch(map[string]any{"SecretIdList": []string{"app/db"}}); strings.Contains(got, `"SecretString"`) || !strings.Contains(got, "explicit deny") {
		t.Errorf("a batch goes round the condition: %s", got)
	}
	v.allow("ann", grant("secretsmanager:*", "*", ""),
		`{"Effect":"Deny","Action":"secretsmanager:GetSecretValue","Resource":"*","Condition":{"StringNotEquals":{"secretsmanager:SecretId":"`+arn+`"}}}`)
	filters := []map[string]any{{"Key": "name", "Values": []string{"app/"}}}
	if got := batch(map[string]any{"Filters": filters}); !strings.Contains(got, `"SecretString":"x"`) {
		t.Errorf("those that filters find are named by their ARN: %s", got)
	}
}

// TestSecretsKey: a secret under a key of the account's own needs the key as well.
func TestSecretsKey(t *testing.T) {
	v := newVault(t)
	arn := v.ok("kms.CreateKey", nil).members["KeyMetadata"].(map[string]any)["Arn"].(string)
	v.ok("secretsmanager.CreateSecret", map[string]any{"Name": "a", "SecretString": "x", "KmsKeyId": arn})
	ann := v.user("ann", grant("secretsmanager:*", "*", ""))
	v.wants(ann, "secretsmanager.GetSecretValue", map[string]any{"SecretId": "a"}, denied, "Access to KMS is not allowed")
	v.wants(ann, "secretsmanager.PutSecretValue", map[string]any{"SecretId": "a", "SecretString": "y"}, denied, "Access to KMS is not allowed")
	v.wants(ann, "secretsmanager.CreateSecret", map[string]any{"Name": "b", "SecretString": "y", "KmsKeyId": arn}, denied, "Access to KMS is not allowed")
	v.allow("ann", grant("secretsmanager:*", "*", ""), grant("kms:Decrypt", arn, `,"Condition":{"StringEquals":{"kms:ViaService":"secretsmanager.us-east-1.amazonaws.com"}}`))
	if a := v.call(ann, "secretsmanager.GetSecretValue", map[string]any{"SecretId": "a"}); a.member("SecretString") != "x" {
		t.Errorf("with the key: %+v", a)
	}
	blob := v.ok("kms.Encrypt", map[string]any{"KeyId": arn, "Plaintext": "eA=="}).member("CiphertextBlob")
	v.wants(ann, "kms.Decrypt", map[string]any{"CiphertextBlob": blob}, denied, "kms:Decrypt")
}

// TestManagedSecret: root itself changes nothing of what a service keeps.
func TestManagedSecret(t *testing.T) {
	v := newVault(t)
	scope := store.Scope{Account: v.account, Region: vaultRegion}
	name := "bedrock-agentcore-identity!default/apikey/search"
	d, err := v.secrets.NewManaged(context.Background(), scope, secretstore.IdentityService, name, secret.NewString(`{"api_key_value":"k"}`))
	v.must(err)
	v.must(v.store.Update(t.Context(), func(tx store.Tx) error { _, err := d.Write(tx); return err }))
	told := v.ok("secretsmanager.DescribeSecret", map[string]any{"SecretId": name})
	if told.member("OwningService") != "bedrock-agentcore-identity" || !strings.Contains(told.member("ARN"), ":secret:bedrock-agentcore-identity!default/apikey/search-") {
		t.Errorf("%+v", told)
	}
	if a := v.ok("secretsmanager.GetSecretValue", map[string]any{"SecretId": name}); a.member("SecretString") != `{"api_key_value":"k"}` {
		t.Errorf("%+v", a)
	}
	for operation, in := range map[string]map[string]any{
		"PutSecretValue": {"SecretString": "x"}, "UpdateSecret": {"Description": "x"}, "DeleteSecret": {"ForceDeleteWithoutRecovery": true}, "RestoreSecret": {},
		"TagResource":       {"Tags": []map[string]string{{"Key": "a", "Value": "b"}}},
		"PutResourcePolicy": {"ResourcePolicy": `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}}`},
	} {
		in["SecretId"] = name
		v.wants(v.root, "secretsmanager."+operation, in, "InvalidRequestException", "managed by bedrock-agentcore-identity")
	}
}

// TestKeysByAlias: operations that use a key take its aliases, those that manage one its id
// and its ARN alone (KMS's API reference).
func TestKeysByAlias(t *testing.T) {
	v := newVault(t)
	made := v.ok("kms.CreateKey", nil).members["KeyMetadata"].(map[string]any)
	v.ok("kms.CreateAlias", map[string]any{"AliasName": "alias/a", "TargetKeyId": made["KeyId"]})
	in := map[string]any{
		"CiphertextBlob": "eA==", "Plaintext": "eA==", "Message": "eA==", "Mac": "eA==", "Signature": "eA==", "NumberOfBytes": 32, "SigningAlgorithm": "ECDSA_SHA_256",
		"MacAlgorithm": "HMAC_SHA_256", "Description": "x", "TagKeys": []string{"a"}, "Tags": []map[string]string{{"TagKey": "a", "TagValue": "b"}}, "Policy": key.DefaultPolicy(v.account),
	}
	uses := strings.Fields("DescribeKey GetPublicKey Encrypt Decrypt GenerateDataKey GenerateDataKeyWithoutPlaintext GenerateDataKeyPair GenerateDataKeyPairWithoutPlaintext " +
		"Sign Verify GenerateMac VerifyMac")
	managing := 0
	for i := range kms.Service.Operations {
		op := &kms.Service.Operations[i]
		if op.Refused != "" {
			continue
		}
		members, named := map[string]any{}, false
		for _, m := range kms.Service.Shape(op.Input).Members {
			if value, ok := in[m.Name]; ok {
				members[m.Name] = value
			}
			named = named || m.Name == "KeyId"
		}
		if !named {
			continue
		}
		for _, alias := range []string{"alias/a", "alias/none", strings.Replace(made["Arn"].(string), "key/"+made["KeyId"].(string), "alias/a", 1)} {
			members["KeyId"] = alias
			if !slices.Contains(uses, op.Name) {
				managing++
				v.wants(v.root, "kms."+op.Name, members, "InvalidArnException", "Key Aliases are not supported for this operation.")
			} else if a := v.call(v.root, "kms."+op.Name, members); a.code == "InvalidArnException" || alias == "alias/none" && a.code != "NotFoundException" && op.Name != "Decrypt" {
				t.Errorf("%s %s: %s %s", op.Name, alias, a.code, a.text)
			}
		}
	}
	if managing != 3*17 {
		t.Errorf("%d calls to manage a key by an alias", managing)
	}
}

// TestEveryKeyOperationAsks: whose policies allow nothing does nothing, whatever the
// operation that leaves the asking to its handler.
func TestEveryKeyOperationAsks(t *testing.T) {
	v := newVault(t)
	made := v.ok("kms.CreateKey", nil).members["KeyMetadata"].(map[string]any)["KeyId"].(string)
	blob := v.ok("kms.Encrypt", map[string]any{"KeyId": made, "Plaintext": "eA=="}).member("CiphertextBlob")
	v.ok("kms.CreateAlias", map[string]any{"AliasName": "alias/a", "TargetKeyId": made})
	v.ok("secretsmanager.CreateSecret", map[string]any{"Name": "a", "SecretString": "x"})
	nobody := v.user("nobody")
	in := map[string]any{
		"KeyId": made, "DestinationKeyId": made, "CiphertextBlob": blob, "Plaintext": "eA==", "Message": "eA==", "Mac": "eA==", "Signature": "eA==", "NumberOfBytes": 32,
		"SigningAlgorithm": "ECDSA_SHA_256", "MacAlgorithm": "HMAC_SHA_256", "AliasName": "alias/a", "TargetKeyId": made, "Description": "x",
		"TagKeys": []string{"a"}, "Policy": key.DefaultPolicy(v.account),
		"SecretId": "a", "SecretString": "y", "Name": "b", "VersionStage": "AWSCURRENT", "SecretIdList": []string{"a"},
		"ResourcePolicy": `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + v.account + `"},"Action":"*","Resource":"*"}}`,
	}
	asked := 0
	for name, svc := range map[string]*schema.Service{"kms": &kms.Service, "secretsmanager": &secretsmanager.Service} {
		for i := range svc.Operations {
			op := &svc.Operations[i]
			if op.Refused != "" {
				continue
			}
			members := map[string]any{}
			for _, m := range svc.Shape(op.Input).Members {
				if value, ok := in[m.Name]; ok {
					members[m.Name] = value
				}
			}
			if op.Name == "TagResource" {
				members["Tags"] = []map[string]string{map[string]map[string]string{
					"kms": {"TagKey": "a", "TagValue": "b"}, "secretsmanager": {"Key": "a", "Value": "b"},
				}[name]}
			}
			asked++
			v.wants(nobody, name+"."+op.Name, members, denied, name+":")
		}
	}
	if asked != 52 {
		t.Errorf("%d operations were asked", asked)
	}
}
