package auth

import (
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/auth/policy"
)

// Kind says what sort of identity a principal is.
type Kind uint8

// The kinds of principal. The zero value is nobody and is allowed nothing.
const (
	Nobody        Kind = iota
	Root               // the account itself: its root access key
	User               // an IAM user
	AssumedRole        // a session of a role
	Service            // a service that acts for itself; its ID is its name
	Bearer             // whoever a token of an issuer speaks for that a resource trusts
	FederatedUser      // a session of GetFederationToken
)

var kindNames = [...]string{"nobody", "root", "user", "assumed-role", "service", "bearer", "federated-user"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// MarshalText writes the kind's name, so that stored records stay readable.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads what MarshalText wrote. An unknown name is Nobody, so a
// record from a newer version gives no rights here.
func (k *Kind) UnmarshalText(text []byte) error {
	*k = Nobody
	for i, name := range kindNames {
		if name == string(text) {
			*k = Kind(i)
		}
	}
	return nil
}

// Principal is who a request was authenticated as.
type Principal struct {
	// Account is the 12 digit account the principal belongs to.
	Account string
	// ARN names the principal, for example arn:aws:iam::123456789012:root.
	ARN string
	// ID is the access key id that signed, or the subject of a token.
	ID string
	// UserID is aws:userid: the account of root, the unique id of a user,
	// ROLEID:SESSION of an assumed role.
	UserID string
	// Entity is the unique id of the user or role whose policies count. It is
	// empty for a root, and for a session of a role that does not exist.
	Entity string
	Kind   Kind
	// Admitted is the ARN of the resource that a Bearer was let in to. It has no
	// rights but there, and on what that is part of as far as it is: those of a call
	// that goes through a runtime's endpoint, not those of another endpoint.
	Admitted string
	// Session is what temporary credentials say of their session; nil for those
	// that last.
	Session *Session
}

// Session is what is fixed of a session when it is made.
type Session struct {
	// Source is the ARN of the role or user that it is a session of, empty where
	// there is none.
	Source string
	// Issued is when the credentials were made: aws:TokenIssueTime.
	Issued time.Time
	// Expires is when they end; zero where that is not known.
	Expires time.Time
	// Policies are the texts of the session policies, and PolicyARNs managed
	// ones. Limited says that there were some, even if they are none.
	Policies   []string
	PolicyARNs []string
	Limited    bool
	// Tags are session tags, by key; Transitive are the keys of those that
	// sessions which this one makes will have.
	Tags       map[string]string
	Transitive []string
	// SourceIdentity is aws:SourceIdentity.
	SourceIdentity string
	// Provider is aws:FederatedProvider of a session made by an identity token.
	Provider string
	// User is set for the sessions of GetSessionToken and GetFederationToken,
	// which may not ask for other credentials or change identities.
	User bool
	// Guest is set for the session of an agent, which ends with the agent's.
	Guest bool
	// Forwarded is set where a gateway goes on as who called it: aws:ViaAWSService (IAM
	// guide, "Forward access sessions").
	Forwarded bool
}

// forwarder is what calls of forwarded sessions come from: aws:CalledVia.
const forwarder = "bedrock-agentcore.amazonaws.com"

func (p *Principal) forwarded() bool { return p.Session != nil && p.Session.Forwarded }

// RootARN returns the ARN of an account's root principal.
func RootARN(account string) string { return "arn:aws:iam::" + account + ":root" }

// admitted reports whether a Bearer was let in to a resource, or to a part of it.
func (p *Principal) admitted(resource string) bool {
	return p.Admitted != "" && (resource == p.Admitted || strings.HasPrefix(p.Admitted, resource+"/"))
}

// InPolicies is p as policies name it. A Bearer is nobody to them: its resource's own
// policy alone decides.
func (p *Principal) InPolicies() policy.Principal {
	out := policy.Principal{Account: p.Account, ARN: p.ARN, ID: p.Entity}
	switch p.Kind {
	case Root:
		out.Kind = policy.Root
	case User:
		out.Kind = policy.User
	case AssumedRole:
		out.Kind = policy.RoleSession
	case FederatedUser:
		out.Kind = policy.FederatedUser
	case Service:
		return policy.Principal{Kind: policy.Service, Names: []string{p.ID}}
	default:
		return policy.Principal{}
	}
	if p.Session != nil && p.Kind != User && p.Kind != Root {
		out.Source = p.Session.Source
	}
	return out
}

// sourceARN is aws:PrincipalArn: of a session, the role.
func (p *Principal) sourceARN() string {
	if p.Kind == AssumedRole && p.Session != nil && p.Session.Source != "" {
		return p.Session.Source
	}
	return p.ARN
}

// userName is aws:username, which only users have.
func (p *Principal) userName() string {
	if p.Kind != User {
		return ""
	}
	return p.ARN[strings.LastIndexByte(p.ARN, '/')+1:]
}
