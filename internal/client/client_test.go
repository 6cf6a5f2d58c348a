package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/outcrop/outcrop/internal/api/model/outcrop"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/sigv4"
)

const (
	testKey    = "AKIAIOSFODNN7EXAMPLE"
	testSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
)

type oneKey struct{}

func (oneKey) Key(_ context.Context, id, token string) (sigv4.Key, error) {
	if id != testKey || token != "" {
		return sigv4.Key{}, sigv4.ErrUnknownKey
	}
	return sigv4.Key{Principal: auth.Principal{ID: "root"}, Secret: testSecret}, nil
}

// serve answers by answer what is signed for service, by the server's own verifier.
func serve(t *testing.T, service string, answer http.HandlerFunc) *Client {
	t.Helper()
	v := sigv4.New(sigv4.Config{Keys: oneKey{}, SpoolDir: t.TempDir()})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claim, err := sigv4.Parse(r)
		if err == nil {
			var id *sigv4.Identity
			if id, err = v.Verify(r.Context(), r, claim, sigv4.Expect{Service: service, Region: "eu-west-1"}); err == nil {
				defer func() { _ = id.Close() }()
				r.Body, err = id.Body()
			}
		}
		if err != nil {
			t.Errorf("%s %s: %v", r.Method, r.URL, err)
			w.WriteHeader(http.StatusForbidden)
			return
		}
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return newClient(t, s.URL)
}

