package distribution

import (
	"context"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/outcrop/outcrop/internal/image/registry"
	"github.com/outcrop/outcrop/internal/store"
)

const (
	digestHeader = "Docker-Content-Digest"
	uploadHeader = "Docker-Upload-Uuid"
	binary       = "application/octet-stream"
)

// freeing marks what makes room on a full disk.
func (e *exchange) freeing() { e.r = e.r.WithContext(store.Freeing(e.r.Context())) }

func (e *exchange) getBlob() error {
	d, err := registry.ParseDigest(e.route.reference)
	if err != nil {
		return err
	}
	b, err := e.cfg.Images.Open(e.r.Context(), e.name, d)
	if err != nil {
		return err
	}
	defer b.Close()
	h := e.w.Header()
	h.Set(digestHeader, string(d))
	h.Set("Content-Type", binary)
	h.Set("Etag", `"`+string(d)+`"`)
	http.ServeContent(e.w, e.r, "", time.Time{}, b.SectionReader)
	return nil
}

func (e *exchange) headBlob() error {
	d, err := registry.ParseDigest(e.route.reference)
	if err != nil {
		return err
	}
	b, err := e.cfg.Images.Stat(e.r.Context(), e.name, d)
	if err != nil {
		return err
	}
	h := e.w.Header()
	h.Set(digestHeader, string(d))
	h.Set("Content-Type", binary)
	h.Set("Accept-Ranges", "bytes")
	h.Set("Content-Length", strconv.FormatInt(b.Size, 10))
	e.w.WriteHeader(http.StatusOK)
	return nil
}

func (e *exchange) deleteBlob() error {
	d, err := registry.ParseDigest(e.route.reference)
	if err != nil {
		return err
	}
	e.freeing()
	if err := e.cfg.Images.DeleteBlob(e.r.Context(), e.name, d); err != nil {
		return err
	}
	e.w.WriteHeader(http.StatusAccepted)
	return nil
}

// startUpload begins an upload, takes a blob that comes whole, or shows one of
// another repository here.
func (e *exchange) startUpload() error {
	q := e.r.URL.Query()
	if text := q.Get("mount"); text != "" {
		done, err := e.mount(text, q.Get("from"))
		if done || err != nil {
			return err
		}
	}
	u, err := e.cfg.Images.StartUpload(e.r.Context(), e.name)
	if err != nil {
		return err
	}
	if text := q.Get("digest"); text != "" {
		err := e.finish(u.ID, text, 0)
		if err != nil { // nobody knows its id
			_ = e.cfg.Images.Cancel(context.WithoutCancel(e.r.Context()), e.name, u.ID) // or it goes when it has been idle
		}
		return err
	}
	e.uploadAt(http.StatusAccepted, u)
	return nil
}

// mount tries to spare an upload. Whoever may not read the source, or names none,
// uploads.
func (e *exchange) mount(digest, from string) (done bool, err error) {
	d, err := registry.ParseDigest(digest)
	if err != nil {
		return false, err
	}
	source := e.name
	if source.Repository = trimHost(from); !registry.ValidRepository(source.Repository) {
		return false, nil
	}
	if err := e.authorize("ecr:GetDownloadUrlForLayer", source.ARN()); err != nil {
		return false, nil // it is no refusal of the upload
	}
	if _, done, err = e.cfg.Images.Mount(e.r.Context(), e.name, source.Repository, d); done && err == nil {
		e.created(d)
	}
	return done, err
}

func (e *exchange) created(d registry.Digest) {
	h := e.w.Header()
	h.Set("Location", e.base+"/blobs/"+string(d))
	h.Set(digestHeader, string(d))
	e.w.WriteHeader(http.StatusCreated)
}

// uploadAt tells where an upload goes on.
func (e *exchange) uploadAt(status int, u registry.Upload) {
	h := e.w.Header()
	h.Set("Location", e.base+"/blobs/uploads/"+u.ID)
	h.Set("Range", "0-"+strconv.FormatInt(max(u.Offset-1, 0), 10))
	h.Set(uploadHeader, u.ID)
	e.w.WriteHeader(status)
}

func (e *exchange) getUpload() error {
	u, err := e.cfg.Images.Upload(e.r.Context(), e.name, e.route.reference)
	if err != nil {
		return err
	}
	e.uploadAt(http.StatusNoContent, u)
	return nil
}

func (e *exchange) patchUpload() error {
	p, err := e.part()
	if err != nil {
		return err
	}
	u, err := e.cfg.Images.Append(e.r.Context(), e.name, e.route.reference, p)
	if err != nil {
		return err
	}
	e.uploadAt(http.StatusAccepted, u)
	return nil
}

func (e *exchange) putUpload() error {
	return e.finish(e.route.reference, e.r.URL.Query().Get("digest"), -1)
}

// finish ends an upload with the body.
func (e *exchange) finish(id, digest string, at int64) error {
	d, err := registry.ParseDigest(digest)
	if err != nil {
		return err
	}
	p, err := e.part()
	if err != nil {
		return err
	}
	if p.At < 0 {
		p.At = at
	}
	if _, err := e.cfg.Images.Finish(e.r.Context(), e.name, id, d, p); err != nil {
		return err
	}
	e.created(d)
	return nil
}

func (e *exchange) deleteUpload() error {
	e.freeing()
	if err := e.cfg.Images.Cancel(e.r.Context(), e.name, e.route.reference); err != nil {
		return err
	}
	e.w.WriteHeader(http.StatusNoContent)
	return nil
}

// part is the body, with what is said of its place.
func (e *exchange) part() (registry.Part, error) {
	p := registry.Part{Reader: e.r.Body, At: -1, Size: e.r.ContentLength}
	if p.Reader == nil {
		p.Reader, p.Size = http.NoBody, 0
	}
	text := e.r.Header.Get("Content-Range")
	if text == "" {
		return p, nil
	}
	first, last, ok := parseRange(text)
	if !ok {
		return p, badRange(text)
	}
	size := last - first + 1
	if p.Size >= 0 && p.Size != size {
		return p, badLength(size, p.Size)
	}
	p.At, p.Size = first, size
	return p, nil
}

// contentRange is the specification's form; some clients write that of HTTP.
var contentRange = regexp.MustCompile(`^(?:bytes[ =])?([0-9]{1,18})-([0-9]{1,18})(?:/(?:\*|[0-9]{1,18}))?$`)

// parseRange reads the Content-Range of a chunk: its first byte and its last.
func parseRange(text string) (first, last int64, ok bool) {
	m := contentRange.FindStringSubmatch(text)
	if m == nil {
		return 0, 0, false
	}
	first, _ = strconv.ParseInt(m[1], 10, 64) // digits that fit
	last, _ = strconv.ParseInt(m[2], 10, 64)
	return first, last, first <= last
}
