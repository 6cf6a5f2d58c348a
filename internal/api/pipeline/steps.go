package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/api/protocol"
	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/auth/sigv4"
	"github.com/outcrop/outcrop/internal/awshost"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/telemetry"
)

// defaultSigning is the service of a request that names none.
const defaultSigning = "bedrock-agentcore"

// route finds service and operation. The service is the one the credential is
// scoped to; a request without credentials is told by the host name where that is
// one of AWS's, by the header in which JSON 1.1 names operations, by its form (query
// protocol), or else by its path.
func (e *exchange) route(claimErr error) error {
	name, region := e.claim.Service, e.claim.Region
	guessed := false
	if e.hosted {
		name = defaultSigning // whatever it is signed for
	}
	if name == "" {
		name = defaultSigning
		if host, ok := awshost.Parse(withoutPort(e.r.Host)); ok {
			name, region = host.Service, host.Region
		} else if target, ok := e.p.targeted(e.r); ok && !e.p.passing(e.r) {
			name = target
		} else if isForm(e.r) && !e.p.passing(e.r) {
			name, guessed = "sts", true // until the form has been read
		}
	}
	services := e.p.byName[name]
	if len(services) == 0 {
		f := fault.New("UnknownOperationException", http.StatusNotFound, "The service '%s' is not served by Outcrop %s. %s",
			clip(name), e.p.cfg.Version, elsewhere(name, region))
		f.Header = http.Header{"X-Outcrop-Refused": {clip(name)}}
		if isForm(e.r) { // clients of IAM and its like read XML alone
			e.codec = protocol.For(schema.Query)
			e.wire = protocol.Call{Service: &schema.Service{Protocol: schema.Query}, RequestID: e.call.RequestID}
		}
		return f
	}
	e.use(services[0], nil)
	switch services[0].Protocol {
	case schema.Query:
		return e.routeQuery(services[0], guessed, claimErr)
	case schema.JSON11:
		return e.routeTarget(services[0])
	}
	m, err := e.p.routers[name].find(e.r)
	if err != nil {
		return err
	}
	e.match = m
	e.use(m.svc, m.op)
	e.wire.Former = m.former
	return nil
}

// passing reports whether a request's path is one of an operation that takes all methods,
// which hands on what it is sent, forms included, or one that there is a hint about: forms
// are what curl sends unless it is told otherwise.
func (p *Pipeline) passing(r *http.Request) bool {
	rt := p.routers[defaultSigning]
	if rt == nil {
		return false
	}
	m, err := rt.find(r)
	if err != nil {
		return rt.hinted(rt.path(r)) != ""
	}
	return m.op.Method == schema.AnyMethod
}

// signingName is how services are named in signatures.
var signingName = regexp.MustCompile(`^[a-z][a-z0-9-]{1,40}$`)

// elsewhere says how a shell or an agent calls a service at AWS itself: SDKs take an endpoint
// from a variable with the service's id in its name.
func elsewhere(name, region string) string {
	id, host := strings.ToUpper(strings.ReplaceAll(name, "-", "_")), name
	switch name { // of agents' services those that sign by another name than their id
	case "events":
		id = "EVENTBRIDGE"
	case "logs":
		id = "CLOUDWATCH_LOGS"
	case "monitoring":
		id = "CLOUDWATCH"
	case "states":
		id = "SFN"
	}
	if !signingName.MatchString(name) {
		id, host = "SERVICE", "SERVICE"
	}
	if !regionName.MatchString(region) {
		region = "us-east-1"
	}
	return "To call it at AWS, set keys of AWS and an endpoint such as AWS_ENDPOINT_URL_" +
		id + "=https://" + host + "." + region + ".amazonaws.com, in your shell or among the agent's environment variables (docs/runtime.md)"
}

// targeted returns the service that the header of JSON 1.1 names an operation of.
func (p *Pipeline) targeted(r *http.Request) (signing string, ok bool) {
	target, _, named := strings.Cut(r.Header.Get(protocol.TargetHeader), ".")
	if !named {
		return "", false
	}
	signing, ok = p.targets[target]
	return signing, ok
}

