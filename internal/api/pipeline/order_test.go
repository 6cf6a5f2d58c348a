package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/model/sts"
	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
)

// refused is the answer of a refusal as JSON clients read it.
type refusedAnswer struct {
	Type    string `json:"__type"`
	Message string
	Reason  string
}

func parseRefusal(t *testing.T, body io.Reader) refusedAnswer {
	t.Helper()
	var r refusedAnswer
	if err := json.NewDecoder(body).Decode(&r); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestOrder holds the order of the steps: each refuses before the next looks.
func TestOrder(t *testing.T) {
	const bad = `{"agentRuntimeName": 7`
	const invalid = `{"agentRuntimeName": "7"}`
	cases := []struct {
		name, method, target, key, body string
		tamper                          func(*http.Request)
		code                            string
		status                          int
	}{
		{name: "route before authentication", method: "GET", target: "/none", code: "UnknownOperationException", status: 404},
		{name: "authentication before decoding", method: "PUT", target: "/runtimes/", body: bad,
			tamper: func(r *http.Request) { r.Header.Set("X-Amz-Date", "20261102T120001Z") }, code: "InvalidSignatureException", status: 403},
		{name: "body under the signature", method: "PUT", target: "/runtimes/", body: bad,
			tamper: func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(invalid[:len(bad)])) }, code: "InvalidSignatureException", status: 403},
		{name: "unknown key", method: "PUT", target: "/runtimes/", key: "AKIDNONE", body: bad, code: "UnrecognizedClientException", status: 403},
		{name: "decoding before authorisation", method: "PUT", target: "/runtimes/", key: "AKIDNOBODY", body: bad, code: "ValidationException", status: 400},
		{name: "authorisation before validation", method: "PUT", target: "/runtimes/", key: "AKIDNOBODY", body: invalid, code: "AccessDeniedException", status: 403},
		{name: "validation before the handler", method: "PUT", target: "/runtimes/", body: invalid, code: "ValidationException", status: 400},
		{name: "refused operations are authorised", method: "GET", target: "/memories/m-1234567890/details", key: "AKIDNOBODY", code: "AccessDeniedException", status: 403},
	}
	k := newKit(t)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if c.key == "" {
				c.key = testKey
			}
			r := signAs(t, newRequest(c.method, c.target, c.body), c.key, "bedrock-agentcore", c.body)
			if c.tamper != nil {
				c.tamper(r)
			}
			w := k.do(r)
			if got := parseRefusal(t, w.Body); w.Code != c.status || got.Type != c.code {
				t.Errorf("%d %+v, want %d %s", w.Code, got, c.status, c.code)
			}
			if w.Header().Get("X-Amzn-Requestid") == "" || w.Header().Get("X-Amzn-Errortype") != c.code {
				t.Errorf("headers %v", w.Header())
			}
		})
	}
	if k.served != 0 {
		t.Errorf("%d of them reached a handler", k.served)
	}
}

