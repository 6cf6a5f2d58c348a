package s3_test

import (
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/outcrop/outcrop/internal/store/storetest"
)

// TestFullDisk has a bucket fill the disk to its last byte: what is refused is
// refused by its name, and deleting objects, which is all that a client can do,
// makes room again.
func TestFullDisk(t *testing.T) {
	dir := storetest.SmallDisk(t, "12m")
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
	storetest.FillUp(t, filepath.Join(dir, "ballast"))
	for i := range 1000 { // in the log there may be room for small ones
		if err := put(fmt.Sprint("small", i), 10<<10); err != nil {
			wantFault(t, err, 507, "InsufficientStorage")
			break
		}
	}
	storetest.FillUp(t, filepath.Join(dir, "ballast"))
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
