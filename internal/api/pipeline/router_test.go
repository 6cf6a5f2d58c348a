package pipeline

import (
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/api/model/s3"
	"github.com/outcrop/outcrop/internal/api/protocol"
	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/fault"
)

// testRouters are the routers of a pipeline over all services.
func testRouters() map[string]*router {
	out := map[string]*router{}
	for _, svc := range allServices() {
		if svc.Protocol == schema.Query {
			continue
		}
		if out[svc.SigningName] == nil {
			out[svc.SigningName] = &router{}
		}
		out[svc.SigningName].add(svc)
	}
	return out
}

const testARN = "arn:aws:bedrock-agentcore:us-west-2:111122223333:runtime/hello-AbCdEfGh12"

// TestEveryRoute reaches every operation by its own path, its labels holding
// percent-encoded ARNs, with and without a slash at the end.
func TestEveryRoute(t *testing.T) {
	routers := testRouters()
	routes := 0
	for _, svc := range allServices() {
		if svc.Protocol != schema.RestJSON {
			continue
		}
		for i := range svc.Operations {
			op := &svc.Operations[i]
			path := strings.TrimSuffix(op.Path, "/")
			var want []protocol.Label
			for _, seg := range segments(path) {
				if strings.HasPrefix(seg, "{") {
					want = append(want, protocol.Label{Name: strings.TrimSuffix(seg[1:len(seg)-1], "+"), Value: testARN})
					path = strings.Replace(path, seg, escapeLabel(testARN), 1)
				}
			}
			for _, p := range []string{path, path + "/"} {
				routes++
				if op.Query != "" {
					p += "?" + op.Query
				}
				m, err := routers[svc.SigningName].find(httptest.NewRequest(op.Method, p, nil))
				if err != nil {
					t.Errorf("%s %s: %v", op.Method, p, err)
					continue
				}
				if strings.HasSuffix(op.Path, "+}") && strings.HasSuffix(p, "/") {
					m.labels[len(m.labels)-1].Value = strings.TrimSuffix(m.labels[len(m.labels)-1].Value, "/") // which it takes
				}
				if m.op != op || len(m.labels) != len(want) || len(want) > 0 && !reflect.DeepEqual(m.labels, want) {
					t.Errorf("%s %s is %s with %v, want %s with %v", op.Method, p, m.op.Name, m.labels, op.Name, want)
				}
			}
		}
	}
	t.Logf("%d routes", routes)
}

// TestRoutes is what is found, and what is not, at paths of AgentCore.
func TestRoutes(t *testing.T) {
	arn := escapeLabel(testARN)
	cases := []struct {
		method, target string
		want           string // the operation, or the error's code
		allow          string
	}{
		{"POST", "/runtimes/" + arn + "/invocations?qualifier=DEFAULT", "InvokeAgentRuntime", ""},
		{"POST", "/runtimes/" + strings.ToLower(arn) + "/invocations", "InvokeAgentRuntime", ""},
		{"POST", "http://outcrop.test/runtimes/" + arn + "/invocations", "InvokeAgentRuntime", ""}, // through a proxy
		{"POST", "/runtimes/arn:aws:bedrock-agentcore:us-west-2:1:runtime%2Fx/invocations", "InvokeAgentRuntime", ""},
		{"POST", "/runtimes/" + testARN + "/invocations", "UnknownOperationException", ""}, // a raw slash in the ARN
		{"GET", "/tags/" + testARN, "UnknownOperationException", ""},
		{"GET", "/runtimes/" + arn + "/invocations", "InvokeAgentRuntimeMcpStream", ""},
		{"DELETE", "/runtimes/" + arn + "/invocations", "EndAgentRuntimeMcpSession", ""},
		{"PUT", "/runtimes/" + arn + "/invocations", "MethodNotAllowedException", "DELETE, GET, POST"},
		{"PATCH", "/runtimes/hello-AbCdEfGh12", "MethodNotAllowedException", "DELETE, GET, PUT"},
		{"OPTIONS", "/runtimes", "MethodNotAllowedException", "POST, PUT"},
		{"GET", "/", "UnknownOperationException", ""},
		{"GET", "//", "UnknownOperationException", ""},
		{"PUT", "//runtimes", "UnknownOperationException", ""},
		{"PUT", "/runtimes//", "UnknownOperationException", ""},
		{"GET", "/runtimes/../runtimes/x", "UnknownOperationException", ""},
		{"DELETE", "/runtimes/x/runtime-endpoints/../", "UnknownOperationException", ""}, // signed as /runtimes/x/
		{"DELETE", "/runtimes/x/runtime-endpoints/.", "UnknownOperationException", ""},
		{"DELETE", "/runtimes/x/runtime-endpoints/...", "DeleteAgentRuntimeEndpoint", ""},
		{"DELETE", "/runtimes/x/runtime-endpoints/%2E%2E", "DeleteAgentRuntimeEndpoint", ""}, // signed as it is
		{"GET", "/no/such/path", "UnknownOperationException", ""},
		{"GET", "/Runtimes/x", "UnknownOperationException", ""},
		{"POST", "/gw/g-0123456789/mcp", "InvokeGateway", ""},
		{"GET", "/gw/g-0123456789/.well-known/oauth-protected-resource", "GetGatewayProtectedResourceMetadata", ""},
		{"GET", "/.well-known/oauth-protected-resource/gw/g-0123456789/mcp", "GetGatewayProtectedResourceMetadata", ""},
		{"POST", "http://g-0123456789.gateway.test/mcp", "InvokeGateway", ""},
		{"GET", "http://g-0123456789.gateway.test/.well-known/oauth-protected-resource", "GetGatewayProtectedResourceMetadata", ""},
		{"PUT", "http://g-0123456789.gateway.test/runtimes/", "InvokeGateway", ""}, // the gateway's own
		{"POST", "http://tools.example.com/mcp", "InvokeGateway", ""},
		{"PUT", "http://tools.example.com/runtimes/", "CreateAgentRuntime", ""}, // nobody takes the API's calls by a name that he chose
		{"GET", "/datasets", "ListDatasets", ""},
		{"POST", "/datasets/list", "ListDatasets", ""},
	}
	rt := testRouters()["bedrock-agentcore"]
	rt.named = func(host string) string {
		if host == "tools.example.com" {
			return "/gw/t-0123456789"
		}
		return ""
	}
	rt.prefix = func(host string) string {
		if id, ok := strings.CutSuffix(host, ".gateway.test"); ok {
			return "/gw/" + id
		}
		return ""
	}
	for _, c := range cases {
		r := httptest.NewRequest(c.method, c.target, nil)
		m, err := rt.find(r)
		if err != nil {
			f := fault.From(err)
			if f.Code != c.want || f.Header.Get("Allow") != c.allow {
				t.Errorf("%s %s: %v, Allow %q; want %s, Allow %q", c.method, c.target, f, f.Header.Get("Allow"), c.want, c.allow)
			}
			continue
		}
		if m.op.Name != c.want {
			t.Errorf("%s %s is %s, want %s", c.method, c.target, m.op.Name, c.want)
		}
	}
}

