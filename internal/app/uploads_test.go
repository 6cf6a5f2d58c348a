package app

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/garbage"
	"github.com/outcrop/outcrop/internal/object"
	"github.com/outcrop/outcrop/internal/runtime"
	"github.com/outcrop/outcrop/internal/store/sqlite"
)

// TestUploads: only zips of deploy's own names go, of its own bucket, that are old
// and that no version was made from; whether or not the bucket keeps versions.
func TestUploads(t *testing.T) {
	const account, region = "111122223333", "eu-west-1"
	const deploy = deployBucket + account + "-" + region
	zip := func(name string, digit string) string { return name + "/" + strings.Repeat(digit, 64) + ".zip" }
	for _, versioning := range []object.Versioning{object.Unversioned, object.Enabled} {
		t.Run(string("versioning "+versioning), func(t *testing.T) {
			dir, at := t.TempDir(), time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
			db, err := sqlite.Open(t.Context(), filepath.Join(dir, "outcrop.db"), sqlite.Options{Now: func() time.Time { return at }})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { db.Close() })
			objects, err := object.New(t.Context(), object.Config{Dir: filepath.Join(dir, "objects"), Store: db})
			if err != nil {
				t.Fatal(err)
			}
			put := func(bucket, key string) {
				t.Helper()
				id := object.ID{Account: account, Bucket: bucket, Key: key}
				if _, err := objects.Put(t.Context(), id, object.Put{}, object.Body{Reader: strings.NewReader("zip"), Size: 3}); err != nil {
					t.Fatal(err)
				}
			}
			for _, name := range []string{deploy, deployBucket + "mine", "code"} {
				if _, err := objects.CreateBucket(t.Context(), account, region, name, object.NewBucket{}); err != nil {
					t.Fatal(err)
				}
			}
			if versioning != object.Unversioned {
				if err := objects.SetVersioning(t.Context(), account, deploy, versioning); err != nil {
					t.Fatal(err)
				}
			}
			for _, key := range []string{zip("gone", "a"), zip("gone", "b"), zip("used", "a"), "notes.txt", "gone/readme.zip"} {
				put(deploy, key)
			}
			put("code", zip("gone", "a"))
			put(deployBucket+"mine", zip("gone", "a"))
			at = at.Add(2 * time.Hour)
			put(deploy, zip("young", "a"))
			used := map[runtime.CodeObject]bool{{Bucket: deploy, Key: zip("used", "a")}: true}
			var failure error
			u := uploads{account: account, objects: objects, now: func() time.Time { return at }, used: func(context.Context) (map[runtime.CodeObject]bool, error) {
				return used, failure
			}}
			left := func() string {
				var all []string
				for _, bucket := range []string{deploy, deployBucket + "mine", "code"} {
					page, err := objects.ListVersions(t.Context(), account, bucket, object.VersionList{Max: object.MaxPage})
					if err != nil {
						t.Fatal(err)
					}
					for _, v := range page.Versions {
						all = append(all, v.Key)
					}
				}
				return strings.Join(all, " ")
			}
			collect := func(o garbage.Options, want string) {
				t.Helper()
				r, err := u.collect(t.Context(), o)
				if got := fmt.Sprint(r.Taken, r.Left); err != nil || got != want {
					t.Errorf("collect(%+v) = %s, %v; want %s", o, got, err, want)
				}
			}
			before := left()
			collect(garbage.Options{DryRun: true}, "{2 6} {2 6}")
			collect(garbage.Options{Unused: 24 * time.Hour, All: true}, "{0 0} {4 12}")
			failure = errors.New("the store is away")
			if _, err := u.collect(t.Context(), garbage.Options{}); !errors.Is(err, failure) {
				t.Errorf("collect() = %v, want %v", err, failure)
			}
			if got := left(); got != before {
				t.Errorf("left %s, want %s", got, before)
			}
			failure = nil
			collect(garbage.Options{}, "{2 6} {2 6}")
			want := strings.Join([]string{"gone/readme.zip", "notes.txt", zip("used", "a"), zip("young", "a"), zip("gone", "a"), zip("gone", "a")}, " ")
			if got := left(); got != want {
				t.Errorf("left %s, want %s", got, want)
			}
			at = at.Add(2 * time.Hour)
			collect(garbage.Options{}, "{1 3} {1 3}")
		})
	}
}
