package remote

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/outcrop/outcrop/internal/fault"
)

// refusal is what an endpoint refuses with, whose words are a stranger's.
func refusal(resp *http.Response, body []byte) error {
	code, message := parse(resp.Header.Get("X-Amzn-Errortype"), body)
	status := resp.StatusCode
	switch {
	case code == "ResourceNotFoundException":
		status = http.StatusNotFound
	case status < 400 || status > 499:
		return fault.New("ServiceException", http.StatusBadGateway, "The endpoint of --lambda-endpoint answered %d: %s", status, message)
	}
	e := fault.New(code, status, "%s", message)
	e.Members = map[string]string{"Type": "User"}
	return e
}

// maxText bounds what a refusal repeats, in bytes.
const maxText = 500

// parse reads the name and the text of an error in any of the forms of restJson.
func parse(header string, body []byte) (code, message string) {
	var text struct {
		Type    string `json:"__type"`
		Code    string `json:"code"`
		Message string `json:"message"`
		Capital string `json:"Message"`
	}
	_ = json.Unmarshal(body, &text) // what is none says nothing
	for _, c := range []string{header, text.Type, text.Code} {
		c, _, _ = strings.Cut(c, ":")
		if i := strings.LastIndexByte(c, '#'); i >= 0 {
			c = c[i+1:]
		}
		if code = strings.TrimSpace(c); isName(code) {
			break
		}
		code = ""
	}
	if code == "" {
		code = "ServiceException"
	}
	for _, m := range []string{text.Message, text.Capital} {
		if message == "" {
			message = strings.ToValidUTF8(fault.Clip(m, maxText), "")
		}
	}
	if message == "" {
		message = "it gave no reason"
	}
	return code, message
}

// isName reports whether a text is the name of an error.
func isName(s string) bool {
	if s == "" || len(s) > 80 {
		return false
	}
	for _, r := range s {
		if (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9') {
			return false
		}
	}
	return true
}
