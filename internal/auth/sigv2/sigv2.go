// Package sigv2 verifies the one form of AWS Signature Version 2 that clients
// still send: presigned URLs of S3, which boto3 and the AWS CLI make unless they
// are told otherwise in the regions that are older than version 4.
//
// The rules are those of the S3 developer guide, "Signing and authenticating
// REST requests", query string request authentication. Headers are not accepted.
package sigv2

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/sigv4"
	"github.com/outcrop/outcrop/internal/fault"
)

// The parameters of a presigned URL.
const (
	paramKey       = "AWSAccessKeyId"
	paramSignature = "Signature"
	paramExpires   = "Expires"
)

const (
	headerPrefix = "x-amz-"
	tokenHeader  = headerPrefix + "security-token"
)

// Claim is what a presigned URL says about its own signature. Nothing in it is
// proven until Verify has returned a principal.
type Claim struct {
	AccessKeyID string
	query       url.Values
}

// Parse reads the claim of a request, and whether it makes one.
func Parse(r *http.Request) (Claim, bool) {
	if !strings.Contains(r.URL.RawQuery, paramKey+"=") {
		return Claim{}, false
	}
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || q.Get(paramKey) == "" {
		return Claim{}, false
	}
	return Claim{AccessKeyID: q.Get(paramKey), query: q}, true
}

// Verify proves the claim that Parse read from r and returns who made it. path
// is the escaped path with the bucket in it, whatever the style of addressing.
// The error is a *fault.Error in S3's words.
func Verify(ctx context.Context, keys sigv4.KeySource, r *http.Request, c Claim, path string, now time.Time) (auth.Principal, error) {
	expires, err := strconv.ParseInt(c.query.Get(paramExpires), 10, 64)
	if err != nil || c.query.Get(paramSignature) == "" {
		return auth.Principal{}, denied("Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters")
	}
	if r.Header.Get("Authorization") != "" {
		return auth.Principal{}, fault.New("InvalidArgument", http.StatusBadRequest, "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, "+
			"Signature query string parameter or the Authorization header should be specified")
	}
	if now.Unix() > expires {
		return auth.Principal{}, denied("Request has expired")
	}
	if err := c.unambiguous(r); err != nil {
		return auth.Principal{}, err
	}
	key, err := keys.Key(ctx, c.AccessKeyID, c.header(r, tokenHeader))
	switch {
	case errors.Is(err, sigv4.ErrUnknownKey), err == nil && key.Secret == "":
		return auth.Principal{}, fault.New("InvalidAccessKeyId", http.StatusForbidden, "The AWS Access Key Id you provided does not exist in our records.")
	case errors.Is(err, sigv4.ErrBadToken):
		return auth.Principal{}, fault.New("InvalidToken", http.StatusBadRequest, "The provided token is malformed or otherwise invalid.")
	case errors.Is(err, sigv4.ErrExpiredToken):
		return auth.Principal{}, fault.New("ExpiredToken", http.StatusBadRequest, "The provided token has expired.")
	case err != nil:
		return auth.Principal{}, fault.Internal(err)
	}
	claimed, err := base64.StdEncoding.DecodeString(c.query.Get(paramSignature))
	proven := err == nil && c.matches(r, key.Secret, path, claimed)
	if err == nil && !proven && strings.Count(path, "/") == 1 { // a bucket: clients differ
		proven = c.matches(r, key.Secret, path+"/", claimed)
	}
	if !proven {
		return auth.Principal{}, fault.New("SignatureDoesNotMatch", http.StatusForbidden,
			"The request signature we calculated does not match the signature you provided. Check your key and signing method.")
	}
	return key.Principal, nil
}

// matches compares in constant time.
func (c Claim) matches(r *http.Request, secret, path string, claimed []byte) bool {
	mac := hmac.New(sha1.New, []byte(secret))
	_, _ = mac.Write([]byte(c.toSign(r, path))) // a hash never fails
	return hmac.Equal(claimed, mac.Sum(nil))
}

func denied(text string) error { return fault.New("AccessDenied", http.StatusForbidden, "%s", text) }

// header is a header of the request, or what its signer has put into the query
// in its place.
func (c Claim) header(r *http.Request, name string) string {
	if values := r.Header.Values(name); len(values) > 0 {
		return strings.Join(values, ",")
	}
	for parameter, values := range c.query {
		if strings.EqualFold(parameter, name) {
			return strings.Join(values, ",")
		}
	}
	return ""
}

// unambiguous refuses what could be read in two ways, of which the signer meant
// one. The text that is signed has a line for each header and no escapes, so a
// line end in a name or value would move what is signed from one header to
// another; and a header that is there twice, in the query by its letters' case,
// is one joined value to the signature and the first of several to a handler.
func (c Claim) unambiguous(r *http.Request) error {
	seen := map[string]bool{}
	for parameter, values := range c.query {
		name := strings.ToLower(parameter)
		if !strings.HasPrefix(name, headerPrefix) && name != "content-md5" && name != "content-type" {
			continue
		}
		if seen[name] || len(values) != 1 || strings.ContainsFunc(name, notASCII) || strings.ContainsFunc(values[0], unicode.IsControl) {
			return ambiguous(name)
		}
		seen[name] = true
	}
	for name, values := range r.Header {
		if len(values) > 1 && strings.HasPrefix(strings.ToLower(name), headerPrefix) {
			return ambiguous(name)
		}
	}
	return nil
}

func notASCII(r rune) bool { return r <= ' ' || r > '~' }

func ambiguous(name string) error {
	return fault.New("InvalidArgument", http.StatusBadRequest,
		"The header %q of a presigned URL must be there once, and without control characters", name)
}

// toSign is the text that is signed.
func (c Claim) toSign(r *http.Request, path string) string {
	var b strings.Builder
	for _, line := range []string{r.Method, c.header(r, "Content-MD5"), c.header(r, "Content-Type"), c.query.Get(paramExpires)} {
		b.WriteString(line)
		b.WriteByte('\n')
	}
	var names []string
	for name := range r.Header {
		names = append(names, strings.ToLower(name))
	}
	for name := range c.query {
		names = append(names, strings.ToLower(name))
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if strings.HasPrefix(name, headerPrefix) {
			b.WriteString(name + ":" + strings.TrimSpace(c.header(r, name)) + "\n")
		}
	}
	b.WriteString(path)
	b.WriteString(c.subresources())
	return b.String()
}

// signedParameters are the parameters that change what a request means and so
// are part of what is signed; attributes, which is younger than this version, is
// here lest somebody adds it to another's URL.
func signedParameters() []string {
	return []string{
		"accelerate", "acl", "analytics", "attributes", "cors", "defaultObjectAcl", "delete", "inventory", "lifecycle", "location", "logging", "metrics",
		"notification", "object-lock", "partNumber", "policy", "replication", "requestPayment", "response-cache-control",
		"response-content-disposition", "response-content-encoding", "response-content-language", "response-content-type",
		"response-expires", "restore", "select", "select-type", "storageClass", "tagging", "torrent", "uploadId", "uploads", "versionId",
		"versioning", "versions", "website",
	}
}

// subresources writes the signed parameters in their order, values as they are.
func (c Claim) subresources() string {
	var b strings.Builder
	separator := byte('?')
	for _, name := range signedParameters() {
		values, ok := c.query[name]
		if !ok {
			continue
		}
		b.WriteByte(separator)
		b.WriteString(name)
		if values[0] != "" {
			b.WriteString("=" + values[0])
		}
		separator = '&'
	}
	return b.String()
}
