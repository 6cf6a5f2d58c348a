package http1

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// maxBody bounds the body of a request that is taken here, in bytes: the kernel takes all
// of it, whether the server reads or not.
const maxBody = 64 << 10

// fits tells whether a request is one to be taken here.
func fits(r *http.Request) bool {
	switch {
	case r.URL.Scheme != "http", r.URL.User != nil, r.URL.Opaque != "", r.Method == http.MethodConnect, r.Method != "" && !httpguts.ValidHeaderFieldName(r.Method),
		r.ContentLength < 0 || r.ContentLength > maxBody, bodiless(r) != (r.ContentLength == 0), !bodiless(r) && r.GetBody == nil,
		r.Close, len(r.TransferEncoding) > 0, r.Trailer != nil, !visible(r.URL.RawQuery):
		return false
	}
	for name, values := range r.Header {
		switch name {
		case "Connection", "Expect", "Upgrade":
			return false
		}
		if !httpguts.ValidHeaderFieldName(name) {
			return false // which net/http refuses, and says so
		}
		for _, v := range values {
			if !httpguts.ValidHeaderFieldValue(v) {
				return false
			}
		}
	}
	return plain(r.URL.Host) && (r.Host == "" || plain(r.Host))
}

func bodiless(r *http.Request) bool { return r.Body == nil || r.Body == http.NoBody }

// plain tells whether a host needs no other spelling, to be resolved or to be named in a
// request.
func plain(host string) bool {
	return host != "" && visible(host) && !strings.Contains(host, "%") && httpguts.ValidHostHeader(host)
}

// visible tells whether a text is of ASCII's visible characters.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// write is what http.Request.Write does, for a request that fits: the same bytes, but for
// the order of headers.
func write(b *bytes.Buffer, r *http.Request) error {
	if r.Body != nil {
		defer r.Body.Close()
	}
	add(b, cmp.Or(r.Method, http.MethodGet), " ", r.URL.RequestURI(), " HTTP/1.1\r\nHost: ", cmp.Or(r.Host, r.URL.Host), "\r\n")
	for name, values := range r.Header {
		switch name {
		case "Host", "Content-Length", "Transfer-Encoding", "Trailer":
			continue // they are said otherwise
		case "User-Agent": // once, or not at all
			if len(values) == 0 || values[0] == "" {
				continue
			}
			values = values[:1]
		}
		for _, v := range values {
			add(b, name, ": ", textproto.TrimString(v), "\r\n")
		}
	}
	if _, ok := r.Header["User-Agent"]; !ok {
		add(b, "User-Agent: Go-http-client/1.1\r\n")
	}
	if !bodiless(r) || r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch {
		add(b, "Content-Length: ", strconv.FormatInt(r.ContentLength, 10), "\r\n")
	}
	add(b, "\r\n")
	if bodiless(r) {
		return nil
	}
	if n, err := b.ReadFrom(io.LimitReader(r.Body, r.ContentLength+1)); err != nil || n != r.ContentLength {
		return cmp.Or(err, fmt.Errorf("http: ContentLength=%d with Body length %d", r.ContentLength, n))
	}
	return nil
}

func add(b *bytes.Buffer, parts ...string) {
	for _, s := range parts {
		b.WriteString(s)
	}
}
