package llm

import (
	"slices"
	"strings"
)

// geographies begin the ids of Bedrock's cross-region inference profiles.
var geographies = [...]string{"global", "us", "us-gov", "eu", "apac", "jp", "au", "ca", "in", "uk", "sa", "me"}

// Base is the id of the model that an id, an ARN or an inference profile's id means:
// "anthropic.claude-haiku-4-5-20251001-v1:0" of
// "global.anthropic.claude-haiku-4-5-20251001-v1:0" and of
// "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-haiku-4-5-20251001-v1:0".
func Base(id string) string {
	id = unqualified(id)
	if geography, rest, ok := strings.Cut(id, "."); ok && strings.Contains(rest, ".") && slices.Contains(geographies[:], geography) {
		return rest
	}
	return id
}

// IsProfile reports whether an id, not an ARN, names an inference profile.
func IsProfile(id string) bool { return !strings.HasPrefix(id, "arn:") && Base(id) != id }

// unqualified takes the ARN off an id.
func unqualified(id string) string {
	part := strings.SplitN(id, ":", 6)
	if len(part) != 6 || part[0] != "arn" {
		return id
	}
	if _, name, ok := strings.Cut(part[5], "/"); ok {
		return name
	}
	return part[5]
}

// names reports whether a mapping is for an id, whose base is given. Of an ARN what stands
// around the id is for patterns alone that begin so: policies allow a model by its id, and
// a region that somebody makes up must not lead to another.
func (m Mapping) names(id, base string) bool {
	if strings.HasPrefix(id, "arn:") && !strings.HasPrefix(m.Pattern, "arn:") {
		id = unqualified(id)
	}
	return matches(m.Pattern, id) || matches(m.Pattern, base)
}

// matches reports whether pattern, in which * stands for anything, is the whole of s.
func matches(pattern, s string) bool {
	first, rest, found := strings.Cut(pattern, "*")
	if !strings.HasPrefix(s, first) {
		return false
	}
	s = s[len(first):]
	if !found {
		return s == ""
	}
	for {
		part, more, again := strings.Cut(rest, "*")
		if !again {
			return strings.HasSuffix(s, part)
		}
		at := strings.Index(s, part)
		if at < 0 {
			return false
		}
		s, rest = s[at+len(part):], more
	}
}
