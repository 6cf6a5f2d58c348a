package client

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// closedBehind is a body as the SDK's is that was closed when its last byte had been
// read.
type closedBehind struct{ *strings.Reader }

func (closedBehind) WriteTo(io.Writer) (int64, error) { return 0, io.EOF }
func (closedBehind) Close() error                     { return nil }

// TestForSDK: a body that the SDK closed early does not break the answer.
func TestForSDK(t *testing.T) {
	answer := strings.Repeat("x", 1<<20)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, answer)
	}))
	defer s.Close()
	c := ForSDK(s.Client())
	for _, size := range []int{0, 1, 64 << 10} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		if size > 0 {
			req.Body, req.ContentLength = closedBehind{strings.NewReader(strings.Repeat("x", size))}, int64(size)
		}
		resp, err := c.Do(req)
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		got, err := io.ReadAll(resp.Body)
		if err != nil || string(got) != answer {
			t.Errorf("%d bytes: %d of the answer, %v", size, len(got), err)
		}
		resp.Body.Close()
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestSDKClients: those that a Client gives out have it.
func TestSDKClients(t *testing.T) {
	c := serve(t, "", nil)
	sent := 0
	look := roundTrip(func(r *http.Request) (*http.Response, error) {
		sent++
		if _, ok := r.Body.(io.WriterTo); ok || r.Body == nil {
			t.Errorf("%s %s has a body of %T", r.Method, r.URL.Path, r.Body)
		}
		return &http.Response{StatusCode: http.StatusBadRequest, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
	})
	c.http.Transport, c.agents.Transport = look, look
	_, _ = c.Data().InvokeAgentRuntime(t.Context(), &bedrockagentcore.InvokeAgentRuntimeInput{
		AgentRuntimeArn: aws.String("arn"), Payload: []byte("payload"),
	})
	_, _ = c.Control().UpdateAgentRuntimeEndpoint(t.Context(), &bedrockagentcorecontrol.UpdateAgentRuntimeEndpointInput{
		AgentRuntimeId: aws.String("id"), EndpointName: aws.String("name"), Description: aws.String("text"),
	})
	_, _ = c.S3().PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("bucket"), Key: aws.String("key"), Body: bytes.NewReader([]byte("object"))})
	if sent != 3 {
		t.Errorf("%d requests, want 3", sent)
	}
}
