package sigv4_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/auth/sigv4"
	"github.com/outcrop/outcrop/internal/fault"
)

const mismatch = "The request signature we calculated does not match the signature you provided. " +
	"Check your AWS Secret Access Key and signing method. Consult the service documentation for details."

// attack is one change of a request that was signed well.
type attack struct {
	name   string
	call   call
	change func(*http.Request)
	want   sigv4.Expect
	late   time.Duration // the server's clock against the time of signing
	code   string
	status int
	text   string // exact, unless it ends in "..."
}

func post() call {
	return call{method: "POST", url: "https://h.example" + arnPath + "?qualifier=DEFAULT&a=1", body: `{"prompt":"hi"}`,
		header: map[string]string{"X-Amz-Target": "T.Op", "X-Amzn-Bedrock-Agentcore-Runtime-User-Id": "ann"}}
}

func with(c call, f func(*call)) call { f(&c); return c }

func presigned() call {
	return call{method: "GET", url: "https://h.example" + arnPath + "?qualifier=DEFAULT", presign: 5 * time.Minute}
}

func s3Put() call {
	return call{method: "PUT", url: "https://h.example/bucket/key?partNumber=1", service: "s3", body: "data", hash: "sum"}
}

func setBody(r *http.Request, body string) {
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
}

func setQuery(r *http.Request, f func(url.Values)) {
	q := r.URL.Query()
	f(q)
	r.URL.RawQuery = q.Encode()
}

func authorization(old, changed string) func(*http.Request) {
	return func(r *http.Request) {
		a := r.Header.Get("Authorization")
		if !strings.Contains(a, old) {
			panic("the attack changes nothing: " + a)
		}
		r.Header.Set("Authorization", strings.Replace(a, old, changed, 1))
	}
}

