package target

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"syscall"
	"testing"
)

func TestUnreached(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{&net.OpError{Op: "dial", Err: &net.DNSError{Name: "nobody\n.test", Server: "10.0.0.53:53"}}, "the name nobody .test does not resolve; check the endpoint's host"},
		{fmt.Errorf("dial: %w", syscall.ECONNREFUSED), "nothing listens at the endpoint's port; check it, and that the server runs"},
		{&url.Error{Op: "Get", URL: "http://x/?key=secret", Err: io.ErrUnexpectedEOF}, "the server closed the connection before it had answered"},
		{&url.Error{Op: "Get", URL: "http://x/?key=secret", Err: errors.New("http: server closed idle connection")}, "the server closed the connection before it had answered"},
		{errors.New(`malformed HTTP response "SSH-2.0"`), NotHTTP},
		{errors.New("else"), ""},
	} {
		if got := Unreached(c.err); got != c.want {
			t.Errorf("%v: %q, want %q", c.err, got, c.want)
		}
	}
}
