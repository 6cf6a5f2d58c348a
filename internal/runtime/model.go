package runtime

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// DefaultEndpoint is the endpoint every runtime has; it follows the newest
// version that is READY.
const DefaultEndpoint = "DEFAULT"

// The defaults of lifecycleConfiguration, in seconds (spec/runtime.md 2.8).
const (
	defaultIdle = 900
	defaultLife = 28800
)

// runtimeState is our part of a runtime's document.
type runtimeState struct {
	Status        string    `json:"status"`
	FailureReason string    `json:"failureReason,omitempty"`
	Version       int       `json:"version"` // the newest
	LastUpdated   time.Time `json:"lastUpdated"`
	// Description is the newest version's, for listings.
	Description string `json:"description,omitempty"`
}

// versionState is our part of a version's document. Its spec is the
// configuration as accepted, without the environment.
type versionState struct {
	Status        string    `json:"status"`
	FailureReason string    `json:"failureReason,omitempty"`
	LastUpdated   time.Time `json:"lastUpdated"`
	// Pin is what fixes the artifact before it was fetched, such as the version
	// of a zip's object, and Digest its content from then on.
	Pin    string `json:"objectVersion,omitempty"`
	Digest string `json:"digest,omitempty"`
	// Environment is the sealed JSON of environmentVariables.
	Environment []byte `json:"environment,omitempty"`
	// Snapshot says why none was made, if one was to be.
	Snapshot *snapshotState `json:"snapshot,omitempty"`
}

// endpointState is our part of an endpoint's document.
type endpointState struct {
	Status string `json:"status"`
	Live   int    `json:"live,omitempty"` // 0 while no version was ready
	Target int    `json:"target"`
}

// ARN is the name of a runtime to the world.
func ARN(scope store.Scope, id string) string {
	return "arn:aws:bedrock-agentcore:" + scope.Region + ":" + scope.Account + ":runtime/" + id
}

// LogGroup is where the output of an endpoint's sessions goes (spec/runtime.md 13).
func LogGroup(id, endpoint string) string {
	return "/aws/bedrock-agentcore/runtimes/" + id + "-" + endpoint
}

func versionID(id string, n int) string { return id + ":" + strconv.Itoa(n) }

// versionText is the version of a document as the wire has it.
func versionText(v versionDoc) string {
	_, n, _ := strings.Cut(v.ID, ":")
	return n
}

func versionNumber(v versionDoc) int {
	n, _ := strconv.Atoi(versionText(v)) // written by versionID
	return n
}

func endpointID(id, name string) string { return id + "/" + name }

// settled reports whether a runtime in this status may be changed.
func settled(status string) bool {
	switch status {
	case agentcorecontrol.AgentRuntimeStatusCREATING, agentcorecontrol.AgentRuntimeStatusUPDATING, agentcorecontrol.AgentRuntimeStatusDELETING:
		return false
	}
	return true
}

// config is what Create and Update have in common; the model's constraints
// hold when it gets here.
type config struct {
	artifact  *agentcorecontrol.AgentRuntimeArtifact
	lifecycle *agentcorecontrol.LifecycleConfiguration
	headers   *agentcorecontrol.RequestHeaderConfiguration
	env       map[string]string
	files     []agentcorecontrol.FilesystemConfiguration
	network   *agentcorecontrol.NetworkConfiguration
}

// check holds the rules that the model cannot express.
func (c config) check() error {
	if l := c.lifecycle; l != nil {
		if idle, life := lifecycle(l); idle > life {
			return invalid("lifecycleConfiguration.idleRuntimeSessionTimeout", "idleRuntimeSessionTimeout must be less than or equal to maxLifetime")
		}
	}
	if c.headers != nil {
		if err := checkHeaders(c.headers.RequestHeaderAllowlist); err != nil {
			return err
		}
	}
	if err := checkFiles(c.files); err != nil {
		return err
	}
	if err := checkNetwork(c.network); err != nil {
		return err
	}
	if err := checkSnapshot(c.env, nil); err != nil {
		return err
	}
	for name := range c.env {
		if strings.ContainsAny(name, "=\x00") || strings.ContainsRune(c.env[name], 0) {
			return invalid("environmentVariables", "environmentVariables: a name must not contain '=' and neither a name nor a value a NUL byte")
		}
	}
	return nil
}

