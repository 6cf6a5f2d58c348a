package invoke

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/runtime"
	"github.com/outcrop/outcrop/internal/store"
)

// FuzzSessionKey: whatever stands in the path, the key is of the caller's own
// account and region, or the caller is told.
func FuzzSessionKey(f *testing.F) {
	scope := store.Scope{Account: "111122223333", Region: "us-west-2"}
	for _, arn := range []string{runtime.ARN(scope, "a-0123456789"), "a-0123456789", "arn:", "arn:::::", "arn:aws:bedrock-agentcore:::runtime/",
		"arn:aws:bedrock-agentcore:us-west-2:999999999999:runtime/a-0123456789", "arn:aws:bedrock-agentcore:us-west-2:111122223333:runtime/a/b:c"} {
		f.Add(arn, "", "")
		f.Add(arn, "111122223333", "prod")
	}
	f.Fuzz(func(t *testing.T, arn, account, qualifier string) {
		key, err := sessionKey(&pipeline.Call{Scope: scope}, arn, account, qualifier, "s")
		if err != nil {
			if e := fault.From(err); e.Status != http.StatusBadRequest && e.Status != http.StatusNotFound {
				t.Errorf("%v", err)
			}
			return
		}
		if key.Scope != scope || key.Endpoint == "" || key.ID != "s" {
			t.Errorf("%+v", key)
		}
		if strings.HasPrefix(arn, "arn:") && runtime.ARN(scope, key.Owner) != strings.Replace(arn, strings.SplitN(arn, ":", 3)[1], "aws", 1) {
			t.Errorf("%q became %+v", arn, key)
		}
	})
}

func BenchmarkAgentRequest(b *testing.B) {
	s := func(v string) *string { return &v }
	call := &pipeline.Call{RequestID: "r", ContentLength: 2, Header: http.Header{
		"Authorization": {"AWS4-HMAC-SHA256 ..."}, "X-Tenant": {"acme"}, "User-Agent": {"Boto3"}, "X-Amz-Date": {"20260101T000000Z"}}}
	in := &agentcore.InvokeAgentRuntimeRequest{ContentType: s("application/json"), Accept: s("text/event-stream"), Payload: io.NopCloser(strings.NewReader("hi"))}
	detail := runtime.Detail{Headers: map[string]bool{"x-tenant": true}}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := agentRequest(context.Background(), call, in, "s", detail); err != nil {
			b.Fatal(err)
		}
	}
}
