// Package sessionurl names sessions in the URLs of their ports. Server and client
// make the same name of the same session: the server tells it only to who invokes the
// agent, which would run it (spec/runtime.md 2.10 leaves the form to us).
package sessionurl

import (
	"crypto/sha256"
	"encoding/base32"
	"strconv"
	"strings"
)

// Path is what such a URL begins with, before the label and the port. AWS's model has
// the URL no longer than 128 characters.
const Path = "/_outcrop/sessions/"

// Label names the session of a runtime's endpoint. It is no secret: who uses it shows
// who they are, as for an invocation. It stays the same over restarts of the server.
func Label(account, region, runtime, endpoint, session string) string {
	h := sha256.New()
	for _, part := range []string{account, region, runtime, endpoint, session} {
		_, _ = h.Write([]byte(strconv.Itoa(len(part)) + ":" + part)) // never fails (hash.Hash)
	}
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(h.Sum(nil)[:16]))
}
