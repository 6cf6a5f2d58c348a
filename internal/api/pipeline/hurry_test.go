package pipeline

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/auth/sigv4"
)

// deadlines is a writer on a connection that keeps the last read deadline.
type deadlines struct {
	*httptest.ResponseRecorder
	read time.Time
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
