package rest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"

	"github.com/outcrop/outcrop/internal/gateway/smithy"
	"github.com/outcrop/outcrop/internal/gateway/smithy/rules"
	"github.com/outcrop/outcrop/internal/gateway/target"
)

// SmithyKind is the kind of targets that are Smithy models.
const SmithyKind target.Kind = "SMITHY_MODEL"

// Smithy is the target.Driver of Smithy models.
type Smithy struct {
	Config
	// Endpoints are the URLs of services that the operator names, as smithy.Options has
	// them.
	Endpoints map[string]string
	// Sign signs requests, unless the target has another credential than the role.
	Sign Signer
}

var _ target.Driver = Smithy{}

func (d Smithy) parse(s target.Source) (*smithy.Model, error) {
	m, err := smithy.Parse(s.Schema, smithy.Options{Region: s.Scope.Region, Endpoints: d.Endpoints})
	if refusal, ok := errors.AsType[*smithy.Refusal](err); ok {
		return nil, &target.Unfit{Reasons: refusal.Reasons()}
	}
	return m, err
}

// Catalogue implements target.Driver.
func (d Smithy) Catalogue(_ context.Context, s target.Source) (target.Catalogue, error) {
	m, err := d.parse(s)
	if err != nil {
		return target.Catalogue{}, err
	}
	return target.Catalogue{Tools: m.Tools(), Warnings: m.Warnings()}, nil
}

// Open implements target.Driver.
func (d Smithy) Open(s target.Source, _ target.Catalogue) (target.Server, error) {
	m, err := d.parse(s)
	if err != nil {
		return nil, err
	}
	if actsAsRole(s) {
		return d.open(s, &model{Model: m, sign: func(at Service) target.Credentials { return d.Sign(s, at) }}, nil)
	}
	credentials, err := d.credentials(s)
	if err != nil {
		return nil, err
	}
	return d.open(s, &model{Model: m}, credentials)
}

// model is an api of Smithy.
type model struct {
	*smithy.Model
	sign func(Service) target.Credentials // nil where the target's credential is another

	mu     sync.Mutex
	signed map[Service]target.Credentials
}

// maxSigned bounds the services whose credentials are kept. A model has one, but where its
// endpoint rules say otherwise.
const maxSigned = 64

func (m *model) request(ctx context.Context, tool string, arguments json.RawMessage) (*http.Request, target.Credentials, error) {
	r, err := m.Request(ctx, tool, arguments)
	argument, ok := errors.AsType[*smithy.ArgumentError](err)
	_, nowhere := errors.AsType[*rules.Error](err)
	switch {
	case ok:
		return nil, nil, &badArguments{argument}
	case nowhere:
		return nil, nil, &badArguments{err} // such as a bucket that no bucket is called
	case errors.Is(err, smithy.ErrUnknownTool):
		return nil, nil, err
	case err != nil:
		return nil, nil, fail(m, nil, "No request can be made: %v", err)
	case m.sign == nil || r.Signing.Service == "":
		return r.HTTP, nil, nil
	}
	return r.HTTP, m.credentials(Service{r.Signing.Service, r.Signing.Region, r.Signing.PlainPath}), nil
}

// credentials are those for a service, made once.
func (m *model) credentials(at Service) target.Credentials {
	m.mu.Lock()
	defer m.mu.Unlock()
	if have := m.signed[at]; have != nil {
		return have
	}
	made := m.sign(at)
	if m.signed == nil || len(m.signed) >= maxSigned {
		m.signed = map[Service]target.Credentials{}
	}
	m.signed[at] = made
	return made
}

func (m *model) answer(tool string, a *answer) (content, error) {
	got, err := m.Response(tool, a.status, a.header, a.body)
	switch {
	case !a.ok() && (err != nil || got.Failure == nil || got.Failure.Type == ""):
		return content{}, a.failure(m)
	case !a.ok():
		return content{}, fail(m, nil, "The service answered with status %d %s: %v", a.status, http.StatusText(a.status), got.Failure)
	case err != nil:
		return content{}, fail(m, nil, "The service's answer is not what the model says: %v", err)
	}
	return text(string(got.JSON)), nil
}

func (*model) exception() string { return "SmithyClientException" }