// TestWithoutSignature is who calls without SigV4 credentials, in the words of
// spec/runtime.md 8.3 and of each family.
func TestWithoutSignature(t *testing.T) {
	invoke := "/runtimes/" + escapeLabel(testARN) + "/invocations"
	cases := []struct {
		name, method, target, authorization, body, contentType string
		status                                                 int
		want                                                   string // in the body
	}{
		{"no credentials", "POST", invoke, "", "{}", "", 403, `"message":"Missing Authentication Token"`},
		{"bearer on SigV4", "POST", invoke, "Bearer abc", "{}", "", 403, "Authorization method mismatch. The agent is configured for a different authorization method than what was used in your request. Check the agent's authorization configuration and ensure your request uses the matching method (OAuth or SigV4)"},
		{"bearer in lower case", "POST", invoke, "bearer abc", "{}", "", 403, "Authorization method mismatch."},
		{"basic", "POST", invoke, "Basic abc", "{}", "", 400, "only 'AWS4-HMAC-SHA256' is supported"},
		{"half a signature", "POST", invoke, "AWS4-HMAC-SHA256 Credential=a/b", "{}", "", 400, "IncompleteSignatureException"},
		{"unknown path", "GET", "/none", "", "", "", 404, "UnknownOperationException"},
		{"sts form", "POST", "/", "", "Action=GetCallerIdentity&Version=2011-06-15", "application/x-www-form-urlencoded", 403, "<Code>MissingAuthenticationToken</Code>"},
		{"sts by query", "GET", "/?Action=GetCallerIdentity", "", "", "", 403, "<Code>MissingAuthenticationToken</Code>"},
		{"sts by query, as a form", "GET", "/?Action=GetCallerIdentity", "", "", "application/x-www-form-urlencoded", 403, "<Code>MissingAuthenticationToken</Code>"},
		{"a form's redirect", "GET", "/none", "", "", "application/x-www-form-urlencoded", 404, "UnknownOperationException"},
		{"sts, unsigned operation", "POST", "/", "", "Action=AssumeRoleWithSAML", "application/x-www-form-urlencoded", 400, "is not available in Outcrop"},
	}
	k := newKit(t)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRequest(c.method, c.target, c.body)
			r.Header.Set("Content-Type", c.contentType)
			if c.authorization != "" {
				r.Header.Set("Authorization", c.authorization)
			}
			w := k.do(r)
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
				t.Errorf("%d %s, want %d %s", w.Code, w.Body, c.status, c.want)
			}
		})
	}
	if k.served != 0 {
		t.Errorf("%d of them reached a handler", k.served)
	}
}

func TestUnknownService(t *testing.T) {
	k := newKit(t)
	w := k.call(t, "dynamodb", "POST", "/", "{}")
	if w.Code != 404 || !strings.Contains(w.Body.String(), "The service 'dynamodb' is not served by Outcrop "+testVersion) || w.Header().Get("X-Outcrop-Refused") != "dynamodb" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
}

// TestElsewhere: the way out of a service that is not served.
func TestElsewhere(t *testing.T) {
	for _, tt := range []struct{ name, region, want string }{
		{"bedrock-data-automation", "eu-west-1", "AWS_ENDPOINT_URL_BEDROCK_DATA_AUTOMATION=https://bedrock-data-automation.eu-west-1.amazonaws.com "},
		{"dynamodb", "us-west-2", "AWS_ENDPOINT_URL_DYNAMODB=https://dynamodb.us-west-2.amazonaws.com "},
		{"logs", "us-west-2", "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS=https://logs.us-west-2.amazonaws.com "},
		{"execute-api", "<b>", "AWS_ENDPOINT_URL_EXECUTE_API=https://execute-api.us-east-1.amazonaws.com "},
		{"<script>", "us-west-2", "AWS_ENDPOINT_URL_SERVICE=https://SERVICE.us-west-2.amazonaws.com "},
	} {
		if got := elsewhere(tt.name, tt.region); !strings.Contains(got, " "+strings.TrimSpace(tt.want)+", in your shell") {
			t.Errorf("elsewhere(%s, %s) = %q, want %q", tt.name, tt.region, got, tt.want)
		}
	}
}

