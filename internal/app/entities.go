package app

import (
	"context"
	"strings"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/principal"
)

// entities complete the ARNs of IAM's users, groups and roles, which have a path that
// requests do not name, and of OpenID Connect providers, which requests name by a URL.
type entities struct{ directory *principal.Directory }

// self stands in the overlay of IAM for the user who calls. No entity can be called so.
const self = "~self"

// holderKinds are those of the entities by the words in their ARNs.
var holderKinds = map[string]principal.HolderKind{"user": principal.UserHolder, "group": principal.GroupHolder, "role": principal.RoleHolder}

// complete returns the ARN of the entity that is there. One that is not there keeps
// what was asked for, and a caller who is no user has no self but any.
func (e entities) complete(ctx context.Context, service string, p auth.Principal, arn string) (string, error) {
	if service != "iam" {
		return arn, nil
	}
	account := e.directory.Account().ID
	rest, ok := strings.CutPrefix(arn, "arn:aws:iam::"+account+":")
	kind, name, named := strings.Cut(rest, "/")
	if ok && kind == "oidc-provider" { // a request names a URL, the ARN has no scheme
		return "arn:aws:iam::" + account + ":oidc-provider/" + principal.IssuerHost(name), nil
	}
	if !ok || !named || name == "" || strings.ContainsAny(name, "/*") {
		return arn, nil
	}
	if kind == "user" && name == self {
		if p.Kind == auth.User {
			return p.ARN, nil
		}
		return "arn:aws:iam::" + account + ":user/*", nil
	}
	holder, ok := holderKinds[kind]
	if !ok {
		return arn, nil
	}
	found, err := e.directory.HolderARN(ctx, principal.Holder{Kind: holder, Name: name})
	if fault.Is(err, principal.CodeNoSuchEntity) {
		return arn, nil
	}
	return found, err
}
