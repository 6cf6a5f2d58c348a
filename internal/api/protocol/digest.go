package protocol

import (
	"crypto/md5"
	"net/http"
	"strings"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/object/checksum"
)

// checkDigests holds an XML body against the digests that S3's clients send with
// it in headers. Bodies that are streamed are the storage's to check.
func checkDigests(h http.Header, body []byte) error {
	if claimed := h.Get("Content-Md5"); claimed != "" {
		sum := md5.Sum(body)
		if claimed != checksum.Encode(sum[:]) {
			return fault.New("BadDigest", http.StatusBadRequest, "The Content-MD5 you specified did not match what we received.")
		}
	}
	for _, a := range checksum.Algorithms() {
		claimed := h.Get("X-Amz-Checksum-" + string(a))
		if claimed == "" {
			continue
		}
		sum := a.New()
		_, _ = sum.Write(body) // a hash never fails
		if claimed != checksum.Encode(sum.Sum(nil)) {
			return fault.New("BadDigest", http.StatusBadRequest, "The %s you specified did not match the calculated checksum.", strings.ToUpper(string(a)))
		}
	}
	return nil
}