func TestQueryService(t *testing.T) {
	k := newKit(t)
	k.serve["GetCallerIdentity"] = func(ctx context.Context, _ any) (any, error) {
		// The operation needs no permission; what a handler asks for sees the conditions.
		if r := auth.RequestFrom(ctx); r.Region != testRegion || !r.Time.Equal(testTime) {
			t.Errorf("a handler's own checks see %+v", r)
		}
		arn := From(ctx).Principal.ARN
		return &sts.GetCallerIdentityResponse{Arn: &arn}, nil
	}
	for name, r := range map[string]*http.Request{
		"post": sign(t, form("Action=GetCallerIdentity&Version=2011-06-15"), "sts", "Action=GetCallerIdentity&Version=2011-06-15"),
		"get":  sign(t, newRequest("GET", "/?Action=GetCallerIdentity&Version=2011-06-15", ""), "sts", ""),
	} {
		w := k.do(r)
		if w.Code != 200 || !strings.Contains(w.Body.String(), "<GetCallerIdentityResult><Arn>arn:aws:iam::111122223333:root</Arn></GetCallerIdentityResult>") {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	for body, want := range map[string]string{
		"Action=Nonsense&Version=1":           "<Code>InvalidAction</Code><Message>Could not find operation Nonsense for version 1</Message>",
		"":                                    "<Code>MissingAction</Code>",
		"Action=%zz":                          "<Code>MalformedQueryString</Code>",
		"Action=AssumeRoot&TargetPrincipal=x": "AssumeRoot is not available in Outcrop",
	} {
		if w := k.do(sign(t, form(body), "sts", body)); w.Code != 400 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%q: %d %s, want %s", body, w.Code, w.Body, want)
		}
	}
}

func form(body string) *http.Request {
	r := newRequest("POST", "/", body)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// openOperations is every operation that is modelled without authentication.
// The list is golden: nothing joins it unseen.
var openOperations = []string{
	"bedrock-agentcore AuthorizeResourceOauth2", "bedrock-agentcore GetGatewayProtectedResourceMetadata",
	"bedrock-agentcore GetRuntimeProtectedResourceMetadata",
	"bedrock-agentcore ReceiveResourceOauth2Callback",
	"cognito-idp AssociateSoftwareToken", "cognito-idp ChangePassword", "cognito-idp CompleteWebAuthnRegistration",
	"cognito-idp ConfirmDevice", "cognito-idp ConfirmForgotPassword", "cognito-idp ConfirmSignUp", "cognito-idp DeleteUser",
	"cognito-idp DeleteUserAttributes", "cognito-idp DeleteWebAuthnCredential", "cognito-idp ForgetDevice",
	"cognito-idp ForgotPassword", "cognito-idp GetDevice", "cognito-idp GetTokensFromRefreshToken", "cognito-idp GetUser",
	"cognito-idp GetUserAttributeVerificationCode", "cognito-idp GetUserAuthFactors", "cognito-idp GlobalSignOut",
	"cognito-idp InitiateAuth", "cognito-idp ListDevices", "cognito-idp ListUserSessions", "cognito-idp ListWebAuthnCredentials",
	"cognito-idp ResendConfirmationCode", "cognito-idp RespondToAuthChallenge", "cognito-idp RevokeToken",
	"cognito-idp RevokeUserSession", "cognito-idp SetUserMFAPreference", "cognito-idp SetUserSettings", "cognito-idp SignUp",
	"cognito-idp StartWebAuthnRegistration", "cognito-idp UpdateAuthEventFeedback", "cognito-idp UpdateDeviceStatus",
	"cognito-idp UpdateUserAttributes", "cognito-idp VerifySoftwareToken", "cognito-idp VerifyUserAttribute",
	"sts AssumeRoleWithSAML", "sts AssumeRoleWithWebIdentity",
}

// TestOpenRoutes holds the list of what is answered without credentials: these
// operations, and by GET and HEAD the paths that the program opens.
func TestOpenRoutes(t *testing.T) {
	var open []string
	for _, svc := range allServices() {
		for i := range svc.Operations {
			if op := &svc.Operations[i]; op.Unsigned {
				open = append(open, svc.Name+" "+op.Name)
			}
		}
	}
	slices.Sort(open)
	if !slices.Equal(open, openOperations) {
		t.Errorf("operations without authentication: %q, want %q", open, openOperations)
	}
	k := newKit(t)
	k.cfg.Open = map[string]http.Handler{"/": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "welcome") })}
	for _, svc := range allServices() {
		if svc.Protocol == schema.Query {
			continue
		}
		for i := range svc.Operations {
			op := &svc.Operations[i]
			if op.Unsigned {
				continue
			}
			for _, r := range []*http.Request{newRequest(op.Method, op.Path, ""), newRequest(op.Method, op.Path+"?"+op.Query, "{}")} {
				w := k.do(r)
				if w.Code < 400 && !(op.Path == "/" && w.Body.String() == "welcome") {
					t.Errorf("%s without credentials: %d", op.Name, w.Code)
				}
			}
		}
	}
	if k.served != 0 {
		t.Errorf("%d calls without credentials reached a handler", k.served)
	}
	if w := k.do(newRequest("POST", "/", "")); w.Code == 200 {
		t.Error("an open path takes a POST")
	}
	if w := k.do(newRequest("GET", "/?Action=GetCallerIdentity&Version=2011-06-15", "")); w.Code != 403 {
		t.Errorf("a call of the query protocol by GET is answered with the open path: %d %s", w.Code, w.Body)
	}
	if w := k.do(sign(t, newRequest("GET", "/", ""), "s3", "")); !strings.Contains(w.Body.String(), "ListAllMyBucketsResult") {
		t.Errorf("a signed GET / is not S3's: %s", w.Body)
	}
}

