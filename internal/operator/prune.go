package operator

import (
	"context"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/outcrop"
	"github.com/outcrop/outcrop/internal/garbage"
)

// Garbage collects what nobody needs any more.
type Garbage interface {
	Collect(ctx context.Context, kinds []string, o garbage.Options) ([]garbage.Report, error)
}

// The kinds of garbage, as its Collector names them: those of the wire in lower
// case.
const (
	KindCode        = "code"
	KindSnapshots   = "snapshots"
	KindHibernated  = "hibernated"
	KindStorage     = "storage"
	KindExecutables = "executables"
	KindTemporary   = "temporary"
	KindImages      = "images"
	KindLayers      = "layers"
	KindUploads     = "uploads"
)

// Prune removes what the whole server keeps and nobody needs, whatever account
// and region it was for. A result that says that it failed is incomplete; the
// server's log says why.
func (s *Service) Prune(ctx context.Context, in *outcrop.PruneRequest) (*outcrop.PruneResponse, error) {
	o := garbage.Options{Survey: true}
	if in.All != nil {
		o.All = *in.All
	}
	if in.DryRun != nil {
		o.DryRun = *in.DryRun
	}
	if in.UnusedSeconds != nil {
		o.Unused = time.Duration(*in.UnusedSeconds) * time.Second
	}
	var kinds []string
	for _, k := range in.Kinds {
		kinds = append(kinds, strings.ToLower(k))
	}
	reports, err := s.cfg.Garbage.Collect(ctx, kinds, o)
	if err != nil {
		return nil, err
	}
	out := &outcrop.PruneResponse{Results: []outcrop.PruneResult{}}
	for _, r := range reports {
		result := outcrop.PruneResult{
			Kind: new(strings.ToUpper(r.Kind)), Removed: new(r.Taken.Items), RemovedBytes: new(r.Taken.Bytes), Left: new(r.Left.Items), LeftBytes: new(r.Left.Bytes),
		}
		if r.Err != nil {
			result.Failed = new(true)
		}
		out.Results = append(out.Results, result)
	}
	return out, nil
}
