// Package workload keeps who agents are: workload identities, one for each agent
// that reaches out to services, and the tokens that stand for an agent together with
// the user it works for (spec/identity.md 2.1, 4).
//
// Runtimes and gateways make identities of their own in the transaction that makes
// them; the Identity service answers for the rest.
package workload

import (
	"time"

	"github.com/outcrop/outcrop/internal/store"
)

// Identity is a workload identity.
type Identity struct {
	Scope store.Scope
	// Name is unique in its scope's directory.
	Name string
	// ReturnURLs are where users may be sent back to when they have consented.
	ReturnURLs []string
	Tags       map[string]string
	// Host is the ARN of the runtime or gateway that the identity was made for
	// and goes with; nobody else gets its tokens. It is empty for others.
	Host             string
	Created, Updated time.Time
}

// Directory names the directory that identities are in, of which there is one.
func Directory(scope store.Scope) string {
	return "arn:aws:bedrock-agentcore:" + scope.Region + ":" + scope.Account + ":workload-identity-directory/default"
}

// ARN is the name of an identity to the world.
func ARN(scope store.Scope, name string) string {
	return Directory(scope) + "/workload-identity/" + name
}

// ARN is the identity's name to the world.
func (i Identity) ARN() string { return ARN(i.Scope, i.Name) }

type spec struct {
	ReturnURLs []string          `json:"returnUrls,omitempty"`
	Tags       map[string]string `json:"tags,omitempty"`
}

type state struct {
	Host    string    `json:"host,omitempty"`
	Updated time.Time `json:"updated"`
}

type document = store.Resource[spec, state]

var identities = store.Collection[spec, state]{Kind: "workload-identity"}

func identity(d document) Identity {
	return Identity{
		Scope: d.Scope, Name: d.ID, ReturnURLs: d.Spec.ReturnURLs, Tags: d.Spec.Tags,
		Host: d.State.Host, Created: d.Created, Updated: d.State.Updated,
	}
}

// Create adds an identity, or is store.ErrExists.
func Create(tx store.Tx, i Identity) (Identity, error) {
	d, err := identities.Create(tx, document{
		Scope: i.Scope, ID: i.Name, Spec: spec{i.ReturnURLs, i.Tags}, State: state{i.Host, tx.Now()},
	})
	return identity(d), err
}

// Get reads an identity, or is store.ErrNotFound.
func Get(r store.Reader, scope store.Scope, name string) (Identity, error) {
	d, err := identities.Get(r, scope, name)
	return identity(d), err
}

// List reads a page of a scope's identities, in the order they were made.
func List(r store.Reader, scope store.Scope, page store.Page) (store.Listing[Identity], error) {
	docs, err := identities.List(r, scope, "", page)
	out := store.Listing[Identity]{Next: docs.Next, Items: make([]Identity, 0, len(docs.Items))}
	for _, d := range docs.Items {
		out.Items = append(out.Items, identity(d))
	}
	return out, err
}

// Count tells how many identities a scope has, up to most.
func Count(r store.Reader, scope store.Scope, most int) (n int, err error) {
	for _, err := range identities.Each(r, scope, "") {
		if err != nil {
			return n, err
		}
		if n++; n >= most {
			break
		}
	}
	return n, nil
}

// SetReturnURLs replaces where users may be sent back to.
func SetReturnURLs(tx store.Tx, scope store.Scope, name string, urls []string) (Identity, error) {
	d, err := identities.Update(tx, scope, name, func(d *document) error {
		d.Spec.ReturnURLs, d.State.Updated = urls, tx.Now()
		return nil
	})
	return identity(d), err
}

// SetTags replaces the tags.
func SetTags(tx store.Tx, scope store.Scope, name string, tags map[string]string) error {
	_, err := identities.Update(tx, scope, name, func(d *document) error {
		d.Spec.Tags = tags
		return nil
	})
	return err
}

// Delete takes an identity away with all that is kept for it, or is
// store.ErrNotFound.
func Delete(tx store.Tx, scope store.Scope, name string) error {
	if err := forgetKept(tx, scope, name); err != nil {
		return err
	}
	return identities.Delete(tx, scope, name)
}
