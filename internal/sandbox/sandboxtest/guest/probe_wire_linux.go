package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// wireProbes are about what is beyond the guest's network interface, and about what
// it can make of that itself.
var wireProbes = map[string]probe{
	"dial":       connectTo,     // NETWORK ADDRESS, and have an answer or at least a connection
	"socket":     openSocket,    // FAMILY TYPE PROTOCOL
	"vsock":      dialVsock,     // CID PORT
	"from":       dialFrom,      // ADDRESS NETWORK ADDRESS, from what is not its own
	"claim":      claim,         // ADDRESS TO, a datagram that says it is from there
	"device":     throughDevice, // NAME TO, a datagram by an interface
	"ping":       ping,          // ADDRESS
	"broadcast":  broadcast,     // ADDRESS
	"tap":        makeTap,
	"ports":      openPorts, // ADDRESS FROM TO
	"interfaces": interfaces,
	"interface":  changeInterface, // FLAG of what is changed
	"netlink":    changeByNetlink,
	"firewall":   func(string) (string, error) { return changeFirewall() },
	"addresses":  addresses,
	"http":       request, // a JSON object
	"hook":       hook,    // COUNT TEXT, sends the text to the engine's own port by so many connections
	"lookup": func(name string) (string, error) {
		a, err := net.DefaultResolver.LookupHost(context.Background(), name)
		return strings.Join(a, ","), err
	},
	"reverse": func(addr string) (string, error) {
		a, err := net.DefaultResolver.LookupAddr(context.Background(), addr)
		return strings.Join(a, ","), err
	},
	"credentials": credentials, // URL of the metadata service
	"ownspace":    ownSpace,    // what its own network namespace has
}

const wireTime = 3 * time.Second

func connectTo(arg string) (string, error) {
	network, address, _ := strings.Cut(arg, " ")
	c, err := net.DialTimeout(network, address, wireTime)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if strings.HasPrefix(network, "tcp") {
		return "a connection", nil // to say something would be rude
	}
	_ = c.SetDeadline(time.Now().Add(wireTime))
	if _, err := c.Write([]byte("probe")); err != nil {
		return "", err
	}
	n, err := c.Read(make([]byte, 512))
	return fmt.Sprint(n, " bytes"), err
}

func openSocket(arg string) (string, error) {
	var family, kind, protocol int
	if _, err := fmt.Sscan(arg, &family, &kind, &protocol); err != nil {
		return "", err
	}
	fd, err := unix.Socket(family, kind, protocol)
	if err != nil {
		return "", err
	}
	unix.Close(fd)
	return "a socket", nil
}

func dialVsock(arg string) (string, error) {
	var cid, port uint32
	if _, err := fmt.Sscan(arg, &cid, &port); err != nil {
		return "", err
	}
	fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0)
	if err != nil {
		return "", err
	}
	return "a connection", unix.Connect(fd, &unix.SockaddrVM{CID: cid, Port: port})
}

// dialFrom has a socket speak from another's address.
func dialFrom(arg string) (string, error) {
	var source, network, address string
	if _, err := fmt.Sscan(arg, &source, &network, &address); err != nil {
		return "", err
	}
	d := net.Dialer{Timeout: wireTime, ControlContext: freely}
	if network == "udp" {
		d.LocalAddr = &net.UDPAddr{IP: net.ParseIP(source)}
	} else {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(source)}
	}
	c, err := d.Dial(network, address)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(wireTime))
	if _, err := c.Write([]byte("x")); err != nil {
		return "", err
	}
	n, err := c.Read(make([]byte, 16))
	return fmt.Sprint(n, " bytes"), err
}

// claim sends a datagram whose ancillary data says where it is from (IP_PKTINFO).
func claim(arg string) (string, error) {
	source, to, _ := strings.Cut(arg, " ")
	at, err := netip.ParseAddrPort(to)
	if err != nil {
		return "", err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	info := &unix.Inet4Pktinfo{Spec_dst: netip.MustParseAddr(source).As4()}
	if err := unix.Sendmsg(fd, []byte("probe"), unix.PktInfo4(info), &unix.SockaddrInet4{Addr: at.Addr().As4(), Port: int(at.Port())}, 0); err != nil {
		return "", err
	}
	return answered(fd)
}

// throughDevice sends a datagram by an interface that it names.
func throughDevice(arg string) (string, error) {
	name, to, _ := strings.Cut(arg, " ")
	at, err := netip.ParseAddrPort(to)
	if err != nil {
		return "", err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	if err := unix.BindToDevice(fd, name); err != nil {
		return "", err
	}
	if err := unix.Sendto(fd, []byte("probe"), 0, &unix.SockaddrInet4{Addr: at.Addr().As4(), Port: int(at.Port())}); err != nil {
		return "", err
	}
	return answered(fd)
}

// answered waits for a datagram.
func answered(fd int) (string, error) {
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1})
	n, _, err := unix.Recvfrom(fd, make([]byte, 512), 0)
	if err != nil {
		return "", err
	}
	return fmt.Sprint(n, " bytes"), nil
}

