package http1

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// readResponse is http.ReadResponse, which is asked for what common does not take.
func readResponse(in *bufio.Reader, r *http.Request) (*http.Response, error) {
	if _, err := in.Peek(1); err == io.EOF { // it has filled the buffer, if that was empty
		return nil, io.ErrUnexpectedEOF
	} else if err != nil {
		return nil, err
	}
	if a := common(in, r); a != nil {
		return a, nil
	}
	return http.ReadResponse(in, r)
}

// common reads an answer of the common kind: its head is in the buffer as a whole, plain,
// and says how long the body is. Of any other it takes nothing from the buffer, and
// returns nil. http.ReadResponse makes the same of it, with a string for each value and a
// lock for the body.
func common(in *bufio.Reader, r *http.Request) *http.Response {
	buffered, _ := in.Peek(in.Buffered())
	end := bytes.Index(buffered, []byte("\r\n\r\n"))
	if end < 0 || r.Method == http.MethodHead {
		return nil
	}
	line, fields, _ := strings.Cut(string(buffered[:end]), "\r\n") // all that is kept is cut from this string
	status, ok := strings.CutPrefix(line, "HTTP/1.1 ")
	digits, _, _ := strings.Cut(status, " ")
	code, err := strconv.Atoi(digits)
	if !ok || err != nil || len(digits) != 3 || code < 200 || code == http.StatusNoContent || code == http.StatusNotModified || !httpguts.ValidHeaderFieldValue(status) {
		return nil
	}
	header := readHeader(fields)
	length := header["Content-Length"]
	if len(length) != 1 {
		return nil
	}
	n, err := strconv.ParseUint(length[0], 10, 63)
	if err != nil {
		return nil
	}
	_, _ = in.Discard(end + len("\r\n\r\n"))
	a := &http.Response{
		Status: status, StatusCode: code, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, ContentLength: int64(n), Body: http.NoBody, Request: r,
	}
	if n > 0 {
		a.Body = &sized{io.LimitedReader{R: in, N: a.ContentLength}}
	}
	return a
}

// readHeader returns nil for fields that are not plain, or that say more about the
// connection or the body than that it is kept and how long the body is.
func readHeader(fields string) http.Header {
	values := make([]string, 1+strings.Count(fields, "\n"))
	header := make(http.Header, len(values))
	for i := range values {
		var line string
		line, fields, _ = strings.Cut(fields, "\r\n")
		name, value, ok := strings.Cut(line, ":")
		value = strings.Trim(value, " \t")
		if !ok || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return nil
		}
		name = http.CanonicalHeaderKey(name)
		switch {
		case name == "Transfer-Encoding", name == "Trailer", name == "Pragma", // which may become a Cache-Control
			name == "Connection" && !strings.EqualFold(value, "keep-alive"):
			return nil
		case header[name] != nil:
			header[name] = append(header[name], value)
		default:
			values[i] = value
			header[name] = values[i : i+1 : i+1]
		}
	}
	return header
}

// sized is a body as long as its head said.
type sized struct{ io.LimitedReader }

// Read implements io.Reader. The end comes with the last bytes.
func (b *sized) Read(p []byte) (int, error) {
	n, err := b.LimitedReader.Read(p)
	switch {
	case err == nil && b.N == 0:
		err = io.EOF
	case err == io.EOF && b.N > 0:
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Close implements io.Closer.
func (*sized) Close() error { return nil }
