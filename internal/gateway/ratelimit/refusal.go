package ratelimit

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/outcrop/outcrop/internal/gateway/target"
)

// message is what refused callers read first.
const message = "Rate limit exceeded"

// codeThrottled is the JSON-RPC code of refused calls (spec/gateway.md 12).
const codeThrottled = -32003

// seconds is when to try again: whole ones, or none for never.
func (d Decision) seconds() int64 { return int64((d.RetryAfter + time.Second - 1) / time.Second) }

// Header is what a refusal has beside its body.
func (d Decision) Header() http.Header {
	h := http.Header{"Content-Type": {"application/json"}}
	if s := d.seconds(); s > 0 {
		h.Set("Retry-After", strconv.FormatInt(s, 10))
	}
	return h
}

// JSONRPC is the refusal of a call by MCP.
func (d Decision) JSONRPC() *target.Error {
	return &target.Error{Code: codeThrottled, Message: message, Data: write(struct {
		LimitKey   string `json:"limitKey"`
		Metric     string `json:"metric"`
		RetryAfter int64  `json:"retryAfter,omitempty"`
	}{d.LimitKey, d.Metric, d.seconds()})}
}

// HTTP is the body of the refusal of a call of a target that speaks HTTP.
func (d Decision) HTTP() []byte {
	return write(struct {
		Error      string `json:"error"`
		Success    bool   `json:"success"`
		LimitKey   string `json:"limitKey"`
		Metric     string `json:"metric"`
		RetryAfter int64  `json:"retryAfter,omitempty"`
	}{message, false, d.LimitKey, d.Metric, d.seconds()})
}

// text says all of a refusal, for forms that have a message alone.
func (d Decision) text() string {
	what := message + " (" + d.Metric + " of " + d.LimitKey + "). "
	if d.RetryAfter == 0 {
		return what + "The rate is 0, so that no call passes"
	}
	return what + "Try again in " + strconv.FormatInt(d.seconds(), 10) + " s"
}

// OpenAI is the body of a refusal as clients of OpenAI's API read it.
func (d Decision) OpenAI() []byte {
	type failure struct {
		Message    string  `json:"message"`
		Type       string  `json:"type"`
		Param      *string `json:"param"`
		Code       string  `json:"code"`
		LimitKey   string  `json:"limitKey"`
		Metric     string  `json:"metric"`
		RetryAfter int64   `json:"retryAfter,omitempty"`
	}
	return write(struct {
		Error failure `json:"error"`
	}{failure{d.text(), "rate_limit_error", nil, "429", d.LimitKey, d.Metric, d.seconds()}})
}

// Anthropic is the body of a refusal as clients of Anthropic's API read it.
func (d Decision) Anthropic() []byte {
	type failure struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	}
	return write(struct {
		Type  string  `json:"type"`
		Error failure `json:"error"`
	}{"error", failure{"rate_limit_error", d.text()}})
}

func write(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil { // text and numbers
		return []byte("{}")
	}
	return b
}