// interfaces lists those that it is told of, and those that /proc counts.
func interfaces(string) (string, error) {
	all, err := net.Interfaces()
	if err != nil {
		return "", err
	}
	var names []string
	for _, i := range all {
		names = append(names, i.Name)
	}
	text, err := os.ReadFile("/proc/net/dev")
	for line := range strings.Lines(string(text)) {
		if name, _, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, " "), err
}

func ping(address string) (string, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_ICMP)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 2})
	to := &unix.SockaddrInet4{Addr: [4]byte(net.ParseIP(address).To4())}
	if err := unix.Sendto(fd, []byte{8, 0, 0, 0, 0, 1, 0, 1, 'p', 'r', 'o', 'b'}, 0, to); err != nil {
		return "", err
	}
	n, _, err := unix.Recvfrom(fd, make([]byte, 512), 0)
	if err != nil {
		return "", err
	}
	return fmt.Sprint(n, " bytes"), nil
}

// broadcast sends to whoever listens, and waits for an answer from anybody.
func broadcast(address string) (string, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BROADCAST, 1)
	host, port, _ := net.SplitHostPort(address)
	to := &unix.SockaddrInet4{Addr: [4]byte(net.ParseIP(host).To4()), Port: number(port)}
	if err := unix.Sendto(fd, []byte("probe"), 0, to); err != nil {
		return "", err
	}
	return answered(fd)
}

// changeInterface changes the first interface that is not the loopback.
func changeInterface(what string) (string, error) {
	all, err := net.Interfaces()
	if err != nil {
		return "", err
	}
	name := ""
	for _, i := range all {
		if i.Flags&net.FlagLoopback == 0 {
			name = i.Name
		}
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return "", err
	}
	request, err := unix.NewIfreq(name)
	if err != nil {
		return "", err
	}
	kinds := map[string]uint{"address": unix.SIOCSIFADDR, "flags": unix.SIOCSIFFLAGS, "hardware": unix.SIOCSIFHWADDR, "mtu": unix.SIOCSIFMTU}
	switch what {
	case "address":
		_ = request.SetInet4Addr([]byte{192, 0, 0, 3})
	case "flags":
		request.SetUint16(unix.IFF_UP | unix.IFF_PROMISC)
	case "hardware":
		request.SetUint16(1) // ARPHRD_ETHER and no address
	case "mtu":
		request.SetUint32(65535)
	}
	return what, unix.IoctlIfreq(fd, kinds[what], request)
}

// changeByNetlink adds an address (RTM_NEWADDR), a route (RTM_NEWROUTE), or a
// neighbour that is somebody else (RTM_NEWNEIGH).
func changeByNetlink(what string) (string, error) {
	kind := map[string]uint16{"address": unix.RTM_NEWADDR, "route": unix.RTM_NEWROUTE, "neighbour": unix.RTM_NEWNEIGH, "link": unix.RTM_NEWLINK}[what]
	all, err := net.Interfaces()
	if err != nil || len(all) == 0 {
		return "", errors.Join(err, errors.New("there is no interface"))
	}
	index := byte(all[len(all)-1].Index)
	body := map[string][]byte{
		"address":   {2, 32, 0, 0, index, 0, 0, 0, 8, 0, 2, 0, 192, 0, 0, 3, 8, 0, 1, 0, 192, 0, 0, 3},
		"route":     {2, 32, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0, 8, 0, 1, 0, 198, 51, 100, 7, 8, 0, 4, 0, index, 0, 0, 0},
		"neighbour": {2, 0, 0, 0, index, 0, 0, 0, 0x80, 0, 0, 0, 8, 0, 1, 0, 192, 0, 0, 1, 10, 0, 2, 0, 2, 0, 0, 0, 0, 9, 0, 0},
		"link":      append(make([]byte, 16), 16, 0, 18, 0, 10, 0, 1, 0, 'd', 'u', 'm', 'm', 'y', 0, 0, 0),
	}[what]
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	length := byte(16 + len(body))
	head := []byte{length, 0, 0, 0, byte(kind), 0, 5, 6, 1, 0, 0, 0, 0, 0, 0, 0} // REQUEST, ACK, CREATE, REPLACE
	if err := unix.Sendto(fd, append(head, body...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return "", err
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil || n < 20 {
		return "", errors.Join(err, errors.New("no answer"))
	}
	code := int32(answer[16]) | int32(answer[17])<<8 | int32(answer[18])<<16 | int32(answer[19])<<24
	if code != 0 {
		return "", unix.Errno(-code)
	}
	return what, nil
}

// changeFirewall replaces a table, and looks for it: some take options that they do not
// know, and do nothing.
func changeFirewall() (string, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW)
	if err != nil {
		if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0); err != nil {
			return "", err
		}
	}
	defer unix.Close(fd)
	const table = 64 // IPT_SO_SET_REPLACE, and IPT_SO_GET_INFO
	if err := unix.SetsockoptString(fd, unix.SOL_IP, table, string(make([]byte, 1024))); err != nil {
		return "", err
	}
	_, err = unix.GetsockoptString(fd, unix.SOL_IP, table)
	return "a table", err
}

