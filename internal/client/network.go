package client

import (
	"crypto/tls"
	"errors"
	"net/http"
	"strings"
)

// UnreachableError says that nobody listens at the endpoint.
type UnreachableError struct{ Err error }

func (e *UnreachableError) Error() string { return "no server answers: " + e.Err.Error() }

// Unwrap returns what the network said.
func (e *UnreachableError) Unwrap() error { return e.Err }

// LostError says that somebody took the call and did not answer it, or not to
// the end: the connection was closed, or nothing came for too long. Whether the
// call had its effect is not known.
type LostError struct{ Err error }

func (e *LostError) Error() string { return "the connection was lost: " + e.Err.Error() }

// Unwrap returns what the network said.
func (e *LostError) Unwrap() error { return e.Err }

// Timeout reports whether nothing came, and nothing ended either.
func (e *LostError) Timeout() bool {
	var t interface{ Timeout() bool }
	return errors.As(e.Err, &t) && t.Timeout()
}

// NotOutcropError says that something answered that is no Outcrop server.
type NotOutcropError struct {
	Endpoint string // empty where it is not known
	Detail   string // what is wrong, in a few words
	Err      error  // what the network said, or nil
}

func (e *NotOutcropError) Error() string {
	at := ""
	if e.Endpoint != "" {
		at = " at " + e.Endpoint
	}
	return "what answers" + at + " is no Outcrop server (" + e.Detail + ")"
}

// Unwrap returns what the network said.
func (e *NotOutcropError) Unwrap() error { return e.Err }

// foreignWire recognises what speaks neither HTTP nor the TLS that was asked for.
func foreignWire(err error) *NotOutcropError {
	var (
		record      tls.RecordHeaderError
		certificate *tls.CertificateVerificationError
		alert       tls.AlertError
	)
	switch {
	case errors.Is(err, http.ErrSchemeMismatch):
		return &NotOutcropError{Detail: "it speaks HTTP without TLS", Err: err}
	case errors.As(err, &certificate):
		return &NotOutcropError{Detail: "this machine does not trust its certificate: " + strings.TrimPrefix(certificate.Err.Error(), "x509: "), Err: err}
	case errors.As(err, &record):
		return &NotOutcropError{Detail: "it does not speak TLS", Err: err}
	case errors.As(err, &alert):
		return &NotOutcropError{Detail: "it refuses the TLS that we speak", Err: err}
	case strings.Contains(err.Error(), "malformed HTTP"), strings.Contains(err.Error(), "malformed MIME"): // net/http has no type for them
		return &NotOutcropError{Detail: "it does not speak HTTP", Err: err}
	}
	return nil
}
