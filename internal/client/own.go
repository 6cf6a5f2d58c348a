package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/outcrop/outcrop/internal/api/model/outcrop"
	"github.com/outcrop/outcrop/internal/api/protocol"
)

// maxAnswer bounds an answer of our own API, in bytes.
const maxAnswer = 64 << 20

// Server tells what the server is and what it can run.
func (c *Client) Server(ctx context.Context) (*outcrop.GetServerResponse, error) {
	out := new(outcrop.GetServerResponse)
	return out, c.get(ctx, "server", nil, out)
}

// Sessions returns one page of the live sessions.
func (c *Client) Sessions(ctx context.Context, in outcrop.ListSessionsRequest) (*outcrop.ListSessionsResponse, error) {
	q := url.Values{}
	setString(q, "agentRuntimeId", in.AgentRuntimeId)
	setInt(q, "maxResults", in.MaxResults)
	setString(q, "nextToken", in.NextToken)
	out := new(outcrop.ListSessionsResponse)
	return out, c.get(ctx, "sessions", q, out)
}

// Logs returns one page of what a runtime wrote. AgentRuntimeId is required; an
// answer with no events and in.WaitSeconds set means that nothing came.
func (c *Client) Logs(ctx context.Context, in outcrop.GetRuntimeLogsRequest) (*outcrop.GetRuntimeLogsResponse, error) {
	q := url.Values{}
	setString(q, "endpointName", in.EndpointName)
	setString(q, "sessionId", in.SessionId)
	if in.Since != nil {
		q.Set("since", in.Since.UTC().Format(time.RFC3339Nano))
	}
	setInt(q, "last", in.Last)
	setInt(q, "maxResults", in.MaxResults)
	setString(q, "nextToken", in.NextToken)
	setInt(q, "waitSeconds", in.WaitSeconds)
	out := new(outcrop.GetRuntimeLogsResponse)
	return out, c.get(ctx, "runtimes/"+url.PathEscape(aws.ToString(in.AgentRuntimeId))+"/logs", q, out)
}

// Audit returns one page of the record of what was done, the newest first; with
// in.Cursor those that came since, the oldest first, and with in.WaitSeconds none
// means that nothing came.
func (c *Client) Audit(ctx context.Context, in outcrop.ListAuditRecordsRequest) (*outcrop.ListAuditRecordsResponse, error) {
	q := url.Values{}
	for name, v := range map[string]*string{
		"eventName": in.EventName, "service": in.Service, "principal": in.Principal, "resource": in.Resource, "errorCode": in.ErrorCode,
		"region": in.Region, "nextToken": in.NextToken,
	} {
		setString(q, name, v)
	}
	for name, at := range map[string]*time.Time{"since": in.Since, "until": in.Until} {
		if at != nil {
			q.Set(name, at.UTC().Format(time.RFC3339Nano))
		}
	}
	if in.Failed != nil {
		q.Set("failed", strconv.FormatBool(*in.Failed))
	}
	if in.Cursor != nil {
		q.Set("cursor", strconv.FormatInt(*in.Cursor, 10))
	}
	setInt(q, "maxResults", in.MaxResults)
	setInt(q, "waitSeconds", in.WaitSeconds)
	out := new(outcrop.ListAuditRecordsResponse)
	return out, c.get(ctx, "audit", q, out)
}

// Prune removes what the server keeps and nobody needs, which takes as long as
// there is something to look at.
func (c *Client) Prune(ctx context.Context, in outcrop.PruneRequest) (*outcrop.PruneResponse, error) {
	out := new(outcrop.PruneResponse)
	return out, c.send(ctx, c.agents, http.MethodPost, "prune", "PruneRequest", &in, out)
}

// SimulatePolicy tells whether somebody may do something, and why.
func (c *Client) SimulatePolicy(ctx context.Context, in outcrop.SimulatePolicyRequest) (*outcrop.SimulatePolicyResponse, error) {
	out := new(outcrop.SimulatePolicyResponse)
	return out, c.send(ctx, c.http, http.MethodPost, "policy/simulate", "SimulatePolicyRequest", &in, out)
}

// get signs and sends one read of our own API; path is escaped.
func (c *Client) get(ctx context.Context, path string, query url.Values, out any) error {
	return c.call(ctx, c.http, http.MethodGet, path, query, nil, out)
}

// send signs and sends one call of our own API whose body is a shape of the model.
func (c *Client) send(ctx context.Context, by *http.Client, method, path, shape string, in, out any) error {
	body, err := protocol.MarshalJSON(&outcrop.Service, outcrop.Service.ShapeNamed(shape), in, true)
	if err != nil {
		return err
	}
	return c.call(ctx, by, method, path, nil, body, out)
}

// call signs and sends one call of our own API; path is escaped, and body is JSON.
func (c *Client) call(ctx context.Context, by *http.Client, method, path string, query url.Values, body []byte, out any) error {
	u := c.base.JoinPath("/_outcrop/v1/", path)
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("call %s: %w", path, err)
	}
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	return c.ask(by, req, "outcrop", path, body, out)
}

// ask signs and sends one call of a service; name is what errors call it, and body
// is what req sends.
func (c *Client) ask(by *http.Client, req *http.Request, service, name string, body []byte, out any) error {
	answer, err := c.answer(by, req, service, name, body)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("read answer of %s: %w", name, &NotOutcropError{Endpoint: c.target.Endpoint, Detail: err.Error()})
	}
	return nil
}

// answer signs and sends a call, and reads what it is answered with.
func (c *Client) answer(by *http.Client, req *http.Request, service, name string, body []byte) ([]byte, error) {
	if c.agent != "" {
		req.Header.Set("User-Agent", c.agent)
	}
	sum := sha256.Sum256(body)
	if err := c.sign(req.Context(), req, hex.EncodeToString(sum[:]), service); err != nil {
		return nil, fmt.Errorf("sign call %s: %w", name, err)
	}
	res, err := by.Do(req)
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", name, err)
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("read answer of %s: %w", name, err)
	}
	if len(answer) > maxAnswer {
		return nil, fmt.Errorf("read answer of %s: longer than %d bytes", name, maxAnswer)
	}
	if res.StatusCode != http.StatusOK {
		return nil, answerError(res, answer)
	}
	return answer, nil
}

func setString(q url.Values, name string, v *string) {
	if v != nil {
		q.Set(name, *v)
	}
}

func setInt(q url.Values, name string, v *int32) {
	if v != nil {
		q.Set(name, strconv.Itoa(int(*v)))
	}
}
