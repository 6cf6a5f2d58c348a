package s3_test

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sys/unix"
)

// TestFullDisk has a bucket fill the disk to its last byte: what is refused is
// refused by its name, and deleting objects, which is all that a client can do,
// makes room again.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=12m"); err != nil {
		t.Skipf("cannot mount a small file system here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	k := serve(t, dir, httptest.NewServer).withBucket()
	ctx := t.Context()
	put := func(key string, size int) error {
		_, err := k.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(bucket), Key: &key, Body: strings.NewReader(strings.Repeat("x", size))})
		return err
	}
	n := 0
	for ; n < 1000; n++ {
		if err := put(fmt.Sprint("large", n), 500<<10); err != nil {
			wantFault(t, err, 507, "InsufficientStorage")
			break
		}
	}
	fillUp(t, filepath.Join(dir, "ballast"))
	for i := range 1000 { // in the log there may be room for small ones
		if err := put(fmt.Sprint("small", i), 10<<10); err != nil {
			wantFault(t, err, 507, "InsufficientStorage")
			break
		}
	}
	fillUp(t, filepath.Join(dir, "ballast"))
	k.log.Reset() // operators are told of a full disk
	if _, err := k.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: aws.String("large0")}); err != nil {
		t.Fatal(err)
	}
	var rest []types.ObjectIdentifier
	for i := range n {
		rest = append(rest, types.ObjectIdentifier{Key: aws.String(fmt.Sprint("large", i))})
	}
	if out := must(k.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: aws.String(bucket), Delete: &types.Delete{Objects: rest}}))(t); len(out.Errors) > 0 || len(out.Deleted) != n {
		t.Fatalf("%+v", out)
	}
	if err := k.objects.Collect(ctx); err != nil {
		t.Fatal(err)
	}
	if err := put("later", 500<<10); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// fillUp takes every byte that is free.
func fillUp(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for piece := make([]byte, 64<<10); len(piece) > 0; {
		if _, err := f.Write(piece); errors.Is(err, unix.ENOSPC) {
			piece = piece[:len(piece)/2]
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
