package cli

import (
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/outcrop/outcrop/internal/outbound"
)

// GatewayOptions say where gateways find services of AWS's kind (docs/targets.md).
type GatewayOptions struct {
	// Smithy are the URLs of services of Smithy models, by the name that requests are
	// signed for or by the service's shape id.
	Smithy map[string]string
	// APIGateway is the URL of an API that is API Gateway's, empty where there is none, and
	// Stage the pattern of its stages' URLs, empty for AWS's.
	APIGateway, Stage string

	// Resources are where resource configurations lead that targets' private endpoints
	// name, by their id.
	Resources map[string]outbound.Via

	services, resources []string // Smithy and Resources, as given
}

func (o *GatewayOptions) register(fs *pflag.FlagSet) {
	fs.StringArrayVar(&o.services, "smithy-endpoint", nil, "`SERVICE=URL` at which gateways call a service of Smithy models, by the name that requests to it are signed for or by its shape id (may be repeated; default: where the model says; see docs/targets.md)")
	fs.StringArrayVar(&o.resources, "private-endpoint", nil, "`ID=HOST` or ID=HOST:PORT to which gateways connect for targets whose private endpoint names that resource configuration (may be repeated; default: there is none; see docs/targets.md)")
	fs.Var((*nonEmpty)(&o.APIGateway), "api-gateway-endpoint", "`URL` of an endpoint that speaks API Gateway's API, for gateways' targets that are stages of it (default: there is none; see docs/targets.md)")
	fs.Var((*nonEmpty)(&o.Stage), "api-gateway-stage-url", "`URL` of that endpoint's stages, with {restApiId}, {stage} and {region} in it (default: https://{restApiId}.execute-api.{region}.amazonaws.com/{stage})")
}

// check reads what was given, so that mistakes show before the server starts.
func (o *GatewayOptions) check() error {
	o.Smithy = map[string]string{}
	for _, text := range o.services {
		name, at, ok := strings.Cut(text, "=")
		switch {
		case !ok || name == "":
			return misuse("--smithy-endpoint %s is not of the form SERVICE=URL, such as dynamodb=http://127.0.0.1:8000", text)
		case o.Smithy[name] != "":
			return misuse("--smithy-endpoint has %s twice", name)
		case !isEndpoint(at):
			return misuse("--smithy-endpoint %s: %s", text, noEndpoint)
		}
		o.Smithy[name] = at
	}
	if err := o.checkResources(); err != nil {
		return err
	}
	if o.APIGateway != "" && !isEndpoint(o.APIGateway) {
		return misuse("--api-gateway-endpoint %s: %s", o.APIGateway, noEndpoint)
	}
	if o.Stage == "" {
		return nil
	}
	if o.APIGateway == "" {
		return misuse("--api-gateway-stage-url is for stages that --api-gateway-endpoint knows; give that, too")
	}
	if !strings.Contains(o.Stage, "{restApiId}") || !strings.Contains(o.Stage, "{stage}") {
		return misuse("--api-gateway-stage-url %s must have {restApiId} and {stage} in it: two stages are not at one URL", o.Stage)
	}
	if plain := strings.NewReplacer("{restApiId}", "a", "{stage}", "a", "{region}", "a").Replace(o.Stage); strings.ContainsAny(plain, "{}") || !isEndpoint(plain) {
		return misuse("--api-gateway-stage-url %s is no URL with {restApiId}, {stage} and {region} in it, such as http://127.0.0.1:4566/restapis/{restApiId}/{stage}/_user_request_", o.Stage)
	}
	return nil
}

// checkResources reads where resource configurations lead. What is named is reached
// wherever it is.
func (o *GatewayOptions) checkResources() error {
	o.Resources = map[string]outbound.Via{}
	form := regexp.MustCompile(`^rcfg-[0-9a-z]{17}$`)
	for _, text := range o.resources {
		id, at, _ := strings.Cut(text, "=")
		host, port := strings.Trim(at, "[]"), ""
		if _, err := netip.ParseAddr(host); err != nil && strings.Contains(at, ":") {
			if host, port, err = net.SplitHostPort(at); err != nil {
				host = ""
			} else if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
				host = ""
			}
		}
		_, double := o.Resources[id]
		switch {
		case !form.MatchString(id) || host == "" || strings.ContainsAny(host, "/@*?# \t[]%"):
			return misuse("--private-endpoint %s is not of the form ID=HOST[:PORT], such as rcfg-0123456789abcdef0=tools.office:8443", text)
		case double:
			return misuse("--private-endpoint has %s twice", id)
		}
		o.Resources[id] = outbound.Via{Host: host, Port: port, Opened: true}
	}
	return nil
}

const noEndpoint = "it is no URL of a scheme, a host and perhaps a path, such as http://127.0.0.1:4566"

// isEndpoint reports whether a text is the URL of a service: http or https, a host, and
// perhaps a path.
func isEndpoint(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" && u.User == nil && u.RawQuery == "" && u.Fragment == ""
}
