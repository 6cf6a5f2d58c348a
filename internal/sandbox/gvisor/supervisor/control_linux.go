package supervisor

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gvisor.dev/gvisor/pkg/control/client"
	"gvisor.dev/gvisor/pkg/urpc"

	"github.com/outcrop/outcrop/internal/sandbox/gvisor/wire"
)

// callTimeout bounds a call to a sandbox's control socket. Port forwards wait
// for the guest's accept queue, so a guest can make them slow.
const callTimeout = 10 * time.Second

// What a sandbox's control server understands, as in gVisor's runsc/boot, which
// would bring all of gVisor along.
const (
	portForward = "containerManager.PortForward"
	signalGuest = "containerManager.Signal"
)

// portForwardArgs are boot.PortForwardOpts.
type portForwardArgs struct {
	urpc.FilePayload
	ContainerID string
	Port        uint16
}

// signalArgs are boot.SignalArgs; no PID and mode 0 mean the first process.
type signalArgs struct {
	CID   string
	Signo int32
	PID   int32
	Mode  int
}

// Modes of signalArgs, as boot.SignalDeliveryMode.
const (
	toForeground = 2
	toGroup      = 3
)

// control calls a sandbox's own control server.
func control(id, method string, arg any) error {
	return controlFor(callTimeout, id, method, arg, nil)
}

// controlFor is control with a result, unless that is nil, and a time of its own.
// The server listens on a socket that runsc names after the id. A connection a
// call: a slow one delays no other. A timeout of 0 is none.
func controlFor(timeout time.Duration, id, method string, arg, result any) error {
	c, err := client.ConnectTo(filepath.Join(stateDir, "runsc-"+id+".sock"))
	if err != nil {
		return &wire.Failure{Kind: wire.Gone, Text: "connect to sandbox " + id + ": " + err.Error()}
	}
	// Closing the socket is what ends a call that takes too long; Close itself
	// would wait for the call.
	late := time.AfterFunc(cmp.Or(timeout, math.MaxInt64), func() { c.Socket.Close() })
	err = c.Call(method, arg, result)
	inTime := late.Stop()
	if inTime {
		c.Close()
	}
	var remote urpc.RemoteError
	switch {
	case err == nil:
		return nil
	case !inTime:
		return fmt.Errorf("call sandbox %s: %s was not done within %v", id, method, timeout)
	case errors.As(err, &remote):
		return fmt.Errorf("call sandbox %s: %w", id, err)
	}
	return &wire.Failure{Kind: wire.Gone, Text: "call sandbox " + id + ": " + err.Error()} // it ended while it was asked
}

// dial connects file to a port on the guest's loopback. The sandbox copies the
// bytes itself from then on.
func dial(id string, port uint16, file *os.File) error {
	err := control(id, portForward, &portForwardArgs{
		FilePayload: urpc.FilePayload{Files: []*os.File{file}},
		ContainerID: id,
		Port:        port,
	})
	// The error's type is lost on the way; this is tcpip.ErrConnectionRefused.
	var remote urpc.RemoteError
	if errors.As(err, &remote) && strings.Contains(remote.Message, "connection was refused") {
		return &wire.Failure{Kind: wire.Refused, Text: fmt.Sprintf("port %d", port)}
	}
	return err
}

// deliver sends a signal to the guest's first process, or to a group of one that
// was executed.
func deliver(m *wire.Signal) error {
	args := &signalArgs{CID: m.Sandbox, Signo: m.Number, PID: m.PID}
	switch {
	case m.Foreground:
		args.Mode = toForeground
	case m.PID != 0:
		args.Mode = toGroup
	}
	return control(m.Sandbox, signalGuest, args)
}
