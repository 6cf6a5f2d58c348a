package sigv4_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/outcrop/outcrop/internal/auth/sigv4"
)

// seen is what the server below made of a request.
type seen struct {
	hash, body string
	presigned  bool
	trailer    http.Header
	err        error
}

// s3Server verifies every request it gets and remembers the last one.
func s3Server(t *testing.T, start func(http.Handler) *httptest.Server) (*httptest.Server, func() seen) {
	v := verifier(t, time.Now())
	var mu sync.Mutex
	var last seen
	handle := func(r *http.Request) (s seen) {
		c, err := sigv4.Parse(r)
		if s.hash, s.presigned, s.err = c.ContentHash, c.Presigned, err; err != nil {
			return s
		}
		id, err := v.Verify(r.Context(), r, c, sigv4.Expect{Service: "s3", Region: "us-west-2"})
		if s.err = err; err != nil {
			return s
		}
		defer id.Close()
		body, err := id.Body()
		if s.err = err; err != nil {
			return s
		}
		b, err := io.ReadAll(body)
		s.body, s.err, s.trailer = string(b), err, body.Trailer()
		return s
	}
	server := start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := handle(r)
		mu.Lock()
		defer mu.Unlock()
		if last = s; s.err != nil {
			w.WriteHeader(sigv4.S3.Fault(s.err).Status)
		}
	}))
	t.Cleanup(server.Close)
	return server, func() seen { mu.Lock(); defer mu.Unlock(); return last }
}

// TestS3Client puts and gets with the SDK's S3 client over a real connection.
func TestS3Client(t *testing.T) {
	data := strings.Repeat("0123456789", 20000)
	crc := base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(data))))
	for scheme, start := range map[string]func(http.Handler) *httptest.Server{"http": httptest.NewServer, "https": httptest.NewTLSServer} {
		server, last := s3Server(t, start)
		client := s3.New(s3.Options{
			Region: "us-west-2", BaseEndpoint: &server.URL, UsePathStyle: true, HTTPClient: server.Client(),
			Credentials: credentials.NewStaticCredentialsProvider(keyID, secret, ""), RetryMaxAttempts: 1,
			RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
		})
		bucket, key := aws.String("bucket"), aws.String("dir/a b+c=é/..//x")
		t.Run(scheme+" put", func(t *testing.T) {
			_, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: bucket, Key: key, Body: strings.NewReader(data)})
			got := last()
			if err != nil || got.err != nil || got.body != data {
				t.Fatalf("%v; server: %d bytes, %v", err, len(got.body), got.err)
			}
			if chunked := strings.HasPrefix(got.hash, "STREAMING-"); chunked && got.trailer.Get("X-Amz-Checksum-Crc32") != crc {
				t.Errorf("%s: trailers %v, want CRC %s", got.hash, got.trailer, crc)
			} else if !chunked && got.hash != sum(data) {
				t.Errorf("declared hash %q", got.hash)
			}
		})
		t.Run(scheme+" get", func(t *testing.T) {
			if _, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: bucket, Key: key}); err != nil {
				t.Fatalf("%v; server: %v", err, last().err)
			}
		})
		t.Run(scheme+" list", func(t *testing.T) {
			if _, err := client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: bucket, Prefix: key, Delimiter: aws.String("/")}); last().err != nil {
				t.Fatalf("%v; server: %v", err, last().err)
			}
		})
		t.Run(scheme+" presigned put", func(t *testing.T) {
			p, err := s3.NewPresignClient(client).PresignPutObject(t.Context(), &s3.PutObjectInput{Bucket: bucket, Key: key})
			if err != nil {
				t.Fatal(err)
			}
			r, err := http.NewRequestWithContext(t.Context(), p.Method, p.URL, strings.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			answer, err := server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if got := last(); got.err != nil || !got.presigned || got.body != data {
				t.Fatalf("%d bytes, presigned %v, %v", len(got.body), got.presigned, got.err)
			}
		})
		t.Run(scheme+" put of a stream", func(t *testing.T) {
			if scheme == "http" {
				return // the SDK refuses to send what it cannot hash without TLS
			}
			_, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: bucket, Key: key, Body: io.MultiReader(strings.NewReader(data)),
				ContentLength: aws.Int64(int64(len(data)))})
			if got := last(); err != nil || got.err != nil || got.body != data || got.trailer.Get("X-Amz-Checksum-Crc32") != crc {
				t.Fatalf("%v; server: %d bytes, %s, %v, %v", err, len(got.body), got.hash, got.trailer, got.err)
			}
		})
	}
}

// endless is a body of a given length that is never in memory.
type endless struct{ left int }

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n := min(len(p), e.left)
	clear(p[:n])
	e.left -= n
	return n, nil
}

// TestLargeBodyInConstantMemory: a body of 32 MiB whose hash is signed costs no
// more memory than one of 2 MiB.
func TestLargeBodyInConstantMemory(t *testing.T) {
	cost := func(size int) uint64 {
		c := call{method: "POST", url: "https://h.example/", hash: sum(string(make([]byte, size)))}
		r := signed(t, c)
		r.Body, r.ContentLength = io.NopCloser(&endless{size}), int64(size)
		v := verifier(t, signTime())
		claim, err := sigv4.Parse(r)
		if err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		id, err := v.Verify(t.Context(), r, claim, sigv4.Expect{})
		if err != nil {
			t.Fatal(err)
		}
		defer id.Close()
		body, err := id.Body()
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, body); n != int64(size) || err != nil {
			t.Fatal(n, err)
		}
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	small, large := cost(2<<20), cost(32<<20)
	if large > small+256<<10 {
		t.Errorf("2 MiB cost %d bytes of memory, 32 MiB %d", small, large)
	}
}

// TestUnsignedBodyStreams: the first bytes are there before the last are sent.
func TestUnsignedBodyStreams(t *testing.T) {
	r := signed(t, call{method: "POST", url: "https://h.example/", hash: "UNSIGNED-PAYLOAD"})
	from, to := io.Pipe()
	r.Body, r.ContentLength = from, -1
	claim, err := sigv4.Parse(r)
	if err != nil {
		t.Fatal(err)
	}
	id, err := verifier(t, signTime()).Verify(t.Context(), r, claim, sigv4.Expect{MaxBody: 8})
	if err != nil {
		t.Fatal(err)
	}
	defer id.Close()
	body, err := id.Body()
	if err != nil {
		t.Fatal(err)
	}
	if body.Signed || body.Length != -1 {
		t.Errorf("signed %v, length %d", body.Signed, body.Length)
	}
	go func() {
		to.Write([]byte("12345"))
		to.Write([]byte("6789"))
		to.Close()
	}()
	buf := make([]byte, 5)
	if _, err := io.ReadFull(body, buf); err != nil || !bytes.Equal(buf, []byte("12345")) {
		t.Fatalf("%q, %v", buf, err)
	}
	rest, err := io.ReadAll(body)
	if string(rest) != "678" || err == nil || !strings.HasPrefix(err.Error(), "RequestEntityTooLargeException") {
		t.Errorf("beyond the limit: %q, %v", rest, err)
	}
	if _, err := id.Body(); err == nil {
		t.Error("the body was given twice")
	}
}
