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

// packed opens the embedded executable for an architecture as it was embedded.
func packed(files fs.FS, goarch string) (fs.File, error) {
	return files.Open(packedName(goarch) + ".zst")
}

// packedDigest is the SHA-256 of what packed unpacks to, in hexadecimal.
func packedDigest(files fs.FS, goarch string) (string, error) {
	name := packedName(goarch) + ".sha256"
	line, err := fs.ReadFile(files, name)
	if err != nil {
		return "", err
	}
	digest, _, _ := strings.Cut(string(line), " ")
	if len(digest) != 64 || strings.Trim(digest, "0123456789abcdef") != "" {
		return "", fmt.Errorf("read %s: %q is no digest", name, digest)
	}
	return digest, nil
}

// packedName is that of the embedded files without their extensions.
func packedName(goarch string) string { return "embedded/outcrop-sandbox-linux-" + goarch }