// TestPanic shows nothing of it to the caller and all of it to the log.
func TestPanic(t *testing.T) {
	k := newKit(t)
	k.serve["GetAgentRuntime"] = func(context.Context, any) (any, error) { panic("secret detail") }
	w := k.call(t, "bedrock-agentcore", "GET", "/runtimes/hello-AbCdEfGh12/", "")
	got := parseRefusal(t, w.Body)
	if w.Code != 500 || got.Type != "InternalServerException" || got.Message != "An internal error occurred. Please retry later." {
		t.Errorf("%d %+v", w.Code, got)
	}
	if !strings.Contains(k.log.String(), "secret detail") || !strings.Contains(k.log.String(), w.Header().Get("X-Amzn-Requestid")) {
		t.Errorf("log: %s", k.log)
	}
	if rec := k.audit.last(t); rec.Status != 500 || rec.ErrorCode != "InternalServerException" {
		t.Errorf("audited as %+v", rec)
	}
}

// TestInternalError hides the cause, in the words of each family.
func TestInternalError(t *testing.T) {
	k := newKit(t)
	cause := errors.New("disk /dev/sda1 is full")
	for _, op := range []string{"GetAgentRuntime", "ListBuckets", "GetCallerIdentity", "DeleteBucket"} {
		k.serve[op] = func(context.Context, any) (any, error) { return nil, cause }
	}
	k.serve["DeleteBucket"] = func(context.Context, any) (any, error) {
		return nil, fault.New("SlowDown", 503, "Reduce your request rate.").Because(cause)
	}
	for want, r := range map[string]*http.Request{
		"InternalServerException":     sign(t, newRequest("GET", "/runtimes/hello-AbCdEfGh12/", ""), "bedrock-agentcore", ""),
		"<Code>InternalError</Code>":  sign(t, newRequest("GET", "/", ""), "s3", ""),
		"<Code>SlowDown</Code>":       sign(t, newRequest("DELETE", "/b", ""), "s3", ""),
		"<Code>InternalFailure</Code": sign(t, newRequest("GET", "/?Action=GetCallerIdentity", ""), "sts", ""),
	} {
		w := k.do(r)
		if w.Code < 500 || !strings.Contains(w.Body.String(), want) || strings.Contains(w.Body.String(), "sda1") {
			t.Errorf("%d %s, want %s", w.Code, w.Body, want)
		}
		id := w.Header().Get("X-Amzn-Requestid") + w.Header().Get("X-Amz-Request-Id")
		if id == "" || !strings.Contains(k.log.String(), id) || !strings.Contains(k.log.String(), "sda1") {
			t.Errorf("the log has no request %s with its cause: %s", id, k.log)
		}
	}
}