func addresses(string) (string, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return "", err
	}
	var found []string
	for _, a := range all {
		found = append(found, a.String())
	}
	return some(found)
}

// ownSpace tells what a network namespace of its own reaches.
func ownSpace(address string) (string, error) {
	if was, err := connectTo("tcp " + address); err == nil {
		return was, nil
	}
	return connectTo("udp " + address)
}

// request makes an HTTP request exactly as it is told, and tells the status, with
// the first bytes of the answer.
func request(arg string) (string, error) {
	var q struct {
		Method, URL, Body, Host string
		Header                  map[string]string
	}
	if err := json.Unmarshal([]byte(arg), &q); err != nil {
		return "", err
	}
	req, err := http.NewRequest(q.Method, q.URL, strings.NewReader(q.Body))
	if err != nil {
		return "", err
	}
	req.Host = q.Host
	for k, v := range q.Header {
		req.Header.Set(k, v)
	}
	resp, err := (&http.Client{Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if resp.StatusCode >= 400 {
		return "", fmt.Errorf("%d %s", resp.StatusCode, bytes.TrimSpace(body[:min(len(body), 400)]))
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, body[:min(len(body), 400)]), err
}

// credentials asks the metadata service as SDKs do. What comes is the test's own.
func credentials(base string) (string, error) {
	client := &http.Client{Timeout: wireTime}
	do := func(method, path, header, value string) (string, error) {
		req, err := http.NewRequest(method, base+path, nil)
		if err != nil {
			return "", err
		}
		req.Header.Set(header, value)
		resp, err := client.Do(req)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusOK {
			return "", fmt.Errorf("%s: %d", path, resp.StatusCode)
		}
		return string(body), err
	}
	token, err := do("PUT", "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", "60")
	if err != nil {
		return "", err
	}
	const at = "/latest/meta-data/iam/security-credentials/"
	role, err := do("GET", at, "X-aws-ec2-metadata-token", token)
	if err != nil {
		return "", err
	}
	found, err := do("GET", at+role, "X-aws-ec2-metadata-token", token)
	return token + " " + strings.Join(strings.Fields(found), ""), err
}

// hook talks to the port at which the engine is told that copies are unique.
func hook(arg string) (string, error) {
	count, text, _ := strings.Cut(arg, " ")
	made := 0
	var last error
	var open []net.Conn
	for range number(count) {
		c, err := net.DialTimeout("tcp", "192.0.0.1:1", wireTime)
		if err != nil {
			last = err
			continue
		}
		made++
		_ = c.SetDeadline(time.Now().Add(wireTime))
		_, _ = c.Write([]byte(strings.ReplaceAll(text, "|", "\n")))
		open = append(open, c)
	}
	got := 0
	for _, c := range open {
		_ = c.(*net.TCPConn).CloseWrite()
		n, _ := io.Copy(io.Discard, c)
		got += int(n)
		c.Close()
	}
	if made == 0 {
		return "", last
	}
	return fmt.Sprintf("%d connections, %d bytes of answers", made, got), nil
}

// freely has a socket take any address for its own, where that is allowed.
func freely(_ context.Context, _, _ string, raw syscall.RawConn) error {
	return raw.Control(func(fd uintptr) {
		for _, option := range []int{unix.IP_FREEBIND, unix.IP_TRANSPARENT} {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_IP, option, 1) // what is refused is not there
		}
	})
}

// makeTap makes an interface whose frames are its own.
func makeTap(string) (string, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	request, err := unix.NewIfreq("probe0")
	if err != nil {
		return "", err
	}
	request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	return "an interface", unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
}

// openPorts tells which of an address's ports take connections.
func openPorts(arg string) (string, error) {
	var address string
	var from, to int
	if _, err := fmt.Sscan(arg, &address, &from, &to); err != nil {
		return "", err
	}
	var found []string
	for port := from; port <= to; port++ {
		if c, err := net.DialTimeout("tcp", net.JoinHostPort(address, fmt.Sprint(port)), wireTime); err == nil {
			c.Close()
			found = append(found, fmt.Sprint(port))
		}
	}
	return some(found)
}
