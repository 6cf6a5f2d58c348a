package main

import (
	"fmt"
	"regexp"
	"strings"
)

// departures are where an operation asks for what the published action tables do not
// have, by operation and action, and why.
var departures = map[string]string{
	"CreateCapacityProvider bedrock-agentcore:CreateCapacityProvider":                                         newer,
	"DeleteCapacityProvider bedrock-agentcore:DeleteCapacityProvider":                                         newer,
	"GetCapacityProvider bedrock-agentcore:GetCapacityProvider":                                               newer,
	"ListCapacityProviders bedrock-agentcore:ListCapacityProviders":                                           newer,
	"UpdateCapacityProvider bedrock-agentcore:UpdateCapacityProvider":                                         newer,
	"ListAgentRuntimeVersionsByCapacityProvider bedrock-agentcore:ListAgentRuntimeVersionsByCapacityProvider": newer,
	"CreateConsentPortal bedrock-agentcore:CreateConsentPortal":                                               newer,
	"DeleteConsentPortal bedrock-agentcore:DeleteConsentPortal":                                               newer,
	"GetConsentPortal bedrock-agentcore:GetConsentPortal":                                                     newer,
	"ListConsentPortals bedrock-agentcore:ListConsentPortals":                                                 newer,
	"UpdateConsentPortal bedrock-agentcore:UpdateConsentPortal":                                               newer,
	"ResetTokenVaultKeyMaterial bedrock-agentcore:ResetTokenVaultKeyMaterial":                                 newer,
	"InvokeWebSearch bedrock-agentcore:InvokeWebSearch":                                                       newer,
	"InvokeAgentRuntimeCommandShell bedrock-agentcore:InvokeAgentRuntimeCommandShell":                         newer,
	"BatchPutGatewayRateLimits bedrock-agentcore:BatchPutGatewayRateLimits":                                   newer,
	"CreateGatewayRateLimit bedrock-agentcore:CreateGatewayRateLimit":                                         newer,
	"CreateGatewayRule bedrock-agentcore:CreateGatewayRule":                                                   newer,
	"DeleteGatewayRateLimit bedrock-agentcore:DeleteGatewayRateLimit":                                         newer,
	"DeleteGatewayRule bedrock-agentcore:DeleteGatewayRule":                                                   newer,
	"GetGatewayRateLimit bedrock-agentcore:GetGatewayRateLimit":                                               newer,
	"GetGatewayRule bedrock-agentcore:GetGatewayRule":                                                         newer,
	"ListGatewayRateLimits bedrock-agentcore:ListGatewayRateLimits":                                           newer,
	"ListGatewayRules bedrock-agentcore:ListGatewayRules":                                                     newer,
	"UpdateGatewayRateLimit bedrock-agentcore:UpdateGatewayRateLimit":                                         newer,
	"UpdateGatewayRule bedrock-agentcore:UpdateGatewayRule":                                                   newer,
	"ListAgentRuntimeEndpoints bedrock-agentcore:ListAgentRuntimeEndpoints":                                   "it lists those of one runtime, and a policy for that one is enough here",
	"GetFederationToken sts:TagSession":                                                                       "the session's own ARN; the tables have whose sessions roles and users are",
}

const newer = "the operation is newer than the tables"

// tables are the published actions of all services.
type tables map[string]map[string][]string

// agree holds what an operation asks for against the tables: each action is one of
// AWS's, on a resource that AWS's action is about, or stands in departures.
func (t tables) agree(op string, r requirement) error {
	service, name, _ := strings.Cut(r.action, ":")
	if t == nil || t[service] == nil && service == ownService {
		return nil // there is nothing to agree with
	}
	_, departs := departures[op+" "+r.action]
	err := t.find(service, name, r.resource)
	switch {
	case err != nil && !departs:
		return fmt.Errorf("%s asks for %s: %w; mend its requirements or say why in departures", op, r.action, err)
	case err == nil && departs:
		return fmt.Errorf("%s asks for %s as the action tables have it: take it out of departures", op, r.action)
	}
	return nil
}

// ownService is not AWS's.
const ownService = "outcrop"

func (t tables) find(service, name, resource string) error {
	templates, known := t[service][name]
	if !known {
		return fmt.Errorf("the action tables do not have it")
	}
	if resource == "*" && len(templates) == 0 || strings.HasPrefix(resource, "{") { // an ARN that the caller gives whole
		return nil
	}
	for _, template := range templates {
		pattern := strings.ReplaceAll(regexp.QuoteMeta(outline(template)), `\*`, ".*")
		if regexp.MustCompile("^" + pattern + "$").MatchString(outline(resource)) {
			return nil
		}
	}
	return fmt.Errorf("it is on %s, and in the action tables on %q", resource, templates)
}

var hole = regexp.MustCompile(`\$?\{[^}]*\}`)

// outline is an ARN, or a template of one, with a star for each variable. Names that
// begin with a fixed part are written with it.
func outline(arn string) string {
	arn = strings.NewReplacer("{Path:/}", "/", "{AliasName}", "alias/*").Replace(arn)
	return strings.Replace(hole.ReplaceAllString(arn, "*"), "arn:*:", "arn:aws:", 1)
}