func jsonAttacks() []attack {
	const invalid, incomplete = "InvalidSignatureException", "IncompleteSignatureException"
	set := func(k, v string) func(*http.Request) { return func(r *http.Request) { r.Header.Set(k, v) } }
	add := func(k, v string) func(*http.Request) { return func(r *http.Request) { r.Header.Add(k, v) } }
	del := func(k string) func(*http.Request) { return func(r *http.Request) { r.Header.Del(k) } }
	m := func(name string, change func(*http.Request)) attack {
		return attack{name: name, call: post(), change: change, code: invalid, status: 403, text: mismatch}
	}
	return []attack{
		m("method", func(r *http.Request) { r.Method = "PUT" }),
		m("path", func(r *http.Request) { r.RequestURI = strings.Replace(r.RequestURI, "hello-abc", "other-abc", 1) }),
		m("path unescaped", func(r *http.Request) { r.RequestURI = strings.ReplaceAll(r.RequestURI, "%2F", "/") }),
		m("path escaped again", func(r *http.Request) { r.RequestURI = strings.ReplaceAll(r.RequestURI, "%", "%25") }),
		m("query value", func(r *http.Request) { r.URL.RawQuery = "qualifier=PROD&a=1" }),
		m("query added", func(r *http.Request) { r.URL.RawQuery += "&b=2" }),
		m("query removed", func(r *http.Request) { r.URL.RawQuery = "qualifier=DEFAULT" }),
		m("query repeated", func(r *http.Request) { r.URL.RawQuery += "&a=1" }),
		m("host", func(r *http.Request) { r.Host = "evil.example" }),
		m("signed header changed", set("X-Amz-Target", "T.Other")),
		m("signed header removed", del("X-Amz-Target")),
		m("signed header repeated", add("X-Amz-Target", "T.Op")),
		m("signed user header changed", set("X-Amzn-Bedrock-Agentcore-Runtime-User-Id", "bob")),
		m("body", func(r *http.Request) { setBody(r, `{"prompt":"ho"}`) }),
		m("body emptied", func(r *http.Request) { setBody(r, "") }),
		m("content-length", set("Content-Length", "14")),
		m("payload declared unsigned", set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")),
		m("other hash declared", set("X-Amz-Content-Sha256", sum("x"))),
		m("another key's secret", authorization(keyID, otherID)),
		m("region", authorization("/us-west-2/", "/us-east-1/")),
		m("service", authorization("/bedrock-agentcore/", "/bedrock/")),
		m("signature", authorization("Signature=", "Signature="+strings.Repeat("0", 64)+",Signature=")).as(incomplete, 400, "Authorization header has an unexpected, ..."),
		m("signature zero", func(r *http.Request) {
			a := r.Header.Get("Authorization")
			r.Header.Set("Authorization", a[:strings.Index(a, "Signature=")+10]+strings.Repeat("0", 64))
		}),
		m("fewer signed headers", authorization("x-amz-target;", "")).orText("'X-Amz-Target' must be a 'SignedHeader' in the AWS Authorization."),
		m("unsigned x-amz header added", set("X-Amz-Acl", "public-read")).orText("'X-Amz-Acl' must be a 'SignedHeader' in the AWS Authorization."),
		m("host not signed", authorization("SignedHeaders=content-length;host;", "SignedHeaders=content-length;")).
			orText("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."),
		m("scope region expected", nil).expecting(sigv4.Expect{Region: "eu-west-1"}).orText("Credential should be scoped to a valid region."),
		m("scope service expected", nil).expecting(sigv4.Expect{Service: "bedrock"}).orText("Credential should be scoped to correct service: 'bedrock'."),
		m("terminator", authorization("aws4_request", "aws5_request")).orText("Credential should be scoped with a valid terminator: 'aws4_request'."),
		m("scope date", authorization("/20260301/", "/20260302/")).orText("Date in Credential scope does not match YYYYMMDD " +
			"from ISO-8601 version of date from HTTP: '20260302' != '20260301', from '20260301T120000Z'."),
		m("date moved within the day", set("X-Amz-Date", "20260301T120100Z")),
		m("expired", nil).after(5*time.Minute + time.Second).orText("Signature expired: 20260301T120000Z is now earlier than 20260301T120001Z (20260301T120501Z - 5 min.)"),
		m("not yet valid", nil).after(-5*time.Minute - time.Second).orText("Signature not yet current: 20260301T120000Z is still later than 20260301T115959Z (20260301T115459Z + 5 min.)"),
		m("no date", del("X-Amz-Date")).as(incomplete, 400, "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."),
		m("two dates", add("X-Amz-Date", "20260301T120000Z")).as(incomplete, 400, "Authorization header requires existence of either ..."),
		m("no authorization", del("Authorization")).as("MissingAuthenticationTokenException", 403, "Missing Authentication Token"),
		m("two authorizations", add("Authorization", "AWS4-HMAC-SHA256 x")).as(incomplete, 400, "Only one auth mechanism allowed; ..."),
		m("bearer too", func(r *http.Request) { r.URL.RawQuery += "&X-Amz-Signature=00" }).as(incomplete, 400, "Only one auth mechanism allowed; ..."),
		m("sigv4a", authorization("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256")).as(incomplete, 400, "Unsupported AWS 'algorithm': ..."),
		m("no credential", authorization("Credential=", "Credential_=")).as(incomplete, 400, "Authorization header has ..."),
		m("empty header", set("Authorization", "AWS4-HMAC-SHA256")).as(incomplete, 400, "Authorization header requires 'Credential' parameter. "+
			"Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter."),
		m("short scope", authorization("/us-west-2/", "/")).as(incomplete, 400, "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term."),
		m("upper case signature", func(r *http.Request) {
			a := r.Header.Get("Authorization")
			i := strings.Index(a, "Signature=") + 10
			r.Header.Set("Authorization", a[:i]+strings.ToUpper(a[i:]))
		}).as(incomplete, 400, "Signature must be 64 lower-case hexadecimal digits."),
		m("repeated signed header name", authorization("host;", "host;host;")).as(incomplete, 400, "SignedHeaders must be ..."),
		m("unknown key", authorization(keyID, "AKIAUNKNOWN")).as("UnrecognizedClientException", 403, "The security token included in the request is invalid."),
		m("token with a long-term key", nil).from(with(post(), func(c *call) { c.token = "t" })).
			as("UnrecognizedClientException", 403, "The security token included in the request is invalid."),
		m("token not signed", set("X-Amz-Security-Token", "t")).orText("'X-Amz-Security-Token' must be a 'SignedHeader' in the AWS Authorization."),
		m("broken key source", authorization(keyID, "BROKEN")).as("InternalServerException", 500, "An internal error occurred. Please retry later."),
		m("query with a broken escape", func(r *http.Request) { r.URL.RawQuery += "&b=%" }).as("MalformedQueryString", 400, "The query string contains a syntax error."),
		m("body over the limit", nil).expecting(sigv4.Expect{MaxBody: 14}).as("RequestEntityTooLargeException", 413, "The request body exceeds the limit of 14 bytes."),
		m("body cut short", func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("{")) }).as("ValidationException", 400, "You did not provide the number of bytes ..."),
		m("hash of no form", set("X-Amz-Content-Sha256", "abc")).orText("x-amz-content-sha256 must be UNSIGNED-PAYLOAD or a valid sha256 value."),
		m("S3's chunks", set("X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")).orText("x-amz-content-sha256 must be UNSIGNED-PAYLOAD or a valid sha256 value."),
		m("declared hash, other body", func(r *http.Request) { setBody(r, "tampered") }).from(with(post(), func(c *call) { c.hash = "sum" })),
	}
}

