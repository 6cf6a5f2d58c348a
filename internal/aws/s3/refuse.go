package s3

import (
	"net/http"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/fault"
)

// demand is a request header that asks for more than is served, by its name or
// by the prefix of a family of names (ending in a hyphen).
type demand struct {
	header string
	// harmless are the values that ask for what is done anyway.
	harmless []string
	reason   string
}

// demands is the whole list. An operation that ignored one would promise what
// nobody keeps.
func demands() []demand {
	const (
		plain   = "objects are not encrypted by the server; put its data directory on an encrypted volume"
		noACL   = "objects belong to the account of the bucket and access is decided by policies alone"
		noLock  = "objects cannot be locked"
		noClass = "there is one storage class, STANDARD"
	)
	return []demand{
		{header: "X-Amz-Acl", harmless: []string{"private", "bucket-owner-full-control"}, reason: noACL},
		{header: "X-Amz-Grant-", reason: noACL},
		{header: "X-Amz-Server-Side-Encryption", reason: plain},
		{header: "X-Amz-Server-Side-Encryption-", reason: plain},
		{header: "X-Amz-Copy-Source-Server-Side-Encryption-", reason: plain},
		{header: "X-Amz-Object-Lock-", reason: noLock},
		{header: "X-Amz-Bucket-Object-Lock-Enabled", harmless: []string{"false"}, reason: noLock},
		{header: "X-Amz-Bypass-Governance-Retention", harmless: []string{"false"}, reason: noLock},
		{header: "X-Amz-Mfa", reason: "deletion cannot be tied to a second factor"},
		{header: "X-Amz-Storage-Class", harmless: []string{"STANDARD"}, reason: noClass},
		{header: "X-Amz-Object-Annotation-Directive", harmless: []string{"EXCLUDE"}, reason: "objects have no annotations"},
		{header: "X-Amz-Website-Redirect-Location", reason: "buckets are not web sites"},
		{header: "X-Amz-Request-Payer", reason: "nobody is charged"},
		{header: "X-Amz-Write-Offset-Bytes", reason: "objects cannot be appended to"},
		{header: "X-Amz-Bucket-Namespace", harmless: []string{"global"}, reason: "bucket names are global"},
		{header: "X-Amz-If-Match-", reason: "S3 has it for directory buckets only"},
		{header: "X-Amz-Rename-Source", reason: "S3 has it for directory buckets only"},
	}
}

// refuseHeaders returns the refusal of the first header that demands what is
// not served.
func refuseHeaders(h http.Header) error {
	var names []string
	for name := range h {
		if strings.HasPrefix(name, "X-Amz-") {
			names = append(names, name)
		}
	}
	slices.Sort(names) // the same refusal for the same request
	for _, name := range names {
		for _, d := range demands() {
			if !d.names(name) {
				continue
			}
			if value := h.Get(name); value != "" && !slices.Contains(d.harmless, value) {
				return notImplemented(strings.ToLower(name), d.reason)
			}
		}
	}
	return nil
}

func (d demand) names(header string) bool {
	if strings.HasSuffix(d.header, "-") {
		return strings.HasPrefix(header, d.header)
	}
	return header == d.header
}

// notImplemented is S3's answer to a header it does not know what to do with,
// with a status that is not the server's fault.
func notImplemented(name, reason string) *fault.Error {
	e := fault.BadRequest("NotImplemented", "%s is not available in Outcrop: %s", name, reason)
	e.Members = map[string]string{"Header": name}
	e.Header = http.Header{"X-Outcrop-Refused": {name}}
	return e
}
