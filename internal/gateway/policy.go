package gateway

import (
	"strings"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/auth/policy"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// invokeAction is the only one that a gateway's policy is about.
const invokeAction = "bedrock-agentcore:InvokeGateway"

// CheckPolicy holds what the policy of a gateway may say (spec/gateway.md 9): who may
// invoke it. Callers who come with tokens are nobody that a policy could name.
func (s *Service) CheckPolicy(r store.Reader, scope store.Scope, path string, doc *policy.Document) error {
	g, err := s.docs.gateway(r, scope, strings.TrimPrefix(path, arnKind))
	if err != nil {
		return err
	}
	return checkPolicy(g.State.AuthorizerType, doc)
}

func checkPolicy(authorizer string, doc *policy.Document) error {
	for i := range doc.Statements {
		st := &doc.Statements[i]
		if st.NotAction {
			return policyFault("the policy of a gateway cannot have NotAction; its Action is %s", invokeAction)
		}
		for _, action := range st.Actions {
			if !strings.EqualFold(action, invokeAction) {
				return policyFault("'%s' is no action on gateways that a policy of theirs is about; the only one is %s", action, invokeAction)
			}
		}
		if authorizer != agentcorecontrol.AuthorizerTypeCUSTOM_JWT {
			continue
		}
		if st.NotPrincipal || len(st.Principals) != 1 || st.Principals[0].Type != "AWS" || st.Principals[0].Value != "*" {
			return policyFault("the Principal of a statement must be \"*\", with conditions: this gateway is called with tokens (authorizerType CUSTOM_JWT), whose users a policy cannot name")
		}
	}
	return nil
}

func policyFault(format string, args ...any) error {
	return fault.Invalid("policy", "The policy is not valid: "+format, args...)
}
