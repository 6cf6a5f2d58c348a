package inference

import (
	"encoding/json"
	"net/http"

	"github.com/outcrop/outcrop/internal/fault"
)

// CodeOperation is the code of a fault where nothing is at the path, whatever the model.
const CodeOperation = "UnknownOperationException"

// Refusal is the body of an error as the clients of a path's API read it.
func Refusal(path string, of *fault.Error, request string) []byte {
	status, message := of.Status, of.Message
	kind := kindOf(status)
	if Anthropic(path) {
		type failure struct {
			Type    string `json:"type"`
			Message string `json:"message"`
		}
		return write(struct {
			Type    string  `json:"type"`
			Error   failure `json:"error"`
			Request string  `json:"request_id,omitempty"`
		}{"error", failure{kind, message}, request})
	}
	type failure struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    *string `json:"code"`
	}
	f := failure{Message: message, Type: kind}
	if status == http.StatusNotFound {
		f.Type = "invalid_request_error"
	}
	if status == http.StatusNotFound && of.Code != CodeOperation {
		code := "model_not_found"
		f.Code = &code
	}
	return write(struct {
		Error failure `json:"error"`
	}{f})
}

// kindOf is the type of an error, in words that OpenAI and Anthropic share.
func kindOf(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "authentication_error"
	case http.StatusForbidden:
		return "permission_error"
	case http.StatusNotFound:
		return "not_found_error"
	case http.StatusRequestEntityTooLarge:
		return "request_too_large"
	case http.StatusTooManyRequests:
		return "rate_limit_error"
	}
	if status >= http.StatusInternalServerError {
		return "api_error"
	}
	return "invalid_request_error"
}

// Listed is the answer to a request for the models: each name with the target that has it.
// OpenAI's clients and Anthropic's find what they look for.
func Listed(names, owners []string) []byte {
	type entry struct {
		ID      string `json:"id"`
		Object  string `json:"object"`
		Created int64  `json:"created"`
		Owner   string `json:"owned_by"`
		Type    string `json:"type"`
		Name    string `json:"display_name"`
		Since   string `json:"created_at"`
	}
	out := struct {
		Object string  `json:"object"`
		Data   []entry `json:"data"`
		More   bool    `json:"has_more"`
		First  *string `json:"first_id"`
		Last   *string `json:"last_id"`
	}{Object: "list", Data: []entry{}}
	for i, name := range names {
		out.Data = append(out.Data, entry{ID: name, Object: "model", Owner: owners[i], Type: "model", Name: name, Since: "1970-01-01T00:00:00Z"})
	}
	if n := len(names); n > 0 {
		out.First, out.Last = &names[0], &names[n-1]
	}
	return write(out)
}

func write(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil { // text and numbers
		return []byte("{}")
	}
	return b
}