func newClient(t *testing.T, url string) *Client {
	t.Helper()
	c, err := New(Config{Target: Target{Endpoint: url, Region: "eu-west-1", AccessKeyID: testKey, SecretAccessKey: testSecret}, UserAgent: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestOwnAPIIsSignedAndDecoded(t *testing.T) {
	since := time.Date(2026, 1, 2, 3, 4, 5, 6000000, time.UTC)
	var got []string
	c := serve(t, "outcrop", func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Method+" "+r.URL.EscapedPath()+"?"+r.URL.RawQuery)
		switch r.URL.Path {
		case "/_outcrop/v1/server":
			fmt.Fprint(w, `{"version":"1","account":"123456789012","processId":7,"startedAt":"2026-01-02T03:04:05Z","interpreters":[{"runtime":"PYTHON_3_11","version":"3.11.2"}],"sandbox":{"available":true},"unknown":1}`)
		case "/_outcrop/v1/sessions":
			fmt.Fprint(w, `{"sessions":[{"sessionId":"s","requests":3}],"nextToken":"n"}`)
		case "/_outcrop/v1/prune":
			if body, err := io.ReadAll(r.Body); err != nil || string(body) != `{"kinds":["CODE"],"all":true,"unusedSeconds":60}` {
				t.Errorf("asked for %s, %v", body, err)
			}
			fmt.Fprint(w, `{"results":[{"kind":"CODE","removed":1,"removedBytes":5,"left":0,"leftBytes":0}]}`)
		default:
			fmt.Fprint(w, `{"events":[{"timestamp":"2026-01-02T03:04:05.006Z","message":"hi"}],"nextToken":"f/1"}`)
		}
	})
	server, err := c.Server(t.Context())
	if err != nil || *server.ProcessId != 7 || *server.Interpreters[0].Runtime != "PYTHON_3_11" || !*server.Sandbox.Available || server.StartedAt.Second() != 5 {
		t.Errorf("Server() = %+v, %v", server, err)
	}
	sessions, err := c.Sessions(t.Context(), outcrop.ListSessionsRequest{AgentRuntimeId: aws.String("a-1234567890"), NextToken: aws.String("x/ y&")})
	if err != nil || *sessions.Sessions[0].Requests != 3 || *sessions.NextToken != "n" {
		t.Errorf("Sessions() = %+v, %v", sessions, err)
	}
	logs, err := c.Logs(t.Context(), outcrop.GetRuntimeLogsRequest{
		AgentRuntimeId: aws.String("a b/c"), Since: &since, Last: aws.Int32(5), MaxResults: aws.Int32(10),
		SessionId: aws.String("s"), EndpointName: aws.String("DEFAULT"), WaitSeconds: aws.Int32(20),
	})
	if err != nil || !logs.Events[0].Timestamp.Equal(since) || *logs.Events[0].Message != "hi" {
		t.Errorf("Logs() = %+v, %v", logs, err)
	}
	pruned, err := c.Prune(t.Context(), outcrop.PruneRequest{Kinds: []string{"CODE"}, All: aws.Bool(true), UnusedSeconds: aws.Int64(60)})
	if err != nil || *pruned.Results[0].RemovedBytes != 5 {
		t.Errorf("Prune() = %+v, %v", pruned, err)
	}
	want := []string{
		"GET /_outcrop/v1/server?",
		"GET /_outcrop/v1/sessions?agentRuntimeId=a-1234567890&nextToken=x%2F%20y%26",
		"GET /_outcrop/v1/runtimes/a%20b%2Fc/logs?endpointName=DEFAULT&last=5&maxResults=10&sessionId=s&since=2026-01-02T03%3A04%3A05.006Z&waitSeconds=20",
		"POST /_outcrop/v1/prune?",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("asked\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestSDKClientsSignForTheirServices(t *testing.T) {
	for service, call := range map[string]func(*Client) error{
		"bedrock-agentcore": func(c *Client) error {
			_, err := c.Control().ListAgentRuntimes(t.Context(), &bedrockagentcorecontrol.ListAgentRuntimesInput{})
			_, err2 := c.Data().StopRuntimeSession(t.Context(), &bedrockagentcore.StopRuntimeSessionInput{
				AgentRuntimeArn:  aws.String("arn:aws:bedrock-agentcore:eu-west-1:123456789012:runtime/a-1234567890"),
				RuntimeSessionId: aws.String(strings.Repeat("s", 33)),
			})
			return errors.Join(err, err2)
		},
		"s3": func(c *Client) error {
			_, err := c.S3().HeadBucket(t.Context(), &s3.HeadBucketInput{Bucket: aws.String("bucket")})
			return err
		},
		"sts": func(c *Client) error {
			_, err := c.STS().GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
			return err
		},
	} {
		t.Run(service, func(t *testing.T) {
			calls := 0
			c := serve(t, service, func(w http.ResponseWriter, r *http.Request) {
				calls++
				if service == "s3" && r.URL.Path != "/bucket" {
					t.Errorf("path %s: the bucket is not in it", r.URL.Path)
				}
				if service == "sts" {
					w.Header().Set("Content-Type", "text/xml")
					fmt.Fprint(w, `<GetCallerIdentityResponse><GetCallerIdentityResult/></GetCallerIdentityResponse>`)
				} else if service != "s3" {
					fmt.Fprint(w, `{}`)
				}
			})
			if err := call(c); err != nil || calls == 0 {
				t.Errorf("%d calls, %v", calls, err)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	tests := map[string]struct {
		header, body string
		status       int
		want         Error
	}{
		"header and body": {"AccessDeniedException", `{"message":"no"}`, 403, Error{Code: "AccessDeniedException", Message: "no", Status: 403, RequestID: "r-1"}},
		"type in body":    {"", `{"__type":"x#ValidationException","message":"bad"}`, 400, Error{Code: "ValidationException", Message: "bad", Status: 400, RequestID: "r-1"}},
		"name and uri":    {"ThrottlingException:http://x", `{}`, 429, Error{Code: "ThrottlingException", Status: 429, RequestID: "r-1"}},
		"no JSON":         {"InternalServerException", `oops`, 500, Error{Code: "InternalServerException", Status: 500, RequestID: "r-1"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := serve(t, "outcrop", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("x-amzn-ErrorType", test.header)
				w.Header().Set("x-amzn-RequestId", "r-1")
				w.WriteHeader(test.status)
				fmt.Fprint(w, test.body)
			})
			_, err := c.Server(t.Context())
			var got *Error
			if !errors.As(err, &got) || *got != test.want {
				t.Errorf("got %#v (%v), want %#v", got, err, test.want)
			}
			if !Is(err, test.want.Code) {
				t.Errorf("Is(%v, %s) = false", err, test.want.Code)
			}
		})
	}
}

func TestSomethingElseAnswers(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"a page":      func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		"not found":   http.NotFound,
		"a redirect":  func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) },
		"not so much": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "[1]") },
	} {
		t.Run(name, func(t *testing.T) {
			_, err := serve(t, "outcrop", answer).Server(t.Context())
			var foreign *NotOutcropError
			if !errors.As(err, &foreign) {
				t.Errorf("error %v is no NotOutcropError", err)
			}
		})
	}
}

func TestExplainSDKErrors(t *testing.T) {
	c := serve(t, "bedrock-agentcore", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("x-amzn-ErrorType", "RuntimeClientError")
		w.Header().Set("x-amzn-RequestId", "r-2")
		w.WriteHeader(http.StatusFailedDependency)
		fmt.Fprint(w, `{"message":"Received error (500) from runtime."}`)
	})
	_, err := c.Data().InvokeAgentRuntime(t.Context(), &bedrockagentcore.InvokeAgentRuntimeInput{AgentRuntimeArn: aws.String("arn:x"), Payload: []byte("{}")})
	var got *Error
	want := Error{Code: "RuntimeClientError", Message: "Received error (500) from runtime.", Status: 424, RequestID: "r-2"}
	if !errors.As(Explain(fmt.Errorf("wrapped: %w", err)), &got) || *got != want {
		t.Errorf("got %#v (%v), want %#v", got, err, want)
	}
	if err := Explain(context.Canceled); !errors.Is(err, context.Canceled) {
		t.Errorf("Explain(Canceled) = %v", err)
	}
}