// routeQuery reads the Action. The body of a signed request is authenticated by
// then: the form is small, and nothing else says what the call is. Without a
// signature only an operation that asks for none is found; where the service is
// guessed, its form tells it.
func (e *exchange) routeQuery(svc *schema.Service, guessed bool, claimErr error) error {
	if claimErr == nil {
		if err := e.authenticate(nil); err != nil {
			return err
		}
		if err := e.takeBody(); err != nil {
			return err
		}
	} else {
		e.hurry()
		e.countBody()
	}
	form, err := protocol.FormValues(e.r)
	if err != nil {
		return err
	}
	version, action := form.Get("Version"), form.Get("Action")
	if guessed {
		svc = e.p.serviceOf(version, action, svc)
		e.match.svc = svc
		e.use(svc, nil)
	}
	op := e.p.named[svc.SigningName][action].op
	if version != "" && version != svc.Version {
		op = nil
	}
	if claimErr != nil && (op == nil || !op.Unsigned) {
		return sigv4.FamilyOf(svc.SigningName).Fault(claimErr)
	}
	switch {
	case action == "":
		return fault.New("MissingAction", http.StatusBadRequest, "The form must have an Action and a Version; %s has the version %s", svc.SigningName, svc.Version)
	case op == nil:
		return fault.New("InvalidAction", http.StatusBadRequest, "Could not find operation %s for version %s", clip(action), clip(version))
	}
	e.match = match{svc: svc, op: op}
	e.use(svc, op)
	return nil
}

// countBody counts the body of somebody who has shown no credentials among those that
// are kept of such.
func (e *exchange) countBody() {
	if e.r.Body != nil {
		e.r.Body = e.p.cfg.Verifier.Stranger(e.family(), e.r.Body)
		e.form = e.r.Body
	}
}

// serviceOf returns the service of the query protocol that has an action in a
// version, and otherwise the one that was guessed.
func (p *Pipeline) serviceOf(version, action string, guess *schema.Service) *schema.Service {
	if m, ok := p.named[guess.SigningName][action]; ok && m.svc.Version == version {
		return guess
	}
	for _, svc := range p.cfg.Services {
		if _, ok := p.named[svc.SigningName][action]; ok && svc.Protocol == schema.Query && svc.Version == version {
			return svc
		}
	}
	return guess
}

// routeTarget reads the header that names the operation; a signature covers it as
// it does all headers of that prefix.
func (e *exchange) routeTarget(svc *schema.Service) error {
	target := e.r.Header.Get(protocol.TargetHeader)
	m, ok := e.p.named[svc.SigningName][target]
	if !ok || e.r.Method != http.MethodPost {
		return fault.New("UnknownOperationException", http.StatusBadRequest, "There is no operation '%s'; POST with %s: %s.OPERATION", clip(target), protocol.TargetHeader, svc.Target)
	}
	e.match = m
	e.use(m.svc, m.op)
	return nil
}

func (e *exchange) use(svc *schema.Service, op *schema.Operation) {
	e.codec = protocol.For(svc.Protocol)
	e.wire = protocol.Call{
		Service: svc, Operation: op, RequestID: e.call.RequestID, Head: e.r.Method == http.MethodHead, Buffers: &e.p.buffers,
	}
	if e.match.svc == nil {
		e.match.svc = svc
	}
}

// regionName is what may own resources. Everything the client signed for is
// kept apart by it.
var regionName = regexp.MustCompile(`^[a-z][a-z0-9-]{1,31}$`)

// ErrMismatch is what AWS answers when a bearer token meets a resource that wants
// SigV4, or the other way round (spec/runtime.md 8.3).
func ErrMismatch() error { return fault.Denied("%s", mismatch) }

const mismatch = "Authorization method mismatch. The agent is configured for a different authorization method than what was used in your request. " +
	"Check the agent's authorization configuration and ensure your request uses the matching method (OAuth or SigV4)"

