package sigv4_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/sigv4"
)

const (
	keyID     = "AKIAOUTCROPEXAMPLE77"
	secret    = "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"
	otherID   = "AKIAANOTHEREXAMPLE77"
	tempID    = "ASIAOUTCROPEXAMPLE77"
	tempToken = "FwoGZXIvYXdzE+token/with=signs"
	arnPath   = "/runtimes/arn%3Aaws%3Abedrock-agentcore%3Aus-west-2%3A123456789012%3Aruntime%2Fhello-abc/invocations"
)

func signTime() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// keys has a long-term key, a second one with another secret, and a temporary
// one; oldID's token is over.
type keys struct{}

func (keys) Key(_ context.Context, id, token string) (sigv4.Key, error) {
	p := auth.Principal{Account: "123456789012", ARN: auth.RootARN("123456789012"), ID: id, Kind: auth.Root}
	switch id {
	case keyID, otherID:
		if token != "" {
			return sigv4.Key{}, sigv4.ErrBadToken
		}
		if id == otherID {
			return sigv4.Key{Principal: p, Secret: strings.ToUpper(secret)}, nil
		}
		return sigv4.Key{Principal: p, Secret: secret}, nil
	case tempID:
		switch token {
		case tempToken:
			return sigv4.Key{Principal: p, Secret: secret}, nil
		case "old":
			return sigv4.Key{}, sigv4.ErrExpiredToken
		}
		return sigv4.Key{}, sigv4.ErrBadToken
	case "BROKEN":
		return sigv4.Key{}, errors.New("disk on fire")
	}
	return sigv4.Key{}, sigv4.ErrUnknownKey
}

func verifier(t testing.TB, now time.Time) *sigv4.Verifier {
	return sigv4.New(sigv4.Config{Keys: keys{}, Now: func() time.Time { return now }, SpoolDir: t.TempDir(), MaxBody: 32 << 20})
}

// call describes a request to be signed by AWS's own signer.
type call struct {
	method, url string
	header      map[string]string
	body        string
	service     string // default bedrock-agentcore
	keyID       string // default keyID
	token       string
	hash        string        // x-amz-content-sha256: "" absent, "sum" computed, else as it is
	payload     string        // what is signed as payload hash, if not the body's
	presign     time.Duration // query form with this life
	at          time.Time
}

func sum(body string) string {
	s := sha256.Sum256([]byte(body))
	return hex.EncodeToString(s[:])
}

