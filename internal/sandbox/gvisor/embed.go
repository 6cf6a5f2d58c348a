package gvisor

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"
)

// embedded holds a README, and once `make build` has run the compressed sandbox
// executable with its digest.
//
//go:embed embedded
var embedded embed.FS

// packed returns the embedded executable for an architecture as it was embedded,
// and the SHA-256 of what it unpacks to, in hexadecimal.
func packed(files fs.FS, goarch string) (data []byte, digest string, err error) {
	name := packedName(goarch)
	line, err := fs.ReadFile(files, name+".sha256")
	if err != nil {
		return nil, "", err
	}
	digest, _, _ = strings.Cut(string(line), " ")
	if len(digest) != 64 || strings.Trim(digest, "0123456789abcdef") != "" {
		return nil, "", fmt.Errorf("read %s.sha256: %q is no digest", name, digest)
	}
	data, err = fs.ReadFile(files, name+".zst")
	return data, digest, err
}

// packedName is that of the embedded files without their extensions.
func packedName(goarch string) string { return "embedded/outcrop-sandbox-linux-" + goarch }
