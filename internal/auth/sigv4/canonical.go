package sigv4

import (
	"bytes"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// maxParams bounds the work of sorting a query nobody has vouched for yet.
const maxParams = 4096

// scratch holds what one verification builds; a Verifier reuses them.
type scratch struct {
	buf    []byte  // the canonical request
	query  []byte  // escaped parameters, back to back
	params []param // where they lie in query
}

// param is one escaped parameter: query[start:mid] is the name, query[mid:end]
// the value.
type param struct{ start, mid, end int }

// canonicalRequest builds the canonical request of r, sent to host, into s.buf.
func (s *scratch) canonicalRequest(r *http.Request, host string, c *Claim, rawPath bool, contentHash string) *Error {
	b := append(s.buf[:0], r.Method...)
	b = append(b, '\n')
	b = appendPath(b, Path(r), rawPath)
	b = append(b, '\n')
	b, err := s.appendQuery(b, r.URL.RawQuery, c.Presigned)
	if err != nil {
		return err
	}
	b = append(b, '\n')
	for _, name := range c.SignedHeaders {
		b = append(b, name...)
		b = append(b, ':')
		var ok bool
		if name == "host" {
			b = append(b, host...)
		} else if b, ok = appendHeader(b, r, name); !ok {
			// Signed but not here: somebody took it away. What the signature
			// would be without it is nobody's business.
			return refuse(Mismatch)
		}
		b = append(b, '\n')
	}
	b = append(b, '\n')
	for i, name := range c.SignedHeaders {
		if i > 0 {
			b = append(b, ';')
		}
		b = append(b, name...)
	}
	b = append(b, '\n')
	s.buf = append(b, contentHash...)
	return nil
}

// Path returns the path of the request line, still escaped. Whoever routes a
// request must use it too: where two readings of one target differ, a signature
// for one resource opens another.
//
// net/http keeps the target in RequestURI; URL.EscapedPath is its own rendering,
// which differs where a client sent bytes that ought to have been escaped. What
// comes through a proxy has scheme and authority before the path.
func Path(r *http.Request) string {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	if strings.HasPrefix(path, "/") {
		return path
	}
	// Only net/url says whether there is an authority: in a:/b://c/d there is none.
	if at := len(r.URL.Scheme) + len("://"); r.URL.Host != "" && at <= len(path) {
		if slash := strings.IndexByte(path[at:], '/'); slash >= 0 {
			return path[at+slash:]
		}
		return "/"
	}
	return r.URL.EscapedPath()
}

// appendPath appends the canonical path. S3 wants the object key encoded once
// and left as it is otherwise; everybody else wants the path as sent normalised
// and encoded again, so that %3A becomes %253A (spec/runtime.md trap 2).
func appendPath(dst []byte, path string, rawPath bool) []byte {
	if path == "" {
		return append(dst, '/')
	}
	if !rawPath {
		if needsNormalising(path) {
			path = normalise(path)
		}
		for i := range len(path) {
			dst = appendEscaped(dst, path[i], true)
		}
		return dst
	}
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c == '%' {
			if v, ok := unhex(path, i); ok {
				c = v
				i += 2
			}
		}
		dst = appendEscaped(dst, c, true)
	}
	return dst
}

func needsNormalising(path string) bool {
	return strings.Contains(path, "//") || strings.Contains(path, "/.") || path[0] != '/'
}

// normalise removes empty, "." and ".." segments and keeps a final slash, the
// way the SDKs do (not RFC 3986, which leaves one behind a final "..").
func normalise(path string) string {
	var kept []string
	for s := range strings.SplitSeq(path, "/") {
		switch s {
		case "", ".":
		case "..":
			if len(kept) > 0 {
				kept = kept[:len(kept)-1]
			}
		default:
			kept = append(kept, s)
		}
	}
	out := "/" + strings.Join(kept, "/")
	if len(kept) > 0 && strings.HasSuffix(path, "/") {
		out += "/"
	}
	return out
}

