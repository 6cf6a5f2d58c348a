package invoke

import (
	"net/http"
	"testing"

	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/auth"
)

// TestPresigned: what let the caller in does not go on to targets; what is the target's
// own stays as it came.
func TestPresigned(t *testing.T) {
	const signature = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a%2Fb&X-Amz-Date=d&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Security-Token=t&X-Amz-Sig%6Eature=s"
	signed, user := auth.Principal{Kind: auth.User}, auth.Principal{Kind: auth.Bearer}
	header := http.Header{"Authorization": {"AWS4-HMAC-SHA256 ..."}}
	for name, tt := range map[string]struct {
		call pipeline.Call
		want string
	}{
		"presigned":                 {pipeline.Call{Principal: signed, Query: "b=%31&" + signature + "&a=+&a&x-amz-meta-x=1&%zz=1"}, "b=%31&a=+&a&x-amz-meta-x=1&%zz=1"},
		"presigned alone":           {pipeline.Call{Principal: signed, Query: signature}, ""},
		"signed in the header":      {pipeline.Call{Principal: signed, Query: signature, Header: header}, signature},
		"a user, for the target":    {pipeline.Call{Principal: user, Query: signature}, signature},
		"without parameters at all": {pipeline.Call{Principal: signed}, ""},
	} {
		if got := query(&tt.call); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}
