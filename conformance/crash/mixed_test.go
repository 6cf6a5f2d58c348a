package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	data "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	datatypes "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore/types"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/gorilla/websocket"

	"github.com/outcrop/outcrop/conformance/server"
	"github.com/outcrop/outcrop/internal/client"
)

// What a soak does besides calls of agents, begun and ended again and again.

// mixedLimit bounds one round of it.
const mixedLimit = time.Minute

// connectionWorker has a session with a WebSocket, a shell and a command.
func (s *soak) connectionWorker(l *load) worker {
	return func(_ context.Context, r *rand.Rand, i int) error {
		ctx, cancel := context.WithTimeout(l.t.Context(), mixedLimit)
		defer cancel()
		at := client.Place{ARN: *s.base.AgentRuntimeArn, Session: server.SessionID("connected", i, "-", r.Uint64())}
		for _, step := range []func(context.Context, client.Place) error{s.overSocket, s.inShell, s.byCommand} {
			if err := l.fly(func() error { return step(ctx, at) }); err != nil {
				return err
			}
		}
		return s.endOf(ctx, &at.ARN, at.Session)
	}
}

func (s *soak) overSocket(ctx context.Context, at client.Place) error {
	c, err := s.own.AgentSocket(ctx, at)
	if err != nil {
		return err
	}
	defer c.Close()
	for n := range 20 {
		if err := echoes(c, fmt.Sprint(n)); err != nil {
			return err
		}
	}
	return c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(5*time.Second))
}

func (s *soak) inShell(ctx context.Context, at client.Place) error {
	sh, err := s.own.Shell(ctx, at, "")
	if err != nil {
		return err
	}
	defer sh.Close()
	return errors.Join(typed(sh, "hello"), sh.Type([]byte("exit\n")))
}

func (s *soak) byCommand(ctx context.Context, at client.Place) error {
	out, err := s.agents.InvokeAgentRuntimeCommand(ctx, &data.InvokeAgentRuntimeCommandInput{
		AgentRuntimeArn: &at.ARN, RuntimeSessionId: &at.Session,
		Body: &datatypes.InvokeAgentRuntimeCommandRequestBody{Command: aws.String("seq 1000")},
	})
	if err != nil {
		return err
	}
	stream, lines := out.GetStream(), 0
	for event := range stream.Events() {
		if chunk := event.(*datatypes.InvokeAgentRuntimeCommandStreamOutputMemberChunk).Value; chunk.ContentDelta != nil {
			lines += strings.Count(aws.ToString(chunk.ContentDelta.Stdout), "\n")
		}
	}
	if err := errors.Join(stream.Err(), stream.Close()); err != nil {
		return err
	}
	if lines != 1000 {
		return fmt.Errorf("a command wrote %d lines, want 1000", lines)
	}
	return nil
}

// imageWorker pushes an image, pulls it and deletes it. What it was made of is
// garbage then, which tidyWorker has collected.
func (s *soak) imageWorker(l *load) worker {
	return func(ctx context.Context, _ *rand.Rand, _ int) error {
		within, cancel := context.WithTimeout(l.t.Context(), mixedLimit)
		defer cancel()
		if err := l.fly(func() error { return s.comesAndGoes(within, "soak") }); err != nil {
			return err
		}
		pause(ctx, 2*time.Second)
		return nil
	}
}

// comesAndGoes pushes an image to a repository, pulls and deletes it.
func (s *soak) comesAndGoes(ctx context.Context, repository string) error {
	if err := s.own.MakeRepository(ctx, repository); err != nil {
		return err
	}
	login, err := s.own.RegistryLogin(ctx)
	if err != nil {
		return err
	}
	image, err := random.Image(256<<10, 3)
	if err != nil {
		return err
	}
	digest, err := image.Digest()
	if err != nil {
		return err
	}
	at, err := name.NewDigest(login.Host+"/"+repository+"@"+digest.String(), name.Insecure)
	if err != nil {
		return err
	}
	options := []remote.Option{remote.WithContext(ctx), remote.WithAuth(&authn.Basic{Username: login.User, Password: login.Password})}
	if err := remote.Write(at, image, options...); err != nil {
		return fmt.Errorf("push: %w", err)
	}
	pulled, err := remote.Image(at, options...)
	if err != nil {
		return fmt.Errorf("pull: %w", err)
	}
	if got, err := pulled.Digest(); err != nil || got != digest {
		return fmt.Errorf("pulled %v, want %v: %w", got, digest, err)
	}
	return remote.Delete(at, options...)
}
