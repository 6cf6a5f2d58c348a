package invoke

import (
	"io"
	"mime"
	"net/http"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
)

// aguiEvents has a stream of AG-UI's events that breaks off end with one that says so:
// its clients are told of every error by an event, also in the middle of an answer
// (spec/runtime.md 8.4). Anything else is read as it is.
func aguiEvents(protocol string, h http.Header, body io.ReadCloser) io.ReadCloser {
	kind, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	if protocol != agentcorecontrol.ServerProtocolAGUI || kind != "text/event-stream" {
		return body
	}
	return &events{ReadCloser: body}
}

// events is a stream that ends with an event when it breaks off.
type events struct {
	io.ReadCloser
	broken bool
	last   []byte // of the stream, that is not read yet
}

func (e *events) Read(p []byte) (int, error) {
	if !e.broken {
		n, err := e.ReadCloser.Read(p)
		if err == nil || err == io.EOF {
			return n, err
		}
		event, broken := aguiWordings()["RuntimeClientError"].body(nil)
		if broken != nil {
			return n, err
		}
		// The lines end whatever event it broke off in.
		e.broken, e.last = true, append([]byte("\n\n"), event...)
		return n, nil
	}
	if len(e.last) == 0 {
		return 0, io.EOF
	}
	n := copy(p, e.last)
	e.last = e.last[n:]
	return n, nil
}
