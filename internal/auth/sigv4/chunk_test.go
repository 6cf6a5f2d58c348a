package sigv4_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/outcrop/outcrop/internal/auth/sigv4"
	"github.com/outcrop/outcrop/internal/fault"
)

const (
	formSigned   = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	formTrailer  = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
	formUnsigned = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
)

// chunker writes aws-chunked bodies, written from AWS's description of the
// format and independent of the code under test.
type chunker struct {
	key      []byte
	previous string
	date     string
	scope    string
	out      bytes.Buffer
}

func hmacSum(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func newChunker(secret, seed, date, region string) *chunker {
	k := hmacSum([]byte("AWS4"+secret), date[:8])
	k = hmacSum(hmacSum(hmacSum(k, region), "s3"), "aws4_request")
	return &chunker{key: k, previous: seed, date: date, scope: date[:8] + "/" + region + "/s3/aws4_request"}
}

func (c *chunker) sign(kind, hashes string) string {
	c.previous = hex.EncodeToString(hmacSum(c.key, kind+"\n"+c.date+"\n"+c.scope+"\n"+c.previous+"\n"+hashes))
	return c.previous
}

func (c *chunker) chunk(data string) *chunker {
	s := c.sign("AWS4-HMAC-SHA256-PAYLOAD", sum("")+"\n"+sum(data))
	fmt.Fprintf(&c.out, "%x;chunk-signature=%s\r\n%s", len(data), s, data)
	if data != "" {
		c.out.WriteString("\r\n")
	}
	return c
}

func (c *chunker) trailer(line string) *chunker {
	s := c.sign("AWS4-HMAC-SHA256-TRAILER", sum(line+"\n"))
	c.out.WriteString(line + "\r\nx-amz-trailer-signature:" + s + "\r\n")
	return c
}

func (c *chunker) end() string { return c.out.String() + "\r\n" }

// streaming returns a signed PUT of the given form and a chunker for its body.
func streaming(t testing.TB, form string, length int, trailer string) (*http.Request, *chunker) {
	t.Helper()
	header := map[string]string{"X-Amz-Decoded-Content-Length": strconv.Itoa(length), "Content-Encoding": "aws-chunked"}
	if trailer != "" {
		header["X-Amz-Trailer"] = trailer
	}
	r := signed(t, call{method: "PUT", url: "https://h.example/b/k", service: "s3", hash: form, header: header})
	a := r.Header.Get("Authorization")
	return r, newChunker(secret, a[strings.Index(a, "Signature=")+10:], "20260301T120000Z", "us-west-2")
}

// stream verifies r with body and returns what was released, and the trailers.
func stream(t testing.TB, r *http.Request, body io.Reader) (string, http.Header, error) {
	t.Helper()
	r.Body, r.ContentLength = io.NopCloser(body), -1
	c, err := sigv4.Parse(r)
	if err != nil {
		t.Fatal(err)
	}
	id, err := verifier(t, signTime()).Verify(t.Context(), r, c, sigv4.Expect{Service: "s3"})
	if err != nil {
		t.Fatal(err)
	}
	defer id.Close()
	b, err := id.Body()
	if err != nil {
		return "", nil, err
	}
	if b.Trailer() != nil {
		t.Error("there are trailers before the end")
	}
	got, err := io.ReadAll(b)
	if err != nil {
		if _, again := b.Read(make([]byte, 1)); again == nil || again == io.EOF {
			t.Errorf("after %v the next read is %v", err, again)
		}
		if b.Trailer() != nil {
			t.Error("there are trailers of a body that failed")
		}
	}
	return string(got), b.Trailer(), err
}

const crc = "x-amz-checksum-crc32c:sOO8/Q=="

func TestChunkedBodies(t *testing.T) {
	a, b, big := strings.Repeat("a", 8<<10), "tail", strings.Repeat("0123456789abcdef", 80<<10)
	hexa := func(s string) string { return strconv.FormatInt(int64(len(s)), 16) }
	tests := []struct {
		name, form, trailer, want string
		body                      func(c *chunker) string
	}{
		{"signed", formSigned, "", a + b, func(c *chunker) string { return c.chunk(a).chunk(b).chunk("").end() }},
		{"signed, empty", formSigned, "", "", func(c *chunker) string { return c.chunk("").end() }},
		{"signed, no blank line", formSigned, "", b, func(c *chunker) string { return c.chunk(b).chunk("").out.String() }},
		{"signed, chunk over the memory limit", formSigned, "", big + a + b, func(c *chunker) string {
			return c.chunk(big).chunk(a).chunk(b).chunk("").end()
		}},
		{"signed trailer", formTrailer, "x-amz-checksum-crc32c", a + b, func(c *chunker) string {
			return c.chunk(a).chunk(b).chunk("").trailer(crc).end()
		}},
		{"signed trailer, LF before CRLF", formTrailer, "x-amz-checksum-crc32c", b, func(c *chunker) string {
			return strings.Replace(c.chunk(b).chunk("").trailer(crc).end(), crc+"\r\n", crc+"\n\r\n", 1)
		}},
		{"unsigned trailer", formUnsigned, "X-Amz-Checksum-Crc32c", a + b, func(*chunker) string {
			return hexa(a) + "\r\n" + a + "\r\n" + hexa(b) + "\r\n" + b + "\r\n0\r\n" + crc + "\r\n\r\n"
		}},
		{"unsigned trailer, small chunks", formUnsigned, "x-amz-checksum-crc32c", "abc", func(*chunker) string {
			return "1\r\na\r\n1\r\nb\r\n01\r\nc\r\n0\r\n" + crc + "\r\n\r\n"
		}},
		{"unsigned without trailer", formUnsigned, "", big, func(*chunker) string {
			return strings.ToUpper(hexa(big)) + "\r\n" + big + "\r\n0\r\n\r\n"
		}},
	}
	for _, tt := range tests {
		for reader, wrap := range map[string]func(io.Reader) io.Reader{
			"": func(r io.Reader) io.Reader { return r }, ", halves": iotest.HalfReader, ", data with EOF": iotest.DataErrReader,
		} {
			t.Run(tt.name+reader, func(t *testing.T) {
				r, c := streaming(t, tt.form, len(tt.want), tt.trailer)
				got, trailer, err := stream(t, r, wrap(strings.NewReader(tt.body(c))))
				if err != nil {
					t.Fatal(err)
				}
				if got != tt.want {
					t.Errorf("%d bytes, want %d", len(got), len(tt.want))
				}
				if tt.trailer != "" && trailer.Get("x-amz-checksum-crc32c") != "sOO8/Q==" {
					t.Errorf("trailers %v", trailer)
				}
			})
		}
	}
}

func TestChunkAttacks(t *testing.T) {
	one, two, three := strings.Repeat("1", 8<<10), strings.Repeat("2", 8<<10), "333"
	whole := one + two + three
	signedBody := func(c *chunker) string { return c.chunk(one).chunk(two).chunk(three).chunk("").end() }
	trailed := func(c *chunker) string {
		return c.chunk(one).chunk(two).chunk(three).chunk("").trailer(crc).end()
	}
	plain := func(*chunker) string {
		return "4007\r\n" + one + two + "4444444" + "\r\n0\r\n" + crc + "\r\n\r\n"
	}
	// cut splits a signed body into its chunks.
	cut := func(s string) []string {
		i := strings.Index(s, "\r\n2000;") + 2
		j := strings.Index(s, "\r\n3;") + 2
		k := strings.Index(s, "\r\n0;") + 2
		return []string{s[:i], s[i:j], s[j:k], s[k:]}
	}
	tests := []struct {
		name, form string
		length     int // 0: of whole
		body       func(c *chunker) string
		released   string // at most this
		code       string
	}{
		{"data", formSigned, 0, func(c *chunker) string { return strings.Replace(signedBody(c), "222", "223", 1) }, one, "SignatureDoesNotMatch"},
		{"first chunk", formSigned, 0, func(c *chunker) string { return strings.Replace(signedBody(c), "111", "112", 1) }, "", "SignatureDoesNotMatch"},
		{"order", formSigned, 0, func(c *chunker) string { p := cut(signedBody(c)); return p[1] + p[0] + p[2] + p[3] }, "", "SignatureDoesNotMatch"},
		{"chunk left out", formSigned, 0, func(c *chunker) string { p := cut(signedBody(c)); return p[0] + p[2] + p[3] }, one, "SignatureDoesNotMatch"},
		{"chunk twice", formSigned, 0, func(c *chunker) string { p := cut(signedBody(c)); return p[0] + p[0] + p[2] + p[3] }, one, "SignatureDoesNotMatch"},
		{"end too early", formSigned, 0, func(c *chunker) string { p := cut(signedBody(c)); return p[0] + p[1] + p[3] }, one + two, "SignatureDoesNotMatch"},
		{"no last chunk", formSigned, 0, func(c *chunker) string { p := cut(signedBody(c)); return p[0] + p[1] + p[2] }, whole, "IncompleteBody"},
		{"cut in data", formSigned, 0, func(c *chunker) string { return signedBody(c)[:12000] }, one, "IncompleteBody"},
		{"cut in a header", formSigned, 0, func(c *chunker) string { p := cut(signedBody(c)); return p[0] + p[1][:20] }, one, "IncompleteBody"},
		{"nothing", formSigned, 0, func(*chunker) string { return "" }, "", "IncompleteBody"},
		{"bytes after the end", formSigned, 0, func(c *chunker) string { return signedBody(c) + "x\r\n" }, whole, "InvalidRequest"},
		{"trailer without its form", formSigned, 0, func(c *chunker) string {
			return strings.TrimSuffix(signedBody(c), "\r\n") + crc + "\r\n\r\n"
		}, whole, "InvalidRequest"},
		{"no signature", formSigned, 0, func(*chunker) string { return "3\r\nabc\r\n0\r\n\r\n" }, "", "InvalidRequest"},
		{"signature no hex", formSigned, 0, func(*chunker) string { return "3;chunk-signature=zz\r\nabc\r\n" }, "", "InvalidRequest"},
		{"size overflows", formSigned, 0, func(*chunker) string { return "fffffffffffffffff;chunk-signature=\r\n" }, "", "InvalidRequest"},
		{"size beyond the length", formSigned, 0, func(*chunker) string {
			return "7fffffffffffff;chunk-signature=" + sum("") + "\r\n"
		}, "", "InvalidRequest"},
		{"size negative", formSigned, 0, func(*chunker) string { return "-1;chunk-signature=" + sum("") + "\r\n" }, "", "InvalidRequest"},
		{"line without end", formSigned, 0, func(*chunker) string { return strings.Repeat("1", 1<<20) }, "", "InvalidRequest"},
		{"small chunk inside", formSigned, 0, func(c *chunker) string { return c.chunk("a").chunk("b").chunk("").end() }, "a", "InvalidChunkSizeError"},
		{"longer than declared", formSigned, 8 << 10, signedBody, one, "InvalidRequest"},
		{"shorter than declared", formSigned, len(whole) + 1, signedBody, whole, "IncompleteBody"},
		{"chunk longer than its size", formSigned, 0, func(c *chunker) string {
			return strings.Replace(signedBody(c), "1\r\n", "1x\r\n", 1)
		}, "", "InvalidRequest"},
		{"trailer value", formTrailer, 0, func(c *chunker) string { return strings.Replace(trailed(c), "sOO8", "sOO9", 1) }, whole, "SignatureDoesNotMatch"},
		{"trailer left out", formTrailer, 0, func(c *chunker) string { return strings.Replace(trailed(c), crc+"\r\n", "", 1) }, whole, "MalformedTrailerError"},
		{"trailer and signature left out", formTrailer, 0, signedBody, whole, "MalformedTrailerError"},
		{"trailer signature left out", formTrailer, 0, func(c *chunker) string {
			s := trailed(c)
			return s[:strings.Index(s, "x-amz-trailer-signature")] + "\r\n"
		}, whole, "MalformedTrailerError"},
		{"trailer not announced", formTrailer, 0, func(c *chunker) string {
			return strings.Replace(trailed(c), crc, crc+"\r\nx-amz-acl:public-read", 1)
		}, whole, "MalformedTrailerError"},
		{"trailer repeated", formTrailer, 0, func(c *chunker) string { return strings.Replace(trailed(c), crc, crc+"\r\n"+crc, 1) }, whole, "MalformedTrailerError"},
		{"trailer cut", formTrailer, 0, func(c *chunker) string { s := trailed(c); return s[:len(s)-10] }, whole, "IncompleteBody"},
		{"unsigned, no end", formUnsigned, 16391, func(c *chunker) string { return strings.Split(plain(c), "0\r\nx")[0] }, "*", "IncompleteBody"},
		{"unsigned, trailer missing", formUnsigned, 16391, func(c *chunker) string { return strings.Replace(plain(c), crc+"\r\n", "", 1) }, "*", "MalformedTrailerError"},
		{"unsigned, trailer cut", formUnsigned, 16391, func(c *chunker) string { s := plain(c); return s[:len(s)-6] }, "*", "IncompleteBody"},
		{"unsigned, trailer no header", formUnsigned, 16391, func(c *chunker) string { return strings.Replace(plain(c), crc, "crc", 1) }, "*", "MalformedTrailerError"},
		{"unsigned, after the end", formUnsigned, 16391, func(c *chunker) string { return plain(c) + "0\r\n" }, "*", "InvalidRequest"},
		{"unsigned, shorter", formUnsigned, 16392, plain, "*", "IncompleteBody"},
		{"unsigned, longer", formUnsigned, 16390, plain, "", "InvalidRequest"},
		{"unsigned, cut in data", formUnsigned, 16391, func(c *chunker) string { return plain(c)[:5000] }, "*", "IncompleteBody"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			trailer, length := "", tt.length
			if tt.form != formSigned {
				trailer = "x-amz-checksum-crc32c"
			}
			if length == 0 {
				length = len(whole)
			}
			r, c := streaming(t, tt.form, length, trailer)
			got, _, err := stream(t, r, strings.NewReader(tt.body(c)))
			if err == nil {
				t.Fatalf("accepted %d bytes", len(got))
			}
			if f := fault.From(err); f.Code != tt.code || f.Status >= 500 {
				t.Errorf("%v (%d), want %s", err, f.Status, tt.code)
			}
			if tt.released != "*" && got != tt.released {
				t.Errorf("%d bytes were released, want %d", len(got), len(tt.released))
			}
		})
	}
}

