package sigv4_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/auth/sigv4"
)

func benchmarkVerify(b *testing.B, c call, rearm func(*http.Request)) {
	v := verifier(b, signTime())
	r := signed(b, c)
	b.ReportAllocs()
	for b.Loop() {
		rearm(r)
		claim, err := sigv4.Parse(r)
		if err != nil {
			b.Fatal(err)
		}
		id, err := v.Verify(b.Context(), r, claim, sigv4.Expect{})
		if err != nil {
			b.Fatal(err)
		}
		body, err := id.Body()
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, body); err != nil {
			b.Fatal(err)
		}
		id.Close()
	}
}

// BenchmarkVerify measures the three steps on an invocation's request. 1KiB
// hashes the body; unsigned does everything else.
func BenchmarkVerify(b *testing.B) {
	body := strings.Repeat("x", 1<<10)
	base := post()
	base.body = body
	rearm := func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), 1<<10 }
	b.Run("1KiB", func(b *testing.B) { benchmarkVerify(b, base, rearm) })
	unsigned := base
	unsigned.hash = "UNSIGNED-PAYLOAD"
	b.Run("unsigned", func(b *testing.B) { benchmarkVerify(b, unsigned, rearm) })
	b.Run("presigned", func(b *testing.B) {
		benchmarkVerify(b, presigned(), func(r *http.Request) { r.Body, r.ContentLength = http.NoBody, 0 })
	})
	const large = 16 << 20
	long := strings.Repeat("x", large)
	base.body = long
	b.Run("16MiB", func(b *testing.B) {
		b.SetBytes(large)
		benchmarkVerify(b, base, func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader(long)), large })
	})
}

func BenchmarkChunked(b *testing.B) {
	const size = 64 << 10
	data := strings.Repeat("x", size)
	for _, form := range []string{formSigned, formUnsigned} {
		b.Run(form, func(b *testing.B) {
			r, c := streaming(b, form, 64*size, "")
			for range 64 {
				if form == formSigned {
					c.chunk(data)
				} else {
					c.out.WriteString("10000\r\n" + data + "\r\n")
				}
			}
			if form == formSigned {
				c.chunk("")
			} else {
				c.out.WriteString("0\r\n")
			}
			raw, v := c.end(), verifier(b, signTime())
			b.SetBytes(64 * size)
			b.ReportAllocs()
			for b.Loop() {
				r.Body = io.NopCloser(strings.NewReader(raw))
				claim, err := sigv4.Parse(r)
				if err != nil {
					b.Fatal(err)
				}
				id, err := v.Verify(b.Context(), r, claim, sigv4.Expect{})
				if err != nil {
					b.Fatal(err)
				}
				body, err := id.Body()
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, body); n != 64*size || err != nil {
					b.Fatal(n, err)
				}
				id.Close()
			}
		})
	}
}