// TestAgentErrors keeps what an agent said whose status is no success, once.
func TestAgentErrors(t *testing.T) {
	const session = "0123456789012345678901234567890123"
	for _, status := range []int{http.StatusBadRequest, http.StatusServiceUnavailable} {
		calls := 0
		c := serve(t, "bedrock-agentcore", func(w http.ResponseWriter, _ *http.Request) {
			calls++
			w.Header().Set("x-amzn-RequestId", "r-3")
			w.Header().Set(sessionHeader, session)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			fmt.Fprint(w, `{"jsonrpc":"2.0","error":{"code":-32600}}`, strings.Repeat(" ", maxAgentError))
		})
		_, err := c.Data().InvokeAgentRuntime(t.Context(), &bedrockagentcore.InvokeAgentRuntimeInput{AgentRuntimeArn: aws.String("arn:x"), Payload: []byte("{}")})
		var got *AgentError
		if !errors.As(Explain(err), &got) {
			t.Fatalf("%d: %v is no AgentError", status, err)
		}
		if got.Status != status || got.ContentType != "application/json" || got.SessionID != session || len(got.Body) != maxAgentError || !strings.HasPrefix(string(got.Body), `{"jsonrpc"`) {
			t.Errorf("got %d %q of %q, %d bytes", got.Status, got.ContentType, got.SessionID, len(got.Body))
		}
		if calls != 1 {
			t.Errorf("%d: an agent ran %d times", status, calls)
		}
	}
}

func TestServerDownIsSaidAtOnce(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + l.Addr().String()
	_ = l.Close()
	c := newClient(t, url)
	_, own := c.Server(t.Context())
	_, sdk := c.Control().ListAgentRuntimes(t.Context(), &bedrockagentcorecontrol.ListAgentRuntimesInput{})
	_, probe := Probe(t.Context(), url, nil)
	for name, err := range map[string]error{"own": own, "sdk": sdk, "probe": probe} {
		var down *UnreachableError
		if !errors.As(Explain(err), &down) {
			t.Errorf("%s: %v is no UnreachableError", name, err)
		}
	}
	if strings.Contains(fmt.Sprint(sdk), "exceeded maximum number of attempts") {
		t.Errorf("a server that is down was asked again: %v", sdk)
	}
}

func TestProbe(t *testing.T) {
	at := time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("a probe is signed")
		}
		w.Header().Set("Date", at.Format(http.TimeFormat))
		w.Header().Set("x-amzn-RequestId", "r-1")
		w.WriteHeader(http.StatusForbidden)
	}))
	defer s.Close()
	got, err := Probe(t.Context(), s.URL, nil)
	if err != nil || !got.Outcrop || !got.Clock.Equal(at) {
		t.Errorf("Probe() = %+v, %v", got, err)
	}
}

func TestProbeOfWhatNeverAnswers(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if got, err := Probe(t.Context(), "http://"+l.Addr().String(), nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Probe() = %+v, %v", got, err)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, endpoint := range []string{"", "127.0.0.1:8642", "ftp://x", "http://", "http://a/b", "http://u:p@a", "http://a?x", "http://a:b:c"} {
		_, err := New(Config{Target: Target{Endpoint: endpoint, AccessKeyID: "a", SecretAccessKey: "b"}})
		if err == nil {
			t.Errorf("New accepts endpoint %q", endpoint)
		}
	}
	if _, err := New(Config{Target: Target{Endpoint: "http://a"}}); err == nil {
		t.Error("New accepts a target without a key")
	}
}

func TestCredentials(t *testing.T) {
	dir := t.TempDir()
	if _, err := ReadCredentials(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	want := Credentials{AccountID: "123456789012", AccessKeyID: testKey, SecretAccessKey: testSecret, Region: "us-east-1"}
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, CredentialsName)
	for content, ok := range map[string]bool{string(b): true, "{": false, "{}": false} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := ReadCredentials(dir)
		if ok != (err == nil) || ok && got != want {
			t.Errorf("content %q: %v, %v", content, got, err)
		}
		if err != nil && strings.Contains(err.Error(), testSecret) {
			t.Errorf("error shows the secret: %v", err)
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		target := Target{AccessKeyID: testKey, SecretAccessKey: testSecret, SessionToken: testSecret}
		if s := fmt.Sprintf(verb+verb+verb, want, target, &target); strings.Contains(s, testSecret) {
			t.Errorf("%s shows the secret: %s", verb, s)
		}
	}
}
