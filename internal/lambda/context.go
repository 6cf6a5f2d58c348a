package lambda

import (
	"encoding/base64"
	"encoding/json"
)

// checkContext refuses a client context that no function could read.
func checkContext(text string) error {
	if text == "" {
		return nil
	}
	if len(text) > maxContext {
		return user("InvalidRequestContentException", 400, "Client context must be less than or equal to %d bytes; it has %d", maxContext, len(text))
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return user("InvalidRequestContentException", 400, "Client context must be a valid Base64-encoded JSON object. It is not Base64")
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(raw, &object) != nil || object == nil {
		return user("InvalidRequestContentException", 400, "Client context must be a valid Base64-encoded JSON object. It decodes to no JSON object")
	}
	for _, member := range []string{"custom", "env", "client"} {
		var inner map[string]any
		if part := object[member]; part != nil && json.Unmarshal(part, &inner) != nil {
			return user("InvalidRequestContentException", 400, "Client context must be a valid Base64-encoded JSON object. Its member %s is no JSON object", member)
		}
	}
	return nil
}
