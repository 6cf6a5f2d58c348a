package lambda

import (
	"context"
	"errors"
	"net/http"

	"github.com/outcrop/outcrop/internal/api/model/lambda"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/tag"
)

// CreateFunction unpacks and stores a function; finding what it runs with is a work item.
func (a api) CreateFunction(ctx context.Context, in *lambda.CreateFunctionRequest) (*lambda.FunctionConfiguration, error) {
	s := a.Service
	n, err := may(ctx, "CreateFunction", in.FunctionName, nil)
	if err != nil {
		return nil, err
	}
	if err := tag.Check(in.Tags); err != nil {
		return nil, err
	}
	if err := checkCreate(n, in); err != nil {
		return nil, err
	}
	v := version{Number: 1, Settings: settingsOf(in)}
	if err := s.check(ctx, n, &v.Settings); err != nil {
		return nil, err
	}
	id := randomID(8)
	if v.Environment, err = s.sealed(ctx, n.Scope, n.Function, id, in.Environment); err != nil {
		return nil, err
	}
	held, err := s.unpack(ctx, n.Scope, codeOf(in.Code), &v)
	if err != nil {
		return nil, err
	}
	defer held.Release()
	doc, err := store.Reply(ctx, s.cfg.Store, func(tx store.Tx) (functionDoc, error) {
		doc, err := s.functions.Create(tx, functionDoc{
			Scope: n.Scope, ID: n.Function, Spec: functionSpec{in.Tags}, State: functionState{
				ID: id, Status: pending, Reason: "The function is being created.", ReasonCode: lambda.StateReasonCodeCreating,
				Target: v, Revision: revision(), Modified: tx.Now(),
			},
		})
		if errors.Is(err, store.ErrExists) {
			return doc, conflict("Function already exist: %s", n.Function)
		}
		if err != nil {
			return doc, err
		}
		return doc, enqueue(tx, prepareKind, payload{Scope: n.Scope, Name: n.Function, ID: id, Number: 1})
	})
	if err != nil {
		return nil, err
	}
	return s.describe(ctx, doc)
}

// GetFunction describes a function and its tags.
func (a api) GetFunction(ctx context.Context, in *lambda.GetFunctionRequest) (*lambda.GetFunctionResponse, error) {
	n, err := may(ctx, "GetFunction", in.FunctionName, in.Qualifier)
	if err != nil {
		return nil, err
	}
	doc, err := a.read(ctx, n)
	if err != nil {
		return nil, err
	}
	c, err := a.describe(ctx, doc)
	if err != nil {
		return nil, err
	}
	return &lambda.GetFunctionResponse{Configuration: qualified(c, n), Code: &lambda.FunctionCodeLocation{RepositoryType: new("S3")}, Tags: doc.Spec.Tags}, nil
}

// GetFunctionConfiguration describes a function.
func (a api) GetFunctionConfiguration(ctx context.Context, in *lambda.GetFunctionConfigurationRequest) (*lambda.FunctionConfiguration, error) {
	n, err := may(ctx, "GetFunctionConfiguration", in.FunctionName, in.Qualifier)
	if err != nil {
		return nil, err
	}
	doc, err := a.read(ctx, n)
	if err != nil {
		return nil, err
	}
	c, err := a.describe(ctx, doc)
	return qualified(c, n), err
}

// qualified gives a description the ARN that its function was asked for by.
func qualified(c *lambda.FunctionConfiguration, n Name) *lambda.FunctionConfiguration {
	if c != nil && n.Qualifier != "" {
		c.FunctionArn = new(n.ARN())
	}
	return c
}

// GetFunctionCodeSigningConfig says that there is none.
func (a api) GetFunctionCodeSigningConfig(ctx context.Context, in *lambda.GetFunctionCodeSigningConfigRequest) (*lambda.GetFunctionCodeSigningConfigResponse, error) {
	n, err := may(ctx, "GetFunctionCodeSigningConfig", in.FunctionName, nil)
	if err != nil {
		return nil, err
	}
	if _, err := a.read(ctx, n); err != nil {
		return nil, err
	}
	return &lambda.GetFunctionCodeSigningConfigResponse{FunctionName: &n.Function}, nil
}

// DeleteFunction takes a function away at once; its environments end after it.
func (a api) DeleteFunction(ctx context.Context, in *lambda.DeleteFunctionRequest) (*lambda.DeleteFunctionResponse, error) {
	s := a.Service
	n, err := may(ctx, "DeleteFunction", in.FunctionName, in.Qualifier)
	if err != nil {
		return nil, err
	}
	if n.Qualifier == Latest {
		return nil, invalidParameter("$LATEST version cannot be deleted without deleting the function.")
	}
	err = s.cfg.Store.Update(store.Freeing(ctx), func(tx store.Tx) error {
		doc, err := s.get(tx, n)
		if err != nil {
			return err
		}
		if err := s.functions.Delete(tx, n.Scope, n.Function); err != nil {
			return err
		}
		return enqueue(tx, deleteKind, payload{Scope: n.Scope, Name: n.Function, ID: doc.State.ID})
	})
	if err != nil {
		return nil, err
	}
	return &lambda.DeleteFunctionResponse{StatusCode: new(int32(http.StatusNoContent))}, nil
}

