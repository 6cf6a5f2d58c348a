package gateway

import (
	"slices"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/outbound"
	"github.com/outcrop/outcrop/internal/store"
)

const certificateField = "certificateConfigurations"

// checkCertificates holds the rules of spec/gateway.md 3.1. Private addresses are reached
// without an endpoint here, so that certificates need none.
func checkCertificates(list []agentcorecontrol.CertificateConfiguration, k kind, scope store.Scope) error {
	if len(list) == 0 {
		return nil
	}
	const field = certificateField
	if !slices.Contains([]string{memberServer, "mcp.openApiSchema", "http.passthrough"}, k.member) {
		return fault.Invalid(field, "%s are for targets of the kinds mcp.mcpServer, mcp.openApiSchema and http.passthrough; leave them out for %s", field, k.member)
	}
	at := field + ".1.member"
	switch c := list[0]; {
	case len(list) > 1:
		return fault.Invalid(field, "%s has %d entries; it may have one", field, len(list))
	case c.S3 != nil:
		return checkS3(&agentcorecontrol.S3Configuration{Uri: c.S3.Uri, BucketOwnerAccountId: c.S3.BucketOwnerAccountId}, scope, at+".s3")
	case c.SecretsManager == nil:
		return fault.Invalid(at, "%s must have s3 or secretsManager", at)
	}
	return nil
}

// maxCertificates bounds the certificates of a target, in bytes (spec/gateway.md 3.1).
const maxCertificates = outbound.MaxAuthorities

// authorities returns the certificates of a bundle, of authorities that are valid now.
func authorities(text []byte, now time.Time) ([]byte, error) {
	pem, err := outbound.Authorities(text, now)
	if err != nil {
		return nil, target.Unfitf(certificateField+": %s", err)
	}
	return pem, nil
}
