package runtime

import (
	"context"
	"crypto/sha256"

	"github.com/google/uuid"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/store"
)

// Guests makes what a session finds around it: the network, and on it the
// metadata service with the credentials of its role.
type Guests interface {
	// Enter makes those of a session that starts.
	Enter(ctx context.Context, g Guest) (Surroundings, error)
}

// Surroundings are what one session finds around it.
type Surroundings struct {
	Network sandbox.Network
	// Reach tells apart what is reached, for session.Plan.Surroundings.
	Reach string
	// Leave ends them; with keep the guest was saved and comes back with what it
	// holds.
	Leave func(keep bool)
}

// Guest is a session that starts.
type Guest struct {
	Scope store.Scope
	// Role is the ARN of the execution role, and RoleSession the name of the
	// session's own session of it.
	Role, RoleSession string
	// Template: others will be copied from it.
	Template bool
	Network  *agentcorecontrol.NetworkConfiguration
	// ContainerToken is the user's AWS_CONTAINER_AUTHORIZATION_TOKEN, which asks
	// for credentials in the form of ECS; empty: the user did not ask.
	ContainerToken string
	// Note writes a line into the session's log.
	Note func(text string)
}

// containerToken is the variable with which a user asks for credentials in the
// form of ECS, for clients that know no other.
const containerToken = "AWS_CONTAINER_AUTHORIZATION_TOKEN"

// surround puts a plan's session into its surroundings and takes them down at
// its end. A Planner without Guests leaves it as it is.
func (s *Service) surround(ctx context.Context, plan *session.Plan, g Guest) error {
	if s.cfg.Guests == nil {
		return nil
	}
	around, err := s.cfg.Guests.Enter(ctx, g)
	if err != nil {
		return err
	}
	plan.Spec.Network, plan.Surroundings = around.Network, around.Reach
	ended := plan.Ended
	plan.Ended = func(e session.End) {
		around.Leave(e.Hibernated)
		if ended != nil {
			ended(e)
		}
	}
	return nil
}

// roleSession names a session's session of its role in AWS's form (spec/runtime.md
// 11). It follows from the session's key, so that one that hibernated, in this
// process or another, comes back as who it was.
func roleSession(key session.Key) string {
	sum := sha256.Sum256([]byte(ARN(key.Scope, key.Owner) + " " + key.Endpoint + " " + key.ID))
	id := uuid.UUID(sum[:16])
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80 // version 8, RFC 9562's variant
	return "BedrockAgentCore-" + id.String()
}

// guestEnv leads the SDKs inside a guest to Outcrop at a URL on its own wire
// (spec/runtime.md 11, spec/clients.md 1). Credentials are in no variable: SDKs
// find them at the metadata service, and a user's own win, as everywhere. Empty
// for guests that have no wire.
func guestEnv(api string) []string {
	if api == "" {
		return nil
	}
	env := []string{"AWS_ENDPOINT_URL=" + api}
	for _, name := range []string{
		"BEDROCK_AGENTCORE_CP_ENDPOINT", "BEDROCK_AGENTCORE_DP_ENDPOINT", // Python
		"BEDROCK_AGENTCORE_CONTROL_ENDPOINT",    // its memory control plane
		"BEDROCK_AGENTCORE_DATA_PLANE_ENDPOINT", // TypeScript
	} {
		env = append(env, name+"="+api)
	}
	return env
}
