package upstream

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/outcrop/outcrop/internal/fault"
)

// bedrockErrors are the errors that Bedrock itself answers with, by the header that
// names them: they are handed on.
var bedrockErrors = map[string]int{
	"ValidationException": 400, "ResourceNotFoundException": 404, "ThrottlingException": 429, "ModelTimeoutException": 408,
	"ServiceUnavailableException": 503, "ModelErrorException": 424, "ModelNotReadyException": 429, "ServiceQuotaExceededException": 400,
}

// refusal tells an answer that is none, in Bedrock's words. What a provider says
// about the server's own credentials is for the log alone.
func (c *Client) refusal(r *http.Response, body []byte) error {
	text := Message(body)
	cause := fmt.Errorf("provider %s answered %d: %s", c.cfg.Name, r.StatusCode, text)
	named, _, _ := strings.Cut(r.Header.Get("X-Amzn-Errortype"), ":")
	if status := bedrockErrors[named]; status != 0 {
		return c.says(named, status, text).Because(cause)
	}
	return c.Status(r.StatusCode, text).Because(cause)
}

// Status is the error that a provider means by an HTTP status, whether it answered
// with it or told it in a stream.
func (c *Client) Status(status int, text string) *fault.Error {
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusPaymentRequired || status == http.StatusProxyAuthRequired:
		return fault.Denied("The provider '%s' of the model refuses the server's credentials; its operator finds the reason in the log", c.cfg.Name)
	case status == http.StatusNotFound:
		return c.says("ResourceNotFoundException", http.StatusNotFound, text)
	case status == http.StatusRequestTimeout || status == http.StatusGatewayTimeout:
		return c.says("ModelTimeoutException", http.StatusRequestTimeout, text)
	case status == http.StatusTooManyRequests:
		return c.says("ThrottlingException", http.StatusTooManyRequests, text)
	case status == http.StatusServiceUnavailable && isLoading(text):
		return c.says("ModelNotReadyException", http.StatusTooManyRequests, text)
	case status == http.StatusServiceUnavailable || status == overloaded:
		return c.says("ServiceUnavailableException", http.StatusServiceUnavailable, text)
	case status >= 400 && status < 500 && isTooLong(text):
		// Agents know this sentence of Bedrock's, and shorten their conversation.
		return fault.Validation("Input is too long for requested model. The provider '%s' of the model says: %s", c.cfg.Name, text)
	case status >= 400 && status < 500:
		return c.says("ValidationException", http.StatusBadRequest, text)
	case status >= 300 && status < 400:
		return c.failed("it answers with a redirect; its url should be where that leads")
	}
	return c.says("ModelErrorException", http.StatusFailedDependency, text)
}

// overloaded is Anthropic's status for what others call 503.
const overloaded = 529

// isTooLong knows what providers say of a conversation that is longer than the model's
// context: OpenAI and vLLM, Anthropic, llama.cpp.
func isTooLong(text string) bool {
	text = strings.ToLower(text)
	for _, part := range [...]string{"maximum context length", "prompt is too long", "context size", "context window", "exceed context limit"} {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

// isLoading knows servers that answer before their model is there (llama.cpp, TGI).
func isLoading(text string) bool {
	text = strings.ToLower(text)
	return strings.Contains(text, "loading model") || strings.Contains(text, "model is loading")
}

func (c *Client) says(code string, status int, text string) *fault.Error {
	if text == "" {
		text = "it gives no reason"
	}
	return fault.New(code, status, "The provider '%s' of the model says: %s", c.cfg.Name, text)
}

// maxText is the longest text of a provider that callers are shown, in bytes.
const maxText = 1000

// Message finds the text of a provider's refusal: each has its own form.
func Message(body []byte) string {
	var told struct {
		Error   json.RawMessage `json:"error"`
		Message string          `json:"message"`
		Detail  json.RawMessage `json:"detail"`
	}
	text := ""
	if json.Unmarshal(body, &told) == nil {
		var inner struct {
			Message string `json:"message"`
		}
		switch {
		case json.Unmarshal(told.Error, &text) == nil && text != "":
		case json.Unmarshal(told.Error, &inner) == nil && inner.Message != "":
			text = inner.Message
		case told.Message != "":
			text = told.Message
		case len(told.Detail) > 0:
			if json.Unmarshal(told.Detail, &text) != nil {
				text = string(told.Detail)
			}
		}
	} else if !strings.HasPrefix(strings.TrimSpace(string(body)), "<") { // no page
		text = string(body)
	}
	return clip(strings.Join(strings.Fields(text), " "))
}

func clip(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= maxText {
		return s
	}
	cut := maxText
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "..."
}
