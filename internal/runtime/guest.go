package runtime

import (
	"context"
	"crypto/sha256"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
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
	// ARN is that of the session's runtime.
	ARN string
	// Role is the ARN of the execution role, and RoleSession the name of the
	// session's own session of it.
	Role, RoleSession string
	// Service assumes the role; empty is the service of agents.
	Service string
	// Template: others will be copied from it.
	Template bool
	Network  *agentcorecontrol.NetworkConfiguration
	// Elsewhere are AWS's host names, in lower case, that the user wants to be AWS's:
	// the endpoints of services that the environment names; Everywhere stands for all.
	Elsewhere []string
	// ContainerToken is the user's AWS_CONTAINER_AUTHORIZATION_TOKEN, which asks
	// for credentials in the form of ECS; empty: the user did not ask.
	ContainerToken string
	// Note writes a line into the session's log.
	Note func(text string)
}

// Roles knows whether agents may have a role. A Service without one lets them.
type Roles interface {
	// CheckRole refuses the ARN of a role that may not be assumed for the resource
	// with the ARN source, with RoleFault.
	CheckRole(ctx context.Context, role, source string) error
}

// RoleFault is the refusal of a role (spec/runtime.md 5.3), which Terraform tries
// again for a while.
func RoleFault(role string) *fault.Error {
	return fault.Validation("Role validation failed for '%s'. Please verify that the role exists and its trust policy allows assumption by this service", role)
}

// checkRole asks whether the agents of a runtime may have a role.
func (s *Service) checkRole(ctx context.Context, scope store.Scope, id string, role *string) error {
	if s.cfg.Roles == nil {
		return nil
	}
	return s.cfg.Roles.CheckRole(ctx, wire.Text(role), ARN(scope, id))
}

// Pulls knows whether agents may have an image. A Service without one lets them.
type Pulls interface {
	// CheckPull refuses an image of a registry that this server keeps, with PullFault,
	// unless the execution role may pull it. Of others the registry decides.
	CheckPull(ctx context.Context, p Pull) error
}

// Pull is what a new version wants to have pulled.
type Pull struct {
	// Role is the ARN of the execution role.
	Role string
	// URI is the image as the caller calls it, Host and Repository where that is.
	URI, Host, Repository string
}

// PullFault is the refusal of an image (spec/runtime.md 5.3), which Terraform tries again
// for a while; why says who may not do what, and the way out.
func PullFault(uri, why string) *fault.Error {
	return fault.Invalid(containerField, "Access denied while validating ECR URI '%s'. The execution role requires permissions for ecr:GetAuthorizationToken, ecr:BatchGetImage, and ecr:GetDownloadUrlForLayer operations. %s", uri, why)
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

// Everywhere stands for every name in Guest.Elsewhere.
const Everywhere = "*"

// GuestEnvironment is what leads the SDKs inside a guest to Outcrop, at a URL on its own
// wire, and has them trust the certificates of a bundle: variables, and what they name.
func GuestEnvironment(api, bundle string) ([]string, []sandbox.Mount) {
	trusted, mounts := trust(bundle)
	return slices.Concat(guestEnv(api), trusted), mounts
}

// Elsewhere are the hosts of the endpoints that an environment names for SDKs, or all
// where it tells SDKs to pass over the endpoints that are ours.
func Elsewhere(env map[string]string) []string {
	if strings.EqualFold(env["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"], "true") {
		return []string{Everywhere}
	}
	var out []string
	for name, value := range env {
		if !strings.HasPrefix(name, "AWS_ENDPOINT_URL") {
			continue
		}
		if u, err := url.Parse(value); err == nil && u.Hostname() != "" {
			out = append(out, strings.ToLower(u.Hostname()))
		}
	}
	slices.Sort(out)
	return out
}

// guestBundle is where a guest finds the certificates that it trusts.
const guestBundle = "/opt/outcrop/certificates.pem"

// trust has a guest trust the certificates of a bundle on this machine: each kind of
// client reads another variable. Empty for guests that trust what their image does.
func trust(bundle string) (env []string, mounts []sandbox.Mount) {
	if bundle == "" {
		return nil, nil
	}
	for _, name := range []string{
		"SSL_CERT_FILE", // OpenSSL, Go, Python's ssl and httpx
		"AWS_CA_BUNDLE", // boto3, the AWS CLI
		"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS",
	} {
		env = append(env, name+"="+guestBundle)
	}
	return env, []sandbox.Mount{{Source: bundle, Target: guestBundle}}
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
