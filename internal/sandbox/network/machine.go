package network

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// machineAge is how old the list of this machine's addresses may be.
const machineAge = 5 * time.Second

// A Machine knows the addresses of the machine that it runs on. It may be used
// concurrently.
type Machine struct {
	list func() ([]net.Addr, error)
	now  func() time.Time

	mu   sync.Mutex
	at   time.Time
	addr map[netip.Addr]bool
}

// NewMachine looks at the interfaces' addresses, as they change.
func NewMachine() *Machine { return newMachine(net.InterfaceAddrs, time.Now) }

func newMachine(list func() ([]net.Addr, error), now func() time.Time) *Machine {
	return &Machine{list: list, now: now}
}

// Has tells whether an address is the machine's. When it cannot be found out,
// all are.
func (m *Machine) Has(a netip.Addr) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := m.now(); m.addr == nil || now.Sub(m.at) > machineAge {
		all, err := m.list()
		if err != nil {
			return true
		}
		m.at, m.addr = now, map[netip.Addr]bool{}
		for _, a := range all {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				m.addr[p.Addr().Unmap()] = true
			}
		}
	}
	return m.addr[a]
}
