package tag_test

import (
	"fmt"
	"maps"
	"testing"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/tag"
)

func TestMerge(t *testing.T) {
	have := map[string]string{"team": "a", "stage": "dev"}
	got, err := tag.Merge(have, map[string]string{"team": "b", "cost": ""})
	if want := map[string]string{"team": "b", "stage": "dev", "cost": ""}; err != nil || !maps.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	if have["team"] != "a" {
		t.Error("it changed what it was given")
	}
	full := map[string]string{}
	for i := range tag.Max {
		full[fmt.Sprint(i)] = ""
	}
	if _, err := tag.Merge(full, map[string]string{"0": "again"}); err != nil {
		t.Errorf("another value for one of %d: %v", tag.Max, err)
	}
	if _, err := tag.Merge(full, map[string]string{"one more": ""}); !fault.Is(err, "ServiceQuotaExceededException") {
		t.Errorf("one too many: %v", err)
	}
	for _, key := range []string{"aws:x", "AWS:cloudformation:stack"} {
		if _, err := tag.Merge(nil, map[string]string{key: "x"}); !fault.Is(err, "ValidationException") {
			t.Errorf("%s: %v", key, err)
		}
	}
}
