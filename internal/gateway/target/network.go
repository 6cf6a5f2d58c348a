package target

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
)

// NotHTTP is what Unreached says of who answers in another language.
const NotHTTP = "what listens there does not speak HTTP"

// Unreached says why a target's server could not be asked, or broke off, and what its owner
// does about it; it is empty of errors whose own words are the best there are. Those of TLS
// are Insecure's.
func Unreached(err error) string {
	var resolver *net.DNSError
	switch {
	case errors.As(err, &resolver):
		return fmt.Sprintf("the name %s does not resolve; check the endpoint's host", Clean(resolver.Name))
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens at the endpoint's port; check it, and that the server runs"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE),
		strings.HasSuffix(err.Error(), "http: server closed idle connection"): // it has no name in net/http
		return "the server closed the connection before it had answered"
	case strings.Contains(err.Error(), "malformed HTTP"):
		return NotHTTP
	}
	return ""
}
