package lambda

import (
	"context"

	"github.com/outcrop/outcrop/internal/api/model/lambda"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/store"
)

// changeable reads a function that a caller wants to change.
func (s *Service) changeable(r store.Reader, n Name, seen *string) (functionDoc, error) {
	doc, err := s.get(r, n)
	switch {
	case err != nil:
	case seen != nil && *seen != doc.State.Revision:
		err = stale()
	case doc.State.Status == pending:
		err = conflict("The operation cannot be performed at this time. The function is currently in the following state: %s", pending)
	case doc.State.Update == inProgress:
		err = conflict("The operation cannot be performed at this time. An update is in progress for resource: %s", ARN(n.Scope, n.Function))
	}
	return doc, err
}

// replace stores a function's next version, which is what is asked for from now on and
// is invoked when it has been prepared.
func (s *Service) replace(ctx context.Context, n Name, seen *string, change func(*functionDoc) error) (functionDoc, error) {
	return store.Reply(ctx, s.cfg.Store, func(tx store.Tx) (functionDoc, error) {
		doc, err := s.changeable(tx, n, seen)
		if err != nil {
			return doc, err
		}
		st := &doc.State
		number := st.Target.Number + 1
		if err := change(&doc); err != nil {
			return doc, err
		}
		st.Target.Number, st.Target.Snapshot, st.Target.Warnings = number, nil, nil
		st.Revision, st.Modified = revision(), tx.Now()
		if st.Status == failed { // another attempt to make it
			st.Status, st.Reason, st.ReasonCode = pending, "The function is being created.", lambda.StateReasonCodeCreating
		}
		st.Update, st.UpdateReason, st.UpdateReasonCode = inProgress, "The function is being created.", lambda.StateReasonCodeCreating
		if doc, err = s.functions.Replace(tx, doc); err != nil {
			return doc, err
		}
		return doc, enqueue(tx, prepareKind, payload{Scope: n.Scope, Name: n.Function, ID: st.ID, Number: number})
	})
}

// UpdateFunctionCode replaces a function's code.
func (a api) UpdateFunctionCode(ctx context.Context, in *lambda.UpdateFunctionCodeRequest) (*lambda.FunctionConfiguration, error) {
	s := a.Service
	n, err := may(ctx, "UpdateFunctionCode", in.FunctionName, nil)
	if err != nil {
		return nil, err
	}
	if wire.True(in.Publish) {
		return nil, invalidParameter("Publish: functions have no published versions here; leave it out and invoke $LATEST")
	}
	c := code{in.ZipFile, wire.Text(in.S3Bucket), wire.Text(in.S3Key), wire.Text(in.S3ObjectVersion)}
	var doc functionDoc
	err = s.cfg.Store.View(ctx, func(r store.Reader) (err error) {
		doc, err = s.changeable(r, n, in.RevisionId)
		return err
	})
	if err != nil {
		return nil, err
	}
	var v version
	held, err := s.unpack(ctx, n.Scope, c, &v)
	if err != nil {
		return nil, err
	}
	defer held.Release()
	change := func(doc *functionDoc) error {
		t := &doc.State.Target
		t.Digest, t.Size, t.Fit, t.SDK, t.Interpreter = v.Digest, v.Size, nil, "", ""
		if len(in.Architectures) > 0 {
			t.Settings.Architecture = in.Architectures[0]
		}
		return nil
	}
	if wire.True(in.DryRun) {
		if err := change(&doc); err != nil {
			return nil, err
		}
		return s.describe(ctx, doc)
	}
	if doc, err = s.replace(ctx, n, in.RevisionId, change); err != nil {
		return nil, err
	}
	return s.describe(ctx, doc)
}

// UpdateFunctionConfiguration changes the settings that are given.
func (a api) UpdateFunctionConfiguration(ctx context.Context, in *lambda.UpdateFunctionConfigurationRequest) (*lambda.FunctionConfiguration, error) {
	s := a.Service
	n, err := may(ctx, "UpdateFunctionConfiguration", in.FunctionName, nil)
	if err != nil {
		return nil, err
	}
	var doc functionDoc
	err = s.cfg.Store.View(ctx, func(r store.Reader) (err error) {
		doc, err = s.changeable(r, n, in.RevisionId)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := checkNew(in.LoggingConfig, in.KMSKeyArn); err != nil {
		return nil, err
	}
	next := doc.State.Target.Settings
	next.change(in)
	if err := s.check(ctx, n, &next); err != nil {
		return nil, err
	}
	env, err := s.sealed(ctx, n.Scope, n.Function, doc.State.ID, in.Environment)
	if err != nil {
		return nil, err
	}
	id := doc.State.ID
	doc, err = s.replace(ctx, n, in.RevisionId, func(doc *functionDoc) error {
		if doc.State.ID != id { // deleted and made again meanwhile
			return conflict("The function %s was replaced by another of that name meanwhile", n.Function)
		}
		t := &doc.State.Target
		t.Settings.change(in)
		if in.Environment != nil {
			t.Environment = env
		}
		if in.Runtime != nil {
			t.Fit, t.SDK, t.Interpreter = nil, "", ""
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s.describe(ctx, doc)
}
