package sigv4

import (
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The parameters of the query form.
const (
	paramAlgorithm  = "X-Amz-Algorithm"
	paramCredential = "X-Amz-Credential"
	paramDate       = "X-Amz-Date"
	paramExpires    = "X-Amz-Expires"
	paramSigned     = "X-Amz-SignedHeaders"
	paramSignature  = "X-Amz-Signature"
	paramToken      = "X-Amz-Security-Token"
	paramHash       = "X-Amz-Content-Sha256"
)

// The headers of the header form, as net/http keys them.
const (
	headerAuthorization = "Authorization"
	headerDate          = "X-Amz-Date"
	headerToken         = "X-Amz-Security-Token"
	headerHash          = "X-Amz-Content-Sha256"
	headerDecoded       = "X-Amz-Decoded-Content-Length"
	headerTrailer       = "X-Amz-Trailer"
)

// Parse reads the claim of a request in either form. It looks at headers and
// query only. Every error is an *Error, which Family.Fault puts into words once
// the route has told the family; one of Kind Missing or Unsupported means that
// the request may still carry another kind of credentials.
func Parse(r *http.Request) (Claim, error) {
	query, err := parseAuthQuery(r.URL.RawQuery)
	if err != nil {
		return Claim{}, err
	}
	authorization := r.Header[headerAuthorization]
	switch {
	case query.present && len(authorization) > 0, len(authorization) > 1:
		return Claim{}, refuse(TwoMechanisms)
	case query.present:
		return query.claim(r)
	case len(authorization) == 0:
		return Claim{}, refuse(Missing)
	}
	return parseHeader(r, authorization[0])
}

// parseHeader reads the header form:
//
//	AWS4-HMAC-SHA256 Credential=ID/DATE/REGION/SERVICE/aws4_request, SignedHeaders=a;b, Signature=HEX
func parseHeader(r *http.Request, authorization string) (Claim, error) {
	scheme, rest, _ := strings.Cut(strings.TrimSpace(authorization), " ")
	if scheme != algorithm {
		return Claim{}, refuse(Unsupported)
	}
	var credential, signed, signature string
	for rest != "" {
		var part string
		part, rest, _ = strings.Cut(rest, ",")
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		var field *string
		switch name {
		case "Credential":
			field = &credential
		case "SignedHeaders":
			field = &signed
		case "Signature":
			field = &signature
		}
		if !ok || field == nil || *field != "" {
			return Claim{}, refuse(Malformed, "Authorization header has an unexpected, repeated or incomplete parameter.")
		}
		*field = value
	}
	var absent []string
	for _, p := range [...]struct{ name, value string }{
		{"Credential", credential}, {"Signature", signature}, {"SignedHeaders", signed},
	} {
		if p.value == "" {
			absent = append(absent, "Authorization header requires '"+p.name+"' parameter.")
		}
	}
	if absent != nil {
		return Claim{}, refuse(Malformed, strings.Join(absent, " "))
	}
	var c Claim
	if err := c.set(credential, signed, signature); err != nil {
		return Claim{}, err
	}
	var err error
	if c.Time, err = headerTime(r.Header); err != nil {
		return Claim{}, err
	}
	if c.Token, err = single(r.Header, headerToken); err != nil {
		return Claim{}, err
	}
	c.ContentHash, err = single(r.Header, headerHash)
	return c, err
}

// set reads the three fields both forms have.
func (c *Claim) set(credential, signed, signature string) *Error {
	part := strings.Split(credential, "/")
	if len(part) != 5 || part[0] == "" || part[1] == "" || part[2] == "" || part[3] == "" {
		return refuse(Malformed, "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term.")
	}
	c.AccessKeyID, c.Date, c.Region, c.Service, c.terminator = part[0], part[1], part[2], part[3], part[4]
	for _, p := range part {
		if len(p) > 128 || !printable(p) {
			return refuse(Malformed, "Credential has an element that is too long or not printable ASCII.")
		}
	}
	// Ascending order makes a repeated name visible; lower case is the rule.
	c.SignedHeaders = strings.Split(signed, ";")
	for i, name := range c.SignedHeaders {
		if !lowerToken(name) || i > 0 && c.SignedHeaders[i-1] >= name {
			return refuse(Malformed, "SignedHeaders must be distinct lower-case header names in ascending order.")
		}
	}
	raw, err := hex.DecodeString(signature)
	if err != nil || len(raw) != 32 || strings.ToLower(signature) != signature {
		return refuse(Malformed, "Signature must be 64 lower-case hexadecimal digits.")
	}
	c.signature = raw
	return nil
}

// headerTime is X-Amz-Date, or Date when that is absent.
func headerTime(h http.Header) (time.Time, error) {
	values := h[headerDate]
	if len(values) == 0 {
		values = h["Date"]
		if len(values) == 1 {
			if t, err := http.ParseTime(values[0]); err == nil {
				return t.UTC(), nil
			}
		}
	}
	if len(values) == 1 {
		if t, err := time.Parse(timeFormat, values[0]); err == nil {
			return t, nil
		}
	}
	return time.Time{}, refuse(MissingDate)
}

// single returns the only value of a header, or "". Two values could mean one
// thing to us and another to somebody behind us, so they are refused.
func single(h http.Header, name string) (string, error) {
	switch v := h[name]; len(v) {
	case 0:
		return "", nil
	case 1:
		return v[0], nil
	default:
		return "", refuse(Malformed, "Header '"+name+"' must not be repeated.")
	}
}

// authQuery is what the query form consists of.
type authQuery struct {
	present                                                              bool
	algorithm, credential, date, expires, signed, signature, token, hash string
}

// parseAuthQuery picks the parameters of the query form out of a raw query.
func parseAuthQuery(raw string) (authQuery, error) {
	var q authQuery
	// Most queries have none of them, whatever the escaping of a letter.
	if !strings.Contains(raw, "X-Amz-") && !strings.Contains(raw, "%") {
		return q, nil
	}
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		escaped, value, _ := strings.Cut(pair, "=")
		name, ok := unescapeQuery(escaped)
		if !ok {
			continue // Verify refuses it if the request is signed at all
		}
		var field *string
		switch name {
		case paramAlgorithm:
			field = &q.algorithm
		case paramCredential:
			field = &q.credential
		case paramDate:
			field = &q.date
		case paramExpires:
			field = &q.expires
		case paramSigned:
			field = &q.signed
		case paramSignature:
			field = &q.signature
		case paramToken:
			field = &q.token
		case paramHash:
			field = &q.hash
		default:
			continue
		}
		if *field != "" {
			return q, refuse(TwoMechanisms)
		}
		if *field, ok = unescapeQuery(value); !ok {
			return q, refuse(MalformedQuery)
		}
		// A token or hash alone is a parameter of some operation, not a signature.
		q.present = q.present || field == &q.algorithm || field == &q.credential || field == &q.signature
	}
	return q, nil
}

