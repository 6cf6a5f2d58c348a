package iam

import (
	"context"
	"crypto/sha256"
	"net/http"
	"strings"

	"github.com/google/uuid"

	model "github.com/outcrop/outcrop/internal/api/model/iam"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/principal"
)

// Service-linked roles are those that a service of AWS would have in the account.
// Clients make them before they use the service and look for them by name; nothing
// here assumes them.

// linkedName returns the name of a service's role: AWSServiceRoleForBedrockAgentCore-
// Network of network.bedrock-agentcore.amazonaws.com. ok is false for what is no
// service.
func linkedName(service, suffix string) (name string, ok bool) {
	labels, ok := strings.CutSuffix(service, ".amazonaws.com")
	if !ok || labels == "" {
		return "", false
	}
	part := strings.Split(labels, ".")
	var b strings.Builder
	b.WriteString("AWSServiceRoleFor")
	for i := len(part) - 1; i >= 0; i-- { // the service stands last
		for _, word := range strings.Split(part[i], "-") {
			if word == "" {
				return "", false
			}
			if word == "agentcore" {
				word = "agentCore"
			}
			b.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
	}
	if suffix != "" {
		b.WriteString("_" + suffix)
	}
	return b.String(), b.Len() <= 64
}

// CreateServiceLinkedRole makes the role of a service. That it is there already is
// InvalidInput, which clients look for.
func (s *Service) CreateServiceLinkedRole(ctx context.Context, in *model.CreateServiceLinkedRoleRequest) (*model.CreateServiceLinkedRoleResponse, error) {
	name, ok := linkedName(wire.Text(in.AWSServiceName), wire.Text(in.CustomSuffix))
	if !ok {
		return nil, fault.BadRequest(principal.CodeInvalid, "Invalid principal in policy: '%s' is not a service's, such as network.bedrock-agentcore.amazonaws.com", wire.Text(in.AWSServiceName))
	}
	r, err := s.d.ServiceLinked(ctx, name, wire.Text(in.AWSServiceName), wire.Text(in.Description))
	if fault.Is(err, principal.CodeExists) {
		return nil, fault.BadRequest(principal.CodeInvalid, "Service role name %s has been taken in this account, please try a different suffix.", name)
	}
	if err != nil {
		return nil, err
	}
	out := toRole(r)
	return &model.CreateServiceLinkedRoleResponse{Role: &out}, nil
}

// DeleteServiceLinkedRole deletes the role of a service, at once: nothing uses it. The
// task that AWS would do it in is told by its id alone.
func (s *Service) DeleteServiceLinkedRole(ctx context.Context, in *model.DeleteServiceLinkedRoleRequest) (*model.DeleteServiceLinkedRoleResponse, error) {
	r, err := s.d.Role(ctx, wire.Text(in.RoleName))
	if err != nil {
		return nil, err
	}
	if err := s.d.DeleteServiceLinked(ctx, r.Name); err != nil {
		return nil, err
	}
	task := taskPrefix + r.Service + "/" + r.Name + "/" + taskOf(r.ID)
	return &model.DeleteServiceLinkedRoleResponse{DeletionTaskId: &task}, nil
}

const taskPrefix = "task/aws-service-role/"

// taskOf makes the last part of a task's id of a role's.
func taskOf(id string) string {
	sum := sha256.Sum256([]byte("outcrop deletion task 1 " + id))
	return uuid.UUID(sum[:16]).String()
}

// GetServiceLinkedRoleDeletionStatus tells that a deletion is over.
func (s *Service) GetServiceLinkedRoleDeletionStatus(_ context.Context, in *model.GetServiceLinkedRoleDeletionStatusRequest) (*model.GetServiceLinkedRoleDeletionStatusResponse, error) {
	rest, ok := strings.CutPrefix(wire.Text(in.DeletionTaskId), taskPrefix)
	part := strings.Split(rest, "/")
	if ok && len(part) == 3 {
		if name, known := linkedName(part[0], ""); known && strings.HasPrefix(part[1], name) && uuid.Validate(part[2]) == nil {
			status := model.DeletionTaskStatusTypeSUCCEEDED
			return &model.GetServiceLinkedRoleDeletionStatusResponse{Status: &status}, nil
		}
	}
	return nil, fault.New(principal.CodeNoSuchEntity, http.StatusNotFound, "The deletion task with id %s cannot be found.", wire.Text(in.DeletionTaskId))
}
