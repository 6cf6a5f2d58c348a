package sts

import (
	"maps"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/principal"
)

// The claims by which an issuer says what a session has (IAM guide, "Passing session
// tags using AssumeRoleWithWebIdentity"): one object, or each member by a name of its
// own, for issuers whose claims cannot be objects.
const (
	claimTags       = "https://aws.amazon.com/tags"
	claimIdentity   = "https://aws.amazon.com/source_identity"
	memberTags      = "principal_tags"
	memberLasting   = "transitive_tag_keys"
	flatTags        = claimTags + "/" + memberTags + "/"
	flatTransitives = claimTags + "/" + memberLasting
)

// session reads what a token says of the session that is made by it. What has not the
// form of that is refused, and not passed over: a policy may count on a tag.
func session(claims map[string]any, w *principal.WebIdentity) (err error) {
	if v, there := claims[claimIdentity]; there {
		var ok bool
		if w.SourceIdentity, ok = v.(string); !ok {
			return badToken("The claim %s of the token is not a string", claimIdentity)
		}
	}
	tags := map[string]any{}
	if v, there := claims[claimTags]; there {
		all, ok := v.(map[string]any)
		if !ok {
			return badToken("The claim %s of the token is not an object", claimTags)
		}
		if v, there := all[memberTags]; there {
			if tags, ok = v.(map[string]any); !ok {
				return badToken("%s in the claim %s of the token is not an object", memberTags, claimTags)
			}
			tags = maps.Clone(tags)
		}
		if w.Transitive, err = texts(all, memberLasting); err != nil {
			return err
		}
	}
	for name, v := range claims {
		if key, ok := strings.CutPrefix(name, flatTags); ok {
			tags[key] = v
		}
	}
	more, err := texts(claims, flatTransitives)
	if err != nil {
		return err
	}
	w.Transitive = append(w.Transitive, more...)
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		values, err := texts(tags, key)
		if err != nil {
			return err
		}
		if len(values) != 1 {
			return badToken("The tag '%s' of the token must have one value, and has %d", plain(key), len(values))
		}
		w.Tags = append(w.Tags, principal.Tag{Key: key, Value: values[0]})
	}
	return nil
}

// texts reads a member that is a string or a list of strings, or is not there.
func texts(in map[string]any, name string) ([]string, error) {
	switch v := in[name].(type) {
	case nil:
		if _, there := in[name]; !there {
			return nil, nil
		}
	case string:
		return []string{v}, nil
	case []any:
		out := make([]string, 0, len(v))
		for _, item := range v {
			s, ok := item.(string)
			if !ok {
				return nil, badToken("The claim %s of the token is not a list of strings", plain(name))
			}
			out = append(out, s)
		}
		return out, nil
	}
	return nil, badToken("The claim %s of the token is neither a string nor a list of strings", plain(name))
}