func (q *authQuery) claim(r *http.Request) (Claim, error) {
	bad := func(e *Error) error { e.presigned = true; return e }
	if q.algorithm != algorithm {
		return Claim{}, bad(refuse(Unsupported))
	}
	for _, p := range [...]struct{ name, value string }{
		{paramCredential, q.credential}, {paramSignature, q.signature}, {paramSigned, q.signed},
		{paramDate, q.date}, {paramExpires, q.expires},
	} {
		if p.value == "" {
			return Claim{}, bad(refuse(Malformed, "AWS query-string parameters must include '"+p.name+"'."))
		}
	}
	c := Claim{Presigned: true, Token: q.token, ContentHash: q.hash}
	if err := c.set(q.credential, q.signed, q.signature); err != nil {
		return Claim{}, bad(err)
	}
	t, err := time.Parse(timeFormat, q.date)
	if err != nil {
		return Claim{}, bad(refuse(Malformed, "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\""))
	}
	c.Time = t
	seconds, err := strconv.ParseInt(q.expires, 10, 64)
	switch {
	case err != nil:
		return Claim{}, bad(refuse(BadExpires, "X-Amz-Expires should be a number"))
	case seconds < 0:
		return Claim{}, bad(refuse(BadExpires, "X-Amz-Expires must be non-negative"))
	case seconds > int64(Week/time.Second):
		return Claim{}, bad(badLife(Week))
	}
	c.Expires = time.Duration(seconds) * time.Second
	// A hash may also come as a header; both would be a choice for an attacker.
	hash, err := single(r.Header, headerHash)
	if err != nil {
		return Claim{}, err
	}
	if c.ContentHash == "" {
		c.ContentHash = hash
	} else if hash != "" && hash != c.ContentHash {
		return Claim{}, bad(refuse(TwoMechanisms))
	}
	return c, nil
}

func badLife(limit time.Duration) *Error {
	s := strconv.FormatInt(int64(limit/time.Second), 10)
	if limit == Week {
		return refuse(BadExpires, "X-Amz-Expires must be less than a week (in seconds); "+
			"that is, the given X-Amz-Expires must be less than "+s+" seconds")
	}
	return refuse(BadExpires, "X-Amz-Expires must not exceed "+s+" seconds for this operation")
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// lowerToken reports whether s is a header name in lower case.
func lowerToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	return s != ""
}
