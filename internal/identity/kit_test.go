package identity_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	data "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/smithy-go"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/jwt"
	"github.com/outcrop/outcrop/internal/auth/policy"
	"github.com/outcrop/outcrop/internal/auth/sigv4"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/identity/vendor"
	"github.com/outcrop/outcrop/internal/resource"
	"github.com/outcrop/outcrop/internal/secret/secrettest"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite"
	"github.com/outcrop/outcrop/internal/telemetry"
	"github.com/outcrop/outcrop/internal/workload"
)

const (
	account = "111122223333"
	region  = "us-west-2"
	keyID   = "AKIAAAAAAAAAAAAAAAAA"
	key     = "0123456789012345678901234567890123456789"
)

var scope = store.Scope{Account: account, Region: region}

// kit is the service behind the pipeline, and clients of it.
type kit struct {
	*testing.T
	service *identity.Service
	store   *sqlite.Store
	tokens  workload.Tokens
	control *control.Client
	data    *data.Client
	secrets *fakeSecrets
	keys    *fakeKeys
	url     string
	// as and controlAs are clients with another's key.
	as        func(id string) *data.Client
	controlAs func(id string) *control.Client
	// skew is added to the service's clock.
	skew time.Duration
	// allow is what the user userID may.
	allow []auth.Requirement
	// deny is a statement besides.
	deny map[string]any
}

// Identity implements auth.Identities.
func (k *kit) Identity(_ context.Context, p auth.Principal) (auth.Identity, error) {
	if p.ID != userID {
		return auth.Identity{}, nil
	}
	statements := []map[string]any{}
	for _, r := range k.allow {
		statements = append(statements, map[string]any{"Effect": "Allow", "Action": r.Action, "Resource": r.Resource})
	}
	if k.deny != nil {
		statements = append(statements, k.deny)
	}
	if len(statements) == 0 {
		return auth.Identity{}, nil
	}
	text, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": statements})
	if err != nil {
		return auth.Identity{}, err
	}
	d, err := policy.Parse(text, policy.Identity)
	return auth.Identity{Identity: []*policy.Document{d}}, err
}

// otherID is the key of another account's root, userID that of a user without policies
// but those of a test.
const (
	otherID = "AKIABBBBBBBBBBBBBBBB"
	userID  = "AKIACCCCCCCCCCCCCCCC"
)

type oneKey struct{}

func (oneKey) Key(_ context.Context, id, _ string) (sigv4.Key, error) {
	switch id {
	case otherID:
		return sigv4.Key{Secret: key, Principal: auth.Principal{Kind: auth.Root, Account: "444455556666", ARN: auth.RootARN("444455556666"), ID: id}}, nil
	case userID:
		return sigv4.Key{Secret: key, Principal: auth.Principal{Kind: auth.User, Account: account, ARN: "arn:aws:iam::" + account + ":user/u", ID: id}}, nil
	}
	if id != keyID {
		return sigv4.Key{}, sigv4.ErrUnknownKey
	}
	return sigv4.Key{Secret: key, Principal: auth.Principal{Kind: auth.Root, Account: account, ARN: auth.RootARN(account), ID: id}}, nil
}

// users knows the tokens of users that a test names.
type users map[string]*jwt.Token

func (u users) VerifyIssued(_ context.Context, token string, trust jwt.Trust, _ jwt.Rules) (*jwt.Token, error) {
	if t := u[token]; t != nil {
		if trust != nil {
			if _, ok := trust(t.Issuer); !ok {
				return nil, &jwt.Invalid{Reason: jwt.Untrusted}
			}
		}
		return t, nil
	}
	return nil, &jwt.Invalid{Reason: jwt.BadSignature}
}

func newKit(t *testing.T, known users, change ...func(*identity.Config)) *kit {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	st, err := sqlite.Open(t.Context(), filepath.Join(dir, "db"), sqlite.Options{})
	must(err)
	t.Cleanup(func() { must(st.Close()) })
	audit, err := telemetry.Open(t.Context(), filepath.Join(dir, "telemetry"), telemetry.Options{Log: slog.New(slog.DiscardHandler)})
	must(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = audit.Run(ctx) }() // ends with ctx
	t.Cleanup(func() { cancel(); <-done; must(audit.Close()) })
	box := secrettest.Box(t)
	k := &kit{T: t, store: st, tokens: workload.Tokens{Box: box, Now: time.Now}}
	k.secrets, k.keys = &fakeSecrets{values: map[string]string{}, keys: map[string]string{}}, newKeys(t)
	vendors, err := vendor.Published()
	must(err)
	k.tokens.Now = k.now
	cfg := identity.Config{
		Store: st, Tokens: k.tokens, Verifier: known, Secrets: k.secrets, Keys: k.keys, Box: box, HTTP: http.DefaultClient, Vendors: vendors,
		Public: func() string { return k.url }, Log: slog.New(slog.DiscardHandler), Now: k.now,
	}
	for _, c := range change {
		c(&cfg)
	}
	service := identity.New(cfg)
	k.service = service
	owners := map[string]resource.Owner{"workload-identity-directory": service, "token-vault": service}
	p, err := pipeline.New(pipeline.Config{
		Version: "test", Services: []*schema.Service{&agentcorecontrol.Service, &agentcore.Service},
		Handlers: others(slices.Concat(agentcorecontrol.IdentityHandlers(service), agentcore.IdentityHandlers(service), agentcorecontrol.ResourcesHandlers(resource.New(st, owners, nil)))),
		Verifier: sigv4.New(sigv4.Config{Keys: oneKey{}, SpoolDir: dir}), Authorizer: &auth.Authorizer{Identities: k},
		Store: st, Audit: audit, Log: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	must(err)
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	k.url = server.URL
	client := aws.Config{
		Region: region, BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider(keyID, key, ""),
		Retryer: func() aws.Retryer { return aws.NopRetryer{} },
	}
	k.control, k.data = control.NewFromConfig(client), data.NewFromConfig(client)
	with := func(id string) aws.Config {
		c := client.Copy()
		c.Credentials = credentials.NewStaticCredentialsProvider(id, key, "")
		return c
	}
	k.as = func(id string) *data.Client { return data.NewFromConfig(with(id)) }
	k.controlAs = func(id string) *control.Client { return control.NewFromConfig(with(id)) }
	return k
}

// others adds handlers of what is served elsewhere, and that no test here calls.
func others(have []schema.Handler) []schema.Handler {
	for _, svc := range []*schema.Service{&agentcorecontrol.Service, &agentcore.Service} {
		for i := range svc.Operations {
			op := &svc.Operations[i]
			if op.Refused == "" && !slices.ContainsFunc(have, func(h schema.Handler) bool { return h.Operation == op }) {
				have = append(have, schema.Handler{Service: svc, Operation: op})
			}
		}
	}
	return have
}

func (k *kit) now() time.Time { return time.Now().Add(k.skew) }

// refused wants an error with a code and a text.
func (k *kit) refused(err error, code, fragment string) {
	k.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != code || !strings.Contains(api.ErrorMessage(), fragment) {
		k.Errorf("%v, want %s with %q", err, code, fragment)
	}
}
