package pipeline

import (
	"net"
	"net/http"
	"net/netip"
	"net/textproto"
	"strings"

	"github.com/outcrop/outcrop/internal/awshost"
	"github.com/outcrop/outcrop/internal/object"
)

// S3 is addressed in two styles: with the bucket in the path, and with it in
// front of the host name. The routes are those of the first; hostedPath turns
// the second into it. The signature has been made over what the client sent, so
// the request itself stays as it is.

// hostedPath returns the path of a request to S3 with the bucket in it.
func hostedPath(host, path string) string {
	bucket := bucketOfHost(host)
	switch {
	case bucket == "":
		return path
	case strings.HasPrefix(path, "/"):
		return "/" + bucket + path
	}
	return "/" + bucket + "/" + path
}

// bucketOfHost returns the bucket that stands before a base name in a Host
// header, or "" for the path style: an address, a base name alone, and every
// name we do not know. Base names are localhost and those of S3 (awshost).
func bucketOfHost(host string) string {
	host = withoutPort(host)
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return ""
	}
	bucket, ok := strings.CutSuffix(host, ".localhost")
	if !ok {
		bucket = beforeAmazon(host)
	}
	if object.CheckBucketName(bucket) != nil {
		return ""
	}
	return bucket
}

// beforeAmazon returns what stands before the name of an S3 endpoint.
func beforeAmazon(host string) string {
	n, _ := awshost.Parse(host)
	if n.Service != "s3" {
		return ""
	}
	return n.Prefix
}

// withoutPort returns a Host header without its port.
func withoutPort(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return host
}

// hoistHeaders puts the headers of a presigned request that its signer has moved
// into the query, where S3 takes them as well, back to where the codec looks.
// The query is signed, so what it says is the signer's; a header wins, because a
// header that was not signed is refused.
func hoistHeaders(r *http.Request) {
	for name, values := range r.URL.Query() {
		if len(values) == 0 || !isHoisted(name) {
			continue
		}
		name = textproto.CanonicalMIMEHeaderKey(name)
		if _, sent := r.Header[name]; !sent {
			r.Header[name] = values
		}
	}
}

// isHoisted tells headers of the operation from the parts of the signature.
func isHoisted(parameter string) bool {
	name := strings.ToLower(parameter)
	if strings.HasPrefix(name, "x-amzn-bedrock-agentcore-runtime-") {
		return true
	}
	if !strings.HasPrefix(name, "x-amz-") {
		return false
	}
	switch name {
	case "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires", "x-amz-signedheaders", "x-amz-signature",
		"x-amz-security-token", "x-amz-content-sha256":
		return false
	}
	return true
}
