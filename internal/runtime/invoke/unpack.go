package invoke

import (
	"compress/gzip"
	"io"
	"net/http"
	"strings"

	"github.com/outcrop/outcrop/internal/fault"
)

// unpack has an answer read as what it is: an agent may pack it although nobody asks
// for that, and the model has no member that would tell callers (spec/runtime.md 8.2);
// SDKs and curl do not look for one.
func unpack(resp *http.Response) error {
	switch how := strings.ToLower(strings.TrimSpace(strings.Join(resp.Header.Values("Content-Encoding"), ","))); how {
	case "", "identity":
	case "gzip", "x-gzip":
		resp.Body = &unpacked{packed: resp.Body}
	default:
		return fault.RuntimeClient("The agent answered with Content-Encoding '%s', which callers would not unpack: let it answer without, as nobody asks for any, or with gzip.", headerText(how))
	}
	return nil
}

// unpacked is a body that is unpacked as it comes. Its head is waited for by whoever
// reads it first.
type unpacked struct {
	packed io.ReadCloser
	plain  io.Reader
}

func (u *unpacked) Read(p []byte) (int, error) {
	if u.plain == nil {
		z, err := gzip.NewReader(u.packed)
		if err != nil { // io.EOF of an answer without a body
			return 0, err
		}
		u.plain = z
	}
	return u.plain.Read(p)
}

func (u *unpacked) Close() error { return u.packed.Close() }
