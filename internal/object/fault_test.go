package object

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/fault"
)

var update = flag.Bool("update", false, "write the golden files anew")

// What callers read is written down, so that a change of it is seen.
func TestFaultTexts(t *testing.T) {
	p := CompletedPart{Number: 3, ETag: "etag"}
	faults := []*fault.Error{
		accessDenied(), invalidBucketName("B"), noSuchBucket("b"), bucketAlreadyExists("b"), bucketAlreadyOwned("b"),
		bucketNotEmpty("b", Unversioned), bucketNotEmpty("b", Suspended), noSuchKey("k"), noSuchVersion("k", "v"), noSuchUpload("u"),
		markerNotAllowed("k"), keyTooLong(strings.Repeat("k", 1025)), metadataTooLarge(2049), entityTooLarge(6<<30, MaxPutSize),
		entityTooSmall(p, 5), incompleteBody(), badDigest("Content-MD5"), badChecksum("CRC32"), invalidDigest("x"), invalidPart("u", p),
		invalidPartOrder("u"), malformedXML(), preconditionFailed("If-Match"), notModified(), invalidStorageClass("GLACIER"),
		fault.From(checkPartNumber(0)), InvalidRange("bytes=5-", 5), InvalidPartNumber(4, 3), diskFull(nil),
	}
	var got strings.Builder
	for _, f := range faults {
		fmt.Fprintf(&got, "%d %s: %s\n", f.Status, f.Code, f.Message)
		for _, name := range slices.Sorted(maps.Keys(f.Members)) {
			value := f.Members[name]
			fmt.Fprintf(&got, "    %s: %.40s\n", name, value)
		}
	}
	const golden = "testdata/faults.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || got.String() != string(want) {
		t.Errorf("texts differ from %s (%v); -update writes it anew:\n%s", golden, err, &got)
	}
}
