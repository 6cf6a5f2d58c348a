package pipeline

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
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
