package cognito

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	model "github.com/outcrop/outcrop/internal/api/model/cognito"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/protocol"
	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/sigv4"
	"github.com/outcrop/outcrop/internal/auth/srp/srptest"
	"github.com/outcrop/outcrop/internal/store/sqlite"
	"github.com/outcrop/outcrop/internal/telemetry"
)

type records []telemetry.Record

func (a *records) Audit(_ context.Context, r telemetry.Record) error {
	*a = append(*a, r)
	return nil
}

func (a *records) AuditDurable(ctx context.Context, r telemetry.Record) error { return a.Audit(ctx, r) }

type noKeys struct{}

func (noKeys) Key(context.Context, string, string) (sigv4.Key, error) {
	return sigv4.Key{}, sigv4.ErrUnknownKey
}

// TestAudit: the record of a call without a signature has the pool, the client and the
// user by sub, whether it went well or not, and nothing that somebody typed.
func TestAudit(t *testing.T) {
	k := newKit(t)
	var kept records
	db, err := sqlite.Open(t.Context(), t.TempDir()+"/calls.db", sqlite.Options{})
	k.must(err)
	defer db.Close()
	p, err := pipeline.New(pipeline.Config{
		Version: "test", Services: []*schema.Service{&model.Service}, Handlers: model.UserPoolsHandlers(k.Service),
		Verifier:   sigv4.New(sigv4.Config{Keys: noKeys{}, Now: time.Now, SpoolDir: t.TempDir()}),
		Authorizer: auth.NewAuthorizer(), Store: db, Audit: &kept, Log: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	k.must(err)
	call := func(operation, body string) string {
		r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/", strings.NewReader(body))
		r.Header.Set(protocol.TargetHeader, model.Service.Target+"."+operation)
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		return w.Body.String()
	}
	in, err := k.pools.Pool(t.Context(), *k.pool)
	k.must(err)
	u, err := k.pools.User(t.Context(), in, "ada")
	k.must(err)
	pool := in.ARN()
	client := pool + "/client/" + *k.client
	user := pool + "/user/" + u.Sub
	_, err = k.UpdateUserPoolClient(k.admin, &model.UpdateUserPoolClientRequest{UserPoolId: k.pool, ClientId: k.client,
		ExplicitAuthFlows: []string{"ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH", "ALLOW_USER_SRP_AUTH"}})
	k.must(err)
	flow := func(name, parameters string) string {
		return fmt.Sprintf(`{"ClientId":%q,"AuthFlow":%q,"AuthParameters":{%s}}`, *k.client, name, parameters)
	}
	const secret = "Tr0ub4dor-typed"
	public := srptest.New(t).Hex()
	var access string
	for _, tt := range []struct {
		operation, body string
		want            []string
	}{
		{"InitiateAuth", flow(userPassword, `"USERNAME":"ada","PASSWORD":"`+secret+`"`), []string{pool, client, user}},
		{"InitiateAuth", flow(userPassword, `"USERNAME":"`+secret+`","PASSWORD":"x"`), []string{pool, client}},
		{"InitiateAuth", flow(userPassword, `"USERNAME":"ada","PASSWORD":"Analytical-1"`), []string{pool, client, user}},
		{"InitiateAuth", flow(userSRP, `"USERNAME":"ada","SRP_A":"`+public+`"`), []string{pool, client, user}},
		{"InitiateAuth", flow(userSRP, `"USERNAME":"`+secret+`","SRP_A":"`+public+`"`), []string{pool, client}},
		{"InitiateAuth", flow(refreshToken, `"REFRESH_TOKEN":"`+secret+`"`), []string{pool, client}},
		{"InitiateAuth", `{"ClientId":"nobodys","AuthFlow":"USER_PASSWORD_AUTH"}`, nil},
		{"RespondToAuthChallenge", fmt.Sprintf(`{"ClientId":%q,"ChallengeName":"NEW_PASSWORD_REQUIRED","Session":"0123456789012345678901","ChallengeResponses":{"USERNAME":"ada","NEW_PASSWORD":%q}}`, *k.client, secret), []string{pool, client}},
		{"SignUp", fmt.Sprintf(`{"ClientId":%q,"Username":%q,"Password":"short"}`, *k.client, secret), []string{pool, client}},
		{"GetUser", `{"AccessToken":"ACCESS"}`, []string{pool, client, user}},
		{"GetUser", `{"AccessToken":"` + secret + `"}`, nil},
	} {
		kept = nil
		answer := call(tt.operation, strings.ReplaceAll(tt.body, "ACCESS", access))
		if _, rest, ok := strings.Cut(answer, `"AccessToken":"`); ok {
			access, _, _ = strings.Cut(rest, `"`)
		}
		if len(kept) != 1 {
			t.Fatalf("%s %s: %d records: %s", tt.operation, tt.body, len(kept), answer)
		}
		r := kept[0]
		if !slices.Equal(r.Resources, tt.want) || tt.want != nil && r.Scope.Account != account {
			t.Errorf("%s %s: %q in %v, %s %s", tt.operation, tt.body, r.Resources, r.Scope, r.ErrorCode, r.ErrorMessage)
		}
		if shown := fmt.Sprintf("%+v", r); strings.Contains(shown, secret) {
			t.Errorf("%s: the record has what somebody typed: %s", tt.operation, shown)
		}
	}
}
