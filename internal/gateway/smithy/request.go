package smithy

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/outcrop/outcrop/internal/gateway/smithy/rules"
)

// Request is a call on its way.
type Request struct {
	// HTTP has no signature yet. Its body can be read again by GetBody.
	HTTP    *http.Request
	Signing Signing
}

// Signing is how AWS's Signature Version 4 is made of a request. Without a Service it is
// not signed.
type Signing struct {
	Service, Region string
	// PlainPath is set where the path is not encoded a second time (Amazon S3).
	PlainPath bool
}

// ErrUnknownTool is returned for a name that no tool of the model has.
var ErrUnknownTool = errors.New("unknown tool")

// Request makes the request of a call. The arguments are a JSON object, null or nothing.
//
// Errors: ErrUnknownTool, *ArgumentError for arguments that are missing or wrong, *rules.Error for those
// that no endpoint is for; any other is of the target's set-up.
func (m *Model) Request(ctx context.Context, name string, arguments json.RawMessage) (*Request, error) {
	op := m.operations[name]
	if op == nil {
		return nil, fmt.Errorf("%w %q", ErrUnknownTool, name)
	}
	args, err := readArguments(arguments)
	if err != nil {
		return nil, err
	}
	if err := m.complete(op, args); err != nil {
		return nil, err
	}
	at, err := m.endpoint(op, args)
	if err != nil {
		return nil, err
	}
	b := builder{op: op, args: args, header: http.Header{}}
	if err := b.build(); err != nil {
		return nil, err
	}
	path, err := op.pathOf(args, at.byRules && m.bucketInHost)
	if err != nil {
		return nil, err
	}
	u := *at.url
	escaped := strings.TrimSuffix(u.EscapedPath(), "/") + path
	if escaped == "" {
		escaped = "/"
	}
	if u.Path, err = url.PathUnescape(escaped); err != nil {
		return nil, fmt.Errorf("the path %s of %s: %w", escaped, op.id, err)
	}
	u.RawPath, u.RawQuery = escaped, strings.Join(b.query, "&")
	r, err := http.NewRequestWithContext(ctx, op.method, u.String(), b.reader())
	if err != nil {
		return nil, fmt.Errorf("the request of %s: %w", op.id, err)
	}
	for name, values := range at.headers {
		r.Header[http.CanonicalHeaderKey(name)] = values
	}
	maps.Copy(r.Header, b.header)
	return &Request{HTTP: r, Signing: at.signing}, nil
}

// readArguments keeps numbers as they are written.
func readArguments(text json.RawMessage) (map[string]any, error) {
	if text = bytes.TrimSpace(text); len(text) == 0 || string(text) == "null" {
		return map[string]any{}, nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var args map[string]any
	if err := d.Decode(&args); err != nil || text[0] != '{' {
		return nil, &ArgumentError{Text: "must be a JSON object"}
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, &ArgumentError{Text: "must be one JSON object, and more follows"}
	}
	return args, nil
}

// complete fills in idempotency tokens, and refuses arguments that are missing or unknown.
func (m *Model) complete(op *operation, args map[string]any) error {
	var top *path
	if err := known(op.input, args, top); err != nil {
		return err
	}
	for _, member := range op.input.members {
		if args[member.arg] != nil {
			continue
		}
		delete(args, member.arg) // null is nothing
		switch {
		case member.token:
			args[member.arg] = m.options.NewToken()
		case (member.required || member.in == inLabel) && member.fallback == nil:
			return top.key(member.arg).wrong("is missing, and required")
		}
	}
	return nil
}

// builder gathers what a request is made of beside its path.
type builder struct {
	op      *operation
	args    map[string]any
	header  http.Header
	query   []string
	payload []byte
	hasBody bool
}

func (b *builder) build() error {
	b.query = append(b.query, b.op.query...)
	body := map[string]any{}
	modelled := false
	var payload, params, prefixed *member
	var top *path
	for _, m := range b.op.input.members {
		v, at := b.args[m.arg], top.key(m.arg)
		var err error
		switch m.in {
		case inBody, inStatus:
			modelled = true
			if v != nil {
				body[m.json], err = jsonValue(m, v, at)
			}
		case inPayload:
			payload = m
		case inQueryParams:
			params = m
		case inPrefixHeaders:
			prefixed = m
		case inQuery:
			err = b.addQuery(m, v, at)
		case inHeader:
			err = b.addHeader(m, v, at)
		}
		if err != nil {
			return err
		}
	}
	// Maps come last: what members of their own say goes before.
	if err := b.addQueryParams(params); err != nil {
		return err
	}
	if err := b.addPrefixHeaders(prefixed); err != nil {
		return err
	}
	if payload != nil {
		if err := b.addPayload(payload); err != nil {
			return err
		}
	} else if modelled {
		if err := b.setJSON(body); err != nil {
			return err
		}
	}
	b.finish()
	return nil
}

func (b *builder) finish() {
	if b.op.digest {
		sum := md5.Sum(b.payload) // what the trait httpChecksumRequired asks for
		b.header.Set("Content-Md5", base64.StdEncoding.EncodeToString(sum[:]))
	}
	if out := payloadOf(b.op.output); b.header["Accept"] == nil && (out == nil || out.target.kind.holds()) {
		b.header.Set("Accept", "application/json")
	}
}

func (b *builder) reader() io.Reader {
	if !b.hasBody {
		return nil
	}
	return bytes.NewReader(b.payload)
}

func (b *builder) setJSON(v any) error {
	text, err := encode(v)
	if err != nil {
		return fmt.Errorf("the body of %s: %w", b.op.id, err)
	}
	b.setBody(text, "application/json")
	return nil
}

// setBody leaves a Content-Type that the arguments said.
func (b *builder) setBody(text []byte, contentType string) {
	b.payload, b.hasBody = text, true
	if b.header["Content-Type"] == nil {
		b.header.Set("Content-Type", contentType)
	}
}

func (b *builder) addPayload(m *member) error {
	var top *path
	v, at := b.args[m.arg], top.key(m.arg)
	if v == nil {
		if m.target.kind == kindStructure {
			return b.setJSON(map[string]any{})
		}
		return nil
	}
	if m.target.kind.holds() || m.target.kind == kindDocument {
		value, err := jsonValue(m, v, at)
		if err != nil {
			return err
		}
		return b.setJSON(value)
	}
	text, err := simpleText(m, v, inPayload, at)
	if err != nil {
		return err
	}
	contentType := "text/plain"
	if m.target.kind == kindBlob {
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return at.wrong("must be base64")
		}
		text, contentType = string(raw), "application/octet-stream"
	}
	if m.facets.mediaType != "" {
		contentType = m.facets.mediaType
	}
	b.setBody([]byte(text), contentType)
	return nil
}

