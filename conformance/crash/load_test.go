package crash

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/outcrop/outcrop/conformance/server"
)

// load is a mixed workload on one server, until the server is killed.
type load struct {
	*rig
	t       *testing.T
	journal *journal
	round   int
	rolled  string // the id of the runtime whose endpoints roll
	// flying counts the mutations and streams under way, broken those that the
	// kill interrupted.
	flying, broken, acks atomic.Int64
	dead                 atomic.Bool
	workers              sync.WaitGroup

	mu      sync.Mutex
	replays []*tokened
}

const (
	plainBucket     = "crash-plain"
	versionedBucket = "crash-versioned"
)

// worker does one thing again and again; the last argument tells those of a kind
// apart.
type worker func(context.Context, *rand.Rand, int) error

// workers are so many of a kind.
type workers struct {
	n   int
	run worker
}

// begin starts the workers of TestKill.
func (l *load) begin(ctx context.Context, random *rand.Rand, found map[string]string) {
	l.spread(ctx, random, []workers{
		{3, func(ctx context.Context, r *rand.Rand, i int) error { return l.runtimesWorker(ctx, r, i, found) }},
		{3, l.putWorker}, {1, l.versionWorker}, {2, l.multipartWorker}, {2, l.bucketWorker}, {3, l.streamWorker}, {2, l.sessionWorker},
		{2, func(ctx context.Context, r *rand.Rand, i int) error { return l.rollWorker(ctx, r, i, found) }}, {2, l.socketWorker}, {1, l.shellWorker},
		{1, l.keyWorker}, {1, l.secretWorker}, {1, l.poolWorker}, {1, l.providerWorker},
	})
}

// spread starts workers. Each has random numbers of its own, so that one seed
// gives each the same choices whatever the others do.
func (l *load) spread(ctx context.Context, random *rand.Rand, kinds []workers) {
	for _, kind := range kinds {
		for i := range kind.n {
			own := rand.New(rand.NewPCG(random.Uint64(), 0))
			l.workers.Go(func() {
				for ctx.Err() == nil && !l.dead.Load() {
					if err := kind.run(ctx, own, i); err != nil && !l.dead.Load() {
						l.t.Errorf("before the end of the load: %v", err)
						return
					}
				}
			})
		}
	}
}

// fly makes one call that changes something or streams.
func (l *load) fly(call func() error) error {
	l.flying.Add(1)
	defer l.flying.Add(-1)
	err := call()
	switch {
	case err == nil:
		l.acks.Add(1)
	case l.dead.Load():
		l.broken.Add(1)
	}
	return err
}

// change is fly with an entry in the journal.
func (l *load) change(name, state string, call func() error) error {
	return l.journal.change(name, state, func() error { return l.fly(call) })
}

// paced gives its bytes a little at a time, so that kills meet bodies half-way.
type paced struct {
	*bytes.Reader
	pause time.Duration
}

func (p paced) Read(b []byte) (int, error) {
	time.Sleep(p.pause)
	return p.Reader.Read(b[:min(len(b), 32<<10)])
}

// WriteTo is hidden: it would give everything at once.
func (p paced) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{p})
}

// content is random bytes and what they are called: small enough for a row of
// the store, or a file.
func content(r *rand.Rand) ([]byte, string) {
	size := 1 + r.IntN(1<<10)
	if r.IntN(2) == 0 {
		size = 64<<10 + r.IntN(256<<10)
	}
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b, digest(b)
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// putWorker writes, overwrites and deletes objects.
func (l *load) putWorker(ctx context.Context, r *rand.Rand, i int) error {
	key := fmt.Sprintf("put-%d/%d", i, r.IntN(8))
	name := "object/" + plainBucket + "/" + key
	if r.IntN(4) == 0 {
		return l.change(name, absent, func() error {
			_, err := l.objects.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String(plainBucket), Key: &key})
			return err
		})
	}
	body, sum := content(r)
	pause := time.Duration(r.IntN(10)) * time.Millisecond
	return l.change(name, sum, func() error {
		_, err := l.objects.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(plainBucket), Key: &key, Body: paced{bytes.NewReader(body), pause}})
		return err
	})
}

// versionWorker overwrites objects in a bucket that keeps what was before.
func (l *load) versionWorker(ctx context.Context, r *rand.Rand, i int) error {
	key := fmt.Sprintf("version-%d/%d", i, r.IntN(3))
	body, sum := content(r)
	return l.journal.change("object/"+versionedBucket+"/"+key, sum, func() error {
		return l.change("version/"+versionedBucket+"/"+key+"/"+sum, "there", func() error {
			_, err := l.objects.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(versionedBucket), Key: &key, Body: bytes.NewReader(body)})
			return err
		})
	})
}

