package credential

import (
	"encoding/json"
	"unicode/utf8"

	"github.com/outcrop/outcrop/internal/gateway/target"
)

// metaKey is the member of a request's _meta by which callers say how their user is asked
// (spec/gateway.md 4.4).
const metaKey = "aws.bedrock-agentcore.gateway/credentialProviderConfiguration"

// capabilitiesKey is that by which clients say what they can do, since 2026-07-28.
const capabilitiesKey = "io.modelcontextprotocol/clientCapabilities"

// maxReturnURL bounds a return URL, in characters.
const maxReturnURL = 2048

// codeInvalid is JSON-RPC's code of bad parameters.
const codeInvalid = -32602

// wish is what a caller says of one call's consent.
type wish struct {
	ReturnURL string `json:"returnUrl"`
	Force     bool   `json:"forceAuthentication"`
}

// parseMeta reads a wish out of a request's _meta; members that nobody knows are for
// others. Errors: a *target.Error.
func parseMeta(meta json.RawMessage) (wish, error) {
	configuration, ok := member(meta, metaKey)
	if !ok {
		return wish{}, nil
	}
	var in struct {
		OAuth wish `json:"oauthCredentialProvider"`
	}
	if err := json.Unmarshal(configuration, &in); err != nil {
		return wish{}, &target.Error{Code: codeInvalid, Message: "_meta." + metaKey + " is not of the form {\"oauthCredentialProvider\": {\"returnUrl\": TEXT, \"forceAuthentication\": true or false}}"}
	}
	if utf8.RuneCountInString(in.OAuth.ReturnURL) > maxReturnURL {
		return wish{}, &target.Error{Code: codeInvalid, Message: "_meta." + metaKey + ".oauthCredentialProvider.returnUrl has more than 2048 characters"}
	}
	return in.OAuth, nil
}

// visits reports whether a client says that it can send its user to a URL.
func visits(meta json.RawMessage) bool {
	capabilities, _ := member(meta, capabilitiesKey)
	elicitation, _ := member(capabilities, "elicitation")
	url, ok := member(elicitation, "url")
	return ok && string(url) != "null"
}

// member returns a member of a JSON object, if there is one.
func member(object json.RawMessage, name string) (json.RawMessage, bool) {
	if len(object) == 0 {
		return nil, false
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(object, &members) != nil {
		return nil, false
	}
	value, ok := members[name]
	return value, ok
}
