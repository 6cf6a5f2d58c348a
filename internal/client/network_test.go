package client

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// talker listens, lets whoever comes speak, says answer and hangs up.
func talker(t *testing.T, answer string) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			from := bufio.NewReader(c)
			const handshake = 0x16 // the first byte of TLS (RFC 8446 5.1)
			if first, err := from.Peek(1); err == nil && first[0] != handshake {
				if r, err := http.ReadRequest(from); err == nil {
					_, _ = io.Copy(io.Discard, r.Body)
				}
			}
			_, _ = io.WriteString(c, answer)
			_ = c.Close()
		}
	}()
	return l.Addr().String()
}

// calls are one of each kind that a client makes.
func calls(t *testing.T, c *Client) map[string]error {
	_, own := c.Server(t.Context())
	_, control := c.Control().ListAgentRuntimes(t.Context(), &bedrockagentcorecontrol.ListAgentRuntimesInput{})
	_, data := c.Data().InvokeAgentRuntime(t.Context(), &bedrockagentcore.InvokeAgentRuntimeInput{AgentRuntimeArn: aws.String("arn:x"), Payload: []byte("{}")})
	_, object := c.S3().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("bucket")})
	return map[string]error{"own": own, "control": control, "data": data, "object": object}
}

func TestWhatIsNoOutcropIsSaid(t *testing.T) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotImplemented)
		fmt.Fprint(w, "<html>")
	}))
	defer page.Close()
	secret := httptest.NewUnstartedServer(http.NotFoundHandler())
	secret.Config.ErrorLog = log.New(io.Discard, "", 0)
	secret.StartTLS()
	defer secret.Close()
	plain := strings.TrimPrefix(page.URL, "http://")
	for name, test := range map[string]struct{ endpoint, detail string }{
		"a page":             {page.URL, "HTTP 501 Not Implemented"},
		"TLS":                {strings.Replace(secret.URL, "https", "http", 1), "HTTP 400 Bad Request"},
		"no TLS":             {"https://" + plain, "it speaks HTTP without TLS"},
		"no TLS nor HTTP":    {"https://" + talker(t, "SSH-2.0-x\r\n"), "it does not speak TLS"},
		"untrusted":          {secret.URL, "this machine does not trust its certificate: "},
		"something else":     {"http://" + talker(t, "SSH-2.0-x\r\n"), "it does not speak HTTP"},
		"a redirect to that": {"http://" + talker(t, "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"), "HTTP 302 Found"},
	} {
		t.Run(name, func(t *testing.T) {
			for kind, err := range calls(t, newClient(t, test.endpoint)) {
				var foreign *NotOutcropError
				if !errors.As(Explain(err), &foreign) || !strings.HasPrefix(foreign.Detail, test.detail) {
					t.Errorf("%s: %v, want %q", kind, Explain(err), test.detail)
				} else if text := foreign.Error(); strings.Contains(text, "operation error") {
					t.Errorf("%s: %s", kind, text)
				}
			}
		})
	}
	if !SpeaksTLS(t.Context(), secret.URL) || SpeaksTLS(t.Context(), page.URL) || SpeaksTLS(t.Context(), "nonsense") {
		t.Error("SpeaksTLS does not tell TLS from what is none")
	}
}

func TestALostConnectionIsSaid(t *testing.T) {
	for name, answer := range map[string]string{
		"before the answer": "", "in the body": "HTTP/1.1 400 Bad\r\nx-amzn-RequestId: r\r\nConnection: close\r\nContent-Length: 100\r\n\r\n{",
	} {
		for kind, err := range calls(t, newClient(t, "http://"+talker(t, answer))) {
			var lost *LostError
			if kind == "object" && name == "in the body" {
				continue // S3's decoder takes what it has
			}
			if !errors.As(Explain(err), &lost) || lost.Timeout() {
				t.Errorf("%s, %s: %v", name, kind, Explain(err))
			}
		}
	}
}

// An agent may take its time, the server may not.
func TestSilenceEnds(t *testing.T) {
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer s.Close()
	defer close(release)
	c := newClient(t, s.URL)
	if c.agents.Transport.(*http.Transport).ResponseHeaderTimeout != 0 || c.http.Transport.(*http.Transport).ResponseHeaderTimeout != answerTime {
		t.Error("the wrong client waits")
	}
	c.http = newHTTP(Config{}, time.Millisecond)
	_, err := c.Server(t.Context())
	var lost *LostError
	if !errors.As(Explain(err), &lost) || !lost.Timeout() {
		t.Errorf("%v", err)
	}
}
