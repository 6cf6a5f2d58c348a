package runtime

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/store"
)

// warmupLimit is how long a warm-up may take (BuildLifecycleHooks of AWS's model).
const warmupLimit = 120 * time.Second

// warmupOf is the hook that a configuration has, or nil. Its port is the server's
// where it names none.
func warmupOf(c *agentcorecontrol.RuntimeHooksConfiguration, server Server) *session.Warmup {
	if c == nil || c.Build == nil || c.Build.Warmup == nil {
		return nil
	}
	post := c.Build.Warmup.Action.HttpPost // the union's one member, by the model
	w := &session.Warmup{Port: server.Port, Path: *post.Path, Limit: warmupLimit}
	if post.Port != nil {
		w.Port = uint16(*post.Port) // 8000 to 12000, by the model
	}
	return w
}

// checkWarmup holds the rules of the model's documentation that concern several
// members: a hook is nothing that the agent serves otherwise.
func checkWarmup(c *agentcorecontrol.RuntimeHooksConfiguration, server Server) error {
	w := warmupOf(c, server)
	if w == nil {
		return nil
	}
	const field = "hooksConfiguration.build.warmup.action.httpPost"
	if w.Port == reservedPort {
		return fault.Invalid(field+".port", "%s.port must not be %d, which is reserved", field, reservedPort)
	}
	if taken := []string{server.Path, pingPath, SocketPath}; w.Port == server.Port && slices.Contains(taken, w.Path) {
		return fault.Invalid(field+".path", "%s.path must not be %s, where the agent serves already; give the hook a path or a port of its own", field, w.Path)
	}
	return nil
}

// warmUp proves a version's hook on a guest that serves nobody, before its first
// session, and has sessions restored from that guest where it can be saved. Without
// a hook there is nothing to prove.
func (s *Service) warmUp(ctx context.Context, job payload, v versionDoc) error {
	spec, err := s.configuration(v)
	if err != nil || warmupOf(spec.HooksConfiguration, serverOf(spec.ProtocolConfiguration)) == nil {
		return err
	}
	var rt runtimeDoc
	if err := s.cfg.Store.View(ctx, func(r store.Reader) (err error) {
		rt, err = s.docs.runtime(r, job.Scope, job.ID)
		return err
	}); err != nil {
		return err
	}
	key := session.Key{Scope: job.Scope, Owner: job.ID, Endpoint: DefaultEndpoint, ID: templateID}
	plan, err := s.plan(ctx, key, rt, v)
	if err != nil {
		return err
	}
	rehearse := s.cfg.Sessions.Try
	if plan.Template {
		rehearse = s.cfg.Sessions.MakeTemplate
	}
	err = notNow(rehearse(ctx, key, plan))
	var start *session.StartError
	var command *sandbox.CommandError
	switch {
	case errors.Is(err, sandbox.ErrUnsavable): // it is warm; that its sessions start cold is told with the next snapshot
		return nil
	case errors.Is(err, session.ErrNotWarm) && errors.As(err, &start):
		return fault.Validation("The warm-up hook failed: %s. See the log of session '%s'", start.Last, templateID).Because(err)
	case errors.As(err, &command):
		return fault.Validation("The agent could not be started for its warm-up hook: %s", command.Reason).Because(err)
	case errors.As(err, &start):
		return fault.Validation("The agent could not be started for its warm-up hook: %s. See the log of session '%s'", start.Why(), templateID).Because(err)
	}
	return err
}
