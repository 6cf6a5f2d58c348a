package runtime_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"

	"github.com/outcrop/outcrop/internal/runtime/runtimetest"
	"github.com/outcrop/outcrop/internal/session"
)

func arn(id string) string {
	return "arn:aws:bedrock-agentcore:" + runtimetest.Region + ":" + runtimetest.Account + ":runtime/" + id
}

// invoke asks an agent in a session and returns its whole answer.
func (k kit) invoke(arn, session, payload string) (string, error) {
	out, err := k.Data.InvokeAgentRuntime(k.Context(), &bedrockagentcore.InvokeAgentRuntimeInput{
		AgentRuntimeArn: &arn, RuntimeSessionId: aws.String(runtimetest.SessionID(session)), Payload: []byte(payload),
		Accept: aws.String("application/json, text/event-stream"),
	})
	if err != nil {
		return "", err
	}
	defer out.Response.Close()
	b, err := io.ReadAll(out.Response)
	return string(b), err
}

// raw signs and sends a request and returns the answer's body.
func (k kit) raw(method, path, body string) string {
	k.Helper()
	r, err := http.NewRequestWithContext(k.Context(), method, k.URL+path, strings.NewReader(body))
	if err != nil {
		k.Fatal(err)
	}
	sum := sha256.Sum256([]byte(body))
	creds := aws.Credentials{AccessKeyID: runtimetest.KeyID, SecretAccessKey: runtimetest.Secret}
	if err := v4.NewSigner().SignHTTP(k.Context(), creds, r, hex.EncodeToString(sum[:]), "bedrock-agentcore", runtimetest.Region, time.Now()); err != nil {
		k.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		k.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		k.Fatal(err)
	}
	return string(b)
}

// everything matches every session.
func everything(session.Key) bool { return true }
