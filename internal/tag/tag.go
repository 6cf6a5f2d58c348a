// Package tag has the rules of resources' tags that hold whatever is tagged. The
// tags themselves are part of each resource's own document.
package tag

import (
	"maps"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/fault"
)

// Max is how many tags a resource may have (spec/runtime.md 2.1).
const Max = 50

// Check holds the rules that the wire's models do not express.
func Check(tags map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		if strings.HasPrefix(strings.ToLower(key), "aws:") {
			return fault.Invalid("tags", "The tag key '%s' is reserved: keys that begin with aws: belong to AWS", key)
		}
	}
	return nil
}

// Merge returns tags with others added or put in place of them.
func Merge(tags, others map[string]string) (map[string]string, error) {
	if err := Check(others); err != nil {
		return nil, err
	}
	out := make(map[string]string, len(tags)+len(others))
	maps.Copy(out, tags)
	maps.Copy(out, others)
	if len(out) > Max {
		return nil, fault.Quota("The resource would have %d tags; it may have at most %d. Remove some first (UntagResource)", len(out), Max)
	}
	return out, nil
}
