package gateway

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway/ratelimit"
)

// dimensionKey is AWS's pattern of them.
var dimensionKey = regexp.MustCompile(`^(targetName|toolName|qualifiedModelId|\$\.context\.(iam\.(principal|sourceIdentity)|jwt\.[a-zA-Z_][a-zA-Z0-9_\-.]{0,61}[a-zA-Z0-9_]|request\.header\.[a-zA-Z0-9!#$%&'+.^_` + "`" + `|~\-]+|request\.body\.[a-zA-Z_][a-zA-Z0-9_\-]*(\.[a-zA-Z_][a-zA-Z0-9_\-]*)*))$`)

// checkLimit holds the rules of spec/gateway.md 12 that the model cannot express. at is
// where in the request the limit stands.
func checkLimit(in *agentcorecontrol.BatchPutLimitEntry, at string) error {
	for i, key := range in.DimensionKeys {
		if !dimensionKey.MatchString(key) {
			return fault.Invalid(at+"dimensionKeys", "%sdimensionKeys: '%s' is none of targetName, toolName, qualifiedModelId, $.context.iam.principal, $.context.iam.sourceIdentity, $.context.jwt.CLAIM, $.context.request.header.NAME and $.context.request.body.PATH", at, key)
		}
		if slices.Contains(in.DimensionKeys[:i], key) {
			return fault.Invalid(at+"dimensionKeys", "%sdimensionKeys: '%s' is given twice", at, key)
		}
		name, header := strings.CutPrefix(key, ratelimit.HeaderValue)
		switch {
		case header && strings.EqualFold(name, "Authorization"):
			return fault.Invalid(at+"dimensionKeys", "%sdimensionKeys: '%s' would show credentials to who is refused; count by $.context.iam.principal or $.context.jwt.sub", at, key)
		case (header || strings.HasPrefix(key, ratelimit.BodyMember)) && !slices.ContainsFunc(in.DimensionKeys, verified):
			return fault.Invalid(at+"dimensionKeys", "%sdimensionKeys: '%s' is what callers say of themselves; give one beside it that the gateway verifies, $.context.iam.principal, $.context.iam.sourceIdentity or $.context.jwt.CLAIM", at, key)
		}
	}
	seen := map[string]bool{}
	for i, e := range in.Entries {
		field := fmt.Sprintf("%sentries.%d.member", at, i+1)
		if err := checkEntry(e, in.DimensionKeys, field); err != nil {
			return err
		}
		values := ""
		for _, key := range slices.Sorted(maps.Keys(e.Dimensions)) {
			values += key + "\n" + e.Dimensions[key] + "\n"
		}
		if seen[values] {
			return fault.Invalid(field+".dimensions", "%s.dimensions: an entry before it has the same", field)
		}
		seen[values] = true
	}
	return nil
}

// verified reports whether a dimension is an identity that callers have proven. Without one
// beside it, whoever says something else in each call has no limit.
func verified(key string) bool {
	return strings.HasPrefix(key, "$.context.iam.") || strings.HasPrefix(key, "$.context.jwt.")
}

func checkEntry(e agentcorecontrol.LimitEntry, keys []string, field string) error {
	for _, key := range slices.Sorted(maps.Keys(e.Dimensions)) {
		value := e.Dimensions[key]
		switch star := strings.IndexByte(value, '*'); {
		case !slices.Contains(keys, key):
			return fault.Invalid(field+".dimensions", "%s.dimensions: '%s' is not among the dimensionKeys (%s)", field, key, strings.Join(keys, ", "))
		case star >= 0 && star < len(value)-1:
			return fault.Invalid(field+".dimensions", "%s.dimensions: in '%s' a * may stand at the end alone", field, value)
		}
	}
	if len(e.Requests)+len(e.Tokens)+len(e.Connections) == 0 {
		return fault.Invalid(field, "%s limits nothing: it must have requests, tokens or connections", field)
	}
	for _, m := range []struct {
		name   string
		rates  []agentcorecontrol.RateConfig
		period string // the only one, or any
	}{{"requests", e.Requests, ""}, {"tokens", e.Tokens, agentcorecontrol.PeriodMinute}, {"connections", e.Connections, agentcorecontrol.PeriodSecond}} {
		for _, r := range m.rates {
			switch {
			case math.IsNaN(*r.Rate):
				return fault.Invalid(field+"."+m.name, "%s.%s: the rate is no number", field, m.name)
			case m.period != "" && *r.Period != m.period:
				return fault.Invalid(field+"."+m.name, "%s.%s: the period must be %s", field, m.name, m.period)
			}
		}
	}
	return nil
}
