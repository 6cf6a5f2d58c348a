// Package s3 holds the program's S3 to what its unmodified clients do: boto3,
// the AWS CLI and the Go SDK, against a real server that may be killed.
package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"

	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/conformance/server"
)

const bucket = "conformance"

// start runs a server with the bucket.
func start(t *testing.T) (*server.Server, *s3.Client) {
	t.Helper()
	s := server.Start(t, server.Options{})
	c := s3.NewFromConfig(s.AWS(), func(o *s3.Options) { o.UsePathStyle = true })
	in := &s3.CreateBucketInput{Bucket: aws.String(bucket)}
	if s.Region != "us-east-1" {
		in.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(s.Region)}
	}
	if _, err := c.CreateBucket(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	return s, c
}

// run runs a client in the environment of `outcrop env`.
func run(t *testing.T, s *server.Server, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), pinned.Program(t, name), args...)
	cmd.Env = append(s.Env(), "AWS_CONFIG_FILE=/nonexistent", "AWS_PAGER=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s\nserver:\n%s", name, strings.Join(args, " "), err, out, s.Log())
	}
	return string(out)
}

// TestBoto3 runs testdata/story.py, which asserts for itself.
func TestBoto3(t *testing.T) {
	s, _ := start(t)
	if out := run(t, s, "python", "testdata/story.py", bucket, t.TempDir()); !strings.HasSuffix(out, "done\n") {
		t.Errorf("the script did not come to its end:\n%s", out)
	}
}

// TestCLI does with the AWS CLI what people do with it.
func TestCLI(t *testing.T) {
	s, _ := start(t)
	dir := t.TempDir()
	for name, body := range map[string]string{"src/a.txt": "a", "src/dir/b c.txt": "b", "src/ünï/ö+.json": "{}"} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(body), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	cli := func(args ...string) string { t.Helper(); return run(t, s, "aws", args...) }
	const root = "s3://" + bucket
	cli("s3", "sync", filepath.Join(dir, "src"), root+"/tree")
	if out := cli("s3", "ls", "--recursive", root); strings.Count(out, "\n") != 3 || !strings.Contains(out, "tree/ünï/ö+.json") {
		t.Errorf("ls:\n%s", out)
	}
	if out := cli("s3", "ls", root+"/tree/"); strings.Count(out, "PRE ") != 2 {
		t.Errorf("ls of a prefix:\n%s", out)
	}
	cli("s3", "cp", "--recursive", root+"/tree", root+"/copy")
	cli("s3", "mv", root+"/copy/a.txt", root+"/copy/moved file.txt")
	cli("s3", "sync", "--delete", root+"/copy", filepath.Join(dir, "back"))
	for name, want := range map[string]string{"back/moved file.txt": "a", "back/dir/b c.txt": "b", "back/ünï/ö+.json": "{}"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	url := strings.TrimSpace(cli("s3", "presign", root+"/tree/dir/b c.txt"))
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(answer.Body); err != nil || string(body) != "b" || answer.Body.Close() != nil {
		t.Errorf("presigned: %d %q %v", answer.StatusCode, body, err)
	}
	if out := cli("s3api", "head-object", "--bucket", bucket, "--key", "tree/a.txt", "--checksum-mode", "ENABLED"); !strings.Contains(out, `"ContentLength": 1`) {
		t.Errorf("head-object: %s", out)
	}
	cli("s3api", "put-object-tagging", "--bucket", bucket, "--key", "tree/a.txt", "--tagging", "TagSet=[{Key=team,Value=blue}]")
	cli("s3", "cp", root+"/tree/a.txt", root+"/tagged.txt") // which takes them along
	if out := cli("s3api", "get-object-tagging", "--bucket", bucket, "--key", "tagged.txt", "--query", "TagSet[0].Value"); strings.TrimSpace(out) != `"blue"` {
		t.Errorf("get-object-tagging: %s", out)
	}
	cli("s3api", "put-bucket-tagging", "--bucket", bucket, "--tagging", "TagSet=[{Key=team,Value=green}]")
	if out := cli("s3api", "get-bucket-tagging", "--bucket", bucket, "--query", "TagSet[0].Value"); strings.TrimSpace(out) != `"green"` {
		t.Errorf("get-bucket-tagging: %s", out)
	}
	cli("s3", "rm", "--recursive", root)
	cli("s3", "rb", root)
	cli("s3", "mb", root)
}

// writeRandom writes size bytes of a fixed pseudo-random stream and returns
// their hash.
func writeRandom(t *testing.T, path string, size int64) string {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	_, err = io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(f, h)}, io.LimitReader(rand.NewChaCha8([32]byte{3}), size), make([]byte, 1<<20))
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func hashFile(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	_, err = io.Copy(h, f)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// forgetPeak makes the kernel forget the process's peak of resident memory.
func forgetPeak(t *testing.T, s *server.Server) {
	t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.Cmd.Process.Pid), []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
}

