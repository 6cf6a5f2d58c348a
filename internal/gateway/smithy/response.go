package smithy

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Answer is what a service answered.
type Answer struct {
	// JSON is the answer: its body, and in the same object what headers and the status
	// have.
	JSON json.RawMessage
	// Failure is set where the service refused or failed.
	Failure *Failure
}

// Failure is an error of a service.
type Failure struct {
	Status int
	// Type is the error's name without its namespace, empty where the service gave none.
	Type    string
	Message string
}

// Error implements error.
func (f *Failure) Error() string {
	text := f.Type
	if text == "" {
		text = fmt.Sprintf("HTTP %d %s", f.Status, http.StatusText(f.Status))
	}
	if f.Message != "" {
		text += ": " + f.Message
	}
	return text
}

// maxFailure is how much of a failure's text is kept, in bytes.
const maxFailure = 4 << 10

// Response reads the answer to a call. Its error is of an answer that is not what the
// model says.
func (m *Model) Response(name string, status int, header http.Header, body []byte) (Answer, error) {
	op := m.operations[name]
	if op == nil {
		return Answer{}, fmt.Errorf("%w %q", ErrUnknownTool, name)
	}
	if status < 200 || status > 299 {
		return op.failure(status, header, body), nil
	}
	text, err := bound(op.output, status, header, body)
	if err != nil {
		return Answer{}, fmt.Errorf("the answer of %s %w", op.name, err)
	}
	return Answer{JSON: text}, nil
}

// failure reads an error. Whatever the body is, something is made of it.
func (op *operation) failure(status int, header http.Header, body []byte) Answer {
	f := &Failure{Status: status, Type: errorName(header.Get("X-Amzn-Errortype"))}
	var doc map[string]json.RawMessage
	_ = json.Unmarshal(body, &doc) // what is no object has no members
	for _, name := range []string{"__type", "code", "Code"} {
		if f.Type == "" {
			f.Type = errorName(textIn(doc, name))
		}
	}
	for _, name := range []string{"message", "Message", "errorMessage"} {
		if f.Message == "" {
			f.Message = textIn(doc, name)
		}
	}
	if f.Message == "" {
		f.Message = header.Get("X-Amzn-Error-Message")
	}
	if doc == nil && f.Message == "" && utf8.Valid(body) {
		f.Message = string(bytes.TrimSpace(body))
	}
	f.Message = shorten(f.Message, maxFailure)
	for _, s := range op.errors {
		if _, name, _ := strings.Cut(s.id, "#"); name == f.Type {
			if text, err := bound(s, status, header, body); err == nil {
				return Answer{JSON: text, Failure: f}
			}
		}
	}
	if doc == nil {
		return Answer{JSON: json.RawMessage(`{}`), Failure: f}
	}
	return Answer{JSON: body, Failure: f}
}

func textIn(doc map[string]json.RawMessage, name string) string {
	var s string
	_ = json.Unmarshal(doc[name], &s) // what is no text is none
	return s
}

// errorName is the name in a type such as "ns#FooError:http://example.com/": restJson1
// has clients drop what is around it.
func errorName(text string) string {
	text, _, _ = strings.Cut(text, ":")
	if _, name, ok := strings.Cut(text, "#"); ok {
		text = name
	}
	return shorten(strings.TrimSpace(text), 200)
}

// payloadOf is the member that is the whole body, nil where there is none.
func payloadOf(s *shape) *member {
	for _, m := range s.members {
		if m.in == inPayload {
			return m
		}
	}
	return nil
}

// bound is one JSON object of all that a message has. The body stays as the service wrote
// it, with members that the model does not know.
func bound(s *shape, status int, header http.Header, body []byte) (json.RawMessage, error) {
	doc := map[string]json.RawMessage{}
	payload := payloadOf(s)
	if payload != nil {
		if v, err := payloadValue(payload, header, body); err != nil {
			return nil, err
		} else if v != nil {
			doc[payload.name] = v
		}
	} else if len(bytes.TrimSpace(body)) > 0 {
		if err := json.Unmarshal(body, &doc); err != nil || doc == nil {
			return nil, fmt.Errorf("is no JSON object (Content-Type %q, %d bytes)", header.Get("Content-Type"), len(body))
		}
	}
	outside := payload != nil
	for _, m := range s.members {
		var v any
		switch m.in {
		case inStatus:
			v = status
		case inHeader:
			v = headerValue(m, header.Values(m.at))
		case inPrefixHeaders:
			v = prefixed(m.at, header)
		}
		if v == nil {
			continue
		}
		text, err := encode(v)
		if err != nil {
			return nil, fmt.Errorf("has a header for %s that cannot be written as JSON: %w", m.name, err)
		}
		doc[m.name], outside = text, true
	}
	if !outside && len(doc) > 0 {
		return body, nil
	}
	return encode(doc)
}

