package remote

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/lambda"
	"github.com/outcrop/outcrop/internal/lambda/endpoint"
	"github.com/outcrop/outcrop/internal/store"
)

// client is one of an endpoint that answers as serve does.
func client(t *testing.T, path string, serve http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(serve)
	t.Cleanup(server.Close)
	u, err := endpoint.Parse(server.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	return New(u, func() time.Time { return time.Unix(1_800_000_000, 0) })
}

func invocation() lambda.Invocation {
	return lambda.Invocation{Scope: store.Scope{Account: "111122223333", Region: "us-west-2"}, Function: "a/b", Payload: []byte(`{"x":1}`), ClientContext: "e30=", Tail: true}
}

func TestInvoke(t *testing.T) {
	c := client(t, "/base", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Method != http.MethodPost || r.URL.EscapedPath() != "/base/2015-03-31/functions/a%2Fb/invocations" || string(body) != `{"x":1}` || r.Header.Get("X-Amz-Client-Context") != "e30=" ||
			!strings.Contains(r.Header.Get("Authorization"), "Credential=111122223333/20270115/us-west-2/lambda/aws4_request") {
			t.Errorf("asked %s %s %s %v", r.Method, r.URL.EscapedPath(), body, r.Header)
		}
		w.Header().Set("X-Amz-Function-Error", "Unhandled")
		w.Header().Set("X-Amz-Log-Result", "bG9n")
		_, _ = w.Write([]byte(`{"errorMessage":"no"}`))
	})
	res, err := c.Invoke(t.Context(), invocation())
	if err != nil || res.FunctionError != "Unhandled" || string(res.Log) != "log" || string(res.Payload) != `{"errorMessage":"no"}` {
		t.Errorf("%+v, %v", res, err)
	}
}

// TestOneFunction uses the URL of one function's own emulator as it is.
func TestOneFunction(t *testing.T) {
	c := client(t, "/2015-03-31/functions/function/invocations", func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(`"` + r.URL.Path + `"`))
	})
	var said []string
	in := invocation()
	in.ContentType = func(s string) { said = append(said, s) }
	in.Chunk = func(p []byte) error { said = append(said, string(p)); return nil }
	res, err := c.Invoke(t.Context(), in)
	if err != nil || res.Payload != nil || strings.Join(said, " ") != `application/octet-stream "/2015-03-31/functions/function/invocations"` {
		t.Errorf("%+v %q %v", res, said, err)
	}
}

func TestRefusals(t *testing.T) {
	for _, one := range []struct {
		status       int
		header, body string
		code, part   string
	}{
		{404, "ResourceNotFoundException:http://x/", `{"Message":"Function not found: f"}`, "ResourceNotFoundException", "Function not found: f"},
		{429, "", `{"__type":"com.x#TooManyRequestsException","message":"slow"}`, "TooManyRequestsException", "slow"},
		{400, "<script>", `<html>`, "ServiceException", "it gave no reason"},
		{503, "", ``, "ServiceException", "answered 503"},
		{302, "", ``, "ServiceException", "answered 302"},
	} {
		c := client(t, "", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Amzn-Errortype", one.header)
			w.WriteHeader(one.status)
			_, _ = w.Write([]byte(one.body))
		})
		_, err := c.Invoke(t.Context(), invocation())
		if f := fault.From(err); err == nil || f.Code != one.code || !strings.Contains(f.Message, one.part) {
			t.Errorf("%d %s: %v", one.status, one.body, err)
		}
	}
	c := client(t, "", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, maxAnswer+1)) })
	if _, err := c.Invoke(t.Context(), invocation()); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("too large: %v", err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Invoke(over, invocation()); !fault.Is(err, "ServiceException") || strings.Contains(fault.From(err).Message, "canceled") {
		t.Errorf("out of reach: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("ResourceNotFoundException:http://x/", `{"Message":"x"}`)
	f.Add("", `{"__type":"a#B","message":"m"}`)
	f.Fuzz(func(t *testing.T, header, body string) {
		code, message := parse(header, []byte(body))
		if !isName(code) || message == "" || len(message) > maxText+3 || !utf8.ValidString(message) {
			t.Fatalf("%q %q", code, message)
		}
	})
}
