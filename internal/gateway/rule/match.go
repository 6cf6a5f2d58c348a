package rule

import (
	"strings"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/wire"
)

// like matches a text with a pattern of * (any run) and ? (any one byte). A backslash
// before one of these takes its meaning away; patterns of users have none, as ARNs and
// model ids do not.
func like(pattern, s string) bool {
	p, i := 0, 0
	star, from := -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, i
			p++
			continue
		case p+1 < len(pattern) && pattern[p] == '\\' && pattern[p+1] == s[i]:
			p, i = p+2, i+1
			continue
		case p < len(pattern) && pattern[p] != '\\' && (pattern[p] == '?' || pattern[p] == s[i]):
			p, i = p+1, i+1
			continue
		case star < 0:
			return false
		}
		from++
		p, i = star+1, from
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// quote is the pattern of one text alone.
func quote(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`).Replace(s)
}

// principal is a pattern of callers.
type principal struct {
	pattern string
	// sessions is the pattern of the sessions of a role, whose ARN has no path.
	sessions string
}

func principalOf(in *agentcorecontrol.IamPrincipal) principal {
	arn := wire.Text(in.Arn)
	part := strings.SplitN(arn, ":", 6)
	exact := wire.Text(in.Operator) != agentcorecontrol.PrincipalMatchOperatorStringLike
	if exact {
		account := len(part) == 6 && part[4] == "*"
		arn = quote(arn)
		if account { // any account may be meant, whatever the operator
			part[4] = "*"
			arn = strings.Join(append([]string{quote(part[0]), quote(part[1]), quote(part[2]), quote(part[3]), "*"}, quote(part[5])), ":")
		}
	}
	p := principal{pattern: arn}
	if len(part) != 6 || part[2] != "iam" {
		return p
	}
	if name, ok := strings.CutPrefix(part[5], "role/"); ok {
		name = name[strings.LastIndexByte(name, '/')+1:]
		if exact {
			name = quote(name)
		}
		p.sessions = strings.Join([]string{part[0], part[1], "sts", "", part[4], "assumed-role/" + name + "/*"}, ":")
	}
	return p
}

func (p principal) matches(arn string) bool {
	return arn != "" && (like(p.pattern, arn) || p.sessions != "" && like(p.sessions, arn))
}
