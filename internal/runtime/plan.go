package runtime

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/telemetry"
)

// Detail is what an invocation must know of the version that its session runs.
type Detail struct {
	// Server says how the agent serves.
	Server Server
	// Ports are those of the session that its URL leads to.
	Ports Ports
	// Headers are the names, in lower case, that are passed on to the agent.
	Headers map[string]bool
	// Note writes a line of ours into the session's log.
	Note func(text string)
}

// Plan says how a session of an endpoint is started: from which code, with what
// environment. An empty version is the endpoint's; another is that of a session
// that hibernates. What is wrong with the version itself is an error of the
// agent, and is written into the endpoint's log.
func (s *Service) Plan(ctx context.Context, key session.Key, version string) (session.Plan, error) {
	rt, v, err := s.live(ctx, key, version)
	if err != nil {
		return session.Plan{}, err
	}
	return s.plan(ctx, key, rt, v)
}

func (s *Service) plan(ctx context.Context, key session.Key, rt runtimeDoc, v versionDoc) (session.Plan, error) {
	spec, err := s.configuration(v)
	if err != nil {
		return session.Plan{}, err
	}
	env, err := s.environment(ctx, v)
	if err != nil {
		return session.Plan{}, err
	}
	out := s.output(key)
	made, err := s.artifact(spec.AgentRuntimeArtifact)
	if err != nil {
		return session.Plan{}, err
	}
	on, err := made.open(ctx, v)
	if err != nil {
		return session.Plan{}, out.asAgentError(err)
	}
	net, err := s.network(ctx, v, spec)
	if err != nil {
		on.release()
		return session.Plan{}, err
	}
	shared, err := s.accessPoints(spec.FilesystemConfigurations)
	if err != nil {
		on.release()
		return session.Plan{}, out.asAgentError(err)
	}
	server := serverOf(spec.ProtocolConfiguration)
	idle, life := lifecycle(spec.LifecycleConfiguration)
	plan := session.Plan{
		Spec: on.spec, Port: server.Port, Probe: server.probe(), Health: server.health(), StartLimit: on.limit,
		Warmup:    warmupOf(spec.HooksConfiguration, server),
		IdleLimit: time.Duration(idle) * time.Second, MaxLife: time.Duration(life) * time.Second,
		Version: versionText(v), Basis: on.basis, Storage: storagePath(spec.FilesystemConfigurations),
		Detail: Detail{Server: server, Ports: portsOf(spec.AllowedPorts), Headers: allowed(spec.RequestHeaderConfiguration), Note: out.note}, Note: out.note,
		Ended: func(e session.End) {
			on.release()
			out.close(e)
		},
	}
	trusted, bundle := trust(s.cfg.GuestBundle)
	plan.Spec.Mounts = slices.Concat(plan.Spec.Mounts, bundle)
	plan.Spec.Env = merge(on.spec.Env, platformEnv(rt, key), guestEnv(s.cfg.GuestAPI), trusted, server.env(s.cfg.GuestAPI, ARN(key.Scope, key.Owner)), userEnv(env))
	plan.Spec.Stdout, plan.Spec.Stderr, plan.Spec.Limits = out.stdout, out.stderr, s.limits(spec.ResourceConfigurations)
	plan.Spec.Volumes = shared
	plan.Spec.Passthrough = s.passesThrough(rt.Name)
	s.saved(&plan, rt, v, env, key)
	if key.ID == spareID {
		return plan, nil // what is around it is the session's that takes it
	}
	nobody := key
	nobody.ID = spareID
	plan.Spare = func(ctx context.Context) (session.Plan, error) { return s.Plan(ctx, nobody, "") }
	guest := Guest{
		Scope: key.Scope, ARN: ARN(key.Scope, key.Owner), Role: wire.Text(spec.RoleArn), RoleSession: roleSession(key), Template: key.ID == templateID,
		Network: net, Elsewhere: Elsewhere(env), ContainerToken: env[containerToken], Note: out.note,
	}
	if err := s.surround(ctx, &plan, guest); err != nil {
		on.release()
		return session.Plan{}, err
	}
	return plan, nil
}

