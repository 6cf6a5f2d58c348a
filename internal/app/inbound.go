package app

import (
	"fmt"
	"os"
	"time"

	"github.com/outcrop/outcrop/internal/auth/jwt"
	"github.com/outcrop/outcrop/internal/inbound"
	"github.com/outcrop/outcrop/internal/outbound"
	"github.com/outcrop/outcrop/internal/sandbox/network"
	"github.com/outcrop/outcrop/internal/workload"
)

// outbound is how clients are made for addresses that callers name.
func (cfg Config) outbound() (outbound.Config, error) {
	out := outbound.Config{Private: cfg.AllowPrivate, Machine: network.NewMachine().Has}
	var pems [][]byte
	for _, path := range cfg.TrustCA {
		pem, err := os.ReadFile(path)
		if err != nil {
			return out, fmt.Errorf("read certificates to trust: %w", err)
		}
		pems = append(pems, pem)
	}
	if pems == nil {
		return out, nil
	}
	var err error
	out.Roots, err = outbound.RootsWith(pems...)
	return out, err
}

// openDoor makes what verifies the tokens of callers.
func (s *Server) openDoor(p *parts) (*inbound.Door, error) {
	out, err := s.cfg.outbound()
	if err != nil {
		return nil, err
	}
	verifier := jwt.New(jwt.Config{HTTP: outbound.New(out), Now: time.Now, Log: s.cfg.Log, Local: s.ownIssuers(p)})
	s.closers = append(s.closers, func() error { verifier.Close(); return nil })
	return &inbound.Door{Verifier: verifier, Workloads: workload.Tokens{Box: p.box, Now: time.Now}, Store: p.store, Public: s.publicURL}, nil
}
