package client

import (
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// ForSDK returns c as clients of AWS's SDK need it. The SDK closes a request's body
// as soon as the answer begins, and a body that it closed answers io.EOF to whoever
// has it written, as io.Copy does (smithy-go 1.28.8, transport/http/internal/io/safe.go),
// where that is an error. net/http, when it has sent all of a body, looks by io.Copy
// whether there is more than Content-Length. Where the answer has begun by then, as
// happens on a busy machine, it takes the io.EOF for a failed request and closes the
// connection below the answer: "use of closed network connection". A body that can
// only be read has no such end.
func ForSDK(c aws.HTTPClient) aws.HTTPClient { return sdkHTTP{c} }

type sdkHTTP struct{ below aws.HTTPClient }

// Do implements aws.HTTPClient.
func (c sdkHTTP) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Body != http.NoBody {
		r = r.WithContext(r.Context()) // a copy
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	return c.below.Do(r)
}
