package connector

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway/target"
)

// HTTPKind is the kind of targets whose connector is asked over HTTP.
const HTTPKind target.Kind = agentcorecontrol.TargetTypeHTTP_CONNECTOR

const (
	httpField       = "targetConfiguration.http.connector"
	httpSourceField = httpField + ".source.connectorId"
	parametersField = httpField + ".parameters"
)

// Endpoint is an HTTP connector that the operator registered.
type Endpoint struct {
	// URL is what a caller's path follows. Names in braces in its path are the target's
	// parameters, of which each is one piece of the path.
	URL    string
	Driver target.Driver // of targets that are HTTP endpoints
	Kind   target.Kind   // of that driver
}

// HTTPDriver is the target.Driver of connectors that are asked over HTTP.
type HTTPDriver struct {
	// Registered are the operator's by their ids.
	Registered map[string]Endpoint
}

var (
	_ target.Driver  = HTTPDriver{}
	_ target.Checker = HTTPDriver{}
)

// Check implements target.Checker.
func (d HTTPDriver) Check(c *agentcorecontrol.TargetConfiguration, _ *agentcorecontrol.CredentialProviderConfiguration) error {
	of := c.Http.Connector
	id := ""
	if of.Source != nil {
		id = wire.Text(of.Source.ConnectorId)
	}
	e, ok := d.Registered[id]
	if !ok {
		return fault.Invalid(httpSourceField, "%s", d.unknown(id))
	}
	if _, err := e.fill(of.Parameters); err != nil {
		return fault.Invalid(parametersField, "%s: %s", parametersField, err)
	}
	return nil
}

func (d HTTPDriver) unknown(id string) string {
	text := "There is no HTTP connector '" + clip(id) + "'. "
	if strings.Contains(id, "memory") {
		text += "The Memory service, which AWS's connector of that kind asks, is not built yet. "
	}
	if len(d.Registered) > 0 {
		text += "There are " + strings.Join(slices.Sorted(maps.Keys(d.Registered)), ", ") + ". "
	}
	return text + "For another endpoint use http.passthrough, or " + howToRegister
}

// Catalogue implements target.Driver.
func (d HTTPDriver) Catalogue(ctx context.Context, s target.Source) (target.Catalogue, error) {
	e, inner, err := d.source(s)
	if err != nil {
		return target.Catalogue{}, err
	}
	return e.Driver.Catalogue(ctx, inner)
}

// Open implements target.Driver.
func (d HTTPDriver) Open(s target.Source, c target.Catalogue) (target.Server, error) {
	e, inner, err := d.source(s)
	if err != nil {
		return nil, err
	}
	return e.Driver.Open(inner, c)
}

// source is a target as the driver of its endpoint knows it.
func (d HTTPDriver) source(s target.Source) (Endpoint, target.Source, error) {
	if s.Config == nil || s.Config.Http == nil || s.Config.Http.Connector == nil || s.Config.Http.Connector.Source == nil {
		return Endpoint{}, s, target.Unfitf("%s.source is missing", httpField)
	}
	of := s.Config.Http.Connector
	id := wire.Text(of.Source.ConnectorId)
	e, ok := d.Registered[id]
	if !ok {
		return e, s, target.Unfitf("%s: %s", httpSourceField, d.unknown(id))
	}
	at, err := e.fill(of.Parameters)
	if err != nil {
		return e, s, target.Unfitf("%s: %s", parametersField, err)
	}
	return e, As(s, e.Kind, &agentcorecontrol.TargetConfiguration{Http: &agentcorecontrol.HttpTargetConfiguration{Passthrough: &agentcorecontrol.PassthroughTargetConfiguration{
		Endpoint: &at, ProtocolType: new(agentcorecontrol.PassthroughProtocolTypeCUSTOM),
	}}}, nil), nil
}

// placeholder is a parameter in the path of an endpoint.
var placeholder = regexp.MustCompile(`\{([a-zA-Z][a-zA-Z0-9_-]*)\}`)

// Placeholders are the parameters of an endpoint's URL. The error says what is wrong with it.
func Placeholders(text string) ([]string, error) {
	scheme, rest, _ := strings.Cut(text, "://")
	host, path, _ := strings.Cut(rest, "/")
	if strings.ContainsAny(scheme+host, "{}") {
		return nil, fmt.Errorf("has a parameter outside of its path")
	}
	var names []string
	for _, m := range placeholder.FindAllStringSubmatch(path, -1) {
		names = append(names, m[1])
	}
	for _, piece := range strings.Split(path, "/") {
		if plain := placeholder.ReplaceAllString(piece, ""); strings.ContainsAny(plain, "{}") || plain != "" && plain != piece {
			return nil, fmt.Errorf("has '%s' in its path; a parameter {name} stands alone between slashes", clip(piece))
		}
	}
	return names, nil
}

// fill puts a target's parameters into the URL.
func (e Endpoint) fill(given map[string]string) (string, error) {
	names, err := Placeholders(e.URL)
	if err != nil {
		return "", err
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !slices.Contains(names, name) {
			return "", fmt.Errorf("the connector has no parameter '%s'; it has %s", clip(name), listed(names))
		}
	}
	out := e.URL
	for _, name := range names {
		value, ok := given[name]
		switch {
		case !ok:
			return "", fmt.Errorf("the parameter '%s' is missing; the connector has %s", name, listed(names))
		case value == "" || value == "." || value == ".." || strings.ContainsAny(value, "/\\") || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }):
			return "", fmt.Errorf("the value of '%s' is one piece of a path: neither empty nor . nor .., and without slashes and control characters", name)
		}
		out = strings.ReplaceAll(out, "{"+name+"}", url.PathEscape(value))
	}
	return out, nil
}

func listed(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
