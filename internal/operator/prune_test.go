package operator_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/outcrop"
	"github.com/outcrop/outcrop/internal/garbage"
	"github.com/outcrop/outcrop/internal/operator"
)

// collector is asked, and finds the same each time.
type collector struct {
	kinds []string
	o     garbage.Options
	err   error
}

func (c *collector) Collect(_ context.Context, kinds []string, o garbage.Options) ([]garbage.Report, error) {
	c.kinds, c.o = kinds, o
	return []garbage.Report{
		{Kind: operator.KindCode, Taken: garbage.Amount{Items: 1, Bytes: 2}, Left: garbage.Amount{Items: 3, Bytes: 4}},
		{Kind: operator.KindStorage, Err: errors.New("open /srv/outcrop/session-storage: permission denied")},
	}, c.err
}

func TestPrune(t *testing.T) {
	for _, tt := range []struct {
		in    outcrop.PruneRequest
		kinds []string
		want  garbage.Options
	}{
		{outcrop.PruneRequest{}, nil, garbage.Options{Survey: true}},
		{
			outcrop.PruneRequest{Kinds: []string{outcrop.PruneKindCODE, outcrop.PruneKindSTORAGE}, All: ptr(true), DryRun: ptr(true), UnusedSeconds: ptr(int64(60))},
			[]string{"code", "storage"}, garbage.Options{All: true, DryRun: true, Unused: time.Minute, Survey: true},
		},
	} {
		c := &collector{}
		out, err := operator.New(operator.Config{Garbage: c}).Prune(t.Context(), &tt.in)
		if err != nil || fmt.Sprint(c.kinds) != fmt.Sprint(tt.kinds) || c.o != tt.want || len(out.Results) != 2 {
			t.Fatalf("asked for %v with %+v; %+v, %v", c.kinds, c.o, out, err)
		}
		if r := out.Results[0]; *r.Kind != "CODE" || *r.Removed != 1 || *r.RemovedBytes != 2 || *r.Left != 3 || *r.LeftBytes != 4 || r.Failed != nil {
			t.Errorf("%+v", r)
		}
		if r := out.Results[1]; *r.Kind != "STORAGE" || r.Failed == nil || !*r.Failed {
			t.Errorf("what failed: %+v", r)
		}
	}
	gone := &collector{err: context.Canceled}
	if _, err := operator.New(operator.Config{Garbage: gone}).Prune(t.Context(), &outcrop.PruneRequest{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestPruneKinds: those of the wire are those of the collector.
func TestPruneKinds(t *testing.T) {
	want := fmt.Sprint([]string{
		operator.KindCode, operator.KindSnapshots, operator.KindHibernated, operator.KindStorage, operator.KindExecutables, operator.KindTemporary,
	})
	c := &collector{}
	all := []string{
		outcrop.PruneKindCODE, outcrop.PruneKindSNAPSHOTS, outcrop.PruneKindHIBERNATED, outcrop.PruneKindSTORAGE, outcrop.PruneKindEXECUTABLES, outcrop.PruneKindTEMPORARY,
	}
	if _, err := operator.New(operator.Config{Garbage: c}).Prune(t.Context(), &outcrop.PruneRequest{Kinds: all}); err != nil || fmt.Sprint(c.kinds) != want {
		t.Errorf("%v, %v; want %s", c.kinds, err, want)
	}
}
