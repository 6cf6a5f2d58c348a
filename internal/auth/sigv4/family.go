package sigv4

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
)

// Family is a group of services that sign and refuse alike.
type Family uint8

// The families. The zero value leaves the choice to FamilyOf.
const (
	ByService Family = iota
	JSON             // REST-JSON and JSON 1.x, AgentCore among them
	S3
	Query // query/XML: sts, iam, cloudformation
	families
)

// FamilyOf returns the family of a service by its signing name; a service not
// named here is of the JSON family.
func FamilyOf(service string) Family {
	switch service {
	case "s3", "s3express", "s3-object-lambda", "s3-outposts":
		return S3
	case "sts", "iam", "cloudformation", "sns", "ses", "ec2", "rds", "autoscaling", "elasticloadbalancing":
		return Query
	default:
		return JSON
	}
}

// rules is what differs in verification itself.
type rules struct {
	// skew is how far the client's clock may be off, either way.
	skew time.Duration
	// rawPath: the path is encoded once and not normalised.
	rawPath bool
	// needsHash: a header-signed request must declare x-amz-content-sha256,
	// and a presigned one that does not is UNSIGNED-PAYLOAD.
	needsHash bool
	// chunked: the STREAMING-... payload forms exist.
	chunked bool
	// denied is the name of a refusal to authorise.
	denied string
}

func (f Family) rules() rules {
	switch f {
	case S3:
		return rules{skew: 15 * time.Minute, rawPath: true, needsHash: true, chunked: true, denied: "AccessDenied"}
	case Query:
		return rules{skew: 5 * time.Minute, denied: "AccessDenied"}
	default:
		return rules{skew: 5 * time.Minute, denied: "AccessDeniedException"}
	}
}

// refusal is one cell of the table: {0}, {1} and {2} in text are the error's own.
type refusal struct {
	code   string
	status int
	text   string
}

const (
	textMismatch = "The request signature we calculated does not match the signature you provided. " +
		"Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
	textS3Mismatch = "The request signature we calculated does not match the signature you provided. " +
		"Check your key and signing method."
	textInvalidToken = "The security token included in the request is invalid."
	textExpiredToken = "The security token included in the request is expired"
	textOneMechanism = "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, " +
		"Signature query string parameter or the Authorization header should be specified"
	textWrongDate = "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: " +
		"'{0}' != '{1}', from '{2}'."
	textExpired     = "Signature expired: {0} is now earlier than {1} ({2} - {3} min.)"
	textNotYet      = "Signature not yet current: {0} is still later than {1} ({2} + {3} min.)"
	textMissingDate = "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
	textS3Hash      = "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, " +
		"STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value."
	textHash     = "x-amz-content-sha256 must be UNSIGNED-PAYLOAD or a valid sha256 value."
	textTooLarge = "The request body exceeds the limit of {0} bytes."
	textBadQuery = "The query string contains a syntax error."
	textSigned   = "'{0}' must be a 'SignedHeader' in the AWS Authorization."
	textUnproven = "Rate exceeded: too many request bodies wait for the proof of their signature. " +
		"Try again, or declare the body's hash in the signed header x-amz-content-sha256."
	textHost     = "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."
	textCutShort = "You did not provide the number of bytes specified by the Content-Length HTTP header"
	textS3Signed = "There were headers present in the request which were not signed"
)

