package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// targets begin X-Amz-Target, by what requests are signed for.
var targets = map[string]string{"kms": "TrentService", "secretsmanager": "secretsmanager", "cognito-idp": "AWSCognitoIdentityProviderService"}

// Refusal is what a service answers in place of what was asked.
type Refusal struct {
	Operation string `json:"-"`
	Code      string `json:"__type"`
	Message   string `json:"message"`
}

func (r *Refusal) Error() string { return r.Operation + ": " + r.Code + ": " + r.Message }

// JSON11 makes one signed call, never a second, of an operation of a service whose
// protocol is AWS's JSON 1.1, such as kms.Encrypt. out may be nil.
func (s *Server) JSON11(ctx context.Context, operation string, in map[string]any, out any) error {
	service, name, _ := strings.Cut(operation, ".")
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/", bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Close = true // or the next call finds the connection of a server that was killed
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", targets[service]+"."+name)
	sum, by := sha256.Sum256(body), aws.Credentials{AccessKeyID: s.AccessKeyID, SecretAccessKey: s.SecretAccessKey}
	if err := v4.NewSigner().SignHTTP(ctx, by, r, hex.EncodeToString(sum[:]), service, s.Region, time.Now()); err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return fmt.Errorf("read the answer of %s: %w", operation, err)
	case resp.StatusCode != http.StatusOK:
		refused := &Refusal{Operation: operation}
		if err := json.Unmarshal(raw, refused); err != nil {
			return fmt.Errorf("%s: %s: %w", operation, resp.Status, err)
		}
		return refused
	case out == nil:
		return nil
	}
	return json.Unmarshal(raw, out)
}
