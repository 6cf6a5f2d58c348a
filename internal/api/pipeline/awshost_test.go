package pipeline

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestServiceOfHost: where nothing else says what an unsigned request is for, its
// host name does.
func TestServiceOfHost(t *testing.T) {
	k := newKit(t)
	for url, want := range map[string]struct {
		status  int
		refused string
		text    string
	}{
		"https://dynamodb.us-west-2.amazonaws.com/":                   {404, "dynamodb", "AWS_ENDPOINT_URL_DYNAMODB=https://dynamodb.us-west-2.amazonaws.com"},
		"https://dynamodb.us-west-2.amazonaws.com:443/?Action=X":      {404, "dynamodb", "is not served"},
		"https://bucket.s3.us-west-2.amazonaws.com/key":               {403, "", "<Code>AccessDenied</Code>"},
		"https://sts.us-west-2.api.aws/?Action=GetCallerIdentity":     {403, "", "<Code>MissingAuthenticationToken</Code>"},
		"https://bedrock-agentcore-control.us-west-2.api.aws/nothing": {404, "", "UnknownOperationException"},
		"https://evilamazonaws.com/nothing":                           {404, "", "UnknownOperationException"},
	} {
		w := k.do(httptest.NewRequest(http.MethodGet, url, nil))
		if w.Code != want.status || w.Header().Get("X-Outcrop-Refused") != want.refused || !strings.Contains(w.Body.String()+w.Header().Get("X-Amzn-Errortype"), want.text) {
			t.Errorf("%s: %d %v %s", url, w.Code, w.Header(), w.Body)
		}
	}
	// A signature says it first.
	r := sign(t, httptest.NewRequest(http.MethodGet, "https://dynamodb.us-west-2.amazonaws.com/", nil), "kinesis", "")
	if w := k.do(r); w.Header().Get("X-Outcrop-Refused") != "kinesis" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
}
