// Package remote invokes functions that this server does not have, at an endpoint that
// speaks Lambda's API and that the operator names: LocalStack's, SAM's, or the runtime
// interface emulator's of one function.
package remote

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/lambda"
)

const (
	// maxAnswer bounds what is read of an answer, in bytes; it is Lambda's own bound.
	maxAnswer = 6<<20 + 100
	// timeout is what the longest function takes, and a little.
	timeout = 16 * time.Minute
	// suffix ends the URL of an endpoint that is one function's.
	suffix = "/invocations"
)

// Client invokes functions at an endpoint.
type Client struct {
	base *url.URL
	http *http.Client
	now  func() time.Time
}

var _ lambda.Remote = (*Client)(nil)

// New returns a client of an endpoint.
func New(endpoint *url.URL, now func() time.Time) *Client {
	return &Client{base: endpoint, now: now, http: &http.Client{
		// No proxy: it is the operator's own, and near.
		Transport:     &http.Transport{MaxResponseHeaderBytes: 64 << 10, MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute},
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// url is where a function is invoked. An endpoint that is one function's is used as it is.
func (c *Client) url(in lambda.Invocation) string {
	if strings.HasSuffix(c.base.Path, suffix) {
		return c.base.String()
	}
	u := c.base.JoinPath("2015-03-31", "functions", url.PathEscape(in.Function), "invocations")
	if in.Qualifier != "" {
		u.RawQuery = url.Values{"Qualifier": {in.Qualifier}}.Encode()
	}
	return u.String()
}

// Invoke implements lambda.Remote. What the endpoint refuses is refused in its words;
// where it is out of reach the error is a ServiceException of status 502.
func (c *Client) Invoke(ctx context.Context, in lambda.Invocation) (lambda.Result, error) {
	res := lambda.Result{RequestID: in.RequestID}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url(in), bytes.NewReader(in.Payload))
	if err != nil {
		return res, err
	}
	h := req.Header
	h.Set("Content-Type", "application/json")
	h.Set("X-Amz-Invocation-Type", "RequestResponse")
	// Emulators read account and region from it, and check no signature.
	h.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s/%s/lambda/aws4_request, SignedHeaders=host, Signature=%064d",
		in.Scope.Account, c.now().UTC().Format("20060102"), in.Scope.Region, 0))
	if in.ClientContext != "" {
		h.Set("X-Amz-Client-Context", in.ClientContext)
	}
	if in.Tail {
		h.Set("X-Amz-Log-Type", "Tail")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return res, c.unreached(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return res, c.unreached(err)
	case len(body) > maxAnswer:
		return res, fault.New("ServiceException", http.StatusBadGateway, "The endpoint of --lambda-endpoint answered with more than %d bytes", maxAnswer)
	case resp.StatusCode != http.StatusOK:
		return res, refusal(resp, body)
	}
	res.Payload, res.FunctionError, res.Version = body, resp.Header.Get("X-Amz-Function-Error"), resp.Header.Get("X-Amz-Executed-Version")
	if text, err := base64.StdEncoding.DecodeString(resp.Header.Get("X-Amz-Log-Result")); err == nil {
		res.Log = text
	}
	if in.Chunk == nil || res.FunctionError != "" {
		return res, nil
	}
	if in.ContentType != nil {
		in.ContentType("application/octet-stream")
	}
	_ = in.Chunk(body) // who has left hears nothing, and the function has run
	res.Payload = nil
	return res, nil
}

func (c *Client) unreached(err error) error {
	return fault.New("ServiceException", http.StatusBadGateway, "The endpoint of --lambda-endpoint, %s, was not reached", c.base.Redacted()).Because(err)
}
