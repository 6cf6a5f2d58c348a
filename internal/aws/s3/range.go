package s3

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/object"
)

// span is the bytes of an object that an answer has.
type span struct {
	offset, length int64
	// partial is answered with 206.
	partial bool
}

// contentRange is the header of a partial answer.
func (s span) contentRange(size int64) string {
	return fmt.Sprintf("bytes %d-%d/%d", s.offset, s.offset+s.length-1, size)
}

// parseRange reads a Range header for an object of that size. What is no range
// of bytes, and several ranges at once, are answered with the whole object, as
// S3 does and RFC 9110 (14.2) allows; the error is InvalidRange.
func parseRange(header string, size int64) (span, error) {
	whole := span{length: size}
	set, ok := strings.CutPrefix(header, "bytes=")
	first, last, hyphen := strings.Cut(strings.TrimSpace(set), "-")
	if !ok || !hyphen || strings.Contains(set, ",") {
		return whole, nil
	}
	from, okFrom := digits(first)
	to, okTo := digits(last)
	switch {
	case first == "" && okTo: // the last bytes
		if to == 0 || size == 0 {
			return span{}, invalidRange(header, size)
		}
		n := min(to, size)
		return span{offset: size - n, length: n, partial: true}, nil
	case !okFrom || last != "" && !okTo || okTo && from > to:
		return whole, nil
	case from >= size:
		return span{}, invalidRange(header, size)
	case !okTo || to >= size:
		to = size - 1
	}
	return span{offset: from, length: to - from + 1, partial: true}, nil
}

// digits reads a number without sign. One that does not fit is larger than any
// object.
func digits(text string) (int64, bool) {
	if text == "" || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 1<<63 - 1, true
	}
	return n, true
}

// invalidRange tells the size as HTTP does (RFC 9110, 15.5.17).
func invalidRange(header string, size int64) *fault.Error {
	e := object.InvalidRange(header, size)
	e.Header = http.Header{"Content-Range": {"bytes */" + strconv.FormatInt(size, 10)}}
	return e
}

// rangeApplies weighs If-Range: a range counts for the very version that the
// client has the beginning of (RFC 9110, 13.1.5), and else the whole is sent.
func rangeApplies(ifRange, etag string, modified time.Time) bool {
	if ifRange == "" || ifRange == `"`+etag+`"` {
		return true
	}
	t, err := http.ParseTime(ifRange)
	return err == nil && t.Equal(modified.Truncate(time.Second))
}

// parseCopyRange reads x-amz-copy-source-range, which has both ends.
func parseCopyRange(header string) (offset, length int64, err error) {
	set, ok := strings.CutPrefix(header, "bytes=")
	first, last, _ := strings.Cut(set, "-")
	from, okFrom := digits(first)
	to, okTo := digits(last)
	if !ok || !okFrom || !okTo || from > to || to == 1<<63-1 {
		return 0, 0, invalidArgument("x-amz-copy-source-range", header, "The x-amz-copy-source-range value must be of the form "+
			"bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy")
	}
	return from, to - from + 1, nil
}