// ListFunctions pages through the functions in the order of their creation.
func (a api) ListFunctions(ctx context.Context, in *lambda.ListFunctionsRequest) (*lambda.ListFunctionsResponse, error) {
	scope := pipeline.From(ctx).Scope
	var list store.Listing[functionDoc]
	err := a.cfg.Store.View(ctx, func(r store.Reader) (err error) {
		list, err = a.functions.List(r, scope, "", wire.Page(in.MaxItems, in.Marker, pageSize))
		return err
	})
	if errors.Is(err, store.ErrBadToken) {
		return nil, invalidParameter("Marker is not one that this operation returned")
	}
	if err != nil {
		return nil, err
	}
	out := &lambda.ListFunctionsResponse{Functions: []lambda.FunctionConfiguration{}, NextMarker: wire.Optional(list.Next)}
	for _, doc := range list.Items {
		c, err := a.describe(ctx, doc)
		if err != nil {
			return nil, err
		}
		// As on AWS, a list has none of what changes while a function settles.
		c.State, c.StateReason, c.StateReasonCode = nil, nil, nil
		c.LastUpdateStatus, c.LastUpdateStatusReason, c.LastUpdateStatusReasonCode = nil, nil, nil
		out.Functions = append(out.Functions, *c)
	}
	return out, nil
}

// pageSize is how many functions a page has where nobody says.
const pageSize = 50

// ListVersionsByFunction lists the one version that a function has.
func (a api) ListVersionsByFunction(ctx context.Context, in *lambda.ListVersionsByFunctionRequest) (*lambda.ListVersionsByFunctionResponse, error) {
	n, err := may(ctx, "ListVersionsByFunction", in.FunctionName, nil)
	if err != nil {
		return nil, err
	}
	doc, err := a.read(ctx, n)
	if err != nil {
		return nil, err
	}
	c, err := a.describe(ctx, doc)
	if err != nil {
		return nil, err
	}
	n.Qualifier = Latest
	return &lambda.ListVersionsByFunctionResponse{Versions: []lambda.FunctionConfiguration{*qualified(c, n)}}, nil
}

// tagged reads the ARN of a function whose tags are meant.
func tagged(ctx context.Context, arn *string) (Name, error) {
	n, err := ParseName(pipeline.From(ctx).Scope, wire.Text(arn), "")
	if err == nil && n.Qualifier != "" {
		err = invalidParameter("Tags on function aliases and versions are not supported. Please specify either a function ARN")
	}
	return n, err
}

// ListTags returns the tags of a function.
func (a api) ListTags(ctx context.Context, in *lambda.ListTagsRequest) (*lambda.ListTagsResponse, error) {
	n, err := tagged(ctx, in.Resource)
	if err != nil {
		return nil, err
	}
	doc, err := a.read(ctx, n)
	if err != nil {
		return nil, err
	}
	tags := doc.Spec.Tags
	if tags == nil {
		tags = map[string]string{}
	}
	return &lambda.ListTagsResponse{Tags: tags}, nil
}

// TagResource adds tags to a function.
func (a api) TagResource(ctx context.Context, in *lambda.TagResourceRequest) (*lambda.Nothing, error) {
	return a.retag(ctx, in.Resource, func(tags map[string]string) (map[string]string, error) { return tag.Merge(tags, in.Tags) })
}

// UntagResource takes tags away.
func (a api) UntagResource(ctx context.Context, in *lambda.UntagResourceRequest) (*lambda.Nothing, error) {
	return a.retag(ctx, in.Resource, func(tags map[string]string) (map[string]string, error) {
		for _, key := range in.TagKeys {
			delete(tags, key)
		}
		return tags, nil
	})
}

func (a api) retag(ctx context.Context, arn *string, change func(map[string]string) (map[string]string, error)) (*lambda.Nothing, error) {
	n, err := tagged(ctx, arn)
	if err != nil {
		return nil, err
	}
	err = a.cfg.Store.Update(ctx, func(tx store.Tx) error {
		doc, err := a.get(tx, n)
		if err != nil {
			return err
		}
		if doc.Spec.Tags, err = change(doc.Spec.Tags); err != nil {
			return err
		}
		_, err = a.functions.Replace(tx, doc)
		return err
	})
	return &lambda.Nothing{}, err
}

// Topic is touched whenever a function changes.
func (s *Service) Topic() store.Topic { return s.functions.Topic() }

// Attached are the policy and tags of the function with an ARN, for who decides on calls.
func (s *Service) Attached(ctx context.Context, arn string) (a Attached, there bool, err error) {
	n, err := ParseName(store.Scope{}, arn, "")
	if err != nil || !n.Scope.Valid() {
		return a, false, nil
	}
	n.Qualifier = ""
	doc, err := s.read(ctx, n)
	if fault.Is(err, "ResourceNotFoundException") {
		return a, false, nil
	}
	if err != nil {
		return a, false, err
	}
	return Attached{Tags: doc.Spec.Tags, Policy: policyText(doc.State.Statements), Pins: doc.State.Pins}, true, nil
}