// TestRegister refuses tables and handlers that disagree.
func TestRegister(t *testing.T) {
	one := func(op schema.Operation) *schema.Service {
		return &schema.Service{Name: "x", SigningName: "x", Protocol: schema.RestJSON, Operations: []schema.Operation{op}}
	}
	need := []schema.Requirement{{Action: "x:A", Resource: "*"}}
	cases := []struct {
		op       schema.Operation
		handlers int
		want     string
	}{
		{schema.Operation{Name: "A", Requires: need}, 0, "it has no handler"},
		{schema.Operation{Name: "A", Requires: need, Refused: "later"}, 1, "the ledger refuses it"},
		{schema.Operation{Name: "A"}, 1, "it has no requirements"},
		{schema.Operation{Name: "A", Requires: need}, 2, "two handlers"},
		{schema.Operation{Name: "A", Requires: need}, 1, ""},
		{schema.Operation{Name: "A", Free: true}, 1, ""},
	}
	for _, c := range cases {
		svc := one(c.op)
		var handlers []schema.Handler
		for range c.handlers {
			handlers = append(handlers, schema.Handler{Service: svc, Operation: &svc.Operations[0]})
		}
		_, err := New(Config{Services: []*schema.Service{svc}, Handlers: handlers})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v with %d handlers: %v, want %q", c.op, c.handlers, err, c.want)
		}
	}
}

// TestAudit is the record of a call: made, refused, and not proven.
func TestAudit(t *testing.T) {
	k := newKit(t)
	target := "/runtimes/hello-AbCdEfGh12/"
	request := func() *http.Request {
		r := newRequest("GET", target, "")
		r.Header.Set("User-Agent", "test/1")
		r.RemoteAddr = "[::ffff:192.0.2.7]:999"
		return r
	}
	w := k.do(sign(t, request(), "bedrock-agentcore", ""))
	rec := k.audit.last(t)
	if rec.RequestID != w.Header().Get("X-Amzn-Requestid") || rec.RequestID == "" || !rec.Time.Equal(testTime) ||
		rec.Event != "GetAgentRuntime" || rec.Source != "bedrock-agentcore-control" || !rec.ReadOnly || rec.Status != 200 || rec.ErrorCode != "" ||
		rec.Principal != "arn:aws:iam::111122223333:root" || rec.AccessKeyID != testKey || rec.SourceIP != "192.0.2.7" || rec.UserAgent != "test/1" ||
		rec.Scope.Account != testAccount || rec.Scope.Region != testRegion ||
		!slices.Equal(rec.Resources, []string{"arn:aws:bedrock-agentcore:us-west-2:111122223333:runtime/hello-AbCdEfGh12"}) {
		t.Errorf("%+v", rec)
	}
	k.serve["GetAgentRuntime"] = func(context.Context, any) (any, error) { return nil, fault.NotFound("no such runtime") }
	k.do(sign(t, request(), "bedrock-agentcore", ""))
	if rec = k.audit.last(t); rec.Status != 404 || rec.ErrorCode != "ResourceNotFoundException" || rec.Principal == "" {
		t.Errorf("%+v", rec)
	}
	r := sign(t, request(), "bedrock-agentcore", "")
	r.Header.Set("X-Amz-Date", "20261102T120001Z")
	k.do(r)
	if rec = k.audit.last(t); rec.Status != 403 || rec.ErrorCode != "InvalidSignatureException" || rec.Principal != "" || rec.Scope.Account != "" || rec.AccessKeyID != testKey {
		t.Errorf("%+v", rec)
	}
	if n := len(k.audit.records); n != 3 {
		t.Errorf("%d records of three calls", n)
	}
}