// checkNetwork holds the rules of spec/runtime.md 2.4 that concern several members.
func checkNetwork(c *agentcorecontrol.NetworkConfiguration) error {
	const field = "networkConfiguration.networkModeConfig"
	if c == nil {
		return nil // which the model does not let through
	}
	switch vpc := text(c.NetworkMode) == agentcorecontrol.NetworkModeVPC; {
	case vpc && c.NetworkModeConfig == nil:
		return invalid(field, field+" is required when networkMode is VPC: it names 1 to 16 subnets and 1 to 16 securityGroups")
	case !vpc && c.NetworkModeConfig != nil:
		return invalid(field, field+" is for networkMode VPC; leave it out when networkMode is "+text(c.NetworkMode))
	}
	return nil
}

// checkFiles holds the rules of spec/runtime.md 2.9 that concern several.
func checkFiles(list []agentcorecontrol.FilesystemConfiguration) error {
	storages := 0
	for _, f := range list {
		if f.SessionStorage != nil {
			storages++
		}
	}
	if storages > 1 {
		return invalid("filesystemConfigurations", "filesystemConfigurations: at most one sessionStorage is allowed")
	}
	return nil
}

// lifecycle fills in what is not given, in seconds.
func lifecycle(l *agentcorecontrol.LifecycleConfiguration) (idle, life int32) {
	idle, life = defaultIdle, defaultLife
	if l == nil {
		return idle, life
	}
	if l.MaxLifetime != nil {
		life = *l.MaxLifetime
		idle = min(defaultIdle, life)
	}
	if l.IdleRuntimeSessionTimeout != nil {
		idle = *l.IdleRuntimeSessionTimeout
	}
	return idle, life
}

// customHeader is the only prefix of X-Amzn- that may be handed to an agent.
const customHeader = "x-amzn-bedrock-agentcore-runtime-custom-"

// checkHeaders holds the rules of spec/runtime.md 2.6.
func checkHeaders(names []string) error {
	seen := map[string]bool{}
	for _, name := range names {
		lower := strings.ToLower(name)
		field := "requestHeaderConfiguration.requestHeaderAllowlist"
		switch {
		case seen[lower]:
			return invalid(field, fmt.Sprintf("Header '%s' is listed twice; names are compared without regard to case", name))
		case lower == "authorization":
			return invalid(field, "Header 'Authorization' can be passed on only by a runtime with a customJWTAuthorizer")
		case strings.HasPrefix(lower, "x-amz-"):
			return invalid(field, fmt.Sprintf("Header '%s' is reserved: names that start with X-Amz- cannot be passed on", name))
		case strings.HasPrefix(lower, "x-amzn-") && !strings.HasPrefix(lower, customHeader):
			return invalid(field, fmt.Sprintf("Header '%s' is reserved: of the names that start with X-Amzn- only X-Amzn-Bedrock-AgentCore-Runtime-Custom-* can be passed on", name))
		case restricted(lower):
			return invalid(field, fmt.Sprintf("Header '%s' is restricted and cannot be passed on", name))
		}
		seen[lower] = true
	}
	return nil
}

// restricted reports whether a header name is on the list of spec/runtime.md 2.6.
func restricted(lower string) bool {
	if strings.HasPrefix(lower, "access-control-") {
		return true
	}
	return slices.Contains(strings.Fields(restrictedHeaders), lower)
}

const restrictedHeaders = `proxy-authorization www-authenticate accept accept-charset accept-encoding accept-language content-type content-length
	content-encoding content-language content-location content-range cache-control etag expires if-match if-modified-since if-none-match if-range
	if-unmodified-since last-modified pragma vary connection keep-alive proxy-connection upgrade host user-agent referer from range accept-ranges
	transfer-encoding te trailer server date location retry-after set-cookie cookie content-security-policy content-security-policy-report-only
	strict-transport-security x-content-type-options x-frame-options x-xss-protection referrer-policy permissions-policy
	cross-origin-embedder-policy cross-origin-opener-policy cross-origin-resource-policy origin accept-ch accept-ch-lifetime dpr width
	viewport-width downlink ect rtt save-data clear-site-data feature-policy expect-ct public-key-pins public-key-pins-report-only via forwarded
	x-forwarded-for x-forwarded-host x-forwarded-proto x-real-ip x-requested-with x-csrf-token true-client-ip x-client-ip x-cluster-client-ip
	x-originating-ip x-source-ip x-original-url x-original-host x-rewrite-url cf-ray cf-connecting-ip x-amz-cf-id x-cache x-served-by link
	sec-websocket-key sec-websocket-accept sec-websocket-version sec-websocket-protocol sec-websocket-extensions`

func invalid(field, text string) error {
	e := fault.Validation("%s", text)
	e.Fields = []fault.Field{{Name: field, Message: text}}
	return e
}
