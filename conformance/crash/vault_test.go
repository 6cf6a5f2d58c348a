package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"

	"github.com/outcrop/outcrop/conformance/server"
)

// What is kept in trust: keys, secrets, users and the API keys of agents.

// vaultPrefix begins the names of all that these workers make, and turns is how often
// they change one thing before they go on to the next.
const (
	vaultPrefix = "crash-"
	turns       = 8
)

func (l *load) vaultName(r *rand.Rand, i int) string {
	return fmt.Sprintf("%s%d-%d-%d", vaultPrefix, i, l.round, r.IntN(1<<30))
}

// call is change of what one operation of a JSON service does.
func (l *load) call(ctx context.Context, name, state, operation string, in map[string]any, out any) error {
	return l.change(name, state, func() error { return l.JSON11(ctx, operation, in, out) })
}

// keyWorker makes a key, seals something with it, gives it a name and takes that away,
// and has one of three deleted.
func (l *load) keyWorker(ctx context.Context, r *rand.Rand, i int) error {
	name := l.vaultName(r, i)
	var made struct{ KeyMetadata struct{ KeyID string } }
	if err := l.call(ctx, "key/"+name, "Enabled", "kms.CreateKey", map[string]any{"Description": name}, &made); err != nil {
		return err
	}
	id, plain := made.KeyMetadata.KeyID, []byte(strconv.FormatUint(r.Uint64(), 16))
	err := l.change("sealed/"+name, string(plain), func() error {
		var sealed struct{ CiphertextBlob []byte }
		err := l.JSON11(ctx, "kms.Encrypt", map[string]any{"KeyId": id, "Plaintext": plain}, &sealed)
		if err == nil {
			l.ciphertexts.Store(name, sealed.CiphertextBlob)
		}
		return err
	})
	for n := 0; n <= turns && err == nil; n++ { // it ends with the alias there
		if n%2 == 0 {
			err = l.call(ctx, "alias/"+name, name, "kms.CreateAlias", map[string]any{"AliasName": "alias/" + name, "TargetKeyId": id}, nil)
		} else {
			err = l.call(ctx, "alias/"+name, absent, "kms.DeleteAlias", map[string]any{"AliasName": "alias/" + name}, nil)
		}
	}
	defer pause(ctx, 200*time.Millisecond) // keys stay, and each is tried after each kill
	if err != nil || r.IntN(3) != 0 {
		return err
	}
	return l.journal.change("sealed/"+name, absent, func() error { // such a key opens nothing
		return l.call(ctx, "key/"+name, "PendingDeletion", "kms.ScheduleKeyDeletion", map[string]any{"KeyId": id, "PendingWindowInDays": 7}, nil)
	})
}

// secretWorker makes a secret, gives it values one after the other, and deletes most.
func (l *load) secretWorker(ctx context.Context, r *rand.Rand, i int) error {
	name := l.vaultName(r, i)
	err := l.call(ctx, "secret/"+name, "0 after ", "secretsmanager.CreateSecret", map[string]any{"Name": name, "SecretString": "0"}, nil)
	for n := 1; n <= turns && err == nil; n++ {
		state := fmt.Sprintf("%d after %d", n, n-1)
		err = l.call(ctx, "secret/"+name, state, "secretsmanager.PutSecretValue", map[string]any{"SecretId": name, "SecretString": strconv.Itoa(n)}, nil)
	}
	if err != nil || r.IntN(8) == 0 {
		return err
	}
	return l.call(ctx, "secret/"+name, absent, "secretsmanager.DeleteSecret", map[string]any{"SecretId": name, "ForceDeleteWithoutRecovery": true}, nil)
}

