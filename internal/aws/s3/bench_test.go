package s3_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// The benchmarks go through the whole server over loopback: HTTP, signature,
// pipeline, front, storage. Requests are signed while the clock runs.

func (k *kit) bench(b *testing.B, method, key string, body []byte) {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), method, k.server.URL+"/"+bucket+"/"+key, bytes.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	const hash = "UNSIGNED-PAYLOAD"
	r.Header.Set("X-Amz-Content-Sha256", hash)
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	if err := signer.SignHTTP(b.Context(), aws.Credentials{AccessKeyID: keyID, SecretAccessKey: secret}, r, hash, "s3", region, time.Now()); err != nil {
		b.Fatal(err)
	}
	answer, err := k.server.Client().Do(r)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != http.StatusOK {
		b.Fatalf("%s %s: %d, %v", method, key, answer.StatusCode, err)
	}
	if err := answer.Body.Close(); err != nil {
		b.Fatal(err)
	}
}

func sizes() []int { return []int{1 << 10, 64 << 10, 1 << 20, 64 << 20} }

func BenchmarkPut(b *testing.B) {
	for _, size := range sizes() {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			k := newKit(b).withBucket()
			body := bytes.Repeat([]byte("x"), size)
			b.SetBytes(int64(size))
			for b.Loop() {
				k.bench(b, http.MethodPut, "key", body)
			}
		})
	}
}

func BenchmarkGet(b *testing.B) {
	for _, size := range sizes() {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			k := newKit(b).withBucket()
			k.bench(b, http.MethodPut, "key", bytes.Repeat([]byte("x"), size))
			b.SetBytes(int64(size))
			for b.Loop() {
				k.bench(b, http.MethodGet, "key", nil)
			}
		})
	}
}

func BenchmarkHead(b *testing.B) {
	k := newKit(b).withBucket()
	k.bench(b, http.MethodPut, "key", []byte("x"))
	for b.Loop() {
		k.bench(b, http.MethodHead, "key", nil)
	}
}

// zeros is a body that takes no memory.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestMemory streams 256 MiB in and out; neither server nor storage may hold it.
// The bound is for the whole process, client included.
func TestMemory(t *testing.T) {
	const size, most = 256 << 20, 16 << 20
	k := newKit(t).withBucket()
	k.put("warm", "x")
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, k.server.URL+"/"+bucket+"/big", io.LimitReader(zeros{}, size))
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = size
	r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	if err := signer.SignHTTP(t.Context(), aws.Credentials{AccessKeyID: keyID, SecretAccessKey: secret}, r, "UNSIGNED-PAYLOAD", "s3", region, time.Now()); err != nil {
		t.Fatal(err)
	}
	answer, err := k.server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if text := readAll(t, answer.Body); answer.StatusCode != 200 {
		t.Fatal(text)
	}
	answer, err = k.server.Client().Get(k.presigned("big"))
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, answer.Body)
	if err != nil || n != size || answer.Body.Close() != nil {
		t.Fatalf("%d bytes, %v", n, err)
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > most {
		t.Errorf("%d MiB were allocated for %d MiB each way", grown>>20, size>>20)
	}
}
