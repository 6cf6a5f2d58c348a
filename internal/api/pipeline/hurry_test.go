package pipeline

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/sigv4"
	"github.com/outcrop/outcrop/internal/store"
)

// deadlines is a writer on a connection that keeps the last read deadline.
type deadlines struct {
	*httptest.ResponseRecorder
	read, write time.Time
	writes      []time.Duration // what was left for each
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.write = t
	return nil
}

func (d *deadlines) Write(b []byte) (int, error) {
	if !d.write.IsZero() {
		d.writes = append(d.writes, time.Until(d.write))
	}
	return d.ResponseRecorder.Write(b)
}

func (d *deadlines) SetReadDeadline(t time.Time) error {
	d.read = t
	return nil
}

// TestHurry bounds the bodies of those who have not proven who they are, and of
// nobody else.
func TestHurry(t *testing.T) {
	k := newKit(t)
	k.cfg.Open = map[string]http.Handler{"/": http.NotFoundHandler()}
	forged := sign(t, newRequest("GET", "/runtimes", ""), "bedrock-agentcore", "")
	forged.Header.Set("Authorization", forged.Header.Get("Authorization")[:40]+"x")
	changed := sign(t, newRequest("POST", "/runtimes", ""), "bedrock-agentcore", "")
	changed.URL.RawQuery = "a=1"
	form := newRequest("POST", "/", "Action=GetCallerIdentity")
	form.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for name, c := range map[string]struct {
		request *http.Request
		hurried bool
	}{
		"open route":     {newRequest("GET", "/", ""), true},
		"unsigned":       {newRequest("POST", "/runtimes", "{}"), true},
		"unsigned form":  {form, true},
		"no such path":   {newRequest("POST", "/nowhere", "{}"), true},
		"forged":         {forged, true},
		"changed":        {changed, true},
		"V2, forged":     {httptest.NewRequest("GET", "/b/k?AWSAccessKeyId=AKIDEXAMPLE&Signature=x&Expires=1800000000", strings.NewReader("b")), true},
		"well signed":    {sign(t, newRequest("POST", "/runtimes", ""), "bedrock-agentcore", ""), false},
		"but refused":    {sign(t, newRequest("GET", "/runtimes/-", ""), "bedrock-agentcore", ""), false},
		"but no service": {sign(t, newRequest("GET", "/", ""), "nothing", ""), true}, // it is not looked at who signed that
	} {
		w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		k.ServeHTTP(w, c.request)
		left := time.Until(w.read)
		if c.hurried != (left > 0 && left <= strangerPatience) || !c.hurried && !w.read.IsZero() {
			t.Errorf("%s: answered %d, deadline in %v", name, w.Code, left)
		}
	}
}

// TestHurryProof bounds the time of a body that has to prove its signature, by
// its length, and lifts the bound when it has.
func TestHurryProof(t *testing.T) {
	k := newKit(t)
	body := strings.Repeat(" ", 1<<20) + "{}"
	for name, c := range map[string]struct {
		hash   string
		during bool
	}{
		"undeclared": {hash: "", during: true},
		"unsigned":   {hash: "UNSIGNED-PAYLOAD"},
	} {
		w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		var during time.Duration
		r := newRequest("POST", "/runtimes", body)
		r.Header.Set("Content-Type", "application/json")
		if c.hash == "" {
			r = sign(t, r, "bedrock-agentcore", body)
		} else {
			r = signHash(t, r, testKey, "bedrock-agentcore", c.hash)
		}
		rest := r.Body
		r.Body = readerFunc(func(p []byte) (int, error) {
			if !w.read.IsZero() {
				during = time.Until(w.read)
			}
			return rest.Read(p)
		})
		k.ServeHTTP(w, r)
		if c.during != (during > strangerPatience && during <= strangerPatience+4*time.Second) || !w.read.IsZero() {
			t.Errorf("%s: answered %d, deadline in %v, at last %v", name, w.Code, during, w.read)
		}
	}
}

// lets lets everybody in.
type lets struct{ in Admission }

func (l lets) Admit(context.Context, Knock) (Admission, error) { return l.in, nil }

func (lets) Signed(context.Context, Knock, store.Scope) error { return nil }

