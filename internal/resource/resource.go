// Package resource is the service of what any resource can have attached to it,
// whichever service owns it: tags, which are part of the resource, and a policy.
package resource

import (
	"context"
	"errors"
	"maps"
	"strings"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/auth/pin"
	"github.com/outcrop/outcrop/internal/auth/policy"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/resourcepolicy"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/tag"
)

// Owner is a service as the owner of resources. A path is what stands in an ARN
// behind the account, such as runtime/ID.
type Owner interface {
	// Tags returns a resource's tags, or a refusal that says that it is not there.
	Tags(r store.Reader, scope store.Scope, path string) (map[string]string, error)
	// SetTags replaces them.
	SetTags(tx store.Tx, scope store.Scope, path string, tags map[string]string) error
	// PolicyNames are the ARNs by which a resource's policy may name it; none: it
	// takes no policy.
	PolicyNames(scope store.Scope, path string) []string
}

// PolicyOwner is an Owner whose resources' policies may say less than others.
type PolicyOwner interface {
	// CheckPolicy refuses a policy that cannot be one of a resource that is there.
	CheckPolicy(r store.Reader, scope store.Scope, path string, doc *policy.Document) error
}

// Service implements agentcorecontrol.Resources.
type Service struct {
	store     store.Store
	owners    map[string]Owner
	directory pin.Directory
}

var _ agentcorecontrol.Resources = (*Service)(nil)

// New returns the service. Owners are found by the first part of a path
// ("runtime"), and whom policies name by the directory; without one all are taken for
// who they say.
func New(st store.Store, owners map[string]Owner, directory pin.Directory) *Service {
	return &Service{st, owners, directory}
}

// TagResource adds tags to a resource, in place of those with the same keys.
func (s *Service) TagResource(ctx context.Context, in *agentcorecontrol.TagResourceRequest) (*agentcorecontrol.TagResourceResponse, error) {
	return &agentcorecontrol.TagResourceResponse{}, s.retag(ctx, *in.ResourceArn, func(tags map[string]string) (map[string]string, error) {
		return tag.Merge(tags, in.Tags)
	})
}

// UntagResource removes the tags with some keys; those that are not there are no
// error.
func (s *Service) UntagResource(ctx context.Context, in *agentcorecontrol.UntagResourceRequest) (*agentcorecontrol.UntagResourceResponse, error) {
	return &agentcorecontrol.UntagResourceResponse{}, s.retag(ctx, *in.ResourceArn, func(tags map[string]string) (map[string]string, error) {
		tags = maps.Clone(tags)
		for _, key := range in.TagKeys {
			delete(tags, key)
		}
		return tags, nil
	})
}

func (s *Service) retag(ctx context.Context, arn string, change func(map[string]string) (map[string]string, error)) error {
	at, err := s.find(ctx, arn)
	if err != nil {
		return err
	}
	return s.store.Update(ctx, func(tx store.Tx) error {
		tags, err := at.owner.Tags(tx, at.scope, at.path)
		if err == nil {
			tags, err = change(tags)
		}
		if err != nil {
			return err
		}
		return at.owner.SetTags(tx, at.scope, at.path, tags)
	})
}

// ListTagsForResource returns all tags of a resource.
func (s *Service) ListTagsForResource(ctx context.Context, in *agentcorecontrol.ListTagsForResourceRequest) (*agentcorecontrol.ListTagsForResourceResponse, error) {
	at, err := s.find(ctx, *in.ResourceArn)
	if err != nil {
		return nil, err
	}
	out := &agentcorecontrol.ListTagsForResourceResponse{}
	err = s.store.View(ctx, func(r store.Reader) (err error) {
		out.Tags, err = at.owner.Tags(r, at.scope, at.path)
		return err
	})
	if out.Tags == nil {
		out.Tags = map[string]string{}
	}
	return out, err
}

