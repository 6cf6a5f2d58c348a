package object_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/object"
)

// TestExpireObjects removes what has been there for the days of a rule, at the
// midnight after, and nothing else.
func TestExpireObjects(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	rules := []object.LifecycleRule{{ID: "builds", Prefix: "builds/", Days: 7}, {ID: "off", Days: 1, Disabled: true}}
	if err := f.SetLifecycle(ctx, account, bucket, rules); err != nil {
		t.Fatal(err)
	}
	const many = 450 // more than share a transaction
	for i := range many {
		f.put(fmt.Sprintf("builds/%03d", i), "old")
	}
	f.put("kept", "elsewhere")
	begun := f.clock.at
	f.clock.at = begun.Add(24 * time.Hour)
	f.put("builds/young", "x")
	left := func() int {
		t.Helper()
		if err := f.ExpireObjects(ctx); err != nil {
			t.Fatal(err)
		}
		n, token := 0, ""
		for {
			page, err := f.ListObjects(ctx, account, bucket, object.List{Token: token, Max: object.MaxPage})
			if err != nil {
				t.Fatal(err)
			}
			n += len(page.Objects)
			if !page.Truncated {
				return n
			}
			token = page.Token
		}
	}
	f.clock.at = begun.AddDate(0, 0, 7).Add(time.Hour)
	if n := left(); n != many+2 {
		t.Errorf("%d objects are left before midnight", n)
	}
	f.clock.at = begun.AddDate(0, 0, 8).Truncate(24 * time.Hour)
	if n := left(); n != 2 {
		t.Errorf("%d objects are left after midnight", n)
	}
	f.versioning(object.Enabled)
	f.clock.at = begun.AddDate(0, 0, 9).Truncate(24 * time.Hour)
	if n := left(); n != 1 {
		t.Errorf("%d objects are left a day after", n)
	}
	if s, err := f.read("builds/young", object.NullVersion); err != nil || s != "x" {
		t.Errorf("a version that a rule has hidden: %q, %v", s, err)
	}
	if err := f.SetLifecycle(ctx, account, bucket, append(rules, rules[0])); err == nil {
		t.Error("two rules of one id")
	}
}
