package bedrockruntime_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/bedrockruntime"

	model "github.com/outcrop/outcrop/internal/api/model/bedrockruntime"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/sigv4"
	"github.com/outcrop/outcrop/internal/aws/bedrockruntime"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/store/sqlite"
	"github.com/outcrop/outcrop/internal/telemetry"
)

const (
	account = "111122223333"
	region  = "us-west-2"
	claude  = "global.anthropic.claude-haiku-4-5-20251001-v1:0"
)

// keys know the root, and a user without rights.
type keys struct{}

func (keys) Key(_ context.Context, id, _ string) (sigv4.Key, error) {
	switch id {
	case "AKIDROOT":
		return sigv4.Key{Secret: "secret", Principal: auth.Principal{Account: account, ARN: auth.RootARN(account), ID: id, Kind: auth.Root}}, nil
	case "AKIDNOBODY":
		return sigv4.Key{Secret: "secret", Principal: auth.Principal{Account: account, ARN: "arn:aws:iam::" + account + ":user/nobody", ID: id, Kind: auth.User}}, nil
	}
	return sigv4.Key{}, sigv4.ErrUnknownKey
}

// recorder keeps audit records.
type recorder struct {
	mu      sync.Mutex
	records []telemetry.Record
}

func (r *recorder) Audit(_ context.Context, rec telemetry.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.records = append(r.records, rec)
	return nil
}

func (r *recorder) AuditDurable(ctx context.Context, rec telemetry.Record) error {
	return r.Audit(ctx, rec)
}

// kit is the front behind the whole pipeline.
type kit struct {
	url        string
	http       *http.Client
	audit      *recorder
	authorizer *auth.Authorizer
}

func newKit(t testing.TB, cfg llm.Config) *kit {
	t.Helper()
	models, err := llm.New(cfg, llm.Options{
		Getenv: func(string) string { return "key" }, Now: time.Now,
		AWS: func(string) aws.CredentialsProvider {
			return credentials.NewStaticCredentialsProvider("AKIDOPERATOR", "s", "")
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(models.Close)
	dir := t.TempDir()
	st, err := sqlite.Open(t.Context(), filepath.Join(dir, "db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	k := &kit{audit: &recorder{}, authorizer: auth.NewAuthorizer()}
	p, err := pipeline.New(pipeline.Config{
		Version: "0.0.0", Services: []*schema.Service{&model.Service}, Handlers: model.ModelsHandlers(bedrockruntime.New(models, time.Now)),
		Verifier: sigv4.New(sigv4.Config{Keys: keys{}, SpoolDir: dir}), Authorizer: k.authorizer, Store: st, Audit: k.audit,
		Log: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(p)
	t.Cleanup(web.Close)
	k.url, k.http = web.URL, web.Client() // whose connections Close closes
	k.http.Transport = patient{k.http.Transport}
	return k
}

// one is a configuration in which one provider answers for everything.
func one(kind llm.Kind, url string) llm.Config {
	p := llm.Provider{Type: kind, URL: url, APIKeyEnv: "KEY"}
	name := "the-model"
	if kind == llm.Bedrock {
		p.APIKeyEnv, p.Region, name = "", "eu-west-1", ""
	}
	return llm.Config{Providers: map[string]llm.Provider{"scripted": p}, Models: []llm.Mapping{{Pattern: "*", Provider: "scripted", Model: name}}}
}

// patient keeps bodies of requests of its own. AWS's client for Go closes them as soon as
// an answer begins; where net/http has not looked for their end yet, it gives up the
// connection with the rest of the answer on it.
type patient struct{ http.RoundTripper }

func (p patient) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(bytes.NewReader(body))
	return p.RoundTripper.RoundTrip(r)
}

// client is AWS's own for Go.
func (k *kit) client(key string) *sdk.Client {
	return sdk.New(sdk.Options{
		Region: region, BaseEndpoint: aws.String(k.url), Credentials: credentials.NewStaticCredentialsProvider(key, "secret", ""),
		RetryMaxAttempts: 1, HTTPClient: k.http,
	})
}

// stream posts a signed body and returns the answer's.
func (k *kit) stream(t testing.TB, path, body string) io.Reader {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, k.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	sum := sha256.Sum256([]byte(body))
	err = v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: "AKIDROOT", SecretAccessKey: "secret"}, r, hex.EncodeToString(sum[:]), "bedrock", region, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Transport{}
	t.Cleanup(web.CloseIdleConnections)
	resp, err := web.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(resp.Body)
		t.Fatalf("%d %s", resp.StatusCode, b)
	}
	return resp.Body
}
