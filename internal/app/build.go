package app

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"time"

	"github.com/outcrop/outcrop/internal/garbage"
	"github.com/outcrop/outcrop/internal/gate"
	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/session"
)

// Server is everything that Build made. Run runs one; a measuring program
// looks at its parts.
type Server struct {
	cfg             Config
	front           http.Handler
	sessions        *session.Manager
	engine          sandbox.Engine
	guests          *guests
	hosts           hosts
	flights         flights
	door            *gate.Gate // of all listeners but the agents'
	hush            func()     // ends the streams that only listen
	caches          caches
	garbage         *garbage.Collector
	background      []func(context.Context) error
	account, region string
	mark            string         // of the requests that this server makes to itself
	closers         []func() error // in the order of building
}

// close closes the stores, the last built first.
func (s *Server) close() error {
	var errs []error
	for i := len(s.closers) - 1; i >= 0; i-- {
		errs = append(errs, s.closers[i]())
	}
	if err := errors.Join(errs...); err != nil {
		s.cfg.Log.Error("close", "error", err)
		return err
	}
	return nil
}

// Sessions are the running sandboxes.
func (s *Server) Sessions() *session.Manager { return s.sessions }

// Build makes all parts, bottom to top, and starts none. On an error it closes
// what it made.
func Build(ctx context.Context, cfg Config) (_ *Server, err error) {
	s := &Server{cfg: cfg.withDefaults(), mark: rand.Text()}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	p := &parts{}
	for _, build := range []func(context.Context, *parts) error{s.openData, s.openLeaves, s.openServices, s.openAPI} {
		if err := build(ctx, p); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (cfg Config) withDefaults() Config {
	if cfg.MaxSessions == 0 {
		cfg.MaxSessions = DefaultMaxSessions
	}
	if cfg.Grace == 0 {
		cfg.Grace = 30 * time.Second
	}
	cfg.Sessions = cfg.Sessions.withDefaults()
	return cfg
}