// authenticate proves who calls.
func (e *exchange) authenticate(claimErr error) error {
	if e.id != nil {
		return nil // the query protocol has done it to read the action
	}
	svc, op := e.match.svc, e.match.op
	if op != nil && op.Unsigned && claimErr != nil {
		e.hurry()
		if svc.Protocol == schema.JSON11 {
			e.countBody()
		}
		return nil
	}
	if e.v2 != nil {
		return e.authenticateV2()
	}
	if claimErr != nil {
		token := e.bearer()
		if admitted, err := e.admit(token); admitted || err != nil {
			return err
		}
		if token != "" && svc.SigningName == defaultSigning {
			return ErrMismatch()
		}
		return sigv4.FamilyOf(svc.SigningName).Fault(claimErr)
	}
	proven := e.hurryProof(maxBody(svc, op))
	id, err := e.p.cfg.Verifier.Verify(e.r.Context(), e.r, e.claim, sigv4.Expect{Service: svc.SigningName, MaxExpires: maxExpires(op), MaxBody: maxBody(svc, op)})
	if err != nil {
		return err
	}
	proven()
	if e.claim.Presigned && (svc.Protocol == schema.RestXML || op.Upgrade) {
		hoistHeaders(e.r)
	}
	e.id = id
	if !regionName.MatchString(id.Claim.Region) || id.Claim.Region == store.Global {
		return fault.Denied("The request is signed for the region '%s', which is no region; sign for one such as us-east-1", clip(id.Claim.Region))
	}
	e.call.Principal = id.Principal
	e.call.Scope = store.Scope{Account: id.Principal.Account, Region: id.Claim.Region}
	return nil
}

// headersSigned refuses a header that asks for more rights and is not under the
// signature: anybody between the client and us could have added it.
func (e *exchange) headersSigned(svc *schema.Service, op *schema.Operation) error {
	if e.id == nil {
		return nil
	}
	members := svc.Shape(op.Input).Members
	for _, r := range op.Requires {
		i := slices.IndexFunc(members, func(m schema.Member) bool { return m.In == schema.InHeader && slices.Contains(r.When, m.Name) })
		if i < 0 || e.r.Header.Get(members[i].Wire) == "" || e.id.Claim.Signed(strings.ToLower(members[i].Wire)) {
			continue
		}
		if e.claim.Presigned && e.r.URL.Query().Has(members[i].Wire) {
			continue // as all parameters
		}
		return fault.Denied("The header '%s' asks for %s and must be among the signed headers", members[i].Wire, r.Action)
	}
	return nil
}

// maxExpires bounds the life of presigned URLs: those of WebSockets stand in pages and logs
// (spec/runtime.md 9.1). Zero is the usual one.
func maxExpires(op *schema.Operation) time.Duration {
	if op != nil && op.Upgrade { // a form tells its operation when it is proven
		return 5 * time.Minute
	}
	return 0
}

// maxBody is the bound of a body: what the model says of a streamed payload,
// or what fits into memory.
func maxBody(svc *schema.Service, op *schema.Operation) int64 {
	switch {
	case svc.Protocol == schema.Query:
		return protocol.MaxForm
	case op == nil || op.Input < 0:
		return protocol.MaxBody
	}
	m := svc.Shape(op.Input).PayloadMember()
	if m == nil || !m.Streaming {
		return protocol.BodyLimit(op)
	}
	if b := svc.Shape(m.Shape).Bounds; b != nil && b.Has&schema.HasMax != 0 {
		return int64(b.Max)
	}
	return 5 << 30 // S3's largest single put
}

// withToken puts the idempotency token of the input, if it has one, where the
// store finds it.
func withToken(ctx context.Context, svc *schema.Service, op *schema.Operation, in any, scope store.Scope) (context.Context, error) {
	if op.Input < 0 || op.ReadOnly {
		return ctx, nil
	}
	sh, v := svc.Shape(op.Input), reflect.ValueOf(in).Elem()
	for i := range sh.Members {
		m := &sh.Members[i]
		// A session id carries the trait as well, so that SDKs fill it in; it
		// does not make an invocation happen once.
		if !m.Token || m.Name != "clientToken" || v.Field(i).IsNil() {
			continue
		}
		field := v.Field(i)
		token := field.Elem().String()
		field.SetZero()
		restore := shorten(op, sh, v, scope)
		canonical, err := protocol.MarshalJSON(svc, op.Input, in, false)
		restore()
		field.Set(reflect.ValueOf(&token))
		if err != nil {
			return nil, err
		}
		hash := sha256.Sum256(canonical)
		return store.WithToken(ctx, store.Token{
			Scope: scope, Operation: svc.Name + "." + op.Name, Key: token, RequestHash: hex.EncodeToString(hash[:]),
		}), nil
	}
	return ctx, nil
}