// jsonLike builds the column of a family without forms of its own for S3's
// kinds. mismatch, incomplete, unknown and so on are the family's names.
func jsonLike(mismatch, incomplete, missing, unknown, expiredToken, invalid, tooLarge string) [kinds]refusal {
	bad := func(text string) refusal { return refusal{incomplete, http.StatusBadRequest, text} }
	wrong := func(text string) refusal { return refusal{mismatch, http.StatusForbidden, text} }
	form := func(text string) refusal { return refusal{invalid, http.StatusBadRequest, text} }
	return [kinds]refusal{
		Missing:            {missing, http.StatusForbidden, "Missing Authentication Token"},
		Unsupported:        bad("Unsupported AWS 'algorithm': only 'AWS4-HMAC-SHA256' is supported."),
		TwoMechanisms:      bad(textOneMechanism),
		Malformed:          bad("{0}"),
		MissingDate:        bad(textMissingDate),
		BadExpires:         bad("{0}"),
		MalformedQuery:     {"MalformedQueryString", http.StatusBadRequest, textBadQuery},
		WrongTerminator:    wrong("Credential should be scoped with a valid terminator: 'aws4_request'."),
		WrongDate:          wrong(textWrongDate),
		WrongService:       wrong("Credential should be scoped to correct service: '{1}'."),
		WrongRegion:        wrong("Credential should be scoped to a valid region."),
		HostNotSigned:      wrong(textHost),
		HeaderNotSigned:    wrong(textSigned),
		UnknownKey:         {unknown, http.StatusForbidden, textInvalidToken},
		BadToken:           {unknown, http.StatusForbidden, textInvalidToken},
		ExpiredToken:       {expiredToken, http.StatusForbidden, textExpiredToken},
		Expired:            wrong(textExpired),
		NotYetValid:        wrong(textNotYet),
		PresignedExpired:   wrong("Signature expired: {0} is now earlier than {1}"),
		PresignedNotYet:    wrong(textNotYet),
		Mismatch:           wrong(textMismatch),
		BadContentHash:     wrong(textHash),
		MissingContentHash: wrong(textHash),
		ContentMismatch:    wrong(textMismatch),
		IncompleteBody:     form(textCutShort),
		TooLarge:           {tooLarge, http.StatusRequestEntityTooLarge, textTooLarge},
		MissingLength:      form("x-amz-decoded-content-length is required."),
		MalformedChunk:     form("The aws-chunked body is malformed: {0}."),
		SmallChunk:         form("Only the last chunk is allowed to have a size less than 8192 bytes"),
		MalformedTrailer:   form("The trailing headers of the body are malformed: {0}."),
		TooMuchUnproven:    {"ThrottlingException", http.StatusTooManyRequests, textUnproven},
	}
}

// table returns the column of f. It is a function of constants rather than a
// variable, and is only reached when a request is refused.
func (f Family) table() [kinds]refusal {
	switch f {
	case S3:
		return s3Table()
	case Query:
		t := jsonLike("SignatureDoesNotMatch", "IncompleteSignature", "MissingAuthenticationToken",
			"InvalidClientTokenId", "ExpiredToken", "ValidationError", "RequestEntityTooLarge")
		t[Missing].text = "Request is missing Authentication Token"
		t[TooMuchUnproven] = refusal{"Throttling", http.StatusBadRequest, textUnproven}
		t[PresignedExpired] = refusal{"RequestExpired", http.StatusBadRequest, t[PresignedExpired].text}
		return t
	default:
		return jsonLike("InvalidSignatureException", "IncompleteSignatureException", "MissingAuthenticationTokenException",
			"UnrecognizedClientException", "ExpiredTokenException", "ValidationException", "RequestEntityTooLargeException")
	}
}

