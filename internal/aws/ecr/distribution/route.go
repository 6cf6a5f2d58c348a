package distribution

import (
	"errors"
	"io"
	"net/http"
	"strings"
)

// route is a kind of request. A path names the repository, of any number of
// segments, before what is asked for, so it is read from its end.
type route struct {
	// name is the repository's as the path has it, reference a tag, a digest or
	// an upload's id.
	name, reference string
	// action is the permission that ECR asks for, empty where there is none.
	action string
	serve  func(*exchange) error
}

// parseRoute reads method and path. The endpoints are those of the specification,
// and docker's catalogue.
func parseRoute(method, path string) (route, bool) {
	rest, ok := strings.CutPrefix(path, Prefix)
	if !ok {
		return route{}, false
	}
	read := method == http.MethodGet || method == http.MethodHead
	switch {
	case rest == "" && read:
		return route{serve: (*exchange).base200}, true
	case rest == "_catalog" && read:
		return route{action: "ecr:DescribeRepositories", serve: (*exchange).catalog}, true
	}
	seg := strings.Split(rest, "/")
	kind, tail := "", 0
	switch n := len(seg); {
	case n >= 4 && seg[n-3] == "blobs" && seg[n-2] == "uploads":
		kind, tail = "upload", 3
	case n >= 3 && seg[n-2] == "blobs" && seg[n-1] == "uploads":
		seg = append(seg, "")
		kind, tail = "upload", 3
	case n >= 3 && seg[n-2] == "tags" && seg[n-1] == "list":
		kind, tail = "tags", 2
	case n >= 3 && (seg[n-2] == "blobs" || seg[n-2] == "manifests" || seg[n-2] == "referrers"):
		kind, tail = seg[n-2], 2
	default:
		return route{}, false
	}
	r := route{name: strings.Join(seg[:len(seg)-tail], "/"), reference: seg[len(seg)-1]}
	if kind == "upload" && r.reference == "" {
		kind = "uploads"
	}
	r.action, r.serve = endpoint(kind, method)
	return r, r.serve != nil && r.name != ""
}

// endpoint is what a method does at a kind of path, and the permission it needs.
func endpoint(kind, method string) (action string, serve func(*exchange) error) {
	switch method + " " + kind {
	case "GET blobs":
		return "ecr:GetDownloadUrlForLayer", (*exchange).getBlob
	case "HEAD blobs":
		return "ecr:BatchCheckLayerAvailability", (*exchange).headBlob
	case "DELETE blobs":
		return "ecr:BatchDeleteImage", (*exchange).deleteBlob
	case "POST uploads":
		return "ecr:InitiateLayerUpload", (*exchange).startUpload
	case "GET upload":
		return "ecr:InitiateLayerUpload", (*exchange).getUpload
	case "PATCH upload":
		return "ecr:UploadLayerPart", (*exchange).patchUpload
	case "PUT upload":
		return "ecr:CompleteLayerUpload", (*exchange).putUpload
	case "DELETE upload":
		return "ecr:InitiateLayerUpload", (*exchange).deleteUpload
	case "GET manifests", "HEAD manifests":
		return "ecr:BatchGetImage", (*exchange).getManifest
	case "PUT manifests":
		return "ecr:PutImage", (*exchange).putManifest
	case "DELETE manifests":
		return "ecr:BatchDeleteImage", (*exchange).deleteManifest
	case "GET tags":
		return "ecr:ListImages", (*exchange).tags
	case "GET referrers":
		return "ecr:ListImageReferrers", (*exchange).referrers
	}
	return "", nil
}

// base200 says that the caller is logged in, and that this is a registry.
func (e *exchange) base200() error {
	e.writeJSON(http.StatusOK, "application/json", struct{}{})
	return nil
}

// clientLeft reports whether an error is that of a body that broke off.
func clientLeft(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, http.ErrBodyReadAfterClose)
}