// peak is the most resident memory since forgetPeak, in bytes.
func peak(t *testing.T, s *server.Server) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.Cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kb << 10
}

// nightly tells whether there is time.
func nightly() bool { return os.Getenv("OUTCROP_NIGHTLY") != "" }

// TestTransfer moves 256 MiB, 1 GiB at night, each way with the AWS CLI, in
// parts, and measures the server: at most 64 MiB more than before.
func TestTransfer(t *testing.T) {
	const mostGrowth = 64 << 20
	size := int64(256 << 20)
	if nightly() {
		size = 1 << 30
	}
	s, c := start(t)
	dir := t.TempDir()
	up, down := filepath.Join(dir, "up"), filepath.Join(dir, "down")
	want := writeRandom(t, up, size)
	// What the first request allocates once and for all is no growth.
	if _, err := c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String("warm"), Body: bytes.NewReader(make([]byte, 1<<20))}); err != nil {
		t.Fatal(err)
	}
	before := s.RSS()
	for _, step := range [][2]string{{up, "s3://" + bucket + "/big"}, {"s3://" + bucket + "/big", down}} {
		forgetPeak(t, s)
		started := time.Now()
		run(t, s, "aws", "s3", "cp", "--only-show-errors", step[0], step[1])
		took, growth := time.Since(started), peak(t, s)-before
		t.Logf("%d MiB to %s: %.1f s, %.0f MiB/s, the server grew by %.1f MiB (from %.1f)", size>>20, filepath.Base(step[1]),
			took.Seconds(), float64(size>>20)/took.Seconds(), float64(growth)/(1<<20), float64(before)/(1<<20))
		if growth > mostGrowth {
			t.Errorf("the server grew by %d MiB, more than %d", growth>>20, mostGrowth>>20)
		}
	}
	if got := hashFile(t, down); got != want {
		t.Errorf("hash %s came back as %s", want, got)
	}
	head, err := c.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String("big"), PartNumber: aws.Int32(1)})
	if err != nil || aws.ToInt32(head.PartsCount) < 2 {
		t.Errorf("it was not uploaded in parts: %v, %v", head, err)
	}
}

// putUnsigned sends a PUT whose body the server reads as it comes.
func putUnsigned(ctx context.Context, s *server.Server, key string, body io.Reader, size int64) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, s.URL+"/"+bucket+"/"+key, body)
	if err != nil {
		return err
	}
	r.ContentLength = size
	r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	keys := aws.Credentials{AccessKeyID: s.AccessKeyID, SecretAccessKey: s.SecretAccessKey}
	if err := signer.SignHTTP(ctx, keys, r, "UNSIGNED-PAYLOAD", "s3", s.Region, time.Now()); err != nil {
		return err
	}
	answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		err = errors.New(answer.Status)
	}
	return errors.Join(err, answer.Body.Close())
}

// stopAt calls stop when that many bytes have been read, once, and goes on.
type stopAt struct {
	io.Reader
	left int64
	stop func()
}

func (r *stopAt) Read(p []byte) (int, error) {
	if r.left <= 0 && r.stop != nil {
		r.stop()
		r.stop = nil
	}
	n, err := r.Reader.Read(p)
	r.left -= int64(n)
	return n, err
}

// TestKilledPut kills the server while objects are being overwritten. What was
// not acknowledged is the old object, or at the very end of the body the new one,
// and never a part of either.
func TestKilledPut(t *testing.T) {
	const size = 32 << 20
	s, c := start(t)
	old, changed := bytes.Repeat([]byte("old "), size/8), bytes.Repeat([]byte("new "), size/4)
	read := func() []byte {
		t.Helper()
		out, err := c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("key")})
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(out.Body)
		if err := errors.Join(err, out.Body.Close()); err != nil {
			t.Fatal(err)
		}
		return body
	}
	for _, at := range []int64{1, 20_000, size / 2, size - 100_000, size} {
		if err := putUnsigned(t.Context(), s, "key", bytes.NewReader(old), int64(len(old))); err != nil {
			t.Fatal(err)
		}
		body := &stopAt{Reader: bytes.NewReader(changed), left: at, stop: s.Kill}
		acknowledged := putUnsigned(t.Context(), s, "key", body, size) == nil
		if acknowledged && at < size {
			t.Errorf("killed after %d bytes: the PUT succeeded", at)
		}
		if body.stop != nil { // the body was sent without another read
			body.stop()
		}
		s.Restart()
		got := read()
		switch {
		case bytes.Equal(got, changed) && at == size:
		case bytes.Equal(got, old) && !acknowledged:
		default:
			t.Errorf("killed after %d bytes (acknowledged: %v): %d bytes are there, which are neither the old object nor the new", at, acknowledged, len(got))
		}
	}
	if err := putUnsigned(t.Context(), s, "key", bytes.NewReader(changed), size); err != nil || !bytes.Equal(read(), changed) {
		t.Errorf("a PUT after all that: %v", err)
	}
	// What the killed ones had written is gone: one object is on the disk.
	if used := sizeOf(t, filepath.Join(s.DataDir, "objects")); used > 3*size {
		t.Errorf("%d MiB are used for %d MiB of objects", used>>20, size>>20)
	}
}