// TestHint: what more there is to say of a path is said.
func TestHint(t *testing.T) {
	rt := testRouters()["bedrock-agentcore"]
	rt.hint = func(path string) string {
		if path == "/gw/g-0123456789" {
			return "It is below."
		}
		return ""
	}
	for path, want := range map[string]string{
		"/gw/g-0123456789": "There is no operation at this path. It is below.", "/no/such/path": "There is no operation at this path",
	} {
		if _, err := rt.find(httptest.NewRequest("POST", path, nil)); fault.From(err).Message != want {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestBrokenEscape(t *testing.T) {
	r := httptest.NewRequest("GET", "/runtimes/x", nil)
	r.RequestURI = "/runtimes/a%zz"
	_, err := testRouters()["bedrock-agentcore"].find(r)
	if f := fault.From(err); f.Code != "ValidationException" || f.Reason != fault.ReasonCannotParse {
		t.Errorf("got %v", err)
	}
}

// TestS3Routes chooses among operations that share a path.
func TestS3Routes(t *testing.T) {
	copied := http.Header{"X-Amz-Copy-Source": {"b/k"}}
	cases := []struct {
		method, target string
		header         http.Header
		want           string // the operation, or the error's code
		key            string
	}{
		{"GET", "/", nil, "ListBuckets", ""},
		{"GET", "/?x-id=ListBuckets", nil, "ListBuckets", ""},
		{"PUT", "/b", nil, "CreateBucket", ""},
		{"GET", "/b", nil, "ListObjects", ""},
		{"GET", "/b/", nil, "ListObjects", ""},
		{"GET", "/b?list-type=2&prefix=a", nil, "ListObjectsV2", ""},
		{"GET", "/b?list-type=1", nil, "ListObjects", ""},
		{"GET", "/b/?versions", nil, "ListObjectVersions", ""},
		{"GET", "/b?uploads", nil, "ListMultipartUploads", ""},
		{"GET", "/b?location", nil, "GetBucketLocation", ""},
		{"GET", "/b?versioning", nil, "GetBucketVersioning", ""},
		{"PUT", "/b?versioning", nil, "PutBucketVersioning", ""},
		{"POST", "/b?delete", nil, "DeleteObjects", ""},
		{"GET", "/b?policy", nil, "GetBucketPolicy", ""},
		{"PUT", "/b?acl", nil, "PutBucketAcl", ""},
		{"GET", "/b/k?tagging", nil, "GetObjectTagging", "k"},
		{"PUT", "/b/k", nil, "PutObject", "k"},
		{"PUT", "/b/k?x-id=PutObject", nil, "PutObject", "k"},
		{"PUT", "/b/k", copied, "CopyObject", "k"},
		{"PUT", "/b/k?partNumber=1&uploadId=u", nil, "UploadPart", "k"},
		{"PUT", "/b/k?partNumber=1&uploadId=u", copied, "UploadPartCopy", "k"},
		{"POST", "/b/k?uploads", nil, "CreateMultipartUpload", "k"},
		{"POST", "/b/k?uploadId=u", nil, "CompleteMultipartUpload", "k"},
		{"DELETE", "/b/k?uploadId=u", nil, "AbortMultipartUpload", "k"},
		{"DELETE", "/b/k?versionId=v", nil, "DeleteObject", "k"},
		{"GET", "/b/k?uploadId=u", nil, "ListParts", "k"},
		{"GET", "/b/k?attributes", nil, "GetObjectAttributes", "k"},
		{"HEAD", "/b/k", nil, "HeadObject", "k"},
		{"HEAD", "/b", nil, "HeadBucket", ""},
		{"POST", "/b/k", nil, "MethodNotAllowed", ""},
		{"PATCH", "/b", nil, "MethodNotAllowed", ""},
		// Keys are what stands in the path, whatever it is.
		{"GET", "/b/a/b/c", nil, "GetObject", "a/b/c"},
		{"GET", "/b/folder/", nil, "GetObject", "folder/"},
		{"GET", "/b//", nil, "GetObject", "/"},
		{"GET", "/b//a", nil, "GetObject", "/a"},
		{"GET", "/b/a//b///", nil, "GetObject", "a//b///"},
		{"GET", "/b/a%20b+c%2Bd", nil, "GetObject", "a b+c+d"},
		{"GET", "/b/a%2Fb", nil, "GetObject", "a/b"},
		{"GET", "/b/..%2F..%2Fetc", nil, "GetObject", "../../etc"},
		{"GET", "/b/../x", nil, "GetObject", "../x"},
		{"GET", "/b/%C3%A9%00", nil, "GetObject", "é\x00"},
	}
	rt := testRouters()["s3"]
	for _, c := range cases {
		r := httptest.NewRequest(c.method, c.target, nil)
		if c.header != nil {
			r.Header = c.header
		}
		m, err := rt.find(r)
		if err != nil {
			if f := fault.From(err); f.Code != c.want {
				t.Errorf("%s %s: %v, want %s", c.method, c.target, err, c.want)
			}
			continue
		}
		key := ""
		for _, l := range m.labels {
			if l.Name == "Key" {
				key = l.Value
			}
		}
		if m.op.Name != c.want || key != c.key {
			t.Errorf("%s %s is %s of %q, want %s of %q", c.method, c.target, m.op.Name, key, c.want, c.key)
		}
	}
}

// TestS3Refusals tells by name what is not served.
func TestS3Refusals(t *testing.T) {
	k := newKit(t, &s3.Service)
	for target, op := range map[string]string{"/b?cors": "GetBucketCors", "/b?logging": "GetBucketLogging", "/b/k?acl": "GetObjectAcl"} {
		w := k.do(sign(t, newRequest("GET", target, ""), "s3", ""))
		if !strings.HasPrefix(w.Header().Get("X-Outcrop-Refused"), op) || !strings.Contains(w.Body.String(), "<Error><Code>") {
			t.Errorf("GET %s: %d %s, refused %q", target, w.Code, w.Body, w.Header().Get("X-Outcrop-Refused"))
		}
	}
}

func BenchmarkRouter(b *testing.B) {
	rt := testRouters()["bedrock-agentcore"]
	r := httptest.NewRequest("POST", "/runtimes/"+escapeLabel(testARN)+"/invocations?qualifier=DEFAULT", nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := rt.find(r); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzRouter sends any path to both trees.
func FuzzRouter(f *testing.F) {
	for _, seed := range []string{"/runtimes/x/invocations?qualifier=a", "/b//k?uploads", "//", "/%", "http://h/p", "*", "/tags/" + testARN, "?a=%zz"} {
		f.Add("GET", seed)
	}
	routers := testRouters()
	f.Fuzz(func(t *testing.T, method, target string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.Method, r.RequestURI = method, target
		_, r.URL.RawQuery, _ = strings.Cut(target, "?")
		for _, rt := range routers {
			m, err := rt.find(r)
			if err == nil && (m.op == nil || m.op.Method != method && m.op.Method != schema.AnyMethod && len(m.op.Former) == 0) {
				t.Errorf("%q %q is routed to %v", method, target, m)
			}
			if err != nil && fault.From(err).Status >= 500 {
				t.Errorf("%q %q: %v", method, target, err)
			}
		}
	})
}
