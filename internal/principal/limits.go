package principal

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// AWS's quotas, as an account has them by default.
const (
	MaxUsers         = 5000
	MaxGroups        = 300
	MaxRoles         = 1000
	MaxPolicies      = 1500
	MaxGroupsOfUser  = 10
	MaxAttached      = 10
	MaxVersions      = 5
	MaxKeys          = 2
	MaxTags          = 50
	MaxManagedLength = 6144 // characters that are no white space, as all of these
	MaxTrustLength   = 2048
)

// maxInline bounds all inline policies of one holder together.
var maxInline = map[HolderKind]int{UserHolder: 2048, GroupHolder: 5120, RoleHolder: 10240}

var (
	entityName = regexp.MustCompile(`^[\w+=,.@-]+$`)
	entityPath = regexp.MustCompile(`^(/|/[!-~]+/)$`)
	tagText    = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)
)

// checkName holds the rules of names, which may have most characters.
func checkName(member, name string, most int) error {
	switch {
	case name == "" || !entityName.MatchString(name):
		return validation("The specified value for %s is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-", member)
	case len(name) > most:
		return validation("The specified value for %s is invalid. It may have at most %d characters", member, most)
	}
	return nil
}

// checkPath returns the path, which is / where it is absent.
func checkPath(path string) (string, error) {
	if path == "" {
		return "/", nil
	}
	if len(path) > 512 || !entityPath.MatchString(path) {
		return "", validation("The specified value for path is invalid. It must begin and end with / and contain only printable ASCII characters; it may have at most 512")
	}
	return path, nil
}

// length counts a policy as its quotas do.
func length(document string) int {
	return utf8.RuneCountInString(document) - strings.Count(document, " ") - strings.Count(document, "\n") - strings.Count(document, "\t") - strings.Count(document, "\r")
}

// Tag is one tag of a user, a role or a policy.
type Tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// retag returns tags with others in place of those with the same keys, which do not
// differ by case (docs/iam.md).
func retag(tags, others []Tag) ([]Tag, error) {
	out := append([]Tag(nil), tags...)
	seen := map[string]bool{}
	for _, t := range others {
		key := strings.ToLower(t.Key)
		switch {
		case t.Key == "" || utf8.RuneCountInString(t.Key) > 128 || utf8.RuneCountInString(t.Value) > 256 || !tagText.MatchString(t.Key) || !tagText.MatchString(t.Value):
			return nil, invalid("The tag '%s' is not valid: a key has 1 to 128 characters and a value at most 256, of letters, digits, spaces and _.:/=+-@", t.Key)
		case strings.HasPrefix(key, "aws:"):
			return nil, invalid("The tag key '%s' is reserved: keys that begin with aws: belong to AWS", t.Key)
		case seen[key]:
			return nil, invalid("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
		seen[key] = true
		out = append(without(out, t.Key), t)
	}
	if len(out) > MaxTags {
		return nil, limit("Cannot exceed quota for TagsPerEntity: %d", MaxTags)
	}
	return out, nil
}

// without returns tags but the one with that key.
func without(tags []Tag, key string) []Tag {
	var out []Tag
	for _, t := range tags {
		if !strings.EqualFold(t.Key, key) {
			out = append(out, t)
		}
	}
	return out
}