func presignAttacks() []attack {
	const invalid, incomplete = "InvalidSignatureException", "IncompleteSignatureException"
	query := func(f func(url.Values)) func(*http.Request) {
		return func(r *http.Request) { setQuery(r, f) }
	}
	q := func(k, v string) func(*http.Request) { return query(func(q url.Values) { q.Set(k, v) }) }
	m := func(name string, change func(*http.Request)) attack {
		return attack{name: "presigned: " + name, call: presigned(), change: change, code: invalid, status: 403, text: mismatch}
	}
	return []attack{
		m("query", q("qualifier", "PROD")),
		m("added parameter", q("X-Amzn-Bedrock-AgentCore-Runtime-User-Id", "ann")),
		m("longer life", q("X-Amz-Expires", "600")),
		m("method", func(r *http.Request) { r.Method = "POST" }),
		m("path", func(r *http.Request) { r.RequestURI = strings.Replace(r.RequestURI, "hello", "other", 1) }),
		m("token added", q("X-Amz-Security-Token", "t")).as("UnrecognizedClientException", 403, "The security token included in the request is invalid."),
		m("past its life", nil).after(5*time.Minute + time.Second).orText("Signature expired: 20260301T120500Z is now earlier than 20260301T120501Z"),
		m("of the future", nil).after(-5*time.Minute - time.Second).orText("Signature not yet current: ..."),
		m("life over the operation's", nil).expecting(sigv4.Expect{MaxExpires: 299 * time.Second}).
			as(incomplete, 400, "X-Amz-Expires must not exceed 299 seconds for this operation"),
		m("life over a week", q("X-Amz-Expires", "604801")).as(incomplete, 400, "X-Amz-Expires must be less than a week (in seconds); ..."),
		m("life negative", q("X-Amz-Expires", "-1")).as(incomplete, 400, "X-Amz-Expires must be non-negative"),
		m("life no number", q("X-Amz-Expires", "1h")).as(incomplete, 400, "X-Amz-Expires should be a number"),
		m("life huge", q("X-Amz-Expires", "99999999999999999999")).as(incomplete, 400, "X-Amz-Expires should be a number"),
		m("life missing", query(func(q url.Values) { q.Del("X-Amz-Expires") })).as(incomplete, 400, "AWS query-string parameters must include 'X-Amz-Expires'."),
		m("algorithm", q("X-Amz-Algorithm", "AWS4-ECDSA-P256-SHA256")).as(incomplete, 400, "Unsupported AWS 'algorithm': ..."),
		m("signature repeated", query(func(q url.Values) { q.Add("X-Amz-Signature", "00") })).as(incomplete, 400, "Only one auth mechanism allowed; ..."),
		m("credential repeated, escaped name", func(r *http.Request) { r.URL.RawQuery += "&X-Amz%2DCredential=x" }).as(incomplete, 400, "Only one auth mechanism allowed; ..."),
		m("header too", func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }).as(incomplete, 400, "Only one auth mechanism allowed; ..."),
		m("date", q("X-Amz-Date", "yesterday")).as(incomplete, 400, "X-Amz-Date must be in the ISO8601 Long Format ..."),
		m("body", func(r *http.Request) { setBody(r, "x") }),
		m("target header added", func(r *http.Request) { r.Header.Set("X-Amz-Target", "T.Op") }).orText("'X-Amz-Target' must be a 'SignedHeader' in the AWS Authorization."),
	}
}