// appendQuery appends the canonical query: every name and value decoded and
// encoded again in the one canonical way, sorted by name and then by value. A
// '+' is a space, as it is to whoever decodes the parameters afterwards: what
// is verified and what is understood must be the same.
func (s *scratch) appendQuery(dst []byte, raw string, presigned bool) ([]byte, *Error) {
	s.query, s.params = s.query[:0], s.params[:0]
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		p := param{start: len(s.query)}
		var ok1, ok2 bool
		s.query, ok1 = appendRecoded(s.query, name)
		p.mid = len(s.query)
		s.query, ok2 = appendRecoded(s.query, value)
		p.end = len(s.query)
		if !ok1 || !ok2 || len(s.params) == maxParams {
			return dst, refuse(MalformedQuery)
		}
		if presigned && string(s.query[p.start:p.mid]) == paramSignature {
			continue
		}
		s.params = append(s.params, p)
	}
	slices.SortFunc(s.params, func(a, b param) int {
		if n := bytes.Compare(s.query[a.start:a.mid], s.query[b.start:b.mid]); n != 0 {
			return n
		}
		return bytes.Compare(s.query[a.mid:a.end], s.query[b.mid:b.end])
	})
	for i, p := range s.params {
		if i > 0 {
			dst = append(dst, '&')
		}
		dst = append(dst, s.query[p.start:p.mid]...)
		dst = append(dst, '=')
		dst = append(dst, s.query[p.mid:p.end]...)
	}
	return dst, nil
}

// appendHeader appends the canonical value of a signed header and reports
// whether the request has it. net/http takes some headers out of the map.
func appendHeader(dst []byte, r *http.Request, name string) ([]byte, bool) {
	values := r.Header[http.CanonicalHeaderKey(name)]
	if len(values) == 0 {
		switch name {
		case "content-length":
			if r.ContentLength >= 0 {
				return strconv.AppendInt(dst, r.ContentLength, 10), true
			}
		case "transfer-encoding":
			values = r.TransferEncoding
		}
	}
	for i, v := range values {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendTrimmed(dst, v)
	}
	return dst, len(values) > 0
}

// appendTrimmed appends v without blanks at its ends and with each run of
// spaces inside made one. (net/http has already unfolded it.)
func appendTrimmed(dst []byte, v string) []byte {
	v = strings.Trim(v, " \t")
	if !strings.Contains(v, "  ") {
		return append(dst, v...)
	}
	for i := range len(v) {
		if v[i] != ' ' || v[i-1] != ' ' {
			dst = append(dst, v[i])
		}
	}
	return dst
}

// appendRecoded decodes s as a query component and appends it in canonical
// encoding. It reports false for a broken escape.
func appendRecoded(dst []byte, s string) ([]byte, bool) {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch c {
		case '%':
			v, ok := unhex(s, i)
			if !ok {
				return dst, false
			}
			c = v
			i += 2
		case '+':
			c = ' '
		}
		dst = appendEscaped(dst, c, false)
	}
	return dst, true
}

// unescapeQuery decodes a query component.
func unescapeQuery(s string) (string, bool) {
	if !strings.ContainsAny(s, "%+") {
		return s, true
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch c {
		case '%':
			v, ok := unhex(s, i)
			if !ok {
				return "", false
			}
			c = v
			i += 2
		case '+':
			c = ' '
		}
		out = append(out, c)
	}
	return string(out), true
}

// appendEscaped appends c as it is if RFC 3986 calls it unreserved (or it is a
// slash of a path), else as %XX.
func appendEscaped(dst []byte, c byte, path bool) []byte {
	const digits = "0123456789ABCDEF"
	if 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~' || path && c == '/' {
		return append(dst, c)
	}
	return append(dst, '%', digits[c>>4], digits[c&15])
}

// unhex returns the byte that the escape at s[i] stands for.
func unhex(s string, i int) (byte, bool) {
	if i+2 >= len(s) {
		return 0, false
	}
	hi, ok1 := nibble(s[i+1])
	lo, ok2 := nibble(s[i+2])
	return hi<<4 | lo, ok1 && ok2
}

func nibble(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