// Server is how the agents of an endpoint serve.
func (s *Service) Server(ctx context.Context, key session.Key) (Server, error) {
	_, v, err := s.live(ctx, key, "")
	if err != nil {
		return Server{}, err
	}
	spec, err := s.configuration(v)
	if err != nil {
		return Server{}, err
	}
	return serverOf(spec.ProtocolConfiguration), nil
}

// passesThrough tells whether the operator trusts a runtime's guests with the
// machine's network stack. Nobody else's may have it: a code interpreter, say, runs
// what its callers write.
func (s *Service) passesThrough(name string) bool {
	return slices.Contains(s.cfg.Passthrough, name) || slices.Contains(s.cfg.Passthrough, AllRuntimes)
}

// limits are what bounds a session. What its runtime wants at least is more than the
// operator's number, or changes nothing.
func (s *Service) limits(want []agentcorecontrol.ResourceConfiguration) sandbox.Limits {
	l := s.cfg.Limits
	l.MemoryBytes = max(l.MemoryBytes, minimumMemory(want))
	return l
}

// live reads what an endpoint runs now, or the version that is given.
func (s *Service) live(ctx context.Context, key session.Key, version string) (rt runtimeDoc, v versionDoc, err error) {
	missing := fault.NotFound("No endpoint or agent found with qualifier '%s' for agent '%s'", key.Endpoint, ARN(key.Scope, key.Owner))
	err = s.cfg.Store.View(ctx, func(r store.Reader) error {
		var err error
		if rt, err = s.docs.runtimes.Get(r, key.Scope, key.Owner); err != nil {
			return err
		}
		e, err := s.docs.endpoints.Get(r, key.Scope, endpointID(key.Owner, key.Endpoint))
		if err != nil {
			return err
		}
		switch {
		case rt.State.Status == agentcorecontrol.AgentRuntimeStatusDELETING, e.State.Status == agentcorecontrol.AgentRuntimeEndpointStatusDELETING:
			return missing
		case e.State.Live == 0 && key.Endpoint != DefaultEndpoint:
			return fault.Conflict("Endpoint '%s' of agent runtime '%s' is %s and has no version that is READY yet", key.Endpoint, key.Owner, e.State.Status)
		case e.State.Live == 0:
			return fault.Conflict("Agent runtime '%s' is %s and has no version that is READY yet", key.Owner, rt.State.Status)
		}
		if version != "" {
			v, err = s.docs.versions.Get(r, key.Scope, key.Owner+":"+version)
			if !errors.Is(err, store.ErrNotFound) {
				return err
			} // it was deleted: the session cannot go on, and starts afresh
		}
		v, err = s.docs.versions.Get(r, key.Scope, versionID(key.Owner, e.State.Live))
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return rt, v, missing
	}
	return rt, v, err
}

// platformEnv is what every agent finds in its environment (spec/runtime.md 11).
func platformEnv(rt runtimeDoc, key session.Key) []string {
	endpoint := EndpointARN(key.Scope, key.Owner, key.Endpoint)
	return []string{
		"DOCKER_CONTAINER=1", // the SDK's sign that it is on the platform
		"AWS_REGION=" + key.Scope.Region, "AWS_DEFAULT_REGION=" + key.Scope.Region,
		// As it is: the SDK does not decode it, and nothing in it needs to be encoded.
		"OTEL_RESOURCE_ATTRIBUTES=cloud.resource_id=" + endpoint + ",service.name=" + rt.Name + "." + key.Endpoint,
	}
}

func userEnv(env map[string]string) []string {
	out := make([]string, 0, len(env))
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if name != "AWS_REGION" { // the platform's wins (spec/runtime.md 11)
			out = append(out, name+"="+env[name])
		}
	}
	return out
}

// merge joins environments; a later one wins.
func merge(parts ...[]string) []string {
	index := map[string]int{}
	var out []string
	for _, part := range parts {
		for _, kv := range part {
			name, _, _ := strings.Cut(kv, "=")
			if i, ok := index[name]; ok {
				out[i] = kv
				continue
			}
			index[name] = len(out)
			out = append(out, kv)
		}
	}
	return out
}

