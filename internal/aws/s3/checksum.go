package s3

import (
	"io"
	"net/http"
	"strings"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/object"
	"github.com/outcrop/outcrop/internal/object/checksum"
)

// The names of S3's checksums, as headers and as members.
const (
	checksumHeader  = "X-Amz-Checksum-"
	trailerHeader   = "X-Amz-Trailer"
	algorithmHeader = "X-Amz-Sdk-Checksum-Algorithm"
)

// claim is what a request says of the checksum of its body.
type claim struct {
	algorithm checksum.Algorithm // empty where it says nothing
	value     string             // base64, or empty where the trailer has it
	trailer   bool
}

// parseClaim reads the checksum that a body comes with. S3 takes one, in a
// header or in a trailer that a header announces, and the algorithm that the SDK
// names has to be the same.
func parseClaim(h http.Header) (claim, error) {
	var c claim
	found := 0
	for name, values := range h {
		tail, ok := strings.CutPrefix(name, checksumHeader)
		if !ok || tail == "Algorithm" || tail == "Type" || tail == "Mode" || len(values) == 0 {
			continue
		}
		found++
		c.algorithm, c.value = checksum.Algorithm(strings.ToUpper(tail)), values[0]
	}
	for name := range strings.SplitSeq(h.Get(trailerHeader), ",") {
		if tail, ok := strings.CutPrefix(http.CanonicalHeaderKey(strings.TrimSpace(name)), checksumHeader); ok {
			found++
			c = claim{algorithm: checksum.Algorithm(strings.ToUpper(tail)), trailer: true}
		}
	}
	if found > 1 {
		return claim{}, invalidRequest("Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
	}
	named := checksum.Algorithm(strings.ToUpper(h.Get(algorithmHeader)))
	switch {
	case found > 0 && !c.algorithm.Valid():
		return claim{}, unsupportedAlgorithm()
	case named == "":
	case !named.Valid():
		return claim{}, unsupportedAlgorithm()
	case found == 0:
		return claim{}, invalidRequest("x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.")
	case named != c.algorithm:
		return claim{}, invalidRequest("Value for x-amz-sdk-checksum-algorithm header is invalid.")
	}
	return c, nil
}

func unsupportedAlgorithm() error {
	return invalidRequest("Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]")
}

// body is the request's body and all that is claimed of it.
func (c call) body(r io.Reader, contentMD5 *string) (object.Body, error) {
	said, err := parseClaim(c.Header)
	if err != nil {
		return object.Body{}, err
	}
	b := object.Body{Reader: r, Size: c.ContentLength, Algorithm: said.algorithm, Checksum: said.value}
	if contentMD5 != nil {
		if b.MD5, err = object.ParseMD5(*contentMD5); err != nil {
			return b, err
		}
	}
	if said.trailer {
		b.Trailer = func() (string, error) {
			value := c.Trailer().Get(checksumHeader + string(said.algorithm))
			if value == "" {
				return "", invalidRequest("The trailer x-amz-checksum-%s was announced and did not come.", strings.ToLower(string(said.algorithm)))
			}
			return value, nil
		}
	}
	return b, nil
}

// checkBeside takes the checksum that b came with off it and checks it while the
// body is read, for an upload that keeps another one: SDKs send the parts of an
// upload that was begun without an algorithm with a checksum of their choice.
// sum is the checksum, once the body has been read.
func checkBeside(b object.Body) (_ object.Body, sum func() string) {
	algorithm, claimed, trailer := b.Algorithm, b.Checksum, b.Trailer
	h := algorithm.New()
	sum = func() string { return checksum.Encode(h.Sum(nil)) }
	b.Reader, b.Algorithm, b.Checksum = io.TeeReader(b.Reader, h), "", ""
	b.Trailer = func() (string, error) {
		if trailer != nil {
			var err error
			if claimed, err = trailer(); err != nil {
				return "", err
			}
		}
		name := strings.ToLower(string(algorithm))
		if _, ok := algorithm.Decode(claimed); !ok {
			return "", invalidRequest("Value for x-amz-checksum-%s header is invalid.", name)
		}
		if claimed != sum() {
			return "", fault.BadRequest("BadDigest", "The %s you specified did not match the calculated checksum.", algorithm)
		}
		return "", nil
	}
	return b, sum
}

// sums are the members of the generated shapes that hold a checksum.
type sums struct{ crc32, crc32c, crc64nvme, sha1, sha256 **string }

// set fills the one member of the algorithm.
func (s sums) set(a checksum.Algorithm, value string) {
	if value == "" {
		return
	}
	switch a {
	case checksum.CRC32:
		*s.crc32 = &value
	case checksum.CRC32C:
		*s.crc32c = &value
	case checksum.CRC64NVME:
		*s.crc64nvme = &value
	case checksum.SHA1:
		*s.sha1 = &value
	case checksum.SHA256:
		*s.sha256 = &value
	}
}

// get returns the one member that is set.
func (s sums) get() (checksum.Algorithm, string) {
	for _, m := range []struct {
		a checksum.Algorithm
		p **string
	}{{checksum.CRC32, s.crc32}, {checksum.CRC32C, s.crc32c}, {checksum.CRC64NVME, s.crc64nvme}, {checksum.SHA1, s.sha1}, {checksum.SHA256, s.sha256}} {
		if *m.p != nil {
			return m.a, **m.p
		}
	}
	return "", ""
}

// algorithms is how listings name the algorithm.
func algorithms(c object.Checksum) []string {
	if c.Algorithm == "" {
		return nil
	}
	return []string{string(c.Algorithm)}
}
