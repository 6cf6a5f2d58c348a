package runtime

import (
	"fmt"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/inbound"
)

// check holds the rules of a configuration that the model cannot express; the
// model's own hold when it gets here.
func (s *Service) check(in *agentcorecontrol.UpdateAgentRuntimeRequest) error {
	if err := checkLifecycle(in.LifecycleConfiguration, s.cfg.Strict); err != nil {
		return err
	}
	if c := in.RequestHeaderConfiguration; c != nil {
		if err := checkHeaders(c.RequestHeaderAllowlist, in.AuthorizerConfiguration != nil); err != nil {
			return err
		}
	}
	if err := inbound.Check(in.AuthorizerConfiguration); err != nil {
		return err
	}
	if err := checkServer(in.ProtocolConfiguration, in.AllowedPorts); err != nil {
		return err
	}
	if err := checkWarmup(in.HooksConfiguration, serverOf(in.ProtocolConfiguration)); err != nil {
		return err
	}
	if err := checkMemory(in.ResourceConfigurations, s.cfg.MaxMemory); err != nil {
		return err
	}
	if err := s.checkFiles(in); err != nil {
		return err
	}
	if err := checkNetwork(in.NetworkConfiguration); err != nil {
		return err
	}
	if m := in.MetadataConfiguration; m != nil && !*m.RequireMMDSV2 {
		return fault.Invalid("metadataConfiguration.requireMMDSV2", "metadataConfiguration.requireMMDSV2 must be true: the metadata service answers version 2 alone")
	}
	return checkEnvironment(in.EnvironmentVariables)
}

// strictLife is the upper bound that AWS's guide gives for sessions, in seconds,
// where its model allows more (spec/runtime.md 2.8).
const strictLife = 28800

func checkLifecycle(l *agentcorecontrol.LifecycleConfiguration, strict bool) error {
	idle, life := lifecycle(l)
	switch {
	case idle > life:
		return fault.Invalid("lifecycleConfiguration.idleRuntimeSessionTimeout", "idleRuntimeSessionTimeout must be less than or equal to maxLifetime")
	case strict && life > strictLife:
		return fault.Invalid("lifecycleConfiguration.maxLifetime", "maxLifetime must be at most %d on a server that is strict (outcrop serve --strict)", strictLife)
	}
	return nil
}

func checkEnvironment(env map[string]string) error {
	if err := checkSnapshot(env, nil); err != nil {
		return err
	}
	for name := range env {
		if strings.ContainsAny(name, "=\x00") || strings.ContainsRune(env[name], 0) {
			return fault.Invalid("environmentVariables", "environmentVariables: a name must not contain '=' and neither a name nor a value a NUL byte")
		}
	}
	return nil
}

// reservedPort is in the range of an agent's ports and not theirs (spec/runtime.md
// 2.7).
const reservedPort = 8443

// checkServer holds the rules of spec/runtime.md 2.7 and 2.10 that concern several
// members.
func checkServer(c *agentcorecontrol.ProtocolConfiguration, ports []agentcorecontrol.AllowedPort) error {
	if c != nil && c.Port != nil && *c.Port == reservedPort {
		return fault.Invalid("protocolConfiguration.port", "protocolConfiguration.port must not be %d, which is reserved", reservedPort)
	}
	type span struct{ from, to int32 }
	var taken []span
	for i, p := range ports {
		field := fmt.Sprintf("allowedPorts.%d.member", i+1)
		var s span
		switch {
		case p.Port != nil:
			s = span{*p.Port, *p.Port}
		case p.PortRange != nil:
			s = span{*p.PortRange.From, *p.PortRange.To}
		}
		switch {
		case s.from > s.to:
			return fault.Invalid(field, "%s: the range %d to %d is empty; from must be at most to", field, s.from, s.to)
		case s.from <= reservedPort && reservedPort <= s.to:
			return fault.Invalid(field, "%s must not hold %d, which is reserved; give the ranges before and after it", field, reservedPort)
		case slices.ContainsFunc(taken, func(t span) bool { return s.from <= t.to && t.from <= s.to }):
			return fault.Invalid(field, "%s: %d to %d overlaps with an entry before it", field, s.from, s.to)
		}
		taken = append(taken, s)
	}
	return nil
}

// minimumMemory is what a session has at least, in bytes; 0 where its runtime does
// not say.
func minimumMemory(want []agentcorecontrol.ResourceConfiguration) int64 {
	if len(want) == 0 { // one at most, by the model
		return 0
	}
	return int64(*want[0].MinimumMemoryInMiB) << 20
}

