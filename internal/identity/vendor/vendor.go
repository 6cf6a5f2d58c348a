// Package vendor is what is known of the services whose OAuth servers credential
// providers name by a vendor alone: a table of their endpoints, as the vendors publish
// them (spec/identity.md 2.6). It is data, so that an operator can say otherwise.
package vendor

import (
	"bytes"
	_ "embed" // the table
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/identity/oauth"
)

// Vendor is one service. A vendor without endpoints has a server for each tenant, and
// the provider says where.
type Vendor struct {
	Issuer                string `json:"issuer,omitempty"`
	AuthorizationEndpoint string `json:"authorizationEndpoint,omitempty"`
	TokenEndpoint         string `json:"tokenEndpoint,omitempty"`
	// Method is CLIENT_SECRET_BASIC or CLIENT_SECRET_POST; empty is the former.
	Method oauth.Method `json:"clientAuthenticationMethod,omitempty"`
}

// Table is what is known, by the names that the API has for vendors.
type Table map[string]Vendor

//go:embed vendors.json
var published string

// Tenant stands for a tenant in an endpoint.
const Tenant = "{tenant}"

// Published is the table that comes with the program.
func Published() (Table, error) { return Table(nil).With([]byte(published)) }

// With returns the table with the entries of a file in the same form, each in place of
// the whole entry that was there.
func (t Table) With(file []byte) (Table, error) {
	d := json.NewDecoder(bytes.NewReader(file))
	d.DisallowUnknownFields()
	var more Table
	if err := d.Decode(&more); err != nil {
		return nil, fmt.Errorf("read table of OAuth vendors: %w", err)
	}
	if d.More() {
		return nil, errors.New("read table of OAuth vendors: there is more than one JSON object")
	}
	out := maps.Clone(t)
	if out == nil {
		out = Table{}
	}
	for _, name := range slices.Sorted(maps.Keys(more)) {
		v := more[name]
		if t != nil {
			if _, ok := t[name]; !ok {
				return nil, fmt.Errorf("read table of OAuth vendors: %s: there is no such vendor; they are %s", name, strings.Join(slices.Sorted(maps.Keys(t)), ", "))
			}
		}
		if err := v.check(); err != nil {
			return nil, fmt.Errorf("read table of OAuth vendors: %s: %w", name, err)
		}
		out[name] = v
	}
	return out, nil
}

func (v Vendor) check() error {
	if v.Method != "" && v.Method != oauth.Basic && v.Method != oauth.Post {
		return fmt.Errorf("clientAuthenticationMethod is %s, and neither %s nor %s", v.Method, oauth.Basic, oauth.Post)
	}
	if (v.AuthorizationEndpoint == "") != (v.TokenEndpoint == "") {
		return errors.New("it has one of authorizationEndpoint and tokenEndpoint alone")
	}
	for _, e := range []string{v.Issuer, v.AuthorizationEndpoint, v.TokenEndpoint} {
		if e == "" {
			continue
		}
		if err := oauth.CheckEndpoint(strings.ReplaceAll(e, Tenant, "tenant")); err != nil {
			return fmt.Errorf("%s: %w", e, err)
		}
	}
	return nil
}

// For is the vendor for a tenant.
func (v Vendor) For(tenant string) Vendor {
	tenant = url.PathEscape(tenant)
	for _, e := range []*string{&v.Issuer, &v.AuthorizationEndpoint, &v.TokenEndpoint} {
		*e = strings.ReplaceAll(*e, Tenant, tenant)
	}
	return v
}
