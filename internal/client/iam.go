package client

import (
	"context"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/secret"
)

// iam calls one operation of IAM, whose protocol is AWS's query protocol; out is
// filled from the operation's result and may be nil.
func (c *Client) iam(ctx context.Context, action string, in url.Values, out any) error {
	form := url.Values{"Action": {action}, "Version": {"2010-05-08"}}
	for name, values := range in {
		form[name] = values
	}
	body := []byte(form.Encode())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base.JoinPath("/").String(), strings.NewReader(string(body)))
	if err != nil {
		return fmt.Errorf("call %s: %w", action, err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	answer, err := c.answer(c.http, req, "iam", action, body)
	if err != nil || out == nil {
		return err
	}
	if err := xml.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("read answer of %s: %w", action, &NotOutcropError{Endpoint: c.target.Endpoint, Detail: err.Error()})
	}
	return nil
}

// queryError reads a refusal of the query protocol.
func queryError(res *http.Response, body []byte) error {
	var b struct {
		Code      string `xml:"Error>Code"`
		Message   string `xml:"Error>Message"`
		RequestID string `xml:"RequestId"`
	}
	if err := xml.Unmarshal(body, &b); err != nil {
		return &NotOutcropError{Endpoint: endpointOf(res), Detail: "HTTP " + res.Status}
	}
	return &Error{Code: b.Code, Message: b.Message, Status: res.StatusCode, RequestID: b.RequestID}
}

// Holder is a user or a role of IAM: what has policies.
type Holder struct {
	// Kind is User or Role.
	Kind string
	Name string
}

func (h Holder) values(more ...string) url.Values {
	v := url.Values{h.Kind + "Name": {h.Name}}
	for i := 0; i+1 < len(more); i += 2 {
		v.Set(more[i], more[i+1])
	}
	return v
}

// Identity is a user or a role as lists show it.
type Identity struct {
	Name        string    `json:"name"`
	ARN         string    `xml:"Arn" json:"arn"`
	Description string    `json:"description,omitempty"`
	CreateDate  time.Time `json:"createdAt"`
}

// Identities lists all users or all roles.
func (c *Client) Identities(ctx context.Context, kind string) ([]Identity, error) {
	type member struct {
		UserName, RoleName, Arn, Description string
		CreateDate                           time.Time
	}
	var all []Identity
	in := url.Values{"MaxItems": {"1000"}}
	for {
		var out struct {
			Users  []member `xml:"ListUsersResult>Users>member"`
			Roles  []member `xml:"ListRolesResult>Roles>member"`
			Marker string   `xml:"ListUsersResult>Marker"`
			Next   string   `xml:"ListRolesResult>Marker"`
		}
		if err := c.iam(ctx, "List"+kind+"s", in, &out); err != nil {
			return nil, err
		}
		for _, m := range append(out.Users, out.Roles...) {
			all = append(all, Identity{m.UserName + m.RoleName, m.Arn, m.Description, m.CreateDate})
		}
		if out.Marker += out.Next; out.Marker == "" {
			return all, nil
		}
		in.Set("Marker", out.Marker)
	}
}

// CreateUser makes a user and returns the ARN.
func (c *Client) CreateUser(ctx context.Context, name string) (arn string, err error) {
	var out struct {
		Arn string `xml:"CreateUserResult>User>Arn"`
	}
	err = c.iam(ctx, "CreateUser", url.Values{"UserName": {name}}, &out)
	return out.Arn, err
}

// CreateRole makes a role and returns the ARN.
func (c *Client) CreateRole(ctx context.Context, name, trust, description string) (arn string, err error) {
	in := url.Values{"RoleName": {name}, "AssumeRolePolicyDocument": {trust}}
	if description != "" {
		in.Set("Description", description)
	}
	var out struct {
		Arn string `xml:"CreateRoleResult>Role>Arn"`
	}
	err = c.iam(ctx, "CreateRole", in, &out)
	return out.Arn, err
}

// RoleThere reports whether a role exists.
func (c *Client) RoleThere(ctx context.Context, name string) (bool, error) {
	err := c.iam(ctx, "GetRole", url.Values{"RoleName": {name}}, nil)
	if Is(err, "NoSuchEntity") {
		return false, nil
	}
	return err == nil, err
}

// Attach attaches a managed policy to a user or a role.
func (c *Client) Attach(ctx context.Context, h Holder, policyARN string) error {
	return c.iam(ctx, "Attach"+h.Kind+"Policy", h.values("PolicyArn", policyARN), nil)
}

// PutPolicy puts a policy into a user or a role.
func (c *Client) PutPolicy(ctx context.Context, h Holder, name, document string) error {
	return c.iam(ctx, "Put"+h.Kind+"Policy", h.values("PolicyName", name, "PolicyDocument", document), nil)
}

// AccessKey is an access key of a user.
type AccessKey struct {
	ID     string
	Secret secret.String
}

// CreateAccessKey makes an access key of a user.
func (c *Client) CreateAccessKey(ctx context.Context, user string) (AccessKey, error) {
	var out struct {
		ID     string `xml:"CreateAccessKeyResult>AccessKey>AccessKeyId"`
		Secret string `xml:"CreateAccessKeyResult>AccessKey>SecretAccessKey"`
	}
	err := c.iam(ctx, "CreateAccessKey", url.Values{"UserName": {user}}, &out)
	return AccessKey{out.ID, secret.NewString(out.Secret)}, err
}

// DeleteIdentity deletes a user or a role with its policies, and a user's keys and
// memberships.
func (c *Client) DeleteIdentity(ctx context.Context, h Holder) error {
	type step struct{ list, element, remove, as string }
	steps := []step{
		{"List" + h.Kind + "Policies", "member", "Delete" + h.Kind + "Policy", "PolicyName"},
		{"ListAttached" + h.Kind + "Policies", "PolicyArn", "Detach" + h.Kind + "Policy", "PolicyArn"},
	}
	if h.Kind == "User" {
		steps = append(steps, step{"ListAccessKeys", "AccessKeyId", "DeleteAccessKey", "AccessKeyId"},
			step{"ListGroupsForUser", "GroupName", "RemoveUserFromGroup", "GroupName"})
	}
	for _, s := range steps {
		found := texts{of: s.element}
		if err := c.iam(ctx, s.list, h.values("MaxItems", "1000"), &found); err != nil {
			return err
		}
		for _, value := range found.all {
			if err := c.iam(ctx, s.remove, h.values(s.as, value), nil); err != nil {
				return err
			}
		}
	}
	return c.iam(ctx, "Delete"+h.Kind, h.values(), nil)
}

// texts are those of all elements of one name, wherever they stand.
type texts struct {
	of  string
	all []string
}

// UnmarshalXML implements xml.Unmarshaler.
func (t *texts) UnmarshalXML(d *xml.Decoder, _ xml.StartElement) error {
	for depth := 1; depth > 0; {
		token, err := d.Token()
		if err != nil {
			return err
		}
		switch e := token.(type) {
		case xml.StartElement:
			if depth++; e.Name.Local != t.of {
				continue
			}
			var text string
			if err := d.DecodeElement(&text, &e); err != nil {
				return err
			}
			t.all = append(t.all, text)
			depth--
		case xml.EndElement:
			depth--
		}
	}
	return nil
}