// TestAgain: each of several calls that come with one request has a decision and a record of
// its own.
func TestAgain(t *testing.T) {
	k := newKit(t)
	const own, others = "arn:aws:bedrock-agentcore:us-west-2:111122223333:gateway/g", "arn:aws:bedrock-agentcore:us-west-2:999999999999:gateway/g"
	var ids []string
	k.serve["GetAgentRuntime"] = func(ctx context.Context, _ any) (any, error) {
		for _, arn := range []string{own, others} {
			id, err := From(ctx).Again(ctx, auth.Requirement{Action: "bedrock-agentcore:InvokeGateway", Resource: arn})
			if fault.Is(err, "AccessDeniedException") != (arn == others) {
				t.Errorf("%s: %v", arn, err)
			}
			ids = append(ids, id)
		}
		return &agentcorecontrol.GetAgentRuntimeResponse{}, nil
	}
	k.call(t, "bedrock-agentcore", "GET", "/runtimes/hello-AbCdEfGh12/", "")
	if len(k.audit.records) != 3 {
		t.Fatalf("%+v", k.audit.records)
	}
	one, two, first := k.audit.records[0], k.audit.records[1], k.audit.records[2]
	if one.RequestID != ids[0] || !slices.Equal(one.Resources, []string{own}) || one.ErrorCode != "" || one.Status != 200 || one.Principal != first.Principal || one.AccessKeyID != testKey || one.SourceIP != first.SourceIP || one.Event != first.Event {
		t.Errorf("%+v", one)
	}
	if two.RequestID != ids[1] || !slices.Equal(two.Resources, []string{others}) || two.ErrorCode != "AccessDeniedException" || two.Status != 403 {
		t.Errorf("%+v", two)
	}
	if first.RequestID == ids[0] || first.RequestID == ids[1] || len(first.Resources) != 1 || first.ErrorCode != "" {
		t.Errorf("%+v", first)
	}
}

// TestSecretAnswer holds back an answer that hands out a secret until its audit
// is on the disk.
func TestSecretAnswer(t *testing.T) {
	svc := served(&agentcore.Service)
	k := newKit(t, &agentcorecontrol.Service, svc)
	token := "the secret"
	k.serve["GetWorkloadAccessToken"] = func(context.Context, any) (any, error) {
		return &agentcore.GetWorkloadAccessTokenResponse{WorkloadAccessToken: &token}, nil
	}
	call := func() (int, string) {
		w := k.call(t, "bedrock-agentcore", "POST", "/identities/GetWorkloadAccessToken", `{"workloadName":"hello"}`)
		return w.Code, w.Body.String()
	}
	if code, body := call(); code != 200 || !strings.Contains(body, token) || k.audit.durable != 1 {
		t.Errorf("%d %s, %d durable records", code, body, k.audit.durable)
	}
	k.audit.fail = errors.New("disk full")
	if code, body := call(); code != 500 || strings.Contains(body, token) {
		t.Errorf("the audit failed, and the answer is %d %s", code, body)
	}
	if rec := k.audit.last(t); rec.Status != 500 || rec.ErrorCode != "InternalServerException" {
		t.Errorf("%+v", rec)
	}
}

// TestLostAudit: calls go on without a record, and what is lost is counted and
// said, once for a thousand; only secrets stay where they are.
func TestLostAudit(t *testing.T) {
	k := newKit(t, &agentcorecontrol.Service, served(&agentcore.Service))
	k.audit.full = errors.New("disk full")
	for range 3 {
		if w := k.call(t, "bedrock-agentcore", "GET", "/runtimes/hello-0123456789/", ""); w.Code != 200 {
			t.Errorf("a call without a record is answered %d %s", w.Code, w.Body)
		}
	}
	if w := k.do(newRequest("GET", "/runtimes/hello-0123456789/", "")); w.Code != 403 {
		t.Errorf("a refusal without a record is %d %s", w.Code, w.Body)
	}
	k.audit.fail = k.audit.full
	if w := k.call(t, "bedrock-agentcore", "POST", "/identities/GetWorkloadAccessToken", `{"workloadName":"hello"}`); w.Code != 500 {
		t.Errorf("a secret without a record is answered %d %s", w.Code, w.Body)
	}
	if n := strings.Count(k.log.String(), "audit records are lost"); n != 1 || k.lost.Load() != 5 {
		t.Errorf("%d lost, said %d times:\n%s", k.lost.Load(), n, k.log)
	}
}

// served is the service as if every operation of it were built.
func served(svc *schema.Service) *schema.Service {
	s := *svc
	s.Operations = slices.Clone(svc.Operations)
	for i := range s.Operations {
		s.Operations[i].Refused = ""
	}
	return &s
}

