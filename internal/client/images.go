package client

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Login is that of the server's image registry.
type Login struct {
	Host           string // HOST:PORT, as the server is reached
	User, Password string
	Plain          bool // it is spoken to without TLS
}

// RegistryLogin asks for a login to the server's registry: ECR's, which is good for
// twelve hours and may do what the caller may.
func (c *Client) RegistryLogin(ctx context.Context) (Login, error) {
	var out struct {
		AuthorizationData []struct{ AuthorizationToken, ProxyEndpoint string }
	}
	if err := c.ecr(ctx, "GetAuthorizationToken", struct{}{}, &out); err != nil {
		return Login{}, err
	}
	bad := func(what string) (Login, error) {
		return Login{}, fmt.Errorf("read login of the registry: %w", &NotOutcropError{Endpoint: c.target.Endpoint, Detail: what})
	}
	if len(out.AuthorizationData) == 0 {
		return bad("it has none")
	}
	pair, err := base64.StdEncoding.DecodeString(out.AuthorizationData[0].AuthorizationToken)
	user, password, ok := strings.Cut(string(pair), ":")
	at, urlErr := url.Parse(out.AuthorizationData[0].ProxyEndpoint)
	if err != nil || !ok || urlErr != nil || at.Host == "" {
		return bad("it is none")
	}
	return Login{Host: at.Host, User: user, Password: password, Plain: at.Scheme == "http"}, nil
}

// MakeRepository makes a repository of images unless it is there.
func (c *Client) MakeRepository(ctx context.Context, name string) error {
	err := c.ecr(ctx, "CreateRepository", map[string]string{"repositoryName": name}, &struct{}{})
	if Is(err, "RepositoryAlreadyExistsException") {
		return nil
	}
	return err
}

// ecr calls one operation of the registry's API.
func (c *Client) ecr(ctx context.Context, operation string, in, out any) error {
	return c.json11(ctx, "ecr", "AmazonEC2ContainerRegistry_V20150921."+operation, in, out)
}

// json11 calls one operation of a service whose protocol is AWS's JSON 1.1.
func (c *Client) json11(ctx context.Context, service, target string, in, out any) error {
	_, operation, _ := strings.Cut(target, ".")
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base.JoinPath("/").String(), bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("call %s: %w", operation, err)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", target)
	return c.ask(c.http, req, service, operation, body, out)
}