func allowed(c *agentcorecontrol.RequestHeaderConfiguration) map[string]bool {
	out := map[string]bool{}
	if c != nil {
		for _, name := range c.RequestHeaderAllowlist {
			out[strings.ToLower(name)] = true
		}
	}
	return out
}

// output is where what a session says goes: one stream of the endpoint's log
// group.
type output struct {
	stdout, stderr *telemetry.Sink
	note           func(string)
	guest          string // who ends, in a word: nobody's session is a snapshot's
}

func (s *Service) output(key session.Key) output {
	group := telemetry.Group{Scope: key.Scope, Name: LogGroup(key.Owner, key.Endpoint)}
	stream := LogStream(s.cfg.Now(), key.ID)
	guest := "session"
	if key.ID == templateID {
		guest = "the guest that was booted for a snapshot"
	}
	return output{
		guest:  guest,
		stdout: telemetry.NewSink(s.cfg.Logs, group, stream, s.cfg.Now),
		stderr: telemetry.NewSink(s.cfg.Logs, group, stream, s.cfg.Now),
		note:   func(text string) { note(s.cfg.Logs, group, stream, s.cfg.Now, text) },
	}
}

// SessionNote returns what writes a line of ours into the log of a session that no
// process runs.
func SessionNote(logs telemetry.Appender, now func() time.Time) func(session.Key, string) {
	return func(key session.Key, text string) {
		group := telemetry.Group{Scope: key.Scope, Name: LogGroup(key.Owner, key.Endpoint)}
		note(logs, group, LogStream(now(), key.ID), now, text)
	}
}

func note(logs telemetry.Appender, group telemetry.Group, stream string, now func() time.Time, text string) {
	for line := range strings.Lines(text) {
		logs.Append(group, stream, now(), "outcrop: "+strings.TrimRight(line, "\r\n"))
	}
}

// asAgentError says that what was deployed cannot be started: to an invoker
// that is the agent's fault, with the reason.
func (o output) asAgentError(err error) error {
	f := fault.From(err)
	if f.Status >= http.StatusInternalServerError {
		return err
	}
	o.note("the agent cannot be started: " + f.Message)
	return fault.RuntimeClient("%s", f.Message).Because(err)
}

func (o output) close(e session.End) {
	_ = o.stdout.Close() // gives the last line; never fails
	_ = o.stderr.Close()
	switch {
	case e.Hibernated:
		o.note("session hibernates: it goes on with the next request")
	case e.Why != "":
		o.note(o.guest + " ended: " + e.Why)
	}
}

// LogStream names the stream of a session that starts at a time, in the form
// of spec/runtime.md 13 with the session's own id.
func LogStream(at time.Time, sessionID string) string {
	return at.UTC().Format("2006/01/02") + "/[runtime-logs]" + sessionID
}

// seconds is a duration for a text.
func seconds(d time.Duration) string { return strconv.Itoa(int(d/time.Second)) + "s" }

// StartFault words a start that did not succeed (spec/runtime.md 8.4).
func StartFault(e *session.StartError) error {
	if errors.Is(e, session.ErrExited) && (e.Exit.Cause == sandbox.OutOfMemory || e.Exit.Cause == sandbox.OutOfSpace) {
		return fault.RuntimeClient("Runtime exited with status %d before it was ready: %s. Please check your CloudWatch logs for more information.", e.Exit.Code, session.Ended(e.Exit)).Because(e)
	}
	if errors.Is(e, session.ErrNotWarm) {
		return fault.RuntimeClient("Runtime initialization failed: %s. Please check your CloudWatch logs for more information.", e.Why()).Because(e)
	}
	if errors.Is(e, session.ErrExited) {
		return fault.RuntimeClient("Runtime exited with status %d before it was ready. Please check your CloudWatch logs for more information.", e.Exit.Code).Because(e)
	}
	return fault.RuntimeClient("Runtime initialization time exceeded. Please make sure that initialization completes in %s.", seconds(e.Limit)).Because(e)
}