func s3Table() [kinds]refusal {
	const scope = "AuthorizationHeaderMalformed"
	bad := func(code, text string) refusal { return refusal{code, http.StatusBadRequest, text} }
	no := func(code, text string) refusal { return refusal{code, http.StatusForbidden, text} }
	return [kinds]refusal{
		Missing:            no("AccessDenied", "Access Denied"),
		Unsupported:        bad("InvalidRequest", "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."),
		TwoMechanisms:      bad("InvalidArgument", textOneMechanism),
		Malformed:          bad(scope, "{0}"),
		MissingDate:        no("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header"),
		BadExpires:         bad(scope, "{0}"),
		MalformedQuery:     bad("InvalidURI", "Couldn't parse the specified URI."),
		WrongTerminator:    bad(scope, `incorrect terminal "{0}". This endpoint uses "aws4_request".`),
		WrongDate:          bad(scope, `Invalid credential date "{0}". This date is not the same as X-Amz-Date: "{1}".`),
		WrongService:       bad(scope, `incorrect service "{0}". This endpoint belongs to "{1}".`),
		WrongRegion:        bad(scope, "the region '{0}' is wrong; expecting '{1}'"),
		HostNotSigned:      no("AccessDenied", textS3Signed),
		HeaderNotSigned:    no("AccessDenied", textS3Signed),
		UnknownKey:         no("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."),
		BadToken:           bad("InvalidToken", "The provided token is malformed or otherwise invalid."),
		ExpiredToken:       bad("ExpiredToken", "The provided token has expired."),
		Expired:            no("RequestTimeTooSkewed", "The difference between the request time and the current time is too large."),
		NotYetValid:        no("RequestTimeTooSkewed", "The difference between the request time and the current time is too large."),
		PresignedExpired:   no("AccessDenied", "Request has expired"),
		PresignedNotYet:    no("AccessDenied", "Request is not yet valid"),
		Mismatch:           no("SignatureDoesNotMatch", textS3Mismatch),
		BadContentHash:     bad("InvalidArgument", textS3Hash),
		MissingContentHash: bad("InvalidRequest", "Missing required header for this request: x-amz-content-sha256"),
		ContentMismatch:    bad("XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed."),
		IncompleteBody:     bad("IncompleteBody", textCutShort),
		TooLarge:           bad("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size"),
		MissingLength:      {"MissingContentLength", http.StatusLengthRequired, "You must provide the Content-Length HTTP header."},
		MalformedChunk:     bad("InvalidRequest", "The aws-chunked body is malformed: {0}."),
		SmallChunk:         no("InvalidChunkSizeError", "Only the last chunk is allowed to have a size less than 8192 bytes"),
		MalformedTrailer: bad("MalformedTrailerError",
			"The request contained trailing data that was not well-formed or did not conform to our published schema."),
		TooMuchUnproven: {"SlowDown", http.StatusServiceUnavailable, "Please reduce your request rate."},
	}
}

// S3 names the parsing errors of the query form differently and starts those of
// the header form with a sentence.
const (
	s3HeaderError  = "AuthorizationHeaderMalformed"
	s3HeaderPrefix = "The authorization header is malformed; "
	s3QueryError   = "AuthorizationQueryParametersError"
	s3QueryPrefix  = "Error parsing the X-Amz-Credential parameter; "
)

// Fault returns err in the words of the family. An error that is not an *Error
// keeps its own, with AccessDeniedException renamed as the family has it; one
// without words becomes internal.
func (f Family) Fault(err error) *fault.Error {
	var e *Error
	if !errors.As(err, &e) {
		return f.rename(fault.From(err))
	}
	cell := f.table()[e.Kind]
	text := cell.text
	if strings.Contains(text, "{") {
		text = strings.NewReplacer("{0}", e.what[0], "{1}", e.what[1], "{2}", e.what[2], "{3}", e.minutes(f)).Replace(text)
	}
	if cell.code == s3HeaderError {
		text, cell.code = s3Malformed(e, text)
	}
	out := fault.New(cell.code, cell.status, "%s", text)
	switch {
	case f == S3:
		out.Members = e.members
	case out.Code == "ValidationException":
		out.Reason = fault.ReasonCannotParse
	}
	if e.cause != nil {
		out = out.Because(e.cause)
	}
	return out
}

func s3Malformed(e *Error, text string) (string, string) {
	switch {
	case !e.presigned:
		return s3HeaderPrefix + text, s3HeaderError
	case e.Kind == BadExpires || e.Kind == Malformed:
		return text, s3QueryError
	default:
		return s3QueryPrefix + text, s3QueryError
	}
}

// minutes is the family's skew as the texts print it.
func (e *Error) minutes(f Family) string {
	return strings.TrimSuffix(f.rules().skew.String(), "m0s")
}

// rename gives AccessDeniedException the name the family has for it.
func (f Family) rename(e *fault.Error) *fault.Error {
	if denied := f.rules().denied; e.Code == "AccessDeniedException" && denied != e.Code {
		c := *e
		c.Code = denied
		return &c
	}
	return e
}