// signed returns the request as a server reads it from the wire.
func signed(t testing.TB, c call) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), c.method, c.url, strings.NewReader(c.body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range c.header {
		r.Header.Set(k, v)
	}
	payload := sum(c.body)
	switch c.hash {
	case "":
	case "sum":
		r.Header.Set("X-Amz-Content-Sha256", payload)
	default:
		r.Header.Set("X-Amz-Content-Sha256", c.hash)
		payload = c.hash
	}
	if c.payload != "" {
		payload = c.payload
	}
	if c.service == "" {
		c.service = "bedrock-agentcore"
	}
	if c.keyID == "" {
		c.keyID = keyID
	}
	if c.at.IsZero() {
		c.at = signTime()
	}
	credentials := aws.Credentials{AccessKeyID: c.keyID, SecretAccessKey: secret, SessionToken: c.token}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = c.service == "s3" })
	if c.presign == 0 {
		if err := signer.SignHTTP(t.Context(), credentials, r, payload, c.service, "us-west-2", c.at); err != nil {
			t.Fatal(err)
		}
		return wire(t, r)
	}
	q := r.URL.Query()
	q.Set("X-Amz-Expires", formatSeconds(c.presign))
	r.URL.RawQuery = q.Encode()
	uri, header, err := signer.PresignHTTP(t.Context(), credentials, r, payload, c.service, "us-west-2", c.at)
	if err != nil {
		t.Fatal(err)
	}
	r, err = http.NewRequestWithContext(t.Context(), c.method, uri, strings.NewReader(c.body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header
	return wire(t, r)
}

func formatSeconds(d time.Duration) string {
	return strconv.Itoa(int(d.Seconds()))
}

// wire sends r through net/http's own writer and reader.
func wire(t testing.TB, r *http.Request) *http.Request {
	t.Helper()
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	out, err := http.ReadRequest(bufio.NewReader(&b))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// verify runs all three steps and returns the body.
func verify(t testing.TB, v *sigv4.Verifier, r *http.Request, want sigv4.Expect) (sigv4.Claim, string, error) {
	t.Helper()
	c, err := sigv4.Parse(r)
	if err != nil {
		f := want.Family
		if f == sigv4.ByService {
			f = sigv4.FamilyOf(want.Service)
		}
		return c, "", f.Fault(err)
	}
	id, err := v.Verify(t.Context(), r, c, want)
	if err != nil {
		return c, "", err
	}
	defer func() {
		if err := id.Close(); err != nil {
			t.Errorf("close identity: %v", err)
		}
	}()
	if id.Principal.ID != c.AccessKeyID {
		t.Errorf("principal %+v is not the claimed %s", id.Principal, c.AccessKeyID)
	}
	body, err := id.Body()
	if err != nil {
		return c, "", err
	}
	b, err := io.ReadAll(body)
	if err == nil && body.Length >= 0 && body.Length != int64(len(b)) {
		t.Errorf("body announced %d bytes and had %d", body.Length, len(b))
	}
	return c, string(b), err
}

// TestAgainstSDK verifies what the AWS SDK signs.
func TestAgainstSDK(t *testing.T) {
	big := strings.Repeat("0123456789abcdef", 3<<16) // 3 MiB: spooled
	tests := map[string]call{
		"get":             {method: "GET", url: "https://h.example/"},
		"no path":         {method: "GET", url: "https://h.example"},
		"arn path":        {method: "POST", url: "http://127.0.0.1:8642" + arnPath + "?qualifier=DEFAULT", body: `{"prompt":"hi"}`},
		"default port":    {method: "GET", url: "https://h.example:443/x"},
		"query":           {method: "GET", url: "https://h.example/x?b=2&a=1&a=0&empty&sp=a%20b&plus=a%2Bb&u=%C3%A9&t=~"},
		"unicode path":    {method: "GET", url: "https://h.example/a%20b/%E1%88%B4/%25"},
		"declared hash":   {method: "POST", url: "https://h.example/", body: "x", hash: "sum"},
		"empty post":      {method: "POST", url: "https://h.example/", hash: "sum"},
		"unsigned":        {method: "POST", url: "https://h.example/", body: "streams", hash: "UNSIGNED-PAYLOAD"},
		"large body":      {method: "POST", url: "https://h.example/", body: big},
		"large hash":      {method: "POST", url: "https://h.example/", body: big, hash: "sum"},
		"headers":         {method: "GET", url: "https://h.example/", header: map[string]string{"X-Custom": "  a   b ", "X-Amz-Target": "A.B", "Content-Type": "application/json; charset=utf-8"}},
		"temporary":       {method: "GET", url: "https://h.example/", keyID: tempID, token: tempToken},
		"presigned":       {method: "GET", url: "https://h.example" + arnPath + "?q=a%20b", presign: 5 * time.Minute},
		"presigned temp":  {method: "GET", url: "https://h.example/x", presign: time.Minute, keyID: tempID, token: tempToken},
		"presigned week":  {method: "GET", url: "https://h.example/x", presign: sigv4.Week},
		"s3 get":          {method: "GET", url: "https://b.h.example/a//b/../c%20d%2Be", service: "s3", hash: "sum"},
		"s3 put":          {method: "PUT", url: "https://h.example/b/k", service: "s3", body: "data", hash: "sum"},
		"s3 put unsigned": {method: "PUT", url: "https://h.example/b/k", service: "s3", body: "data", hash: "UNSIGNED-PAYLOAD"},
		"s3 subresource":  {method: "GET", url: "https://h.example/b?acl", service: "s3", hash: "sum"},
		"s3 presigned":    {method: "PUT", url: "https://h.example/b/k%3D1", service: "s3", body: "data", payload: "UNSIGNED-PAYLOAD", presign: time.Hour},
		"sts":             {method: "POST", url: "http://localhost:8642/", service: "sts", body: "Action=GetCallerIdentity&Version=2011-06-15", header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := signed(t, tt)
			c, body, err := verify(t, verifier(t, signTime().Add(time.Minute)), r, sigv4.Expect{})
			if err != nil {
				t.Fatal(err)
			}
			if body != tt.body {
				t.Errorf("body has %d bytes, want %d", len(body), len(tt.body))
			}
			if c.Region != "us-west-2" || c.Presigned != (tt.presign > 0) || c.Expires != tt.presign || !c.Time.Equal(signTime()) || c.Token != tt.token {
				t.Errorf("claim %+v", c)
			}
			if tt.service != "" && c.Service != tt.service {
				t.Errorf("service %q, want %q", c.Service, tt.service)
			}
		})
	}
}

// TestHostWithoutPort: a WebSocket client signs the bare host name and sends it
// with a port; any other host is refused.
func TestHostWithoutPort(t *testing.T) {
	for sent, ok := range map[string]bool{
		"h.example": true, "h.example:8642": true, "h.example:443": true,
		"other.example": false, "h.example.evil:443": false, "": false, "[h.example]": false,
	} {
		r := signed(t, call{method: "GET", url: "https://h.example/ws"})
		r.Host = sent
		if _, _, err := verify(t, verifier(t, signTime()), r, sigv4.Expect{}); (err == nil) != ok {
			t.Errorf("host %q: %v, want accepted %v", sent, err, ok)
		}
	}
}

// oneKey is a KeySource with one secret for every key id.
type oneKey string

func (k oneKey) Key(_ context.Context, id, _ string) (sigv4.Key, error) {
	return sigv4.Key{Principal: auth.Principal{ID: id}, Secret: string(k)}, nil
}
