// Package operator serves our own small API: what people ask a server that AWS
// has no operation for. The command line is its client.
package operator

import (
	"context"
	"encoding/base64"
	"errors"
	"sort"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/outcrop"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/image"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/telemetry"
)

// Sessions lists what runs.
type Sessions interface {
	List(match func(session.Key) bool) []session.Info
	Spares(match func(session.Key) bool) []session.SpareInfo
}

// Logs reads what agents have said.
type Logs interface {
	Events(ctx context.Context, q telemetry.Query) (telemetry.EventPage, error)
	ListStreams(ctx context.Context, q telemetry.StreamQuery) ([]telemetry.StreamInfo, string, error)
	Changed(group telemetry.Group) <-chan struct{}
}

// Server describes the process, for GetServer.
type Server struct {
	Version, Account, OS, Architecture, DataDirectory string
	ProcessID                                         int
	Started                                           time.Time
}

// Config is what the service is built from.
type Config struct {
	Server       Server
	Sessions     Sessions
	Logs         Logs
	Audit        Audit
	Garbage      Garbage
	Networks     Networks
	Principals   Principals
	Decider      Decider
	Interpreters func(context.Context) ([]image.Interpreter, error)
	// Sandbox says whether sandboxes can run: nil, or why not and the fix.
	Sandbox func(context.Context) (engine, reason, fix string)
	// ARN and LogGroup name a runtime and the log of one of its endpoints.
	ARN      func(key session.Key) string
	LogGroup func(id, endpoint string) string
}

// Service implements outcrop.Operator.
type Service struct{ cfg Config }

var _ outcrop.Operator = (*Service)(nil)

// New returns the service.
func New(cfg Config) *Service { return &Service{cfg} }

// GetServer says what this server is and what it can run.
func (s *Service) GetServer(ctx context.Context, _ *outcrop.GetServerRequest) (*outcrop.GetServerResponse, error) {
	found, err := s.cfg.Interpreters(ctx)
	if err != nil {
		return nil, err
	}
	engine, reason, fix := s.cfg.Sandbox(ctx)
	sandbox := &outcrop.SandboxState{Available: new(reason == ""), Engine: &engine}
	if reason != "" {
		sandbox.Reason, sandbox.Fix = &reason, &fix
	}
	srv := s.cfg.Server
	out := &outcrop.GetServerResponse{
		Version: &srv.Version, Account: &srv.Account, Os: &srv.OS, Architecture: &srv.Architecture, DataDirectory: &srv.DataDirectory,
		ProcessId: new(int32(srv.ProcessID)), StartedAt: &srv.Started, Interpreters: []outcrop.Interpreter{}, Sandbox: sandbox,
	}
	for _, in := range found {
		out.Interpreters = append(out.Interpreters, outcrop.Interpreter{
			Runtime: new(in.Runtime), Version: new(in.Version), Source: new(in.Source), Executable: new(in.Executable),
			Machine: new(in.Machine), Libc: new(in.Libc),
		})
	}
	return out, nil
}

// ListSessions pages through the sessions of the caller's account and region.
// The page token is the place of the last one listed: sessions come and go. The first
// page has the spares that wait for a session.
func (s *Service) ListSessions(ctx context.Context, in *outcrop.ListSessionsRequest) (*outcrop.ListSessionsResponse, error) {
	scope := pipeline.From(ctx).Scope
	asked := func(k session.Key) bool {
		return k.Scope == scope && (in.AgentRuntimeId == nil || k.Owner == *in.AgentRuntimeId)
	}
	all := s.cfg.Sessions.List(asked)
	if in.NextToken != nil {
		after, err := base64.RawURLEncoding.DecodeString(*in.NextToken)
		if err != nil {
			return nil, badToken()
		}
		all = all[sort.Search(len(all), func(i int) bool { return place(all[i].Key) > string(after) }):]
	}
	size := 100
	if in.MaxResults != nil {
		size = int(*in.MaxResults)
	}
	out := &outcrop.ListSessionsResponse{Sessions: []outcrop.Session{}}
	if in.NextToken == nil {
		for _, i := range s.cfg.Sessions.Spares(asked) {
			out.Spares = append(out.Spares, s.spare(i))
		}
	}
	for i, info := range all {
		if i == size {
			out.NextToken = new(base64.RawURLEncoding.EncodeToString([]byte(place(all[i-1].Key))))
			break
		}
		out.Sessions = append(out.Sessions, s.describe(info))
	}
	return out, nil
}

// place orders sessions as session.Manager.List does.
func place(k session.Key) string { return k.Owner + "\x00" + k.Endpoint + "\x00" + k.ID }

func (s *Service) spare(i session.SpareInfo) outcrop.Spare {
	out := outcrop.Spare{
		AgentRuntimeArn: new(s.cfg.ARN(i.Key)), AgentRuntimeName: new(name(i.Key)), AgentRuntimeVersion: &i.Version, EndpointName: &i.Key.Endpoint, MadeAt: &i.Made,
	}
	if i.Memory > 0 {
		out.MemoryBytes = &i.Memory
	}
	return out
}

// name is the agent's, without what makes its id unique.
func name(k session.Key) string {
	if dash := strings.LastIndexByte(k.Owner, '-'); dash > 0 {
		return k.Owner[:dash]
	}
	return k.Owner
}

