package inference

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/outcrop/outcrop/internal/gateway/target"
)

// Model reads which model a request asks for. The error is a *target.Failure.
func Model(body []byte) (string, error) {
	spans, err := members(body)
	if err != nil {
		return "", err
	}
	at, ok := spans["model"]
	if !ok {
		return "", bad("The request names no model. Give \"model\"")
	}
	name, err := jsontext.AppendUnquote(nil, body[at.from:at.to])
	if err != nil || len(name) == 0 {
		return "", bad("The request's \"model\" is no text, or empty")
	}
	return string(name), nil
}

func bad(text string) error {
	f := target.Fail(target.BadRequest, nil, "%s", text)
	f.Shown = true
	return f
}

// span is where a value stands.
type span struct{ from, to int64 }

// members finds the members of a JSON object.
func members(text []byte) (map[string]span, error) {
	d := jsontext.NewDecoder(bytes.NewBuffer(text)) // it reads a Buffer where it is
	if d.PeekKind() != '{' {
		return nil, bad("The request is no JSON object")
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, broken(err)
	}
	out := map[string]span{}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return nil, broken(err)
		}
		key := name.String() // before the next read
		if own := alias(key); own != "" {
			return nil, bad("The request has a member " + strconv.Quote(key) + ", which some providers take for " + strconv.Quote(own) + ". Give that, or leave it out")
		}
		value, err := d.ReadValue()
		if err != nil {
			return nil, broken(err)
		}
		out[key] = span{d.InputOffset() - int64(len(value)), d.InputOffset()}
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, broken(err)
	}
	if _, err := d.ReadToken(); err != io.EOF {
		return nil, bad("The request has something after its JSON object")
	}
	return out, nil
}

// alias is the member of those that count here which a provider could take another for
// that does not mind the case of names, or empty: rules, limits and the owner's list of
// models go by what is asked for.
func alias(key string) string {
	for _, own := range [...]string{"model", "stream", "stream_options", "include_usage"} {
		if key != own && strings.EqualFold(key, own) {
			return own
		}
	}
	return ""
}

// broken words what is wrong with a JSON text, without the text.
func broken(err error) error {
	why := "it is not well formed"
	if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		why = e.Err.Error()
	}
	return bad("The request is not JSON: " + why)
}

// change gives a JSON object a member's value, and leaves all else as it is. The text is
// well formed: members has read it. first says that it adds the first member.
func change(text []byte, at span, name, value string, first bool) []byte {
	if at == (span{}) {
		end := int64(bytes.LastIndexByte(text, '}'))
		at = span{end, end}
		value = strconv.Quote(name) + ":" + value
		if !first {
			value = "," + value
		}
	}
	out := make([]byte, 0, len(text)+len(value))
	return append(append(append(out, text[:at.from]...), value...), text[at.to:]...)
}

// edit gives a request another model. With usage, the end of a stream says how many
// tokens there were, as it does not by itself in OpenAI's chat completions.
func edit(body []byte, model string, usage bool) ([]byte, error) {
	spans, err := members(body)
	if err != nil {
		return nil, err
	}
	var changes []func([]byte) []byte
	if at, streams := spans["stream"]; usage && streams && string(body[at.from:at.to]) == "true" {
		options, at := []byte("{}"), spans["stream_options"]
		if at != (span{}) && body[at.from] == '{' {
			options = body[at.from:at.to]
		}
		inner, err := members(options)
		if err != nil {
			return nil, err
		}
		options = change(options, inner["include_usage"], "include_usage", "true", len(inner) == 0)
		changes = append(changes, func(b []byte) []byte { return change(b, at, "stream_options", string(options), false) })
	}
	if model != "" {
		quoted, err := jsontext.AppendQuote(nil, model)
		if err != nil {
			return nil, bad("The model's name is no text")
		}
		named := func(b []byte) []byte { return change(b, spans["model"], "model", string(quoted), len(spans) == 0) }
		// What stands later is changed first, so that places stay what they are.
		if o := spans["stream_options"]; o != (span{}) && spans["model"].from > o.from {
			changes = append([]func([]byte) []byte{named}, changes...)
		} else {
			changes = append(changes, named)
		}
	}
	for _, c := range changes {
		body = c(body)
	}
	return body, nil
}
