package credential

import (
	"encoding/json"

	"github.com/outcrop/outcrop/internal/gateway/target"
)

// The revisions of MCP in which a caller can be sent to a URL.
const (
	byError  = "2025-11-25" // by the error URLElicitationRequired
	byResult = "2026-07-28" // by a result of type input_required
)

// codeElicitation is MCP's URLElicitationRequired.
const codeElicitation = -32042

// pleaseLogin is what AWS tells users (spec/gateway.md 4.4).
const pleaseLogin = "Please login to this URL for authorization."

// elicitation is what a client is told of a page that its user has to visit.
type elicitation struct {
	Mode    string `json:"mode"`
	ID      string `json:"elicitationId,omitempty"`
	URL     string `json:"url"`
	Message string `json:"message"`
}

// elicit tells the caller where the user has to agree, in the way that its revision of MCP
// has. After that the caller repeats the call.
func (o *oauth) elicit(c *target.Call, at string) error {
	e := elicitation{Mode: "url", URL: at, Message: pleaseLogin}
	switch {
	case c.Version >= byResult && visits(c.Meta):
		// The user's token says all that is needed to go on: there is no requestState.
		result, err := marshal(map[string]any{
			"resultType":    "input_required",
			"inputRequests": map[string]any{"login": map[string]any{"method": "elicitation/create", "params": e}},
		})
		if err != nil {
			return err
		}
		return &target.Asked{Result: result}
	case c.Version >= byError && c.Version < byResult:
		e.ID = o.m.newID()
		data, err := marshal(map[string]any{"elicitations": []elicitation{e}})
		if err != nil {
			return err
		}
		return &target.Error{Code: codeElicitation, Message: "This request requires more information.", Data: data}
	}
	return &target.Failure{Type: kind, Shown: true, Text: pleaseLogin + " Then call the tool again: " + at}
}

func marshal(v any) (json.RawMessage, error) { return json.Marshal(v) }
