package pipeline

import (
	"context"
	"net/http/httptest"
	"testing"

	"github.com/outcrop/outcrop/internal/api/model/ecr"
	"github.com/outcrop/outcrop/internal/fault"
)

// TestTarget: JSON 1.1 names its operation in a header, which must be signed.
func TestTarget(t *testing.T) {
	const prefix = "AmazonEC2ContainerRegistry_V20150921."
	k := newKit(t)
	k.serve["DeleteRepository"] = func(_ context.Context, in any) (any, error) {
		name := *in.(*ecr.DeleteRepositoryRequest).RepositoryName
		if name == "none" {
			return nil, fault.New("RepositoryNotFoundException", 400, "There is none")
		}
		return &ecr.DeleteRepositoryResponse{Repository: &ecr.Repository{RepositoryName: &name}}, nil
	}
	for name, test := range map[string]struct {
		method, target, body string
		unsigned             bool
		status               int
		want                 string
	}{
		"works":            {body: `{"repositoryName":"a/b"}`, target: prefix + "DeleteRepository", status: 200, want: `{"repository":{"repositoryName":"a/b"}}`},
		"nothing to say":   {body: `{"resourceArn":"arn:aws:ecr:us-west-2:111122223333:repository/a","tagKeys":[]}`, target: prefix + "UntagResource", status: 200, want: `{}`},
		"a modelled error": {body: `{"repositoryName":"none"}`, target: prefix + "DeleteRepository", status: 400, want: `{"__type":"RepositoryNotFoundException","message":"There is none"}`},
		"not valid": {body: `{"repositoryName":"A"}`, target: prefix + "ListImages", status: 400,
			want: `{"__type":"InvalidParameterException","message":"2 validation errors detected: Value 'A' at 'repositoryName' failed to satisfy constraint: Member must have length greater than or equal to 2; Value 'A'`},
		"not JSON":          {body: `{`, target: prefix + "ListImages", status: 400, want: `{"__type":"ValidationException","message":"The request body is not valid JSON at byte 1"`},
		"not built":         {body: `{}`, target: prefix + "StartImageScan", status: 400, want: `{"__type":"ValidationException","message":"StartImageScan is not available`},
		"unknown operation": {body: `{}`, target: prefix + "Fly", status: 400, want: `{"__type":"UnknownOperationException","message":"There is no operation '` + prefix + `Fly'; POST with`},
		"of another prefix": {body: `{}`, target: "Logs.ListImages", status: 400, want: `{"__type":"UnknownOperationException"`},
		"none named":        {body: `{}`, status: 400, want: `{"__type":"UnknownOperationException"`},
		"read":              {method: "GET", target: prefix + "ListImages", status: 400, want: `{"__type":"UnknownOperationException"`},
		"not signed":        {body: `{"repositoryName":"a/b"}`, target: prefix + "DeleteRepository", unsigned: true, status: 400, want: `{"__type":"InvalidSignatureException"`},
	} {
		t.Run(name, func(t *testing.T) {
			if test.method == "" {
				test.method = "POST"
			}
			r := newRequest(test.method, "/", test.body)
			if !test.unsigned {
				r.Header.Set("X-Amz-Target", test.target)
			}
			r.Header.Set("Content-Type", "application/x-amz-json-1.1")
			r = sign(t, r, "ecr", test.body)
			r.Header.Set("X-Amz-Target", test.target)
			w := httptest.NewRecorder()
			k.ServeHTTP(w, r)
			body := w.Body.String()
			if w.Code != test.status || len(body) < len(test.want) || body[:len(test.want)] != test.want {
				t.Errorf("%d %s, want %d %s", w.Code, body, test.status, test.want)
			}
			if got := w.Header().Get("Content-Type"); got != "application/x-amz-json-1.1" {
				t.Errorf("Content-Type %q", got)
			}
		})
	}
}

// TestTargetNames: some SDKs write all of the service's name in its model before the
// operation (boto3), others what follows its last dot (those of Smithy).
func TestTargetNames(t *testing.T) {
	k := newKit(t)
	for target, want := range map[string]int{
		"com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents": 200, "CloudTrail_20131101.LookupEvents": 200, "LookupEvents": 400, "v20131101.CloudTrail_20131101.LookupEvents": 400,
	} {
		r := newRequest("POST", "/", "{}")
		r.Header.Set("X-Amz-Target", target)
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
		w := httptest.NewRecorder()
		k.ServeHTTP(w, sign(t, r, "cloudtrail", "{}"))
		if w.Code != want {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
}
