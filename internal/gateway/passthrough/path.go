package passthrough

import (
	"net/url"
	"strings"

	"github.com/outcrop/outcrop/internal/gateway/target"
)

// CheckPath refuses paths that servers read in different ways: with dot segments in any
// writing, empty segments, backslashes and control characters. path is escaped; it is empty,
// or begins with a slash. The error is a *target.Failure.
func CheckPath(path string) error {
	bad := func(why string) error {
		f := target.Fail(target.BadRequest, nil, "The path %s", why)
		f.Shown = true
		return f
	}
	if path == "" {
		return nil
	}
	if path[0] != '/' {
		return bad("does not begin with a slash")
	}
	segments := strings.Split(path[1:], "/")
	for i, segment := range segments {
		if segment == "" && i < len(segments)-1 {
			return bad("has two slashes one after another. Write one")
		}
		plain, err := url.PathUnescape(segment)
		if err != nil {
			return bad("has a % that begins no escape. Write it as %25")
		}
		for _, part := range strings.FieldsFunc(plain, func(r rune) bool { return r == '/' }) {
			// Some servers drop what follows a semicolon before they look.
			name, _, _ := strings.Cut(part, ";")
			if name == "." || name == ".." {
				return bad("has a segment . or .. in it. Ask for the path that is meant")
			}
		}
		if strings.ContainsFunc(plain, func(r rune) bool { return r < 0x20 || r == 0x7f || r == '\\' }) {
			return bad("has a backslash or control character in it")
		}
	}
	return nil
}

// Join is an endpoint's URL with a path after its own, escaped as it came: many servers know
// a path with a slash at its end, or without one, and no other. Without a path it is the
// endpoint as its owner wrote it. The error is a *target.Failure.
func Join(endpoint *url.URL, path string) (*url.URL, error) {
	if err := CheckPath(path); err != nil {
		return nil, err
	}
	u := *endpoint
	u.RawPath = u.EscapedPath()
	if path != "" {
		u.RawPath = strings.TrimSuffix(u.RawPath, "/") + path
	}
	var err error
	if u.Path, err = url.PathUnescape(u.RawPath); err == nil && u.EscapedPath() == u.RawPath {
		return &u, nil
	}
	f := target.Fail(target.BadRequest, err, "The path has characters that must be escaped")
	f.Shown = true
	return nil, f
}
