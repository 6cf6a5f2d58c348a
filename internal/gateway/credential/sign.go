package credential

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/gateway/target"
)

// signed signs requests as somebody (Signature Version 4).
type signed struct {
	m       *Maker
	service Service
	gateway Gateway
	keys    func(context.Context) (Keys, error)
}

// role is GATEWAY_IAM_ROLE.
func (m *Maker) role(s target.Source, in *agentcorecontrol.IamCredentialProvider, own Service) (target.Credentials, error) {
	svc, err := serviceOf(in, own)
	if err != nil {
		return nil, err
	}
	return m.Role(s, svc), nil
}

func serviceOf(in *agentcorecontrol.IamCredentialProvider, own Service) (Service, error) {
	if in != nil {
		own.Name = wire.Text(in.Service)
		if in.Region != nil {
			own.Region = *in.Region
		}
	}
	if own.Name == "" {
		return own, target.Unfitf("credentialProvider: iamCredentialProvider.service is required for this target: it says which service requests are signed for, such as execute-api")
	}
	return own, nil
}

// stale are the headers of another signature than ours.
var stale = [...]string{"Authorization", "X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Content-Sha256"}

// Apply implements target.Credentials.
func (s *signed) Apply(ctx context.Context, r *http.Request, c *target.Call) error {
	if c.Intercepted {
		return nil
	}
	keys, err := s.keys(ctx)
	if err != nil {
		return failed(c, s.gateway, "a signature of the gateway's role "+s.gateway.Role, err)
	}
	return s.m.sign(ctx, r, s.service, keys)
}

func (m *Maker) sign(ctx context.Context, r *http.Request, svc Service, keys Keys) error {
	for _, name := range stale {
		r.Header.Del(name)
	}
	sum, err := bodySum(r)
	if err != nil {
		return fmt.Errorf("sign request: %w", err)
	}
	r.Header.Set("X-Amz-Content-Sha256", sum) // S3 and OpenSearch Serverless require it
	of := aws.Credentials{AccessKeyID: keys.ID, SecretAccessKey: keys.Secret.Reveal(), SessionToken: keys.Token.Reveal()}
	err = m.signer.SignHTTP(ctx, of, r, sum, svc.Name, svc.Region, m.cfg.Now().UTC(), func(o *v4.SignerOptions) {
		o.DisableURIPathEscaping = svc.PlainPath || svc.Name == "s3"
	})
	if err != nil {
		return fmt.Errorf("sign request: %w", err)
	}
	return nil
}

// bodySum is the SHA-256 of a request's body, in hexadecimal digits.
func bodySum(r *http.Request) (string, error) {
	h := sha256.New()
	if r.Body != nil && r.Body != http.NoBody {
		if r.GetBody == nil {
			return "", fmt.Errorf("the body can be read once alone")
		}
		body, err := r.GetBody()
		if err != nil {
			return "", err
		}
		defer body.Close()
		if _, err := io.Copy(h, body); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