func TestDecodedLength(t *testing.T) {
	for value, code := range map[string]string{
		"": "MissingContentLength", "x": "MissingContentLength", "-1": "MissingContentLength",
		"9223372036854775808": "MissingContentLength", "33554433": "EntityTooLarge",
	} {
		r := signed(t, call{method: "PUT", url: "https://h.example/b/k", service: "s3", hash: formSigned,
			header: map[string]string{"X-Amz-Decoded-Content-Length": value}})
		if _, _, err := stream(t, r, strings.NewReader("")); err == nil || fault.From(err).Code != code {
			t.Errorf("length %q: %v, want %s", value, err, code)
		}
	}
}

// TestPublishedChunks verifies the two worked examples of the S3 API reference
// ("Signature Calculations for the Authorization Header: Transferring Payload in
// Multiple Chunks", and the same with trailing headers).
func TestPublishedChunks(t *testing.T) {
	const exampleSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	a, b := strings.Repeat("a", 64<<10), strings.Repeat("a", 1<<10)
	chunk := func(data, signature string) string {
		return fmt.Sprintf("%x;chunk-signature=%s\r\n%s\r\n", len(data), signature, data)
	}
	tests := map[string]struct{ form, signed, seed, body string }{
		"signed": {
			formSigned, "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class",
			"4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
			chunk(a, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648") +
				chunk(b, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497") +
				chunk("", "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"),
		},
		"with trailer": {
			formTrailer, "content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer",
			"106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
			chunk(a, "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2") +
				chunk(b, "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7") +
				strings.TrimSuffix(chunk("", "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992"), "\r\n") +
				crc + "\r\nx-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), "PUT", "http://s3.amazonaws.com/examplebucket/chunkObject.txt", nil)
			if err != nil {
				t.Fatal(err)
			}
			for k, v := range map[string]string{
				"X-Amz-Date": "20130524T000000Z", "X-Amz-Storage-Class": "REDUCED_REDUNDANCY", "Content-Encoding": "aws-chunked",
				"X-Amz-Content-Sha256": tt.form, "X-Amz-Decoded-Content-Length": "66560", "Content-Length": "66824",
				"Authorization": "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=" +
					tt.signed + ",Signature=" + tt.seed,
			} {
				r.Header.Set(k, v)
			}
			if tt.form == formTrailer {
				r.Header.Set("X-Amz-Trailer", "x-amz-checksum-crc32c")
			}
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(tt.body)), 66824
			c, err := sigv4.Parse(r)
			if err != nil {
				t.Fatal(err)
			}
			v := sigv4.New(sigv4.Config{
				Keys: oneKey(exampleSecret), SpoolDir: t.TempDir(),
				Now: func() time.Time { return time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC) },
			})
			id, err := v.Verify(t.Context(), r, c, sigv4.Expect{})
			if err != nil {
				t.Fatal(err)
			}
			defer id.Close()
			body, err := id.Body()
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(body); err != nil || string(got) != a+b {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
}
