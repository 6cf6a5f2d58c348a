package app

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"

	"github.com/outcrop/outcrop/internal/gate"
	"github.com/outcrop/outcrop/internal/hostline"
	"github.com/outcrop/outcrop/internal/sandbox/network"
	"github.com/outcrop/outcrop/internal/sandbox/network/inlet"
)

// guestStrangers is how many connections to this server a guest may keep on which
// it has shown no credentials and sends no request. Each guest has its own, and
// waits for nobody else's.
const guestStrangers = 64

// inside is the server that guests call. They may call while running requests of
// clients end, and their idle connections hold up nobody.
type inside struct {
	server  *http.Server
	tls     *tls.Config // nil: no name is Outcrop's inside
	log     *slog.Logger
	running sync.WaitGroup
}

// newInside returns one that answers as server does, which it changes.
func newInside(server *http.Server, own *tls.Config, log *slog.Logger) *inside {
	server.Handler, server.ConnContext = gate.Handler(server.Handler), gate.Context
	return &inside{server: server, tls: own, log: log}
}

// open lets a guest in, until leave, which ends none of its requests: to api, and over
// TLS to named, by the names that are Outcrop's inside.
func (in *inside) open(session string, note func(string)) (api, named *inlet.Listener, leave func()) {
	api, named = inlet.New(network.API), inlet.New(network.TLS)
	door := gate.New(gate.Config{Strangers: guestStrangers, Shut: func(_ net.Addr, total int64) {
		if total%1000 == 1 { // a flood is no reason to fill the log
			note("more connections to Outcrop without a request than are kept: the longest silent ones are closed")
			in.log.Warn("an agent has more connections without a request than are kept: the longest silent ones are closed",
				"session", session, "kept", guestStrangers, "closed", total)
		}
	}})
	listeners := []net.Listener{hostline.Listen(door.Listen(api))}
	if in.tls != nil {
		listeners = append(listeners, tls.NewListener(door.Listen(named), in.tls))
	}
	for _, l := range listeners {
		in.running.Go(func() {
			if err := in.server.Serve(l); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
				in.log.Error("serve agent", "session", session, "error", err)
			}
		})
	}
	return api, named, func() {
		for _, l := range listeners {
			_ = l.Close() // nothing of it is written
		}
	}
}

// close ends all calls.
func (in *inside) close() {
	_ = in.server.Close() // no guest is left
	in.running.Wait()
}
