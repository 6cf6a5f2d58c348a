package pipeline

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
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/outcrop/outcrop/internal/api/model"
	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/sigv4"
	"github.com/outcrop/outcrop/internal/store/sqlite"
	"github.com/outcrop/outcrop/internal/telemetry"
)

const (
	testAccount = "111122223333"
	testRegion  = "us-west-2"
	testKey     = "AKIDEXAMPLE"
	testSecret  = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	testVersion = "0.0.0-test"
)

// testTime is the one time of these tests.
var testTime = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

func allServices() []*schema.Service { return model.Services() }

// fixedKeys knows the one root key, and a key of a principal without rights.
type fixedKeys struct{}

func (fixedKeys) Key(_ context.Context, id, _ string) (sigv4.Key, error) {
	switch id {
	case testKey:
		return sigv4.Key{Secret: testSecret, Principal: auth.Principal{
			Account: testAccount, ARN: auth.RootARN(testAccount), ID: id, Kind: auth.Root}}, nil
	case "AKIDNOBODY":
		return sigv4.Key{Secret: testSecret, Principal: auth.Principal{
			Account: testAccount, ARN: "arn:aws:iam::" + testAccount + ":user/nobody", ID: id, Kind: auth.User}}, nil
	}
	return sigv4.Key{}, sigv4.ErrUnknownKey
}

// recorder is an Auditor that keeps the records.
type recorder struct {
	mu      sync.Mutex
	records []telemetry.Record
	durable int
	fail    error // of AuditDurable
	full    error // of Audit
	forget  bool  // for benchmarks
}

func (a *recorder) Audit(_ context.Context, r telemetry.Record) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.forget || a.full != nil {
		return a.full
	}
	a.records = append(a.records, r)
	return nil
}

func (a *recorder) AuditDurable(ctx context.Context, r telemetry.Record) error {
	if a.fail != nil {
		return a.fail
	}
	a.durable++
	return a.Audit(ctx, r)
}

// last returns the last record.
func (a *recorder) last(t testing.TB) telemetry.Record {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.records) == 0 {
		t.Fatal("no call was audited")
	}
	return a.records[len(a.records)-1]
}

// kit is a pipeline whose handlers answer with empty outputs unless serve has
// something else for them.
type kit struct {
	*Pipeline
	audit *recorder
	log   *bytes.Buffer
	// serve replaces handlers, by the operation's name.
	serve map[string]func(ctx context.Context, in any) (any, error)
	// served counts the calls that reached a handler.
	served int
}

// newKit builds a pipeline over a store in a temporary directory.
func newKit(t testing.TB, services ...*schema.Service) *kit {
	t.Helper()
	if len(services) == 0 {
		services = allServices()
	}
	st, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "store.db"), sqlite.Options{Now: func() time.Time { return testTime }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	k := &kit{audit: &recorder{}, log: &bytes.Buffer{}, serve: map[string]func(context.Context, any) (any, error){}}
	now := func() time.Time { return testTime }
	k.Pipeline, err = New(Config{
		Version: testVersion, Services: services, Handlers: k.handlers(services),
		Verifier:   sigv4.New(sigv4.Config{Keys: fixedKeys{}, Now: now, SpoolDir: t.TempDir()}),
		Authorizer: auth.NewAuthorizer(), Store: st, Audit: k.audit,
		Log: slog.New(slog.NewTextHandler(k.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Now: now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// handlers serves what the tables say is served.
func (k *kit) handlers(services []*schema.Service) []schema.Handler {
	var out []schema.Handler
	for _, svc := range services {
		for i := range svc.Operations {
			op := &svc.Operations[i]
			if op.Refused != "" {
				continue
			}
			out = append(out, schema.Handler{Service: svc, Operation: op, Serve: func(ctx context.Context, in any) (any, error) {
				k.served++
				if f := k.serve[op.Name]; f != nil {
					return f(ctx, in)
				}
				if op.Upgrade {
					return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(op.Status) }), nil
				}
				return op.NewOutput(), nil
			}})
		}
	}
	return out
}

// do serves a request without a network.
func (k *kit) do(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	k.ServeHTTP(w, r)
	return w
}

// call signs a request with a JSON body and serves it.
func (k *kit) call(t testing.TB, service, method, target, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := newRequest(method, target, body)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return k.do(sign(t, r, service, body))
}

func newRequest(method, target, body string) *http.Request {
	r := httptest.NewRequest(method, target, bytes.NewReader([]byte(body)))
	if body == "" {
		r.Body, r.ContentLength = http.NoBody, 0
	}
	return r
}

// sign signs the request with the root key.
func sign(t testing.TB, r *http.Request, service, body string) *http.Request {
	t.Helper()
	return signAs(t, r, testKey, service, body)
}

func signAs(t testing.TB, r *http.Request, key, service, body string) *http.Request {
	t.Helper()
	sum := sha256.Sum256([]byte(body))
	return signHash(t, r, key, service, hex.EncodeToString(sum[:]))
}

// signHash signs a request whose body has, or is said to have, that hash.
func signHash(t testing.TB, r *http.Request, key, service, hash string) *http.Request {
	t.Helper()
	if service == "s3" || hash == "UNSIGNED-PAYLOAD" {
		r.Header.Set("X-Amz-Content-Sha256", hash)
	}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = service == "s3" })
	if err := signer.SignHTTP(t.Context(), aws.Credentials{AccessKeyID: key, SecretAccessKey: testSecret}, r, hash, service, testRegion, testTime); err != nil {
		t.Fatal(err)
	}
	return r
}

// readAll is the whole body of an answer.
func readAll(t testing.TB, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// resign signs a request again whose length was changed; its body is not read.
func resign(t testing.TB, r *http.Request) *http.Request {
	t.Helper()
	r.Header.Del("Authorization")
	return sign(t, r, "bedrock-agentcore", "x")
}