// PutResourcePolicy attaches a policy to a resource, in place of an older one.
func (s *Service) PutResourcePolicy(ctx context.Context, in *agentcorecontrol.PutResourcePolicyRequest) (*agentcorecontrol.PutResourcePolicyResponse, error) {
	at, err := s.policied(ctx, *in.ResourceArn)
	if err != nil {
		return nil, err
	}
	doc, err := resourcepolicy.Parse(*in.Policy, at.names...)
	if err != nil {
		return nil, err
	}
	pins, err := pin.Take(ctx, s.directory, doc)
	if unknown, ok := errors.AsType[*pin.UnknownError](err); ok {
		return nil, fault.Invalid("policy", "The policy is not valid: invalid principal in policy: %s", unknown.Error())
	}
	if err != nil {
		return nil, err
	}
	err = s.store.Update(ctx, func(tx store.Tx) error {
		if _, err := at.owner.Tags(tx, at.scope, at.path); err != nil {
			return err
		}
		if owner, ok := at.owner.(PolicyOwner); ok {
			if err := owner.CheckPolicy(tx, at.scope, at.path, doc); err != nil {
				return err
			}
		}
		return resourcepolicy.Put(tx, at.scope, at.arn, *in.Policy, pins)
	})
	return &agentcorecontrol.PutResourcePolicyResponse{Policy: in.Policy}, err
}

// GetResourcePolicy returns a resource's policy, or nothing.
func (s *Service) GetResourcePolicy(ctx context.Context, in *agentcorecontrol.GetResourcePolicyRequest) (*agentcorecontrol.GetResourcePolicyResponse, error) {
	at, err := s.policied(ctx, *in.ResourceArn)
	if err != nil {
		return nil, err
	}
	text, pins := "", pin.Pins(nil)
	err = s.store.View(ctx, func(r store.Reader) (err error) {
		if _, err := at.owner.Tags(r, at.scope, at.path); err != nil {
			return err
		}
		text, pins, err = resourcepolicy.Get(r, at.scope, at.arn)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return &agentcorecontrol.GetResourcePolicyResponse{}, nil
	}
	if err == nil {
		text, err = pins.Text(ctx, s.directory, text)
	}
	return &agentcorecontrol.GetResourcePolicyResponse{Policy: &text}, err
}

// DeleteResourcePolicy takes a resource's policy away.
func (s *Service) DeleteResourcePolicy(ctx context.Context, in *agentcorecontrol.DeleteResourcePolicyRequest) (*agentcorecontrol.DeleteResourcePolicyResponse, error) {
	at, err := s.policied(ctx, *in.ResourceArn)
	if err != nil {
		return nil, err
	}
	err = s.store.Update(ctx, func(tx store.Tx) error {
		if _, err := at.owner.Tags(tx, at.scope, at.path); err != nil {
			return err
		}
		return resourcepolicy.Delete(tx, at.scope, at.arn)
	})
	if errors.Is(err, store.ErrNotFound) {
		err = fault.NotFound("There is no resource policy for '%s'", at.arn)
	}
	return &agentcorecontrol.DeleteResourcePolicyResponse{}, err
}

// service is whose resources these are, in ARNs.
const service = "bedrock-agentcore"

// place is where a resource is found.
type place struct {
	arn, path string
	scope     store.Scope
	owner     Owner
	names     []string // for its policy
}

// find reads an ARN, whose form the model has checked. One of another account was
// refused before.
func (s *Service) find(ctx context.Context, arn string) (place, error) {
	scope := pipeline.From(ctx).Scope
	part := strings.SplitN(arn, ":", 6)
	if len(part) != 6 {
		return place{}, fault.Validation("'%s' is not an ARN", arn)
	}
	at := place{arn: arn, path: part[5], scope: scope}
	kind, _, _ := strings.Cut(at.path, "/")
	at.owner = s.owners[kind]
	if at.owner == nil || part[1] != "aws" || part[2] != service || part[3] != scope.Region || part[4] != scope.Account {
		return place{}, fault.NotFound("No resource found with the ARN '%s'", arn)
	}
	return at, nil
}

// policied is find for a resource that takes a policy.
func (s *Service) policied(ctx context.Context, arn string) (place, error) {
	at, err := s.find(ctx, arn)
	if err != nil {
		return at, err
	}
	if at.names = at.owner.PolicyNames(at.scope, at.path); len(at.names) == 0 {
		return at, fault.Validation("'%s' takes no resource policy", arn)
	}
	return at, nil
}