// shorten puts the id in the place of the ARN that an input calls its resource by, until
// restore: with either it is the same request.
func shorten(op *schema.Operation, sh *schema.Shape, v reflect.Value, scope store.Scope) (restore func()) {
	own := strings.NewReplacer("{region}", scope.Region, "{account}", scope.Account)
	for _, r := range op.Requires {
		prefix, label, _ := strings.Cut(own.Replace(r.Resource), "{")
		field, _, set := member(sh, v, strings.TrimSuffix(label, "}"))
		if !set || field.Kind() != reflect.String || prefix == "" {
			continue
		}
		arn := field.String()
		if id, is := strings.CutPrefix(arn, prefix); is {
			field.SetString(id)
			return func() { field.SetString(arn) }
		}
	}
	return func() {}
}

// replay answers a call that has been made before under the same token.
func (e *exchange) replay(ctx context.Context) (any, bool, error) {
	body, found, err := store.Replay(ctx, e.p.cfg.Store)
	if err != nil || !found {
		return nil, false, storeFault(err)
	}
	out := e.match.op.NewOutput()
	if err := json.Unmarshal(body, out); err != nil {
		return nil, false, err
	}
	return out, true, nil
}

// storeFault gives the store's idempotency refusal its words.
func storeFault(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrTokenMismatch):
		f := fault.Validation("The client token was used before with other parameters; use a new token for a new request")
		f.Reason = fault.ReasonParameterMismatch
		return f.Because(err)
	}
	return err
}

// audit tells the call. Only what a secret hangs on is waited for, and fails with
// its record.
func (e *exchange) audit(f *fault.Error, status int) error {
	if e.match.op == nil || e.audited {
		return nil // not a call of any operation, or its answer broke off
	}
	rec := telemetry.Record{
		Time: e.started, RequestID: e.call.RequestID, Scope: e.call.Scope, Principal: e.call.Principal.ARN, PrincipalID: e.call.Principal.UserID,
		AccessKeyID: e.claim.AccessKeyID, Event: e.match.op.Name, Source: e.match.svc.Name, SourceIP: actingService, UserAgent: e.r.UserAgent(),
		Resources: e.call.resources, Status: status, ReadOnly: e.match.op.ReadOnly,
	}
	if e.from.IsValid() { // what this server calls has none
		rec.SourceIP = e.call.Source
	}
	if f != nil {
		rec.ErrorCode, rec.ErrorMessage = f.Code, f.Message
	}
	// The record is kept even if the client has gone.
	ctx := context.WithoutCancel(e.r.Context())
	if e.match.op.Secret && f == nil {
		err := e.p.cfg.Audit.AuditDurable(ctx, rec)
		e.audited = err == nil
		return err
	}
	e.audited = true
	if err := e.p.cfg.Audit.Audit(ctx, rec); err != nil {
		e.p.lose(err)
	}
	return nil
}

// lose counts an audit record that could not be kept. The call it is of goes on:
// on a full disk a call may be what makes room. One line stands for a thousand.
func (p *Pipeline) lose(err error) {
	if n := p.lost.Add(1); n%1000 == 1 {
		p.cfg.Log.Error("audit records are lost; calls go on, those that hand out a secret are refused", "lost", n, "error", err)
	}
}

// sourceIP is where a request comes from; it is not valid of those that this server makes.
func sourceIP(r *http.Request) netip.Addr {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	addr, _ := netip.ParseAddr(host)
	return addr.Unmap()
}

// baseURL is the address the client used, where nobody ends TLS before us.
func baseURL(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}

// isForm reports whether a request is one of the query protocol: a form, or by GET what is
// in one. Some clients say that of a form's redirect, too, which they follow without it.
func isForm(r *http.Request) bool {
	sends := r.Method != http.MethodGet && r.Method != http.MethodHead
	return sends && strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") || r.URL.RawQuery != "" && r.URL.Query().Has("Action")
}

func clip(s string) string { return fault.Clip(s, 64) }