// multipartWorker uploads an object in one or two parts, and now and then gives up.
func (l *load) multipartWorker(ctx context.Context, r *rand.Rand, i int) error {
	bucket, key := aws.String(plainBucket), fmt.Sprintf("multipart-%d/%d-%d", i, l.round, r.IntN(1<<30))
	upload := "upload/" + plainBucket + "/" + key
	var id *string
	err := l.change(upload, "open", func() error {
		out, err := l.objects.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: bucket, Key: &key})
		if err == nil {
			id = out.UploadId
		}
		return err
	})
	if err != nil {
		return err
	}
	parts := [][]byte{bytes.Repeat([]byte{byte(r.Uint32())}, 100<<10)}
	if r.IntN(3) == 0 {
		parts = append([][]byte{bytes.Repeat([]byte{byte(r.Uint32())}, 5<<20)}, parts...)
	}
	whole := sha256.New()
	var done []s3types.CompletedPart
	for n, part := range parts {
		whole.Write(part)
		number := aws.Int32(int32(n + 1))
		err := l.change(fmt.Sprintf("part/%s/%s/%d", plainBucket, key, n+1), fmt.Sprint(len(part)), func() error {
			out, err := l.objects.UploadPart(ctx, &s3.UploadPartInput{Bucket: bucket, Key: &key, UploadId: id, PartNumber: number, Body: bytes.NewReader(part)})
			if err == nil {
				done = append(done, s3types.CompletedPart{ETag: out.ETag, PartNumber: number})
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	finish := func() error {
		_, err := l.objects.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
			Bucket: bucket, Key: &key, UploadId: id, MultipartUpload: &s3types.CompletedMultipartUpload{Parts: done},
		})
		return err
	}
	object, state := "object/"+plainBucket+"/"+key, hex.EncodeToString(whole.Sum(nil))
	if r.IntN(5) == 0 {
		state = absent
		finish = func() error {
			_, err := l.objects.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: bucket, Key: &key, UploadId: id})
			return err
		}
	}
	// The object, the upload and its parts change together.
	together := func() error { return l.change(object, state, finish) }
	for n := range parts {
		inner := together
		together = func() error {
			return l.journal.change(fmt.Sprintf("part/%s/%s/%d", plainBucket, key, n+1), absent, inner)
		}
	}
	if err := l.journal.change(upload, absent, together); err != nil || state == absent {
		return err
	}
	if r.IntN(2) == 0 { // or the disk fills with them
		return l.change(object, absent, func() error {
			_, err := l.objects.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: &key})
			return err
		})
	}
	return nil
}

// bucketWorker makes buckets and deletes most of them.
func (l *load) bucketWorker(ctx context.Context, r *rand.Rand, i int) error {
	name := fmt.Sprintf("crash-bucket-%d-%d-%d", i, l.round, r.IntN(1<<30))
	err := l.change("bucket/"+name, "there", func() error {
		_, err := l.objects.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &name})
		return err
	})
	if err != nil || r.IntN(8) == 0 {
		return err
	}
	return l.change("bucket/"+name, absent, func() error {
		_, err := l.objects.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: &name})
		return err
	})
}

// streamWorker holds one endless answer open.
func (l *load) streamWorker(ctx context.Context, _ *rand.Rand, i int) error {
	return l.fly(func() error {
		body, err := l.open(ctx, l.base.AgentRuntimeArn, server.SessionID("stream", i), question{Stream: 1 << 30, Every: 20})
		if err != nil {
			return err
		}
		defer body.Close()
		if _, err := io.Copy(io.Discard, body); err != nil {
			return err
		}
		return fmt.Errorf("stream %d ended", i)
	})
}

// sessionWorker starts sessions and stops most of them.
func (l *load) sessionWorker(ctx context.Context, r *rand.Rand, i int) error {
	id := server.SessionID("short", i, "-", l.round, "-", r.IntN(1<<30))
	err := l.fly(func() error {
		_, err := l.ask(ctx, id, question{Write: []string{"/tmp/file"}, Text: "x"})
		return err
	})
	if err != nil || r.IntN(4) == 0 {
		return err
	}
	return l.fly(func() error { return l.end(ctx, id) })
}