// poolWorker makes a pool with a client for each life of the server, and users in it.
func (l *load) poolWorker(ctx context.Context, r *rand.Rand, i int) error {
	name := l.vaultName(r, i)
	var made struct{ UserPool struct{ ID string } }
	if err := l.call(ctx, "pool/"+name, "there", "cognito-idp.CreateUserPool", map[string]any{"PoolName": name}, &made); err != nil {
		return err
	}
	err := l.call(ctx, "client/"+name, "app", "cognito-idp.CreateUserPoolClient", map[string]any{
		"UserPoolId": made.UserPool.ID, "ClientName": "app", "ExplicitAuthFlows": []string{"ALLOW_ADMIN_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"},
	}, nil)
	for err == nil && ctx.Err() == nil && !l.dead.Load() {
		err = l.user(ctx, r, name, made.UserPool.ID)
		pause(ctx, 50*time.Millisecond) // or more stay than a page lists
	}
	return err
}

// passwords are what users have in turn.
func passwords() []string { return []string{"Crash-Password-0", "Crash-Password-1"} }

// user makes a user in a group of his own, gives him passwords, and deletes most.
func (l *load) user(ctx context.Context, r *rand.Rand, pool, id string) error {
	user := fmt.Sprintf("user-%d", r.IntN(1<<30))
	in := map[string]any{"UserPoolId": id, "Username": user, "GroupName": user, "MessageAction": "SUPPRESS", "Permanent": true}
	with := func(names ...string) map[string]any {
		out := map[string]any{"UserPoolId": id}
		for _, name := range names {
			out[name] = in[name]
		}
		return out
	}
	of := "/" + pool + "/" + user
	err := l.call(ctx, "user"+of, "there", "cognito-idp.AdminCreateUser", with("Username", "MessageAction"), nil)
	if err == nil {
		err = l.call(ctx, "group"+of, "there", "cognito-idp.CreateGroup", with("GroupName"), nil)
	}
	if err == nil {
		err = l.call(ctx, "member"+of, "there", "cognito-idp.AdminAddUserToGroup", with("Username", "GroupName"), nil)
	}
	for n := 0; n < turns && err == nil; n++ {
		in["Password"] = passwords()[n%2]
		err = l.call(ctx, "password"+of, passwords()[n%2], "cognito-idp.AdminSetUserPassword", with("Username", "Password", "Permanent"), nil)
	}
	if err != nil || r.IntN(8) == 0 {
		return err
	}
	err = l.journal.change("member"+of, absent, func() error {
		return l.call(ctx, "group"+of, absent, "cognito-idp.DeleteGroup", with("GroupName"), nil)
	})
	if err != nil {
		return err
	}
	return l.journal.change("password"+of, absent, func() error {
		return l.call(ctx, "user"+of, absent, "cognito-idp.AdminDeleteUser", with("Username"), nil)
	})
}

// providerWorker keeps an API key for agents, changes it, and deletes most.
func (l *load) providerWorker(ctx context.Context, r *rand.Rand, i int) error {
	name := l.vaultName(r, i)
	put := func(n int, call func(key *string) error) error {
		key := fmt.Sprintf("api-key-%d", n)
		return l.change("provider/"+name, key, func() error { return call(&key) })
	}
	err := put(0, func(key *string) error {
		_, err := l.runtimes.CreateApiKeyCredentialProvider(ctx, &control.CreateApiKeyCredentialProviderInput{Name: &name, ApiKey: key})
		return err
	})
	for n := 1; n <= turns && err == nil; n++ {
		err = put(n, func(key *string) error {
			_, err := l.runtimes.UpdateApiKeyCredentialProvider(ctx, &control.UpdateApiKeyCredentialProviderInput{Name: &name, ApiKey: key})
			return err
		})
	}
	if err != nil || r.IntN(8) == 0 {
		return err
	}
	return l.change("provider/"+name, absent, func() error {
		_, err := l.runtimes.DeleteApiKeyCredentialProvider(ctx, &control.DeleteApiKeyCredentialProviderInput{Name: &name})
		return err
	})
}

// refused tells a service's own answer from a call that failed.
func refused(err error) bool {
	var r *server.Refusal
	return errors.As(err, &r) && !strings.HasPrefix(r.Code, "Internal")
}
