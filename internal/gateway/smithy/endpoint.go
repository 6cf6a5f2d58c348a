package smithy

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/gateway/smithy/rules"
)

// readEndpoint reads how the service's URL is found and how it is signed for.
func (m *Model) readEndpoint(id string, service *astShape, p *problems) {
	var sigv4 struct {
		Name string `json:"name"`
	}
	if json.Unmarshal(service.Traits["aws.auth#sigv4"], &sigv4) == nil {
		m.signing = sigv4.Name
	}
	for _, name := range []string{id, m.signing} {
		if m.options.BaseURL == "" {
			m.options.BaseURL = m.options.Endpoints[name]
		}
	}
	if m.options.BaseURL != "" {
		if _, err := parseBase(m.options.BaseURL); err != nil {
			p.add("", fmt.Sprintf("the base URL: %v", err), "give one such as https://api.example.com")
		}
	}
	var err error
	trait := "smithy.rules#endpointRuleSet"
	switch {
	case service.Traits.has(trait):
		m.rules, err = rules.Parse(service.Traits[trait])
	case service.Traits.has("smithy.rules#endpointBdd"):
		trait = "smithy.rules#endpointBdd"
		m.rules, err = rules.ParseDiagram(service.Traits[trait])
	case m.options.BaseURL == "":
		p.add(id, "does not say where it is: it has no trait "+trait, "add the trait, or have whoever runs this server name the service's URL: outcrop serve --smithy-endpoint "+id+"=URL")
	}
	if err != nil {
		p.add(id, "its trait "+trait+" is not as it should be: "+err.Error(), "write it as Smithy's rules engine specification has it")
		return
	}
	if m.rules != nil {
		_, bucket := m.rules.Parameters()["Bucket"]
		_, style := m.rules.Parameters()["ForcePathStyle"]
		m.bucketInHost = bucket && style
	}
}

// parseBase reads the URL of a service.
func parseBase(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("is no URL")
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("has no scheme https or http")
	case u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "":
		return nil, errors.New("has more or less than a scheme, a host, a port and a path")
	case !isHost(u.Hostname()):
		return nil, errors.New("has a host that no host is called")
	}
	return u, nil
}

func isHost(name string) bool {
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return len(name) <= 253 && rules.IsHostLabel(strings.TrimSuffix(name, "."), true)
}

// destination is where a call goes.
type destination struct {
	url     *url.URL
	headers map[string][]string
	signing Signing
	// byRules is set where the endpoint rules found it.
	byRules bool
}

// endpoint finds where a call goes.
func (m *Model) endpoint(op *operation, args map[string]any) (destination, error) {
	d := destination{signing: Signing{Service: m.signing, Region: m.options.Region}}
	base := m.options.BaseURL
	if m.rules != nil && (base == "" || m.takesBase()) {
		e, err := m.rules.Resolve(m.parameters(op, args))
		if err != nil {
			return d, fmt.Errorf("find the endpoint of %s: %w", op.id, err)
		}
		base, d.headers, d.byRules = e.URL, e.Headers, true
		if d.signing, err = m.schemes(d.signing, e.Properties); err != nil {
			return d, fmt.Errorf("sign for the endpoint of %s: %w", op.id, err)
		}
	}
	if !op.signed {
		d.signing = Signing{}
	}
	u, err := parseBase(base)
	if err == nil && u.Scheme == "http" && !strings.HasPrefix(m.options.BaseURL, "http:") {
		err = errors.New("is not of https")
	}
	if err == nil && slices.ContainsFunc(strings.Split(u.Path, "/"), func(s string) bool { return s == "." || s == ".." }) {
		err = errors.New("has a path that leads elsewhere")
	}
	for name, values := range d.headers {
		if isReserved(name) || slices.ContainsFunc(values, hasControls) {
			err = fmt.Errorf("has the header %q, which cannot be set so", name)
		}
	}
	if err != nil {
		return d, fmt.Errorf("the endpoint %s of %s %w", base, op.id, err)
	}
	d.url = u
	return d, op.prefix(u, args)
}

// takesBase says whether the rules have a parameter for a custom endpoint.
func (m *Model) takesBase() bool {
	for _, p := range m.rules.Parameters() {
		if p.BuiltIn == "SDK::Endpoint" {
			return true
		}
	}
	return false
}

// parameters are what endpoint rules are given, the least specific first (Smithy's rules
// engine, "binding parameter values").
func (m *Model) parameters(op *operation, args map[string]any) map[string]any {
	out := map[string]any{}
	for name, p := range m.rules.Parameters() {
		switch p.BuiltIn {
		case "AWS::Region":
			set(out, name, m.options.Region)
		case "SDK::Endpoint":
			set(out, name, m.options.BaseURL)
		case "AWS::UseFIPS":
			out[name] = m.options.FIPS
		case "AWS::UseDualStack":
			out[name] = m.options.DualStack
		}
	}
	maps.Copy(out, m.options.Client)
	for _, member := range op.input.members {
		if v := args[member.arg]; member.context != "" && v != nil {
			out[member.context] = v
		}
	}
	maps.Copy(out, op.static)
	return out
}

func set(params map[string]any, name, value string) {
	if value != "" {
		params[name] = value
	}
}

// schemes takes from an endpoint's authSchemes how calls to it are signed.
func (m *Model) schemes(s Signing, properties map[string]any) (Signing, error) {
	list, _ := properties["authSchemes"].([]any)
	var others []string
	for _, item := range list {
		scheme, _ := item.(map[string]any)
		name, _ := scheme["name"].(string)
		if name != "sigv4" {
			others = append(others, name)
			continue
		}
		if v, _ := scheme["signingName"].(string); v != "" {
			s.Service = v
		}
		if v, _ := scheme["signingRegion"].(string); v != "" {
			s.Region = v
		}
		s.PlainPath, _ = scheme["disableDoubleEncoding"].(bool)
		return s, nil
	}
	if len(others) > 0 && m.signing != "" {
		return s, fmt.Errorf("it takes %s, and requests are signed by sigv4", strings.Join(others, ", "))
	}
	return s, nil
}

// prefix puts an operation's hostPrefix before the host. An address, and localhost, has
// nothing before it.
func (op *operation) prefix(u *url.URL, args map[string]any) error {
	host := u.Hostname()
	if _, err := netip.ParseAddr(host); err == nil || len(op.host) == 0 || host == "localhost" {
		return nil
	}
	var b strings.Builder
	var top *path
	for _, s := range op.host {
		if s.member == nil {
			b.WriteString(s.text)
			continue
		}
		at := top.key(s.member.arg)
		text, err := simpleText(s.member, args[s.member.arg], inLabel, at)
		if err != nil {
			return err
		}
		if !rules.IsHostLabel(text, false) {
			return at.wrong("is part of the host, and must have 1 to 63 letters, digits and hyphens")
		}
		b.WriteString(text)
	}
	host = b.String() + host
	if !isHost(host) {
		return fmt.Errorf("the host %s of %s is none", host, op.id)
	}
	if port := u.Port(); port != "" {
		host = net.JoinHostPort(host, port)
	}
	u.Host = host
	return nil
}
