package rest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/gateway/openapi"
	"github.com/outcrop/outcrop/internal/gateway/target"
)

// OpenAPIKind is the kind of targets that are OpenAPI documents.
const OpenAPIKind target.Kind = "OPEN_API_SCHEMA"

// OpenAPI is the target.Driver of OpenAPI documents.
type OpenAPI struct{ Config }

var _ target.Driver = OpenAPI{}

func (d OpenAPI) parse(s target.Source) (*openapi.Document, error) {
	in, name := keyed(s)
	doc, err := openapi.Parse(s.Schema, openapi.Options{AllowHTTP: d.AllowHTTP, Strict: d.Strict, FilledIn: in, Filled: name})
	if problems, ok := errors.AsType[*openapi.Problems](err); ok {
		return nil, &target.Unfit{Reasons: problems.Reasons()}
	}
	return doc, err
}

// keyed is where the target's API key goes, which many documents list among the parameters,
// too. A key without a name goes where no parameter is.
func keyed(s target.Source) (in, name string) {
	if s.Credential == nil || s.Credential.CredentialProvider == nil || s.Credential.CredentialProvider.ApiKeyCredentialProvider == nil {
		return "", ""
	}
	key := s.Credential.CredentialProvider.ApiKeyCredentialProvider
	in = "header"
	if wire.Text(key.CredentialLocation) == agentcorecontrol.ApiKeyCredentialLocationQUERY_PARAMETER {
		in = "query"
	}
	return in, wire.Text(key.CredentialParameterName)
}

// Catalogue implements target.Driver.
func (d OpenAPI) Catalogue(_ context.Context, s target.Source) (target.Catalogue, error) {
	doc, err := d.parse(s)
	if err != nil {
		return target.Catalogue{}, err
	}
	return target.Catalogue{Tools: doc.Tools(), Warnings: doc.Warnings()}, nil
}

// Open implements target.Driver.
func (d OpenAPI) Open(s target.Source, _ target.Catalogue) (target.Server, error) {
	doc, err := d.parse(s)
	if err != nil {
		return nil, err
	}
	credentials, err := d.credentials(s)
	if err != nil {
		return nil, err
	}
	server, err := d.open(s, document{doc}, credentials)
	if err != nil {
		return nil, err
	}
	return addressed{server, doc}, nil
}

// addressed is a server of OpenAPI.
type addressed struct {
	target.Server
	doc *openapi.Document
}

var _ target.Addressed = addressed{}

// Addresses implements target.Addressed.
func (a addressed) Addresses() []*url.URL { return a.doc.Servers() }

// document is an api of OpenAPI.
type document struct{ *openapi.Document }

func (d document) request(ctx context.Context, tool string, arguments json.RawMessage) (*http.Request, target.Credentials, error) {
	r, err := d.Request(ctx, tool, arguments)
	if bad, ok := errors.AsType[*openapi.ArgumentError](err); ok {
		return nil, nil, &badArguments{bad}
	}
	return r, nil, err
}

func (d document) answer(_ string, a *answer) (content, error) {
	if !a.ok() {
		return content{}, a.failure(d)
	}
	return a.block(), nil
}

func (document) exception() string { return "OpenAPIClientException" }
