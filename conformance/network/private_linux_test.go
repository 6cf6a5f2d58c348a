package network

import (
	"io"
	"net"
	"net/http"
	"net/netip"

	"github.com/outcrop/outcrop/conformance/netns"
	"golang.org/x/net/dns/dnsmessage"
)

// The addresses of the private network, and of this machine on it.
const (
	machineAddress  = "10.77.0.1"
	databaseAddress = "10.77.0.2"
	otherAddress    = "10.77.0.3"
	namesAddress    = "10.77.0.53"
	databaseName    = "db.private.test"
)

// playPrivate makes a network namespace that is the private network of the one
// this process is in, with servers on ports 80 and 81 of its addresses and a name
// server. They end with the process.
func playPrivate() error {
	const length = "/24"
	return netns.Beside([]string{machineAddress + length}, []string{databaseAddress + length, otherAddress + length, namesAddress + length}, serve)
}

// serve starts the servers, in the namespace of the calling thread.
func serve() error {
	for _, at := range []string{databaseAddress + ":80", databaseAddress + ":81", otherAddress + ":80"} {
		l, err := net.Listen("tcp4", at)
		if err != nil {
			return err
		}
		go func() {
			_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, at) }))
		}()
	}
	p, err := net.ListenPacket("udp4", namesAddress+":53")
	if err != nil {
		return err
	}
	go serveNames(p)
	return nil
}

// serveNames knows the database alone.
func serveNames(p net.PacketConn) {
	buf := make([]byte, 4096)
	for {
		n, from, err := p.ReadFrom(buf)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
			continue
		}
		q := m.Questions[0]
		m.Response, m.Additionals = true, nil
		if q.Name.String() == databaseName+"." && q.Type == dnsmessage.TypeA {
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
				Body:   &dnsmessage.AResource{A: netip.MustParseAddr(databaseAddress).As4()},
			}}
		} else {
			m.RCode = dnsmessage.RCodeNameError
		}
		if packed, err := m.Pack(); err == nil {
			_, _ = p.WriteTo(packed, from)
		}
	}
}
