// Package agentcard writes into the cards of agents that speak A2A where their callers
// reach them: the agents cannot know it.
package agentcard

import (
	"bytes"
	"errors"

	"github.com/go-json-experiment/json/jsontext"
)

// Path is where an agent that speaks A2A describes itself.
const Path = "/.well-known/agent-card.json"

// Max bounds a card, in bytes: it is read whole.
const Max = 1 << 20

// WithURL is an agent's card with the URLs at which it is reached from here: its url
// and those of its interfaces (A2A 0.3: url, additionalInterfaces; 1.0:
// supportedInterfaces). All else stays as it is, in its order. What is no
// JSON object is an error.
func WithURL(card []byte, url string) (jsontext.Value, error) {
	if v := jsontext.Value(card); v.Kind() != '{' || !v.IsValid() {
		return nil, errors.New("it is something else")
	}
	var out bytes.Buffer
	err := members(jsontext.NewDecoder(bytes.NewReader(card)), jsontext.NewEncoder(&out), func(name string, d *jsontext.Decoder, e *jsontext.Encoder) error {
		switch {
		case name == "url" && d.PeekKind() == '"':
			return replace(d, e, url)
		case (name == "supportedInterfaces" || name == "additionalInterfaces") && d.PeekKind() == '[':
			return interfaces(d, e, url)
		}
		return copyValue(d, e)
	})
	if err != nil {
		return nil, err
	}
	return bytes.TrimSpace(out.Bytes()), nil
}

// members copies an object, each value by what is given.
func members(d *jsontext.Decoder, e *jsontext.Encoder, value func(name string, d *jsontext.Decoder, e *jsontext.Encoder) error) error {
	for first := true; ; first = false {
		if kind := d.PeekKind(); first || kind == '}' {
			t, err := d.ReadToken()
			if err != nil {
				return err
			}
			if err := e.WriteToken(t); err != nil || !first {
				return err
			}
			continue
		}
		t, err := d.ReadToken()
		if err != nil {
			return err
		}
		name := t.String()
		if err := e.WriteToken(jsontext.String(name)); err != nil {
			return err
		}
		if err := value(name, d, e); err != nil {
			return err
		}
	}
}

// interfaces copies a list of interfaces, whose URL is ours.
func interfaces(d *jsontext.Decoder, e *jsontext.Encoder, url string) error {
	for first := true; ; first = false {
		switch kind := d.PeekKind(); {
		case first || kind == ']':
			t, err := d.ReadToken()
			if err != nil {
				return err
			}
			if err := e.WriteToken(t); err != nil || !first {
				return err
			}
		case kind == '{':
			err := members(d, e, func(name string, d *jsontext.Decoder, e *jsontext.Encoder) error {
				if name == "url" {
					return replace(d, e, url)
				}
				return copyValue(d, e)
			})
			if err != nil {
				return err
			}
		default:
			if err := copyValue(d, e); err != nil {
				return err
			}
		}
	}
}

// replace puts a text in the place of a value.
func replace(d *jsontext.Decoder, e *jsontext.Encoder, text string) error {
	if err := d.SkipValue(); err != nil {
		return err
	}
	return e.WriteToken(jsontext.String(text))
}

func copyValue(d *jsontext.Decoder, e *jsontext.Encoder) error {
	v, err := d.ReadValue()
	if err != nil {
		return err
	}
	return e.WriteValue(v)
}