func (s *Service) describe(i session.Info) outcrop.Session {
	out := outcrop.Session{
		SessionId: new(i.Key.ID), AgentRuntimeArn: new(s.cfg.ARN(i.Key)), AgentRuntimeName: new(name(i.Key)), AgentRuntimeVersion: new(i.Version),
		EndpointName: new(i.Key.Endpoint), Status: new(string(i.Status)), ActiveRequests: new(int32(i.Running)), Requests: new(i.Requests),
		StartedAt: &i.Started, LastActiveAt: &i.LastUsed,
	}
	if i.Origin != "" {
		out.Origin = new(string(i.Origin))
	}
	if i.Why != "" {
		out.OriginReason = &i.Why
	}
	if i.Passthrough {
		out.Passthrough = &i.Passthrough
	}
	for member, bytes := range map[**int64]int64{&out.MemoryBytes: i.Memory, &out.SnapshotBytes: i.Snapshot, &out.StorageBytes: i.Storage} {
		if bytes > 0 {
			*member = &bytes
		}
	}
	if !i.IdleDeadline.IsZero() {
		out.IdleDeadline = &i.IdleDeadline
	}
	if !i.LifeDeadline.IsZero() {
		out.LifeDeadline = &i.LifeDeadline
	}
	return out
}

// defaultEvents is how many events a page has that says nothing else.
const defaultEvents = 1000

// GetRuntimeLogs reads an endpoint's log, oldest first. With waitSeconds it
// waits that long for something new, which is how a client follows.
func (s *Service) GetRuntimeLogs(ctx context.Context, in *outcrop.GetRuntimeLogsRequest) (*outcrop.GetRuntimeLogsResponse, error) {
	endpoint := "DEFAULT"
	if in.EndpointName != nil {
		endpoint = *in.EndpointName
	}
	// What was asked about is what is read: an ARN names a scope of its own.
	if scope := pipeline.From(ctx).Scope; strings.HasPrefix(*in.AgentRuntimeId, "arn:") && !strings.Contains(*in.AgentRuntimeId, ":"+scope.Region+":"+scope.Account+":") {
		return nil, fault.Invalid("agentRuntimeId", "%s is of another region or account than the request is signed for", *in.AgentRuntimeId)
	}
	group := telemetry.Group{Scope: pipeline.From(ctx).Scope, Name: s.cfg.LogGroup(*in.AgentRuntimeId, endpoint)}
	var deadline <-chan time.Time
	if in.WaitSeconds != nil && *in.WaitSeconds > 0 {
		timer := time.NewTimer(time.Duration(*in.WaitSeconds) * time.Second)
		defer timer.Stop()
		deadline = timer.C
	}
	for {
		changed := s.cfg.Logs.Changed(group)
		page, err := s.page(ctx, group, in)
		if err != nil {
			return nil, err
		}
		if len(page.Events) > 0 || deadline == nil {
			return logAnswer(page), nil
		}
		select {
		case <-changed:
		case <-deadline:
			return logAnswer(page), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// noEvents is the token before anything was logged at all.
const noEvents = "-"

func (s *Service) page(ctx context.Context, group telemetry.Group, in *outcrop.GetRuntimeLogsRequest) (telemetry.EventPage, error) {
	q := telemetry.Query{Group: group, Limit: defaultEvents}
	if in.MaxResults != nil {
		q.Limit = int(*in.MaxResults)
	}
	switch {
	case in.NextToken != nil && *in.NextToken != noEvents:
		q.Token = *in.NextToken
	case in.NextToken == nil && in.Last != nil:
		q.Latest, q.Limit = true, int(*in.Last)
	}
	if in.Since != nil {
		q.From = *in.Since
	}
	empty := telemetry.EventPage{Newer: noEvents}
	if in.SessionId != nil {
		names, err := s.streams(ctx, group, *in.SessionId)
		if err != nil || len(names) == 0 {
			return empty, ignoreNotFound(err)
		}
		q.Streams.Names = names
	}
	page, err := s.latest(ctx, q)
	if errors.Is(err, telemetry.ErrNotFound) { // no session has run yet
		return empty, nil
	}
	if errors.Is(err, telemetry.ErrBadToken) {
		return page, badToken()
	}
	return page, err
}

// latest reads a page; of the newest events it reads on backwards until it has
// as many as were asked for, since a page of the store also ends at its bytes.
func (s *Service) latest(ctx context.Context, q telemetry.Query) (telemetry.EventPage, error) {
	page, err := s.cfg.Logs.Events(ctx, q)
	if err != nil || !q.Latest {
		return page, err
	}
	want := q.Limit
	for page.More && len(page.Events) < want {
		q.Latest, q.Token, q.Limit = false, page.Older, want-len(page.Events)
		older, err := s.cfg.Logs.Events(ctx, q)
		if err != nil {
			return page, err
		}
		if len(older.Events) == 0 {
			break
		}
		page.Events = append(older.Events, page.Events...)
		page.Older, page.More = older.Older, older.More
	}
	return page, nil
}

// streams finds the log streams of a session: one for each time it was started.
func (s *Service) streams(ctx context.Context, group telemetry.Group, sessionID string) ([]string, error) {
	var names []string
	for token := ""; ; {
		found, next, err := s.cfg.Logs.ListStreams(ctx, telemetry.StreamQuery{Group: group, Token: token})
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			if strings.HasSuffix(f.Name, "]"+sessionID) {
				names = append(names, f.Name)
			}
		}
		if next == "" {
			return names, nil
		}
		token = next
	}
}

func logAnswer(page telemetry.EventPage) *outcrop.GetRuntimeLogsResponse {
	out := &outcrop.GetRuntimeLogsResponse{Events: []outcrop.LogEvent{}, NextToken: &page.Newer}
	for _, e := range page.Events {
		out.Events = append(out.Events, outcrop.LogEvent{Timestamp: new(e.Time), Stream: new(e.Stream), Message: new(e.Message)})
	}
	return out
}

func ignoreNotFound(err error) error {
	if errors.Is(err, telemetry.ErrNotFound) {
		return nil
	}
	return err
}

func badToken() error {
	return fault.Validation("nextToken is not one that this operation returned for the same runtime and session")
}
