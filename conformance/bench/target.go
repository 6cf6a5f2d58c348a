package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/outcrop/outcrop/conformance/agent"
	"github.com/outcrop/outcrop/internal/client"
)

// target is a server and its root key.
type target struct {
	addr  string
	creds client.Credentials
}

// account is what the AWS SDK needs of it.
func (t target) account() agent.Account {
	return agent.Account{ID: t.creds.AccountID, Config: aws.Config{
		Region: t.creds.Region, BaseEndpoint: aws.String("http://" + t.addr),
		Credentials: credentials.NewStaticCredentialsProvider(t.creds.AccessKeyID, t.creds.SecretAccessKey, ""),
		HTTPClient:  client.ForSDK(awshttp.NewBuildableClient()),
	}}
}

// signed is a whole request of a session, as bytes, signed once.
func (t target) signed(ctx context.Context, arn, session string, body []byte) ([]byte, error) {
	path := "/runtimes/" + url.QueryEscape(arn) + "/invocations"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+t.addr+path+"?qualifier=DEFAULT", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.URL.RawPath = path
	hash := sha256.Sum256(body)
	digest := hex.EncodeToString(hash[:])
	req.Header.Set("Content-Type", "application/octet-stream")
	if bytes.HasPrefix(body, []byte("{")) {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("X-Amz-Content-Sha256", digest)
	req.Header.Set("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", session)
	creds := aws.Credentials{AccessKeyID: t.creds.AccessKeyID, SecretAccessKey: t.creds.SecretAccessKey}
	if err := v4.NewSigner().SignHTTP(ctx, creds, req, digest, "bedrock-agentcore", t.creds.Region, time.Now()); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := req.Write(&out); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// answerLimit is how long a first byte may take.
const answerLimit = time.Minute

// firstByte sends a request over a new connection and returns once the first
// byte of a streamed answer of 200 has come. The rest is read by finish, which
// returns the answer whole.
func firstByte(addr string, request []byte) (finish func() (string, error), err error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			conn.Close()
		}
	}()
	if err := conn.SetDeadline(time.Now().Add(answerLimit)); err != nil {
		return nil, err
	}
	if _, err := conn.Write(request); err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return nil, err
	}
	body := bufio.NewReader(resp.Body)
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(body) // for the error alone
		return nil, fmt.Errorf("%s answered %s: %s", addr, resp.Status, text)
	}
	if _, err := body.Peek(1); err != nil {
		return nil, err
	}
	return func() (string, error) {
		defer conn.Close()
		text, err := io.ReadAll(body)
		return strings.TrimSpace(string(text)), err
	}, nil
}

func portOf(addr string) string {
	_, port, _ := net.SplitHostPort(addr) // of a listener: it has one
	return port
}
