package ca_test

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/ca"
)

const pythonProbe = `
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[1])
context.verify_flags |= ssl.VERIFY_X509_STRICT  # as Python does by itself from 3.13 on
with context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[2]))), server_hostname=sys.argv[3]):
    print("trusted")
`

const nodeProbe = `
const [root, port, servername] = process.argv.slice(1)
const options = { port, host: '127.0.0.1', servername, ca: require('fs').readFileSync(root) }
const socket = require('tls').connect(options, () => { console.log('trusted'); socket.end() })
socket.on('error', (e) => { console.error(e); process.exit(1) })
`

// probes make a handshake with 127.0.0.1:PORT for a name, trusting a root alone.
var probes = map[string]func(root, port, name string) []string{
	"openssl": func(root, port, name string) []string {
		return []string{"s_client", "-connect", "127.0.0.1:" + port, "-servername", name, "-verify_hostname", name, "-CAfile", root, "-no-CApath", "-verify_return_error", "-x509_strict", "-brief"}
	},
	"curl": func(root, port, name string) []string {
		return []string{"-sS", "--noproxy", "*", "--cacert", root, "--connect-to", name + ":443:127.0.0.1:" + port, "--max-time", "10", "-o", os.DevNull, "https://" + name}
	},
	"python3": func(root, port, name string) []string { return []string{"-c", pythonProbe, root, port, name} },
	"node":    func(root, port, name string) []string { return []string{"-e", nodeProbe, root, port, name} },
	"java":    func(root, port, name string) []string { return []string{"testdata/Probe.java", root, port, name} },
}

// serveOne shows cert to whoever connects, until the test ends.
func serveOne(t *testing.T, cert *tls.Certificate) (port string) {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{*cert}})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(10 * time.Second))
			if c.(*tls.Conn).Handshake() == nil {
				_, _ = c.Write([]byte("HTTP/1.0 200 OK\r\n\r\n"))
			}
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	_, port, err = net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// TestClients: other people's TLS takes our leaves, and holds a leaked key to its
// constraints.
func TestClients(t *testing.T) {
	k := newKit(t, "agents.example.com")
	root := filepath.Join(k.dir, ca.RootName)
	type server struct {
		name, port string
		trusted    bool
	}
	var servers []server
	for _, name := range []string{"my.dotted.bucket.s3.us-east-1.amazonaws.com", "localhost", "agents.example.com"} {
		cert, err := k.Leaf(name)
		if err != nil {
			t.Fatal(err)
		}
		servers = append(servers, server{name, serveOne(t, cert), true})
	}
	for _, name := range []string{"www.example.com", "evilamazonaws.com"} {
		servers = append(servers, server{name, serveOne(t, k.forge(t, name)), false})
	}
	for program, arguments := range probes {
		t.Run(program, func(t *testing.T) {
			if _, err := exec.LookPath(program); err != nil {
				t.Skipf("this host has no %s", program)
			}
			ask := servers
			if program == "java" { // which takes seconds to begin
				ask = []server{servers[0], servers[len(servers)-1]}
			}
			for _, s := range ask {
				cmd := exec.CommandContext(t.Context(), program, arguments(root, s.port, s.name)...)
				out, err := cmd.CombinedOutput()
				if trusted := err == nil; trusted != s.trusted {
					t.Errorf("%s: trusted %v (%v):\n%s", s.name, trusted, err, out)
				}
				var exit *exec.ExitError
				if err != nil && (!errors.As(err, &exit) || !mentionsTrust(string(out))) {
					t.Errorf("%s: refused for another reason: %v\n%s", s.name, err, out)
				}
			}
		})
	}
}

// mentionsTrust reports whether a client's complaint is about the constraints, in
// the words of each.
func mentionsTrust(out string) bool {
	for _, word := range []string{"permitted subtree", "PERMITTED_SUBTREE", "name constraints", "certificate problem"} {
		if strings.Contains(out, word) {
			return true
		}
	}
	return false
}
