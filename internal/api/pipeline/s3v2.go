package pipeline

import (
	"net/http"

	"github.com/outcrop/outcrop/internal/auth/sigv2"
	"github.com/outcrop/outcrop/internal/auth/sigv4"
	"github.com/outcrop/outcrop/internal/store"
)

// regionV2 is the region of what is signed without one.
const regionV2 = "us-east-1"

// claimV2 reads the claim of a URL presigned in version 2, which is S3's alone.
func (e *exchange) claimV2() bool {
	c, ok := sigv2.Parse(e.r)
	if !ok {
		return false
	}
	e.v2 = &c
	e.claim.AccessKeyID, e.claim.Service, e.claim.Region, e.claim.Presigned = c.AccessKeyID, "s3", regionV2, true
	return true
}

// authenticateV2 proves it. The body of such a request is never signed.
func (e *exchange) authenticateV2() error {
	path := hostedPath(e.r.Host, sigv4.Path(e.r))
	p, err := sigv2.Verify(e.r.Context(), e.p.cfg.Verifier.Keys(), e.r, *e.v2, path, e.p.cfg.Now())
	if err != nil {
		return err
	}
	hoistHeaders(e.r)
	e.call.Principal = p
	e.call.Scope = store.Scope{Account: p.Account, Region: regionV2}
	e.call.Trailer = func() http.Header { return nil }
	return nil
}