// addQuery adds a parameter, or one for each item of a list.
func (b *builder) addQuery(m *member, v any, at *path) error {
	if v == nil {
		return nil
	}
	if m.target.kind != kindList {
		text, err := simpleText(m, v, inQuery, at)
		if err == nil {
			b.query = append(b.query, rules.Encode(m.at)+"="+rules.Encode(text))
		}
		return err
	}
	list, ok := v.([]any)
	if !ok {
		return at.wrong("must be a list, and is %s", what(v))
	}
	for i, item := range list {
		text, err := simpleText(m.target.elem, item, inQuery, at.item(i))
		if err != nil {
			return err
		}
		b.query = append(b.query, rules.Encode(m.at)+"="+rules.Encode(text))
	}
	return nil
}

// addQueryParams adds a map's parameters but those that the pattern or a member has.
func (b *builder) addQueryParams(m *member) error {
	if m == nil || b.args[m.arg] == nil {
		return nil
	}
	var top *path
	at := top.key(m.arg)
	values, ok := b.args[m.arg].(map[string]any)
	if !ok {
		return at.wrong("must be an object, and is %s", what(b.args[m.arg]))
	}
	taken := map[string]bool{}
	for _, pair := range b.query {
		key, _, _ := strings.Cut(pair, "=")
		taken[key] = true
	}
	for _, key := range sortedKeys(values) {
		if values[key] == nil || taken[rules.Encode(key)] {
			continue
		}
		one := &member{target: m.target.elem.target, at: key, facets: m.target.elem.facets}
		if err := b.addQuery(one, values[key], at.key(key)); err != nil {
			return err
		}
	}
	return nil
}

// addHeader sets a header. One without a value is left out.
func (b *builder) addHeader(m *member, v any, at *path) error {
	if v == nil || strings.EqualFold(m.at, "Content-Length") { // said by the body itself
		return nil
	}
	if m.target.kind != kindList {
		text, err := simpleText(m, v, inHeader, at)
		if err != nil {
			return err
		}
		return b.setHeader(m.at, text, at)
	}
	list, ok := v.([]any)
	if !ok {
		return at.wrong("must be a list, and is %s", what(v))
	}
	items := make([]string, 0, len(list))
	for i, item := range list {
		text, err := simpleText(m.target.elem, item, inHeader, at.item(i))
		if err != nil {
			return err
		}
		if k := m.target.elem.target.kind; k == kindString || k == kindEnum {
			text = quoted(text)
		}
		items = append(items, text)
	}
	return b.setHeader(m.at, strings.Join(items, ", "), at)
}

func (b *builder) setHeader(name, text string, at *path) error {
	text, err := headerText(text, at)
	if err != nil || text == "" {
		return err
	}
	b.header.Set(name, text)
	return nil
}

func (b *builder) addPrefixHeaders(m *member) error {
	if m == nil || b.args[m.arg] == nil {
		return nil
	}
	var top *path
	at := top.key(m.arg)
	values, ok := b.args[m.arg].(map[string]any)
	if !ok {
		return at.wrong("must be an object, and is %s", what(b.args[m.arg]))
	}
	for _, key := range sortedKeys(values) {
		name := m.at + key
		if !isToken(name) || isReserved(name) {
			return at.key(shorten(key, 100)).wrong("gives the header %s, which cannot be set", shorten(name, 100))
		}
		if values[key] == nil || b.header.Get(name) != "" {
			continue
		}
		text, err := simpleText(m.target.elem, values[key], inPrefixHeaders, at.key(key))
		if err != nil {
			return err
		}
		if err := b.setHeader(name, text, at.key(key)); err != nil {
			return err
		}
	}
	return nil
}

// pathOf is the path of a call, encoded. With the bucket in the host, a path that begins
// with it begins behind.
func (op *operation) pathOf(args map[string]any, bucketInHost bool) (string, error) {
	var b strings.Builder
	var top *path
	for i, s := range op.path {
		if s.member == nil {
			b.WriteString(s.text)
			continue
		}
		text, err := labelText(s.member, args[s.member.arg], top.key(s.member.arg), s.greedy)
		if err != nil {
			return "", err
		}
		if bucketInHost && i == 1 && s.member.context == "Bucket" && op.path[0].text == "/" {
			b.Reset()
			continue
		}
		if text = rules.Encode(text); s.greedy {
			text = strings.ReplaceAll(text, "%2F", "/")
		}
		b.WriteString(text)
		if b.Len() > maxPath { // a URI may have one label many times
			return "", top.key(s.member.arg).wrong("makes a path of more than %d bytes", maxPath)
		}
	}
	return b.String(), nil
}

// maxPath bounds the path of a request, in bytes.
const maxPath = 64 << 10
