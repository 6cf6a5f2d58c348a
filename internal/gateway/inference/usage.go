package inference

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

const (
	// maxAnswer bounds what is kept of an answer to read its usage, and maxLine of one
	// line of a stream, in bytes. What is larger is not counted.
	maxAnswer = 8 << 20
	maxLine   = 1 << 20
)

// Meter reads off the answer to a request how many tokens it used, while somebody else
// reads it, and tells once, when it ends or is closed.
func Meter(resp *http.Response, tell func(tokens int64)) {
	m := &meter{ReadCloser: resp.Body, tell: tell, events: strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream")}
	m.most = maxAnswer
	if m.events {
		m.most = maxLine
	}
	resp.Body = m
}

type meter struct {
	io.ReadCloser
	tell   func(int64)
	events bool
	most   int
	text   []byte // a line, or all
	lost   bool   // it was too large
	seen   usage
}

// usage is what providers say of the tokens of a call, as OpenAI and Anthropic name them.
type usage struct {
	Total      int64 `json:"total_tokens"`
	Prompt     int64 `json:"prompt_tokens"`
	Completion int64 `json:"completion_tokens"`
	Input      int64 `json:"input_tokens"`
	Output     int64 `json:"output_tokens"`
	Created    int64 `json:"cache_creation_input_tokens"`
	Cached     int64 `json:"cache_read_input_tokens"`
}

// Read implements io.Reader.
func (m *meter) Read(p []byte) (int, error) {
	n, err := m.ReadCloser.Read(p)
	m.feed(p[:n])
	if err != nil {
		m.end()
	}
	return n, err
}

// Close implements io.Closer.
func (m *meter) Close() error {
	m.end()
	return m.ReadCloser.Close()
}

func (m *meter) feed(p []byte) {
	if !m.events {
		m.keep(p)
		return
	}
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			m.keep(p)
			return
		}
		m.keep(p[:i])
		m.line()
		p = p[i+1:]
	}
}

func (m *meter) keep(p []byte) {
	if m.lost = m.lost || len(m.text)+len(p) > m.most; m.lost {
		m.text = m.text[:0]
		return
	}
	m.text = append(m.text, p...)
}

// line reads one line of a stream.
func (m *meter) line() {
	if data, ok := bytes.CutPrefix(m.text, []byte("data:")); ok && bytes.Contains(data, []byte(`"usage"`)) {
		m.read(data)
	}
	m.text, m.lost = m.text[:0], false
}

// read takes the usage of an answer, or of an event of one. Later ones are of all so far.
func (m *meter) read(text []byte) {
	type of struct {
		Usage *usage `json:"usage"`
	}
	var a struct {
		of
		Message  of `json:"message"`
		Response of `json:"response"`
	}
	if json.Unmarshal(text, &a) != nil {
		return
	}
	for _, u := range []*usage{a.Usage, a.Message.Usage, a.Response.Usage} {
		if u == nil {
			continue
		}
		s := &m.seen
		for _, x := range []struct {
			to   *int64
			more int64
		}{{&s.Total, u.Total}, {&s.Prompt, u.Prompt}, {&s.Completion, u.Completion}, {&s.Input, u.Input}, {&s.Output, u.Output}, {&s.Created, u.Created}, {&s.Cached, u.Cached}} {
			*x.to = max(*x.to, x.more)
		}
	}
}

func (m *meter) end() {
	if m.tell == nil {
		return
	}
	if m.events {
		m.line()
	} else if !m.lost {
		m.read(m.text)
	}
	m.text = nil
	n := m.seen.Total
	if n == 0 {
		n = m.seen.Prompt + m.seen.Completion + m.seen.Input + m.seen.Output + m.seen.Created + m.seen.Cached
	}
	m.tell(max(n, 0))
	m.tell = nil
}
