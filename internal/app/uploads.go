package app

import (
	"context"
	"regexp"
	"time"

	"github.com/outcrop/outcrop/internal/garbage"
	"github.com/outcrop/outcrop/internal/object"
	"github.com/outcrop/outcrop/internal/runtime"
)

// uploads are the zips that outcrop deploy has put into object storage.
type uploads struct {
	account string
	objects *object.Storage
	// used are the zips that versions were made from.
	used func(context.Context) (map[runtime.CodeObject]bool, error)
	now  func() time.Time
}

// uploadAge is how old a zip must be at least: a deployment uploads it before it
// makes the version.
const uploadAge = time.Hour

// deployBucket begins the names of the buckets of outcrop deploy.
const deployBucket = "outcrop-deploy-"

// uploadKey is how outcrop deploy names zips: under their digest. What else lies
// there is somebody's own.
var uploadKey = regexp.MustCompile(`^[^/]+/[0-9a-f]{64}\.zip$`)

// collect takes zips that no version was made from, with all versions of the
// object, and counts the others that deploy has put there.
func (u uploads) collect(ctx context.Context, o garbage.Options) (garbage.Report, error) {
	var r garbage.Report
	buckets, _, err := u.objects.Buckets(ctx, u.account, object.BucketList{Prefix: deployBucket})
	if err != nil {
		return r, err
	}
	for _, b := range buckets {
		if b.Name != deployBucket+u.account+"-"+b.Region {
			continue
		}
		if err := u.collectBucket(ctx, b.Name, o, &r); err != nil {
			return r, err
		}
	}
	return r, nil
}

// collectBucket goes through a bucket page by page. Who uses what is asked anew
// for each page, right before it goes.
func (u uploads) collectBucket(ctx context.Context, bucket string, o garbage.Options, r *garbage.Report) error {
	before := u.now().Add(-max(o.Unused, uploadAge))
	list := object.VersionList{Max: object.MaxPage}
	for {
		page, err := u.objects.ListVersions(ctx, u.account, bucket, list)
		if err != nil {
			return err
		}
		used, err := u.used(ctx)
		if err != nil {
			return err
		}
		var gone []object.Deletion
		sizes := map[object.Deletion]int64{}
		for _, v := range page.Versions {
			switch {
			case !uploadKey.MatchString(v.Key):
			case used[runtime.CodeObject{Bucket: bucket, Key: v.Key}] || !v.Modified.Before(before):
				r.Left.Add(v.Size)
			default:
				d := object.Deletion{Key: v.Key, VersionID: v.VersionID}
				gone, sizes[d] = append(gone, d), v.Size
			}
		}
		if err := u.remove(ctx, bucket, gone, sizes, o.DryRun, r); err != nil {
			return err
		}
		if !page.Truncated {
			return nil
		}
		list.KeyMarker, list.VersionMarker = page.KeyMarker, page.VersionMarker
		if !o.DryRun { // it may be gone: on with the next key
			list.VersionMarker = ""
		}
	}
}

// remove deletes what is to go, and counts it.
func (u uploads) remove(ctx context.Context, bucket string, gone []object.Deletion, sizes map[object.Deletion]int64, dryRun bool, r *garbage.Report) error {
	if !dryRun && len(gone) > 0 {
		done, err := u.objects.DeleteAll(ctx, u.account, bucket, gone)
		if err != nil {
			return err
		}
		for i, d := range done {
			if d.Err != nil {
				return d.Err
			}
			r.Taken.Add(sizes[gone[i]])
		}
		return nil
	}
	for _, d := range gone {
		r.Taken.Add(sizes[d])
	}
	return nil
}
