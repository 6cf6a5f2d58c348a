package sigv4

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/fault"
)

func FuzzChunks(f *testing.F) {
	const crc = "x-amz-checksum-crc32c:sOO8/Q==\r\n"
	f.Add([]byte("1\r\na\r\n0\r\n"+crc+"\r\n"), byte(2), 1)
	f.Add([]byte("1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"), byte(2), 3)
	f.Add([]byte("0;chunk-signature="+emptyHash+"\r\n"+crc+trailerSignature+":"+emptyHash+"\r\n\r\n"), byte(1), 0)
	f.Add([]byte("2000;chunk-signature="+emptyHash+"\r\n"+strings.Repeat("a", 8192)+"\r\n"), byte(0), 8192)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, raw []byte, kind byte, length int) {
		length = max(0, min(length, 2<<20))
		p := pending{
			form: formSigned + form(kind%3), family: S3, max: 1 << 20, dir: dir,
			r: &http.Request{Body: io.NopCloser(bytes.NewReader(raw)), Header: http.Header{
				headerDecoded: {strconv.Itoa(length)}, headerTrailer: {"x-amz-checksum-crc32c"},
			}},
		}
		id := Identity{body: p}
		defer id.Close()
		body, err := id.Body()
		var got []byte
		if err == nil {
			got, err = io.ReadAll(body)
		}
		signed := p.form != formUnsignedTrailer
		switch {
		case err == nil && signed:
			t.Fatalf("a body nobody signed was accepted: %q", raw)
		case err == nil && len(got) != length, len(got) > length:
			t.Fatalf("%d bytes of a declared %d", len(got), length)
		case signed && len(got) > 0:
			t.Fatalf("%d bytes nobody signed were released", len(got))
		}
		var fe *fault.Error
		if err != nil && (!errors.As(err, &fe) || fe.Status >= 500) {
			t.Fatalf("refusal %v is not one a caller may read", err)
		}
	})
}
