package chat

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/outcrop/outcrop/internal/fault"
)

// Members refuses a body that is no JSON object, or has a member that is neither known nor
// ignored: it would be lost on the way to a provider that speaks something else.
func Members(body []byte, known, ignored []string) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil || members == nil {
		return fault.Malformed("The body is not a JSON object").Because(err)
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if !slices.Contains(known, name) && !slices.Contains(ignored, name) {
			return fault.Validation("The member '%s' of the body cannot be given to this model's provider", Clip(name))
		}
	}
	return nil
}

// Clip bounds what a refusal repeats of a request.
func Clip(s string) string { return fault.Clip(s, 200) }

// reserved are members of a request that the server itself decides.
var reserved = [...]string{"model", "stream", "stream_options", "messages"}

// WithExtra writes body as JSON, with the members of extra in the place of its own.
func WithExtra(body any, extra map[string]json.RawMessage) ([]byte, error) {
	plain, err := json.Marshal(body)
	if err != nil || len(extra) == 0 {
		return plain, err
	}
	for _, name := range reserved {
		if _, has := extra[name]; has {
			return nil, fault.Validation("additionalModelRequestFields must not have the member '%s'", name)
		}
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(plain, &members); err != nil {
		return nil, err
	}
	maps.Copy(members, extra)
	return json.Marshal(members)
}
