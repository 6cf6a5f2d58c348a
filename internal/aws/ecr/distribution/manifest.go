package distribution

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/image/registry"
)

// existing reads the reference of an image that should be there. There is none of
// a name that no tag can have.
func (e *exchange) existing() (registry.ImageID, error) {
	id, err := registry.ParseReference(e.route.reference)
	if fault.Is(err, registry.CodeInvalidTag) {
		err = fault.New(codeManifestUnknown, http.StatusNotFound, "There is no image '%s' in the repository with name '%s'", clip(e.route.reference), e.name.Repository)
	}
	return id, err
}

func (e *exchange) getManifest() error {
	id, err := e.existing()
	if err != nil {
		return err
	}
	i, raw, err := e.cfg.Images.Manifest(e.r.Context(), e.name, id)
	if err != nil {
		return err
	}
	h := e.w.Header()
	h.Set("Content-Type", i.MediaType)
	h.Set("Content-Length", strconv.Itoa(len(raw)))
	h.Set(digestHeader, string(i.Digest))
	h.Set("Etag", `"`+string(i.Digest)+`"`)
	e.w.WriteHeader(http.StatusOK)
	if e.r.Method == http.MethodGet {
		_, _ = e.w.Write(raw) // a client that has left
	}
	return nil
}

func (e *exchange) putManifest() error {
	id, err := registry.ParseReference(e.route.reference)
	if err != nil {
		return err
	}
	raw, err := io.ReadAll(http.MaxBytesReader(e.w, e.r.Body, registry.MaxManifest))
	if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
		return fault.New(codeSizeInvalid, http.StatusRequestEntityTooLarge, "An image manifest has at most %d bytes", registry.MaxManifest)
	}
	if err != nil {
		return err
	}
	i, _, err := e.cfg.Images.Put(e.r.Context(), e.name, id, e.r.Header.Get("Content-Type"), raw)
	if err != nil {
		return err
	}
	h := e.w.Header()
	h.Set("Location", e.base+"/manifests/"+string(i.Digest))
	h.Set(digestHeader, string(i.Digest))
	if i.Subject != "" {
		h.Set("Oci-Subject", string(i.Subject))
	}
	e.w.WriteHeader(http.StatusCreated)
	return nil
}

// deleteManifest deletes an image by its digest, with its tags, or takes a tag
// away, which leaves the image.
func (e *exchange) deleteManifest() error {
	id, err := e.existing()
	if err != nil {
		return err
	}
	e.freeing()
	if id.Tag != "" {
		err = e.cfg.Images.Untag(e.r.Context(), e.name, id.Tag)
	} else {
		var failures []registry.Failure
		if _, failures, err = e.cfg.Images.Delete(e.r.Context(), e.name, []registry.ImageID{id}); err == nil && len(failures) > 0 {
			err = failures[0].Err
		}
	}
	if err != nil {
		return err
	}
	e.w.WriteHeader(http.StatusAccepted)
	return nil
}

// maxPage is the largest page, and the one of a client that asks for none.
const maxPage = 1000

// page reads n and last.
func (e *exchange) page() (n int, last string, err error) {
	q := e.r.URL.Query()
	if !q.Has("n") {
		return maxPage, q.Get("last"), nil
	}
	n, err = strconv.Atoi(q.Get("n"))
	if err != nil || n < 0 {
		return 0, "", fault.BadRequest(codePagination, "n is '%s' and must be a number from 0", clip(q.Get("n")))
	}
	return min(n, maxPage), q.Get("last"), nil
}

// next links the next page.
func (e *exchange) next(path string, n int, last string, more url.Values) {
	if more == nil {
		more = url.Values{}
	}
	more.Set("n", strconv.Itoa(n))
	more.Set("last", last)
	e.w.Header().Set("Link", "<"+path+"?"+more.Encode()+`>; rel="next"`)
}

func (e *exchange) tags() error {
	n, last, err := e.page()
	if err != nil {
		return err
	}
	tags, more, err := e.cfg.Images.Tags(e.r.Context(), e.name, last, n)
	if err != nil {
		return err
	}
	if more && n > 0 {
		e.next(e.base+"/tags/list", n, tags[len(tags)-1], nil)
	}
	if tags == nil {
		tags = []string{}
	}
	e.writeJSON(http.StatusOK, "application/json", struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}{e.route.name, tags})
	return nil
}

func (e *exchange) catalog() error {
	n, last, err := e.page()
	if err != nil {
		return err
	}
	names, more, err := e.cfg.Images.RepositoryNames(e.r.Context(), e.name.Scope, last, n)
	if err != nil {
		return err
	}
	if more && n > 0 {
		e.next(Prefix+"_catalog", n, names[len(names)-1], nil)
	}
	if names == nil {
		names = []string{}
	}
	e.writeJSON(http.StatusOK, "application/json", map[string][]string{"repositories": names})
	return nil
}

// referrer is a descriptor of the answer.
type referrer struct {
	MediaType    string            `json:"mediaType"`
	Digest       registry.Digest   `json:"digest"`
	Size         int64             `json:"size"`
	ArtifactType string            `json:"artifactType,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
}

// maxReferrers is the largest page: each has its annotations.
const maxReferrers = 100

func (e *exchange) referrers() error {
	subject, err := registry.ParseDigest(e.route.reference)
	if err != nil {
		return err
	}
	q := e.r.URL.Query()
	kind := q.Get("artifactType")
	var after registry.Digest
	if text := q.Get("last"); text != "" {
		if after, err = registry.ParseDigest(text); err != nil {
			return err
		}
	}
	found, more, err := e.cfg.Images.Referrers(e.r.Context(), e.name, subject, kind, after, maxReferrers)
	if err != nil {
		return err
	}
	list := make([]referrer, len(found))
	for i, f := range found {
		list[i] = referrer{f.MediaType, f.Digest, f.ManifestSize, f.ArtifactType, f.Annotations}
	}
	filter := url.Values{}
	if kind != "" {
		filter.Set("artifactType", kind)
		e.w.Header().Set("Oci-Filters-Applied", "artifactType")
	}
	if more && len(list) > 0 {
		e.next(e.base+"/referrers/"+string(subject), maxReferrers, string(list[len(list)-1].Digest), filter)
	}
	e.writeJSON(http.StatusOK, registry.TypeOCIIndex, map[string]any{
		"schemaVersion": 2, "mediaType": registry.TypeOCIIndex, "manifests": list,
	})
	return nil
}

// trimHost takes the name of a registry of ECR off a repository's.
func trimHost(name string) string {
	if first, rest, ok := strings.Cut(name, "/"); ok {
		if _, named := registry.ParseHost(first); named {
			return rest
		}
	}
	return name
}
