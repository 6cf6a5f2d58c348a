package invoke

import (
	"context"
	"net/http"

	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/inbound"
	"github.com/outcrop/outcrop/internal/runtime"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/workload"
)

// userHeader is where a caller who signs says whom the call is for. The operation asks
// for the right to say so.
const userHeader = "X-Amzn-Bedrock-Agentcore-Runtime-User-Id"

// workloadHeaders are the names by which agents read their workload access token
// (spec/runtime.md 10).
var workloadHeaders = [...]string{
	"WorkloadAccessToken", inbound.WorkloadHeader, "X-Amzn-Bedrock-Agentcore-Runtime-Workload-Accesstoken",
}

// vouch gives an agent the token that stands for it and the user it is called for,
// where there is one: the subject of the caller's token, or whom a caller who signs
// names (spec/runtime.md 8.7).
func (s *Service) vouch(ctx context.Context, to http.Header, call *pipeline.Call, key session.Key) error {
	c := workload.Claims{Scope: key.Scope, Workload: key.Owner, Host: runtime.ARN(key.Scope, key.Owner)}
	switch named := call.Header.Get(userHeader); {
	case !call.User.Token.Empty():
		c.User = workload.User{Kind: workload.ByJWT, Issuer: call.User.Issuer, Name: call.User.Subject}
		c.JWT, c.Expires = call.User.Token, call.User.Expires
	case named != "":
		c.User = workload.User{Kind: workload.ByID, Name: named}
	default:
		return nil
	}
	token, err := s.door.Workloads.Make(ctx, c)
	if err != nil {
		return err
	}
	for _, name := range workloadHeaders {
		to[http.CanonicalHeaderKey(name)] = []string{token.Reveal()}
	}
	return nil
}