// TestHurryStranger bounds the time of the bodies of callers whom nobody asks who they
// are, to their end, and of no others.
func TestHurryStranger(t *testing.T) {
	k := newKit(t)
	var w *deadlines
	var during, rest time.Duration
	k.serve["InvokeGateway"] = func(_ context.Context, in any) (any, error) {
		body := in.(*agentcore.InvokeGatewayRequest).Payload
		during = time.Until(w.read)
		_, _ = io.CopyN(io.Discard, body, 3) // one has none
		rest = time.Until(w.read)
		_, err := io.Copy(io.Discard, body)
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write(make([]byte, 4*strangerRate))
			_, _ = io.Copy(w, strings.NewReader("more"))
		}), err
	}
	for name, c := range map[string]struct {
		stranger bool
		body     string
		length   int64
		within   time.Duration
	}{
		"a stranger":                  {true, "{    }", 6, strangerPatience},
		"a stranger with a long body": {true, strings.Repeat(" ", 1<<20), 1 << 20, strangerPatience + 4*time.Second},
		"a stranger who does not say": {true, "{    }", -1, strangerPatience + 24*time.Second},
		"a stranger without a body":   {true, "", 0, 0},
		"somebody with a token":       {false, "{    }", 6, 0},
	} {
		k.cfg.Inbound = lets{Admission{Principal: auth.Principal{Kind: auth.Bearer, Account: testAccount}, Scope: store.Scope{Account: testAccount, Region: "us-east-1"}, Stranger: c.stranger}}
		w = &deadlines{ResponseRecorder: httptest.NewRecorder()}
		during, rest = 0, 0
		r := newRequest("POST", "/gw/g-0123456789/mcp", c.body)
		r.ContentLength = c.length
		k.ServeHTTP(w, r)
		bounded := during > 0 && during <= c.within && during > c.within-time.Second && rest > 0
		if bounded != (c.within > 0) || !w.read.IsZero() || w.Code != http.StatusNotFound {
			t.Errorf("%s: answered %d, deadline in %v, then %v, at last %v", name, w.Code, during, rest, w.read)
		}
		took := len(w.writes) == 2 && w.writes[0] > strangerPatience && w.writes[0] <= strangerPatience+4*time.Second && w.writes[1] <= strangerPatience
		if took != c.stranger || !c.stranger && w.writes != nil || !w.write.IsZero() || w.Body.Len() != 4*strangerRate+4 {
			t.Errorf("%s: %v for the parts of the answer, at last %v", name, w.writes, w.write)
		}
	}
}

// TestOtherSchemes: a resource that says itself whom it wants is asked also where the
// caller's Authorization is neither a token nor a signature; half a signature is one.
func TestOtherSchemes(t *testing.T) {
	k := newKit(t)
	k.serve["InvokeGateway"] = func(context.Context, any) (any, error) {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }), nil
	}
	k.cfg.Inbound = lets{Admission{Principal: auth.Principal{Kind: auth.Bearer, Account: testAccount}, Scope: store.Scope{Account: testAccount, Region: "us-east-1"}, Stranger: true}}
	for authorization, want := range map[string]int{
		"Basic eDp5": http.StatusNoContent, "Bearer": http.StatusNoContent, "x": http.StatusNoContent, "AWS4-HMAC-SHA256 Credential=a/b": http.StatusBadRequest,
	} {
		r := newRequest("POST", "/gw/g-0123456789/mcp", "{}")
		r.Header.Set("Authorization", authorization)
		if w := k.do(r); w.Code != want {
			t.Errorf("%s: %d %s", authorization, w.Code, w.Body)
		}
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
func (readerFunc) Close() error                 { return nil }

// TestUnprovenIsThrottled says it in each protocol's words.
func TestUnprovenIsThrottled(t *testing.T) {
	k := newKit(t)
	k.cfg.Verifier = sigv4.New(sigv4.Config{
		Keys: fixedKeys{}, Now: func() time.Time { return testTime }, SpoolDir: t.TempDir(),
		Unproven: sigv4.Unproven{KeyMemory: 40, Memory: 40, KeyDisk: 1, Disk: 1},
	})
	form := func(body string) *http.Request {
		r := newRequest("POST", "/", body)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return r
	}
	short, long := "Action=AssumeRoleWithSAML", "Action=AssumeRoleWithSAML&SAMLAssertion=abcd"
	for name, c := range map[string]struct {
		request *http.Request
		status  int
		code    string
	}{
		"JSON":                {sign(t, newRequest("POST", "/runtimes", strings.Repeat(" ", 41)), "bedrock-agentcore", strings.Repeat(" ", 41)), 429, "ThrottlingException"},
		"query, signed":       {sign(t, form(long), "sts", long), 400, "<Code>Throttling</Code>"},
		"query, unsigned":     {form(long), 400, "<Code>Throttling</Code>"},
		"query, within bound": {form(short), 400, "is not available"},
		"and again":           {form(short), 400, "is not available"},
	} {
		w := k.do(c.request)
		if told := w.Body.String() + w.Header().Get("X-Amzn-Errortype"); w.Code != c.status || !strings.Contains(told, c.code) {
			t.Errorf("%s: %d %s", name, w.Code, told)
		}
	}
}