func s3Attacks() []attack {
	const s3Mismatch = "The request signature we calculated does not match the signature you provided. Check your key and signing method."
	m := func(name string, change func(*http.Request)) attack {
		return attack{name: "s3: " + name, call: s3Put(), change: change, want: sigv4.Expect{Service: "s3"}, code: "SignatureDoesNotMatch", status: 403, text: s3Mismatch}
	}
	scope := "The authorization header is malformed; "
	pre := with(s3Put(), func(c *call) { c.hash, c.payload, c.presign = "", "UNSIGNED-PAYLOAD", time.Hour })
	return []attack{
		m("path", func(r *http.Request) { r.RequestURI = "/bucket/other?partNumber=1" }),
		m("path normalised", func(r *http.Request) { r.RequestURI = "/bucket//key?partNumber=1" }),
		m("query", func(r *http.Request) { r.URL.RawQuery = "partNumber=2" }),
		m("body", func(r *http.Request) { setBody(r, "atad") }).as("XAmzContentSHA256Mismatch", 400, "The provided 'x-amz-content-sha256' header does not match what was computed."),
		m("hash removed", func(r *http.Request) { r.Header.Del("X-Amz-Content-Sha256") }).as("InvalidRequest", 400, "Missing required header for this request: x-amz-content-sha256"),
		m("hash of no form", func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", "zz") }).as("InvalidArgument", 400, "x-amz-content-sha256 must be ..."),
		m("acl added", func(r *http.Request) { r.Header.Set("X-Amz-Acl", "public-read") }).as("AccessDenied", 403, "There were headers present in the request which were not signed"),
		m("unknown key", authorization(keyID, "AKIAUNKNOWN")).as("InvalidAccessKeyId", 403, "The AWS Access Key Id you provided does not exist in our records."),
		m("region", nil).expecting(sigv4.Expect{Service: "s3", Region: "eu-west-1"}).as("AuthorizationHeaderMalformed", 400, scope+"the region 'us-west-2' is wrong; expecting 'eu-west-1'"),
		m("service", authorization("/s3/", "/ec2/")).as("AuthorizationHeaderMalformed", 400, scope+`incorrect service "ec2". This endpoint belongs to "s3".`),
		m("terminator", authorization("aws4_request", "aws4")).as("AuthorizationHeaderMalformed", 400, scope+`incorrect terminal "aws4". This endpoint uses "aws4_request".`),
		m("scope date", authorization("/20260301/", "/20260228/")).as("AuthorizationHeaderMalformed", 400, scope+`Invalid credential date "20260228". This date is not the same as X-Amz-Date: "20260301".`),
		m("expired", nil).after(15*time.Minute+time.Second).as("RequestTimeTooSkewed", 403, "The difference between the request time and the current time is too large."),
		m("not yet valid", nil).after(-15*time.Minute-time.Second).as("RequestTimeTooSkewed", 403, "The difference between the request time and the current time is too large."),
		m("no authorization", func(r *http.Request) { r.Header.Del("Authorization") }).as("AccessDenied", 403, "Access Denied"),
		m("signature version 2", func(r *http.Request) { r.Header.Set("Authorization", "AWS AKIA:sig") }).as("InvalidRequest", 400, "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."),
		m("too large", nil).expecting(sigv4.Expect{Service: "s3", MaxBody: 3}).as("EntityTooLarge", 400, "Your proposed upload exceeds the maximum allowed size"),
		m("presigned past its life", nil).from(pre).after(time.Hour+time.Second).as("AccessDenied", 403, "Request has expired"),
		m("presigned of the future", nil).from(pre).after(-16*time.Minute).as("AccessDenied", 403, "Request is not yet valid"),
		m("presigned life", func(r *http.Request) { setQuery(r, func(q url.Values) { q.Set("X-Amz-Expires", "x") }) }).from(pre).
			as("AuthorizationQueryParametersError", 400, "X-Amz-Expires should be a number"),
		m("presigned region", nil).from(pre).expecting(sigv4.Expect{Service: "s3", Region: "eu-west-1"}).
			as("AuthorizationQueryParametersError", 400, "Error parsing the X-Amz-Credential parameter; the region 'us-west-2' is wrong; expecting 'eu-west-1'"),
		m("presigned acl added", func(r *http.Request) { r.Header.Set("X-Amz-Acl", "public-read") }).from(pre).as("AccessDenied", 403, "There were headers present ..."),
		m("presigned declared hash", func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", sum("data")) }).from(pre),
		m("bad token", nil).from(with(s3Put(), func(c *call) { c.keyID, c.token = tempID, "forged" })).as("InvalidToken", 400, "The provided token is malformed or otherwise invalid."),
		m("old token", nil).from(with(s3Put(), func(c *call) { c.keyID, c.token = tempID, "old" })).as("ExpiredToken", 400, "The provided token has expired."),
	}
}

func queryAttacks() []attack {
	sts := call{method: "POST", url: "https://h.example/", service: "sts", body: "Action=GetCallerIdentity&Version=2011-06-15"}
	m := func(name string, change func(*http.Request)) attack {
		return attack{name: "sts: " + name, call: sts, change: change, want: sigv4.Expect{Service: "sts"}, code: "SignatureDoesNotMatch", status: 403, text: mismatch}
	}
	return []attack{
		m("body", func(r *http.Request) { setBody(r, "Action=AssumeRole") }),
		m("unknown key", authorization(keyID, "AKIAUNKNOWN")).as("InvalidClientTokenId", 403, "The security token included in the request is invalid."),
		m("no authorization", func(r *http.Request) { r.Header.Del("Authorization") }).as("MissingAuthenticationToken", 403, "Request is missing Authentication Token"),
		m("incomplete", func(r *http.Request) { r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=a/b/c/d/e") }).
			as("IncompleteSignature", 400, "Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter."),
		m("expired", nil).after(6 * time.Minute).orText("Signature expired: 20260301T120000Z is now earlier than 20260301T120100Z (20260301T120600Z - 5 min.)"),
		m("presigned past its life", nil).from(with(sts, func(c *call) { c.method, c.body, c.presign = "GET", "", time.Minute })).
			after(2*time.Minute).as("RequestExpired", 400, "Signature expired: ..."),
	}
}

func (a attack) as(code string, status int, text string) attack {
	a.code, a.status, a.text = code, status, text
	return a
}
func (a attack) orText(text string) attack       { a.text = text; return a }
func (a attack) expecting(e sigv4.Expect) attack { a.want = e; return a }
func (a attack) after(d time.Duration) attack    { a.late = d; return a }
func (a attack) from(c call) attack              { a.call = c; return a }

// TestAttacks changes well-signed requests and states the exact refusal of each.
func TestAttacks(t *testing.T) {
	attacks := append(append(append(jsonAttacks(), presignAttacks()...), s3Attacks()...), queryAttacks()...)
	for _, tt := range attacks {
		t.Run(tt.name, func(t *testing.T) {
			r := signed(t, tt.call)
			if tt.change != nil {
				tt.change(r)
			}
			_, body, err := verify(t, verifier(t, signTime().Add(tt.late)), r, tt.want)
			if err == nil {
				t.Fatalf("accepted, body %q", body)
			}
			if body != "" {
				t.Errorf("body %q was released", body)
			}
			f := fault.From(err)
			if f.Code != tt.code || f.Status != tt.status {
				t.Errorf("%s %d, want %s %d", f.Code, f.Status, tt.code, tt.status)
			}
			if prefix, cut := strings.CutSuffix(tt.text, "..."); cut && !strings.HasPrefix(f.Message, prefix) || !cut && f.Message != tt.text {
				t.Errorf("text %q\nwant %q", f.Message, tt.text)
			}
			if all := f.Error() + err.Error(); strings.Contains(all, secret) {
				t.Error("the secret is in the error")
			}
		})
	}
}

// TestEdgesOfTime: what is just within the limits is accepted.
func TestEdgesOfTime(t *testing.T) {
	tests := map[string]struct {
		call call
		late time.Duration
	}{
		"header, slow client": {post(), 5 * time.Minute},
		"header, fast client": {post(), -5 * time.Minute},
		"s3, slow client":     {s3Put(), 15 * time.Minute},
		"s3, fast client":     {s3Put(), -15 * time.Minute},
		"presigned, last":     {presigned(), 5 * time.Minute},
		"presigned, fast":     {presigned(), -5 * time.Minute},
	}
	for name, tt := range tests {
		if _, _, err := verify(t, verifier(t, signTime().Add(tt.late)), signed(t, tt.call), sigv4.Expect{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
