package object_test

import (
	"slices"
	"testing"

	"github.com/outcrop/outcrop/internal/object"
)

func TestBucketNames(t *testing.T) {
	for _, good := range []string{"abc", "a-b", "a.b.c", "0123456789", "a" + string(slices.Repeat([]byte("x"), 61)) + "b", "192.168.1", "a.-b"} {
		if err := object.CheckBucketName(good); err != nil {
			t.Errorf("%q is refused: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "ab", string(slices.Repeat([]byte("x"), 64)), "Abc", "a_b", "-ab", "ab-", ".ab", "ab.", "a..b",
		"192.168.1.1", "xn--abc", "sthree-abc", "amzn-s3-demo-bucket", "abc-s3alias", "abc--ol-s3", "abc.mrap", "abc--x-s3",
		"a\x00b", "a/b", "ünï", "a b",
	} {
		refused(t, object.CheckBucketName(bad), "InvalidBucketName")
	}
}

func TestBuckets(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()

	_, err := f.CreateBucket(ctx, account, region, bucket, object.NewBucket{})
	refused(t, err, "BucketAlreadyOwnedByYou")
	_, err = f.CreateBucket(ctx, other, region, bucket, object.NewBucket{})
	refused(t, err, "BucketAlreadyExists")
	_, err = f.CreateBucket(ctx, account, region, "no_good", object.NewBucket{})
	refused(t, err, "InvalidBucketName")
	_, err = f.CreateBucket(ctx, "", region, "fine-name", object.NewBucket{})
	refused(t, err, "InvalidRequest")
	// The oldest region alone lets its owner create a bucket twice.
	for range 2 {
		if _, err = f.CreateBucket(ctx, account, "us-east-1", "classic", object.NewBucket{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err = f.CreateBucket(ctx, other, region, "another", object.NewBucket{}); err != nil {
		t.Fatal(err)
	}

	b, err := f.Bucket(ctx, account, bucket)
	if err != nil || b.Region != region || b.Account != account || b.Versioning != object.Unversioned || !b.Created.Equal(f.clock.at) {
		t.Errorf("bucket = %+v, %v", b, err)
	}
	_, err = f.Bucket(ctx, other, bucket)
	refused(t, err, "AccessDenied")
	_, err = f.Bucket(ctx, account, "nowhere")
	refused(t, err, "NoSuchBucket")

	names := func(l object.BucketList) (names []string, more bool) {
		list, more, err := f.Buckets(ctx, account, l)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range list {
			names = append(names, b.Name)
		}
		return names, more
	}
	if got, more := names(object.BucketList{}); !slices.Equal(got, []string{"classic", bucket}) || more {
		t.Errorf("buckets = %v, %t", got, more)
	}
	if got, more := names(object.BucketList{Max: 1}); !slices.Equal(got, []string{"classic"}) || !more {
		t.Errorf("first page = %v, %t", got, more)
	}
	if got, more := names(object.BucketList{Max: 1, After: "classic"}); !slices.Equal(got, []string{bucket}) || more {
		t.Errorf("second page = %v, %t", got, more)
	}
	if got, _ := names(object.BucketList{Prefix: "cl"}); !slices.Equal(got, []string{"classic"}) {
		t.Errorf("with prefix = %v", got)
	}
	if got, _ := names(object.BucketList{Region: region}); !slices.Equal(got, []string{bucket}) {
		t.Errorf("of region = %v", got)
	}
}

func TestDeleteBucket(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	f.put("a", "x")
	refused(t, f.DeleteBucket(ctx, account, bucket), "BucketNotEmpty")
	refused(t, f.DeleteBucket(ctx, other, bucket), "AccessDenied")

	// A delete marker alone keeps a bucket too.
	f.versioning(object.Enabled)
	marker, err := f.Delete(ctx, account, bucket, object.Deletion{Key: "a"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Delete(ctx, account, bucket, object.Deletion{Key: "a", VersionID: object.NullVersion}); err != nil {
		t.Fatal(err)
	}
	refused(t, f.DeleteBucket(ctx, account, bucket), "BucketNotEmpty")
	if _, err := f.Delete(ctx, account, bucket, object.Deletion{Key: "a", VersionID: marker.VersionID}); err != nil {
		t.Fatal(err)
	}

	// An upload under way does not.
	u, err := f.CreateUpload(ctx, id("big"), object.NewUpload{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.UploadPart(ctx, id("big"), u.ID, 1, data(make([]byte, 1<<20))); err != nil {
		t.Fatal(err)
	}
	if err := f.DeleteBucket(ctx, account, bucket); err != nil {
		t.Fatal(err)
	}
	f.clean()
	if n := f.files(); n != 0 {
		t.Errorf("%d files are left", n)
	}
	refused(t, f.DeleteBucket(ctx, account, bucket), "NoSuchBucket")
	_, err = f.Put(ctx, id("a"), object.Put{}, text("x"))
	refused(t, err, "NoSuchBucket")
	if _, err := f.CreateBucket(ctx, other, region, bucket, object.NewBucket{}); err != nil {
		t.Errorf("the name is not free again: %v", err)
	}
}

func TestVersioningStates(t *testing.T) {
	f := newFixture(t)
	refused(t, f.SetVersioning(t.Context(), account, bucket, object.Unversioned), "IllegalVersioningConfigurationException")
	refused(t, f.SetVersioning(t.Context(), other, bucket, object.Enabled), "AccessDenied")
	refused(t, f.SetVersioning(t.Context(), account, "nowhere", object.Enabled), "NoSuchBucket")
	f.versioning(object.Suspended)
	if b, err := f.Bucket(t.Context(), account, bucket); err != nil || b.Versioning != object.Suspended {
		t.Errorf("bucket = %+v, %v", b, err)
	}
}
