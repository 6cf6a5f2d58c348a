package auth

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"
)

// conditions answers for the condition keys of one requirement. It implements
// policy.Keys.
type conditions struct {
	ctx         context.Context
	principal   Principal
	requirement Requirement
	owner       string
	tags        map[string]string // of the principal
	resources   Resources

	request  *Request
	resource map[string]string // tags of the resource, once they were asked for
	err      error
}

// principalTypes are aws:PrincipalType.
var principalTypes = map[Kind]string{Root: "Account", User: "User", AssumedRole: "AssumedRole", FederatedUser: "FederatedUser"}

// Value returns the values of a key, whose name is in lower case. What a call does
// not have is absent, as at AWS, and not empty.
func (c *conditions) Value(key string) ([]string, bool) {
	if c.request == nil {
		r := RequestFrom(c.ctx)
		c.request = &r
	}
	values, ok := c.value(key)
	if !ok && c.request.Absent != nil {
		c.request.Absent(key)
	}
	return values, ok
}

func (c *conditions) value(key string) ([]string, bool) {
	if v, ok := c.request.Keys[key]; ok {
		return v, true
	}
	name, global := strings.CutPrefix(key, "aws:")
	if !global {
		if i := strings.Index(key, ":resourcetag/"); i > 0 { // iam:ResourceTag/team and the like
			return c.resourceTag(key[i+len(":resourcetag/"):])
		}
		return c.resourceKey(key)
	}
	if kind, tag, ok := strings.Cut(name, "/"); ok {
		switch kind {
		case "principaltag":
			return tagged(c.tags, tag)
		case "resourcetag":
			return c.resourceTag(tag)
		}
		return nil, false
	}
	if v, ok := c.ofRequest(name); ok {
		return present(v)
	}
	return present(c.ofPrincipal(name))
}

// ofRequest answers for keys of the call; ok says that it is one of those.
func (c *conditions) ofRequest(name string) (value string, ok bool) {
	r := c.request
	switch name {
	case "sourceip":
		if r.SourceIP.IsValid() {
			value = r.SourceIP.String()
		}
	case "currenttime":
		value = stamp(r.Time)
	case "epochtime":
		if !r.Time.IsZero() {
			value = strconv.FormatInt(r.Time.Unix(), 10)
		}
	case "securetransport":
		value = strconv.FormatBool(r.Secure)
	case "useragent":
		value = r.UserAgent
	case "referer":
		value = r.Referer
	case "requestedregion":
		value = r.Region
	case "resourceaccount":
		if c.requirement.Resource != "*" {
			value = c.owner
		}
	case "viaawsservice":
		value = strconv.FormatBool(c.principal.forwarded())
	case "calledvia", "calledviafirst", "calledvialast":
		if c.principal.forwarded() {
			value = forwarder
		}
	default:
		return "", false
	}
	return value, true
}

// ofPrincipal answers for keys of who calls. Whom a token speaks for is no principal of
// the account, whose ARN and account a policy may ask for: a Bearer has neither.
func (c *conditions) ofPrincipal(name string) string {
	p := &c.principal
	if p.Kind == Service {
		switch name {
		case "principalisawsservice":
			return "true"
		case "principalservicename", "principalservicenameslist":
			return p.ID
		}
		return ""
	}
	if p.Kind == Bearer && (name == "principalarn" || name == "principalaccount") {
		return ""
	}
	switch name {
	case "principalarn":
		return p.sourceARN()
	case "principalaccount":
		return p.Account
	case "principaltype":
		return principalTypes[p.Kind]
	case "principalisawsservice":
		return "false"
	case "userid":
		return p.UserID
	case "username":
		return p.userName()
	}
	if p.Session == nil {
		return ""
	}
	switch name {
	case "tokenissuetime":
		return stamp(p.Session.Issued)
	case "sourceidentity":
		return p.Session.SourceIdentity
	case "federatedprovider":
		return p.Session.Provider
	case "multifactorauthpresent":
		return "false" // there are no devices
	}
	return ""
}

func (c *conditions) resourceTag(key string) ([]string, bool) {
	if c.resources == nil || c.requirement.Resource == "*" {
		return nil, false
	}
	if c.resource == nil && c.err == nil {
		if c.resource, c.err = c.resources.ResourceTags(c.ctx, c.requirement.Resource); c.resource == nil {
			c.resource = map[string]string{}
		}
	}
	return tagged(c.resource, key)
}

// resourceKey answers for a key of the resource's own service.
func (c *conditions) resourceKey(key string) ([]string, bool) {
	keeper, ok := c.resources.(ResourceKeys)
	if !ok || c.requirement.Resource == "*" {
		return nil, false
	}
	values, err := keeper.ResourceKey(c.ctx, c.requirement.Resource, key)
	if err != nil && c.err == nil {
		c.err = err
	}
	return values, len(values) > 0
}

// tagged returns the values of a tag. Keys of conditions do not differ by case: of tags
// that do it returns all, of which no operator but those for several values holds (IAM
// guide, "Tags", important), as for the tags of a request.
func tagged(tags map[string]string, key string) (values []string, ok bool) {
	for k, v := range tags {
		if strings.EqualFold(k, key) {
			values = append(values, v)
		}
	}
	slices.Sort(values)
	return values, len(values) > 0
}

func present(value string) ([]string, bool) {
	if value == "" {
		return nil, false
	}
	return []string{value}, true
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}
