package target

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"
	"unicode"

	"github.com/outcrop/outcrop/internal/outbound"
)

// Insecure says what is wrong with the TLS of a target's server, and what its owner does
// about it; it is empty of other errors.
func Insecure(err error) string {
	err = outbound.WithoutURL(err)
	const fix = "; have its authority trusted by certificateConfigurations of the target, or by outcrop serve --trust-ca"
	var (
		unknown  x509.UnknownAuthorityError
		host     x509.HostnameError
		invalid  x509.CertificateInvalidError
		verify   *tls.CertificateVerificationError
		record   tls.RecordHeaderError
		alert    tls.AlertError
		whatever = strings.Contains(err.Error(), "tls: ")
	)
	switch {
	case errors.As(err, &unknown):
		return "the server's certificate is signed by an unknown authority" + fix
	case errors.As(err, &host):
		return "the server's certificate is for another name: " + Clean(host.Error())
	case errors.As(err, &invalid):
		return "the server's certificate is not valid: " + Clean(invalid.Error())
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return "what listens there does not speak TLS; if it is to be without, name http:// as the endpoint"
	case errors.As(err, &verify), errors.As(err, &alert), whatever:
		return "TLS with the server fails: " + Clean(err.Error())
	}
	return ""
}

// maxText is how much of a server's own words is told on, in bytes.
const maxText = 300

// Clean is a server's text, short and in one line.
func Clean(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)), " ")
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return s
}