func sizeOf(t *testing.T, dir string) (sum int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, os.ErrNotExist) { // the server removes it just now
			return nil
		}
		sum += info.Size()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// TestPages lists 3,000 keys, 10,000 at night, page by page, in order and without
// a gap, also while keys are deleted behind and ahead of the page.
func TestPages(t *testing.T) {
	keys := 3000
	if nightly() {
		keys = 10_000
	}
	_, c := start(t)
	name := func(i int) string { return fmt.Sprintf("dir%02d/key %05d+ü", i%10, i) }
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(16)
	started := time.Now()
	for i := range keys {
		group.Go(func() error {
			_, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String(name(i)), Body: strings.NewReader("x")})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d objects put in %.1f s", keys, time.Since(started).Seconds())
	started = time.Now()
	seen, pages, last := map[string]bool{}, 0, ""
	list := s3.NewListObjectsV2Paginator(c, &s3.ListObjectsV2Input{Bucket: aws.String(bucket)})
	for ; list.HasMorePages(); pages++ {
		page, err := list.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Contents {
			if *o.Key <= last || seen[*o.Key] {
				t.Fatalf("%q comes after %q", *o.Key, last)
			}
			last, seen[*o.Key] = *o.Key, true
		}
	}
	t.Logf("%d pages listed in %.2f s", pages, time.Since(started).Seconds())
	if len(seen) != keys || pages != keys/1000 {
		t.Errorf("%d keys on %d pages", len(seen), pages)
	}
	prefixes, err := c.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(bucket), Delimiter: aws.String("/")})
	if err != nil || len(prefixes.CommonPrefixes) != 10 || len(prefixes.Contents) != 0 {
		t.Errorf("prefixes: %+v, %v", prefixes, err)
	}
	deleteWhileListing(t, c, keys/10)
}

// deleteWhileListing lists one of ten directories, and wants all its keys.
func deleteWhileListing(t *testing.T, c *s3.Client, want int) {
	t.Helper()
	seen := map[string]bool{}
	list := s3.NewListObjectsV2Paginator(c, &s3.ListObjectsV2Input{Bucket: aws.String(bucket), Prefix: aws.String("dir03/"), MaxKeys: aws.Int32(100)})
	for list.HasMorePages() {
		page, err := list.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var gone []types.ObjectIdentifier
		for _, o := range page.Contents {
			seen[*o.Key] = true
			gone = append(gone, types.ObjectIdentifier{Key: o.Key})
		}
		out, err := c.DeleteObjects(t.Context(), &s3.DeleteObjectsInput{Bucket: aws.String(bucket), Delete: &types.Delete{Objects: gone, Quiet: aws.Bool(true)}})
		if err != nil || len(out.Errors) != 0 {
			t.Fatalf("delete a page: %+v, %v", out, err)
		}
	}
	if len(seen) != want {
		t.Errorf("%d of %d keys were listed while they were deleted", len(seen), want)
	}
}

// TestOldVersion reads a version after it has been overwritten, hidden by a
// delete marker, and after the server was killed.
func TestOldVersion(t *testing.T) {
	s, c := start(t)
	ctx := t.Context()
	_, err := c.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{Bucket: aws.String(bucket),
		VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled}})
	if err != nil {
		t.Fatal(err)
	}
	put := func(body string) *string {
		t.Helper()
		out, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String("key"), Body: strings.NewReader(body)})
		if err != nil {
			t.Fatal(err)
		}
		return out.VersionId
	}
	first := put(strings.Repeat("first", 10_000))
	read := func(when string) {
		t.Helper()
		out, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("key"), VersionId: first})
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		body, err := io.ReadAll(out.Body)
		if err := errors.Join(err, out.Body.Close()); err != nil || string(body) != strings.Repeat("first", 10_000) {
			t.Errorf("%s: %d bytes, %v", when, len(body), err)
		}
	}
	put("second")
	read("after an overwrite")
	if _, err := c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: aws.String("key")}); err != nil {
		t.Fatal(err)
	}
	read("behind a delete marker")
	s.Kill()
	s.Restart()
	read("after the server was killed")
}
