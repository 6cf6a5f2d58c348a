package issuer

import (
	"net/url"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/fault"
)

// IsClientURL reports whether the id of a client is to be the URL of a document that the
// client publishes about itself, in place of registering
// (draft-ietf-oauth-client-id-metadata-document-02). No other client's id is a URL.
func IsClientURL(id string) bool { return strings.HasPrefix(id, "https://") }

// maxClientURL bounds such an id, in bytes: it is shown, recorded and in every token.
const maxClientURL = 512

// CheckClientURL refuses what is no such id (the draft's section 3). One that can be written
// in two ways is refused too: the document repeats it to the letter, and its host is shown.
func CheckClientURL(id string) error {
	u, err := url.Parse(id)
	switch {
	case len(id) > maxClientURL:
		return Invalid("The client_id has %d bytes; a URL has at most %d", len(id), maxClientURL)
	case err != nil || !IsClientURL(id) || u.Hostname() == "" || u.String() != id || strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' }):
		return Invalid("The client_id is no https URL in its plain form")
	case u.User != nil || strings.Contains(id, "#"):
		return Invalid("The client_id has a user name or a fragment; a URL of a client's document has neither")
	case u.Path == "" || slices.ContainsFunc(strings.Split(u.Path, "/"), func(part string) bool { return part == "." || part == ".." }):
		return Invalid("The client_id needs a path, without . and ..; write https://app.example/client.json")
	}
	return nil
}

// published is the client with such an id, as far as the id says. Nothing of it is stored:
// the rest is in its document, which is read where its users sign in.
func (p Pool) published(id string) (Client, error) {
	if !p.Registration.Open || CheckClientURL(id) != nil {
		return Client{}, noClient(id)
	}
	return Client{Scope: p.Scope, PoolID: p.ID, ID: id, Published: true, ClientSettings: ClientSettings{
		OAuth: true, Grants: []string{"code"}, Scopes: p.openScopes(nil), Dynamic: true, Rotates: true,
	}}, nil
}

// Saying returns a published client with what its document says.
func (c Client) Saying(name string, redirects, scopes []string) (Client, error) {
	c.Name, c.Callbacks = name, redirects
	if len(scopes) > 0 {
		c.Scopes = slices.DeleteFunc(slices.Clone(c.Scopes), func(s string) bool { return !slices.Contains(scopes, s) })
	}
	if len(c.Scopes) == 0 {
		return c, errNoScope()
	}
	return c, nil
}

func errNoScope() error {
	return fault.BadRequest(CodeScopeUnknown, "None of the scopes is open to clients that register themselves")
}

// openScopes are the scopes asked for of those that clients have that the pool's owner has
// not made; without any asked for all. They are those of OpenID Connect and what the
// owner adds (cognito-idp's API reference, DcrConfigurationType).
func (p Pool) openScopes(asked []string) (out []string) {
	for _, s := range append([]string{"openid", "email", "phone", "profile"}, p.Registration.Scopes...) {
		if !slices.Contains(out, s) && (len(asked) == 0 || slices.Contains(asked, s)) {
			out = append(out, s)
		}
	}
	return out
}
