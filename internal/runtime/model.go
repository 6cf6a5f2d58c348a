package runtime

import (
	"strconv"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/image"
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
	// Fit is how code was made to run on this machine, if it is code.
	Fit *image.Fit `json:"fit,omitempty"`
	// Provider is the capacity provider that it names.
	Provider string `json:"provider,omitempty"`
	// Environment is the sealed JSON of environmentVariables.
	Environment []byte `json:"environment,omitempty"`
	// Snapshot says why none was made, if one was to be.
	Snapshot *snapshotState `json:"snapshot,omitempty"`
}

// runtimeSpec is what belongs to a runtime and to none of its versions.
type runtimeSpec struct {
	Tags map[string]string `json:"tags,omitempty"`
}

// endpointSpec is what a caller said of an endpoint, but for its version.
type endpointSpec struct {
	Description string            `json:"description,omitempty"`
	Tags        map[string]string `json:"tags,omitempty"`
}

// endpointState is our part of an endpoint's document.
type endpointState struct {
	ID            string    `json:"id,omitempty"` // to the world; DEFAULT's is its name
	Status        string    `json:"status"`
	FailureReason string    `json:"failureReason,omitempty"`
	Live          int       `json:"live,omitempty"` // 0 while no version was ready
	Target        int       `json:"target"`
	LastUpdated   time.Time `json:"lastUpdated,omitzero"`
	// History are the versions it has run, the last at the end.
	History []ran `json:"history,omitempty"`
}

// ran says from when on an endpoint ran a version.
type ran struct {
	Version int       `json:"version"`
	From    time.Time `json:"from"`
}

// maxHistory bounds endpointState.History.
const maxHistory = 100

// run is the end of a roll that succeeded.
func (e *endpointState) run(version int, at time.Time) {
	if e.Live != version {
		e.History = append(e.History, ran{version, at})
		e.History = e.History[max(0, len(e.History)-maxHistory):]
	}
	e.Status, e.FailureReason = agentcorecontrol.AgentRuntimeEndpointStatusREADY, ""
	e.Live, e.Target, e.LastUpdated = version, version, at
}

// fail is the end of a roll that did not: what ran goes on.
func (e *endpointState) fail(reason string, at time.Time) {
	e.Status, e.FailureReason, e.LastUpdated = agentcorecontrol.AgentRuntimeEndpointStatusUPDATE_FAILED, reason, at
	if e.Live == 0 {
		e.Status = agentcorecontrol.AgentRuntimeEndpointStatusCREATE_FAILED
	}
}

// changed is when an endpoint last changed in the eyes of the world.
func changed(e endpointDoc) time.Time {
	if e.State.LastUpdated.IsZero() {
		return e.Created
	}
	return e.State.LastUpdated
}

// providerState is our part of a capacity provider's document.
type providerState struct {
	Status      string    `json:"status"`
	LastUpdated time.Time `json:"lastUpdated"`
}

// ARN is the name of a runtime to the world.
func ARN(scope store.Scope, id string) string {
	return "arn:aws:bedrock-agentcore:" + scope.Region + ":" + scope.Account + ":runtime/" + id
}

// ParseARN returns the scope of the ARN of a runtime, or of what is below one.
func ParseARN(arn string) (store.Scope, bool) {
	part := strings.SplitN(arn, ":", 6)
	if len(part) != 6 || part[0] != "arn" || part[2] != "bedrock-agentcore" || !strings.HasPrefix(part[5], "runtime/") {
		return store.Scope{}, false
	}
	return store.Scope{Account: part[4], Region: part[3]}, true
}

// EndpointARN is the name of an endpoint to the world.
func EndpointARN(scope store.Scope, id, name string) string {
	return ARN(scope, id) + "/runtime-endpoint/" + name
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

// settled reports whether a runtime, version or endpoint in this status may be
// changed; their statuses have the same names.
func settled(status string) bool {
	switch status {
	case agentcorecontrol.AgentRuntimeStatusCREATING, agentcorecontrol.AgentRuntimeStatusUPDATING, agentcorecontrol.AgentRuntimeStatusDELETING:
		return false
	}
	return true
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