// TestHeadersThatAskForMoreAreSigned: a User-Id added on the way to us would
// make the agent act for somebody else.
func TestHeadersThatAskForMoreAreSigned(t *testing.T) {
	const target = "/runtimes/arn%3Aaws%3Abedrock-agentcore%3Aus-east-1%3A111122223333%3Aruntime%2Fa-0123456789/invocations"
	const header = "X-Amzn-Bedrock-AgentCore-Runtime-User-Id"
	k := newKit(t)
	signed := newRequest("POST", target, "{}")
	signed.Header.Set(header, "ann")
	if w := k.do(signAs(t, signed, testKey, "bedrock-agentcore", "{}")); w.Code != http.StatusOK {
		t.Errorf("signed: %d %s", w.Code, w.Body)
	}
	added := signAs(t, newRequest("POST", target, "{}"), testKey, "bedrock-agentcore", "{}")
	added.Header.Set(header, "ann")
	w := k.do(added)
	if got := parseRefusal(t, w.Body); w.Code != http.StatusForbidden || !strings.Contains(strings.ToLower(got.Message), strings.ToLower(header)) {
		t.Errorf("added after signing: %d %+v, want 403 that names the header", w.Code, got)
	}
}

// TestRegions: what the client signs for owns resources, so it must be a region.
func TestRegions(t *testing.T) {
	k := newKit(t)
	for region, want := range map[string]int{"eu-central-1": http.StatusOK, "global": http.StatusForbidden, "Us-East-1": http.StatusForbidden, "x": http.StatusForbidden} {
		r := newRequest("POST", "/runtimes/", "")
		sum := sha256.Sum256(nil)
		creds := aws.Credentials{AccessKeyID: testKey, SecretAccessKey: testSecret}
		if err := v4.NewSigner().SignHTTP(t.Context(), creds, r, hex.EncodeToString(sum[:]), "bedrock-agentcore", region, testTime); err != nil {
			t.Fatal(err)
		}
		if w := k.do(r); w.Code != want {
			t.Errorf("region %q: %d %s, want %d", region, w.Code, w.Body, want)
		}
	}
}

// TestServicesThatAreNotServed: the refusal comes in the form that the client's
// SDK reads.
func TestServicesThatAreNotServed(t *testing.T) {
	k := newKit(t)
	r := newRequest("POST", "/", "Action=CreateStack&Version=2010-05-15")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	if w := k.do(signAs(t, r, testKey, "cloudformation", "Action=CreateStack&Version=2010-05-15")); w.Code != http.StatusNotFound ||
		!strings.Contains(w.Body.String(), "<Code>UnknownOperationException</Code>") || !strings.Contains(w.Body.String(), "The service &#39;cloudformation&#39; is not served") {
		t.Errorf("cloudformation: %d %s, want 404 in XML", w.Code, w.Body)
	}
	if w := k.do(signAs(t, newRequest("POST", "/", "{}"), testKey, "dynamodb", "{}")); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), `"message":"The service 'dynamodb'`) {
		t.Errorf("dynamodb: %d %s, want 404 in JSON", w.Code, w.Body)
	}
}

// TestFormsTellTheirService: without a signature a form's version and action say which
// service's words it is refused in, and with one the version has to be the service's.
func TestFormsTellTheirService(t *testing.T) {
	k := newKit(t)
	for body, namespace := range map[string]string{
		"Action=CreateRole&Version=2010-05-08": "iam", "Action=AssumeRole&Version=2011-06-15": "sts", "Action=Nonsense&Version=1": "sts", "": "sts",
	} {
		w := k.do(form(body))
		if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), `xmlns="https://`+namespace+`.amazonaws.com/`) || !strings.Contains(w.Body.String(), "<Code>MissingAuthenticationToken</Code>") {
			t.Errorf("%q: %d %s, want a refusal of %s", body, w.Code, w.Body, namespace)
		}
	}
	const old = "Action=GetCallerIdentity&Version=2010-05-08"
	if w := k.do(sign(t, form(old), "sts", old)); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "Could not find operation GetCallerIdentity for version 2010-05-08") {
		t.Errorf("another service's version: %d %s", w.Code, w.Body)
	}
}
