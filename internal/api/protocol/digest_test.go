package protocol

import (
	"net/http"
	"testing"

	"github.com/outcrop/outcrop/internal/fault"
)

func TestCheckDigests(t *testing.T) {
	const body = "<Delete/>"
	for _, c := range []struct {
		name, value string
		ok          bool
	}{
		{"Content-Md5", "ePbrFwvNFIRnzBrIv+T8Ag==", true},
		{"Content-Md5", "AAAAAAAAAAAAAAAAAAAAAA==", false},
		{"Content-Md5", "nonsense", false},
		{"X-Amz-Checksum-Crc32", "DY2k5w==", true},
		{"X-Amz-Checksum-Crc32", "AAAAAA==", false},
		{"X-Amz-Checksum-Sha256", "4gAPax/B23lWJt2vnBMyQVfp9Wy3ggtA18MlOgjuW5E=", true},
		{"X-Amz-Checksum-Sha256", "", true},
		{"X-Amz-Checksum-Mode", "ENABLED", true},
	} {
		err := checkDigests(http.Header{c.name: {c.value}}, []byte(body))
		if (err == nil) != c.ok || err != nil && !fault.Is(err, "BadDigest") {
			t.Errorf("%s: %q: %v", c.name, c.value, err)
		}
	}
}
