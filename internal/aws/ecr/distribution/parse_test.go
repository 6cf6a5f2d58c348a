package distribution

import (
	"strings"
	"testing"
)

func TestRoutes(t *testing.T) {
	for path, want := range map[string]struct{ name, reference, action string }{
		"GET /v2/":                              {},
		"GET /v2/a/manifests/v1":                {"a", "v1", "ecr:BatchGetImage"},
		"PUT /v2/a/b/c/manifests/v1":            {"a/b/c", "v1", "ecr:PutImage"},
		"GET /v2/blobs/blobs/x":                 {"blobs", "x", "ecr:GetDownloadUrlForLayer"},
		"POST /v2/blobs/uploads/blobs/uploads/": {"blobs/uploads", "", "ecr:InitiateLayerUpload"},
		"POST /v2/a/blobs/uploads":              {"a", "", "ecr:InitiateLayerUpload"},
		"PATCH /v2/a/blobs/uploads/id":          {"a", "id", "ecr:UploadLayerPart"},
		"GET /v2/tags/list/tags/list":           {"tags/list", "list", "ecr:ListImages"},
		"GET /v2/_catalog":                      {action: "ecr:DescribeRepositories"},
	} {
		method, p, _ := strings.Cut(path, " ")
		r, ok := parseRoute(method, p)
		if !ok || r.name != want.name || r.reference != want.reference || r.action != want.action {
			t.Errorf("%s: %t %+v", path, ok, r)
		}
	}
	for _, path := range []string{"GET /v2", "GET /v1/", "GET /v2/a", "GET /v2/manifests/v1", "GET /v2//manifests/v1", "PATCH /v2/a/manifests/v1", "POST /v2/a/blobs/x", "DELETE /v2/", "PUT /v2/a/tags/list"} {
		method, p, _ := strings.Cut(path, " ")
		if r, ok := parseRoute(method, p); ok {
			t.Errorf("%s: %+v", path, r)
		}
	}
}

func FuzzRange(f *testing.F) {
	for _, s := range []string{"0-3", "bytes 4-7/10", "bytes=0-0", "5-4", "-", "99999999999999999999-1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		first, last, ok := parseRange(text)
		if ok && (first < 0 || last < first || last-first+1 <= 0) {
			t.Errorf("%q: %d-%d", text, first, last)
		}
	})
}

func FuzzRoute(f *testing.F) {
	f.Add("GET", "/v2/a/manifests/v1")
	f.Add("POST", "/v2/a/blobs/uploads/")
	f.Fuzz(func(t *testing.T, method, path string) {
		r, ok := parseRoute(method, path)
		if ok && (r.serve == nil || r.action == "" && path != Prefix) {
			t.Errorf("%s %s: %+v", method, path, r)
		}
		if ok && r.name != "" && !strings.HasPrefix(path, Prefix+r.name+"/") {
			t.Errorf("%s has the name %q", path, r.name)
		}
	})
}
