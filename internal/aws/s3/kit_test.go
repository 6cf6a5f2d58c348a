package s3_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	model "github.com/outcrop/outcrop/internal/api/model/s3"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/sigv4"
	s3front "github.com/outcrop/outcrop/internal/aws/s3"
	"github.com/outcrop/outcrop/internal/object"
	"github.com/outcrop/outcrop/internal/store/sqlite"
	"github.com/outcrop/outcrop/internal/telemetry"
)

const (
	account = "111122223333"
	region  = "us-east-1"
	keyID   = "AKIDEXAMPLE"
	guestID = "AKIDGUEST"
	secret  = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	bucket  = "first-bucket"
)

// keys knows the root key and that of a principal without rights.
type keys struct{}

func (keys) Key(_ context.Context, id, _ string) (sigv4.Key, error) {
	switch id {
	case keyID:
		return sigv4.Key{Secret: secret, Principal: auth.Principal{Account: account, ARN: auth.RootARN(account), ID: id, Kind: auth.Root}}, nil
	case guestID:
		return sigv4.Key{Secret: secret, Principal: auth.Principal{Account: account, ARN: "arn:aws:iam::" + account + ":user/guest", ID: id, Kind: auth.User}}, nil
	}
	return sigv4.Key{}, sigv4.ErrUnknownKey
}

type noAudit struct{}

func (noAudit) Audit(context.Context, telemetry.Record) error        { return nil }
func (noAudit) AuditDurable(context.Context, telemetry.Record) error { return nil }

// kit is S3 behind the real pipeline on a loopback port, and clients for it.
type kit struct {
	*s3.Client
	t       testing.TB
	server  *httptest.Server
	objects *object.Storage
	log     *bytes.Buffer
}

// newKit serves HTTP; a kit over TLS makes SDKs send checksums as trailers.
func newKit(t testing.TB) *kit { return serve(t, t.TempDir(), httptest.NewServer) }

func newTLSKit(t testing.TB) *kit { return serve(t, t.TempDir(), httptest.NewTLSServer) }

func serve(t testing.TB, dir string, start func(http.Handler) *httptest.Server) *kit {
	t.Helper()
	store, err := sqlite.Open(t.Context(), filepath.Join(dir, "store.db"), sqlite.Options{Reserve: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	k := &kit{t: t, log: &bytes.Buffer{}}
	if k.objects, err = object.New(t.Context(), object.Config{Dir: filepath.Join(dir, "objects"), Store: store}); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(k.log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	p, err := pipeline.New(pipeline.Config{
		Version: "0.0.0-test", Services: []*schema.Service{&model.Service}, Handlers: model.ObjectsHandlers(s3front.New(k.objects, nil)),
		Verifier:   sigv4.New(sigv4.Config{Keys: keys{}, SpoolDir: dir}),
		Authorizer: auth.NewAuthorizer(), Store: store, Audit: noAudit{}, Log: log, Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	k.server = start(p)
	t.Cleanup(func() {
		k.server.Close()
		if k.log.Len() > 0 {
			t.Errorf("the server complained:\n%s", k.log)
		}
	})
	k.Client = k.client(keyID, region)
	return k
}

// client is an unmodified SDK client, but for the endpoint.
func (k *kit) client(id, region string, options ...func(*s3.Options)) *s3.Client {
	return s3.New(s3.Options{
		Region: region, BaseEndpoint: aws.String(k.server.URL), UsePathStyle: true, HTTPClient: k.server.Client(),
		Credentials: credentials.NewStaticCredentialsProvider(id, secret, ""), RetryMaxAttempts: 1,
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported, // as config.LoadDefaultConfig has it
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
	}, options...)
}

// hosted is a client of the other style of addressing, for which every name
// resolves to the server.
func (k *kit) hosted() *s3.Client {
	address := k.server.Listener.Addr().String()
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
	k.t.Cleanup(transport.CloseIdleConnections)
	_, port, _ := net.SplitHostPort(address)
	return k.client(keyID, region, func(o *s3.Options) {
		o.UsePathStyle, o.BaseEndpoint, o.HTTPClient = false, aws.String("http://localhost:"+port), &http.Client{Transport: transport}
	})
}

// withBucket makes the bucket that most tests use.
func (k *kit) withBucket() *kit {
	k.t.Helper()
	if _, err := k.CreateBucket(k.t.Context(), &s3.CreateBucketInput{Bucket: aws.String(bucket)}); err != nil {
		k.t.Fatal(err)
	}
	return k
}

func (k *kit) put(key, body string) *s3.PutObjectOutput {
	k.t.Helper()
	return must(k.PutObject(k.t.Context(), &s3.PutObjectInput{Bucket: aws.String(bucket), Key: &key, Body: strings.NewReader(body)}))(k.t)
}

// get returns body and answer of a GET.
func (k *kit) get(in *s3.GetObjectInput) (string, *s3.GetObjectOutput) {
	k.t.Helper()
	in.Bucket = aws.String(bucket)
	out := must(k.GetObject(k.t.Context(), in))(k.t)
	return readAll(k.t, out.Body), out
}

// presigned is the URL of a GET.
func (k *kit) presigned(key string) string {
	k.t.Helper()
	return must(s3.NewPresignClient(k.Client).PresignGetObject(k.t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: &key}))(k.t).URL
}

func (k *kit) enableVersioning() {
	k.t.Helper()
	must(k.PutBucketVersioning(k.t.Context(), versioning("Enabled")))(k.t)
}

func must[T any](out T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}

func readAll(t testing.TB, r io.ReadCloser) string {
	t.Helper()
	body, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// wantFault holds an SDK's error against code and status.
func wantFault(t testing.TB, err error, status int, code string) {
	t.Helper()
	var api smithy.APIError
	var answer *smithyhttp.ResponseError
	if !errors.As(err, &api) || !errors.As(err, &answer) {
		t.Fatalf("got %v, want %d %s", err, status, code)
	}
	if api.ErrorCode() != code || answer.HTTPStatusCode() != status {
		t.Errorf("got %d %s (%s), want %d %s", answer.HTTPStatusCode(), api.ErrorCode(), api.ErrorMessage(), status, code)
	}
}

// raw is a signed request that no SDK would send.
type raw struct {
	method, target string
	header         map[string]string
	body           string
	key            string // the root key where it is empty
}

// send signs and sends a raw request, and returns the answer with its body read.
func (k *kit) send(q raw) (*http.Response, string) {
	k.t.Helper()
	r, err := http.NewRequestWithContext(k.t.Context(), q.method, k.server.URL+q.target, strings.NewReader(q.body))
	if err != nil {
		k.t.Fatal(err)
	}
	for name, value := range q.header {
		r.Header.Set(name, value)
	}
	r.Header.Set("Accept-Encoding", "identity") // or the transport would decode
	sum := sha256.Sum256([]byte(q.body))
	hash := hex.EncodeToString(sum[:])
	if h := r.Header.Get("X-Amz-Content-Sha256"); h != "" {
		hash = h
	}
	r.Header.Set("X-Amz-Content-Sha256", hash)
	if q.key == "" {
		q.key = keyID
	}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	err = signer.SignHTTP(k.t.Context(), aws.Credentials{AccessKeyID: q.key, SecretAccessKey: secret}, r, hash, "s3", region, time.Now())
	if err != nil {
		k.t.Fatal(err)
	}
	answer, err := k.server.Client().Transport.RoundTrip(r)
	if err != nil {
		k.t.Fatal(err)
	}
	return answer, readAll(k.t, answer.Body)
}
