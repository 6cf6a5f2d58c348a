package credential

import (
	"context"
	"net/http"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway/target"
)

// forwarded signs as the caller (CALLER_IAM_CREDENTIALS).
type forwarded struct {
	m       *Maker
	service Service
}

func (m *Maker) caller(s target.Source, in *agentcorecontrol.IamCredentialProvider, own Service) (target.Credentials, error) {
	svc, err := serviceOf(in, own)
	if err != nil {
		return nil, err
	}
	if svc.Name != "bedrock-agentcore" {
		return nil, target.Unfitf("credentialProvider.iamCredentialProvider.service is '%s'; a caller's signature (CALLER_IAM_CREDENTIALS) is made for agents and gateways alone, bedrock-agentcore", svc.Name)
	}
	if svc.Region == "" {
		svc.Region = s.Scope.Region
	}
	return &forwarded{m: m, service: svc}, nil
}

// Apply implements target.Credentials.
func (f *forwarded) Apply(ctx context.Context, r *http.Request, c *target.Call) error {
	if c.Intercepted {
		return nil
	}
	if c.Caller.Signed == nil {
		return refuse(c, nil, "the target wants its caller's own signature (CALLER_IAM_CREDENTIALS), and the caller has not signed: call a gateway whose authorizerType is AWS_IAM or AUTHENTICATE_ONLY with AWS credentials")
	}
	keys, err := f.m.cfg.Roles.Caller(ctx, *c.Caller.Signed, r.URL)
	if err != nil {
		return unsigned(c, err)
	}
	return f.m.sign(ctx, r, f.service, keys)
}

// unsigned says why there is no signature of a caller's.
func unsigned(c *target.Call, err error) error {
	f := fault.From(err)
	if f.Status >= http.StatusInternalServerError {
		return target.Fail(kind, err, "the request cannot be signed as %s now: %s", c.Caller.Principal, f.Message)
	}
	return target.Fail(kind, err, "the request cannot be signed as %s: %s", c.Caller.Principal, f.Message)
}