// checkMemory refuses what no session can get; most is in bytes, 0 where it is not
// known.
func checkMemory(want []agentcorecontrol.ResourceConfiguration, most int64) error {
	if len(want) == 0 {
		return nil
	}
	const field = "resourceConfigurations.1.member.minimumMemoryInMiB"
	switch bytes := minimumMemory(want); {
	case bytes <= 0:
		return fault.Invalid(field, "%s must be at least 1", field)
	case most > 0 && bytes > most:
		return fault.Invalid(field, "%s must be at most %d, what the sandboxes of this server have together (its memory, or outcrop serve --max-memory)", field, most>>20)
	}
	return nil
}

// checkNetwork holds the rules of spec/runtime.md 2.4 that concern several members.
func checkNetwork(c *agentcorecontrol.NetworkConfiguration) error {
	const field = "networkConfiguration.networkModeConfig"
	if c == nil {
		return nil
	}
	switch vpc := wire.Text(c.NetworkMode) == agentcorecontrol.NetworkModeVPC; {
	case vpc && c.NetworkModeConfig == nil:
		return fault.Invalid(field, "%s is required when networkMode is VPC: it names 1 to 16 subnets and 1 to 16 securityGroups", field)
	case !vpc && c.NetworkModeConfig != nil:
		return fault.Invalid(field, "%s", field+" is for networkMode VPC; leave it out when networkMode is "+wire.Text(c.NetworkMode))
	}
	return nil
}

// customHeader is the only prefix of X-Amzn- that may be handed to an agent.
const customHeader = "x-amzn-bedrock-agentcore-runtime-custom-"

// checkHeaders holds the rules of spec/runtime.md 2.6.
func checkHeaders(names []string, jwt bool) error {
	seen := map[string]bool{}
	for _, name := range names {
		lower := strings.ToLower(name)
		field := "requestHeaderConfiguration.requestHeaderAllowlist"
		switch {
		case seen[lower]:
			return fault.Invalid(field, "Header '%s' is listed twice; names are compared without regard to case", name)
		case lower == "authorization" && !jwt:
			return fault.Invalid(field, "Header 'Authorization' can be passed on only by a runtime with a customJWTAuthorizer")
		case strings.HasPrefix(lower, "x-amz-"):
			return fault.Invalid(field, "%sheader '%s' is reserved: names that start with X-Amz- cannot be passed on", notSatisfied(names), name)
		case strings.HasPrefix(lower, "x-amzn-") && !strings.HasPrefix(lower, customHeader):
			return fault.Invalid(field, "%sheader '%s' is reserved: of the names that start with X-Amzn- only X-Amzn-Bedrock-AgentCore-Runtime-Custom-* can be passed on", notSatisfied(names), name)
		case restricted(lower):
			return fault.Invalid(field, "%sheader '%s' is restricted and cannot be passed on", notSatisfied(names), name)
		}
		seen[lower] = true
	}
	return nil
}

// notSatisfied is how AWS begins to say that an allow-list has a header that cannot be
// passed on: people search for it.
func notSatisfied(names []string) string {
	return "Value '[" + strings.Join(names, ", ") + "]' failed to satisfy constraint: "
}

// restricted reports whether a header name is on the list of spec/runtime.md 2.6.
func restricted(lower string) bool {
	// The second is ours: what agents read their workload access token from comes from
	// nobody else.
	if strings.HasPrefix(lower, "access-control-") || lower == "workloadaccesstoken" {
		return true
	}
	return slices.Contains(strings.Fields(restrictedHeaders), lower)
}

const restrictedHeaders = `proxy-authorization www-authenticate accept accept-charset accept-encoding accept-language content-type content-length
	content-encoding content-language content-location content-range cache-control etag expires if-match if-modified-since if-none-match if-range
	if-unmodified-since last-modified pragma vary connection keep-alive proxy-connection upgrade host user-agent referer from range accept-ranges
	transfer-encoding te trailer server date location retry-after set-cookie cookie content-security-policy content-security-policy-report-only
	strict-transport-security x-content-type-options x-frame-options x-xss-protection referrer-policy permissions-policy
	cross-origin-embedder-policy cross-origin-opener-policy cross-origin-resource-policy origin accept-ch accept-ch-lifetime dpr width
	viewport-width downlink ect rtt save-data clear-site-data feature-policy expect-ct public-key-pins public-key-pins-report-only via forwarded
	x-forwarded-for x-forwarded-host x-forwarded-proto x-real-ip x-requested-with x-csrf-token true-client-ip x-client-ip x-cluster-client-ip
	x-originating-ip x-source-ip x-original-url x-original-host x-rewrite-url cf-ray cf-connecting-ip x-amz-cf-id x-cache x-served-by link
	sec-websocket-key sec-websocket-accept sec-websocket-version sec-websocket-protocol sec-websocket-extensions`