// payloadValue is the JSON value of a whole body, nil for none. Blobs are base64, but for
// those that are text by their Content-Type.
func payloadValue(m *member, header http.Header, body []byte) (json.RawMessage, error) {
	if len(body) == 0 {
		return nil, nil
	}
	switch k := m.target.kind; {
	case k == kindBlob:
		if isText(header.Get("Content-Type")) && utf8.Valid(body) {
			return encode(string(body))
		}
		return encode(base64.StdEncoding.EncodeToString(body))
	case !k.holds() && k != kindDocument:
		return encode(string(body))
	}
	if !json.Valid(body) {
		return nil, fmt.Errorf("is no JSON (Content-Type %q, %d bytes)", header.Get("Content-Type"), len(body))
	}
	return body, nil
}

func isText(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (strings.HasPrefix(media, "text/") || media == "application/json" || media == "application/xml" ||
		strings.HasSuffix(media, "+json") || strings.HasSuffix(media, "+xml"))
}

// headerValue is a header as a JSON value, nil for none.
func headerValue(m *member, values []string) any {
	if len(values) == 0 {
		return nil
	}
	text := strings.Join(values, ", ")
	if m.target.kind != kindList {
		return simpleValue(m, text)
	}
	elem := m.target.elem
	var items []string
	if elem.target.kind == kindTimestamp && timeFormat(elem.facets.timestamp, inHeader) == httpDate {
		items = splitDates(text)
	} else {
		items = splitList(text)
	}
	out := make([]any, len(items))
	for i, item := range items {
		out[i] = simpleValue(elem, item)
	}
	return out
}

// simpleValue reads a text outside of JSON. What is not of its kind stays a text.
func simpleValue(m *member, text string) any {
	switch k := m.target.kind; {
	case k == kindBoolean:
		if b, err := strconv.ParseBool(text); err == nil {
			return b
		}
	case k.isInteger() || k.isFloat():
		if json.Valid([]byte(text)) && strings.ContainsAny(text[:1], "-0123456789") {
			return json.Number(text)
		}
	case k == kindTimestamp:
		return readTime(text, timeFormat(m.facets.timestamp, inHeader))
	case k == kindString && m.facets.mediaType != "":
		if b, err := base64.StdEncoding.DecodeString(text); err == nil && utf8.Valid(b) {
			return string(b)
		}
	}
	return text
}

// splitList splits a header at commas that are not in quotes.
func splitList(text string) []string {
	var out []string
	var item strings.Builder
	inQuotes := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			inQuotes = !inQuotes
		case inQuotes && c == '\\' && i+1 < len(text):
			i++
			item.WriteByte(text[i])
		case c == ',' && !inQuotes:
			out = append(out, strings.TrimSpace(item.String()))
			item.Reset()
		default:
			item.WriteByte(c)
		}
	}
	return append(out, strings.TrimSpace(item.String()))
}

// splitDates splits dates that have a comma each.
func splitDates(text string) []string {
	parts := strings.Split(text, ",")
	var out []string
	for i := 0; i < len(parts); i += 2 {
		item := parts[i]
		if i+1 < len(parts) {
			item += "," + parts[i+1]
		}
		out = append(out, strings.TrimSpace(item))
	}
	return out
}

// prefixed are the headers of a prefix by what follows it, nil for none.
func prefixed(prefix string, header http.Header) any {
	out := map[string]string{}
	for name, values := range header {
		if len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix) && len(values) > 0 {
			out[name[len(prefix):]] = strings.Join(values, ", ")
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}
