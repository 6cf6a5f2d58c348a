package cli

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// whoListens finds who holds the port of addr in this network namespace. The
// process is only visible to its owner and root; the uid is visible to all.
func whoListens(addr string) holder {
	want, err := netip.ParseAddrPort(addr)
	if err != nil {
		return holder{uid: -1}
	}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(table)
		if err != nil {
			continue
		}
		inode, uid, ok := findListener(bufio.NewScanner(f), want)
		_ = f.Close()
		if !ok {
			continue
		}
		h := holder{uid: uid, user: userName(uid)}
		if h.pid = processOf(inode); h.pid > 0 {
			h.command = commandOf(h.pid)
		}
		return h
	}
	return holder{uid: -1}
}

// findListener reads a table of proc_net_tcp(5) for a listening socket that
// stands in the way of want: on the same port, and on its address or on all.
func findListener(lines *bufio.Scanner, want netip.AddrPort) (inode string, uid int, ok bool) {
	const listening = "0A"
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 10 || f[3] != listening {
			continue
		}
		local, err := parseKernelAddr(f[1])
		if err != nil || local.Port() != want.Port() {
			continue
		}
		if local.Addr() != want.Addr().Unmap() && !local.Addr().IsUnspecified() && !want.Addr().IsUnspecified() {
			continue
		}
		if uid, err = strconv.Atoi(f[7]); err != nil {
			continue
		}
		return f[9], uid, true
	}
	return "", 0, false
}

// parseKernelAddr reads 0100007F:21C2: hexadecimal, each 32-bit word of the
// address in the order of this machine's bytes; all of Go's Linux ports that we
// build for are little-endian.
func parseKernelAddr(s string) (netip.AddrPort, error) {
	host, port, _ := strings.Cut(s, ":")
	b, err := hex.DecodeString(host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	for word := range slices.Chunk(b, 4) {
		slices.Reverse(word)
	}
	addr, ok := netip.AddrFromSlice(b)
	n, err := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil {
		return netip.AddrPort{}, strconv.ErrSyntax
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)), nil
}

// processOf returns a process that has the socket open, or 0.
func processOf(inode string) int {
	fds, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return 0
	}
	for _, fd := range fds {
		if link, err := os.Readlink(fd); err == nil && link == "socket:["+inode+"]" {
			pid, _ := strconv.Atoi(strings.Split(fd, "/")[2])
			return pid
		}
	}
	return 0
}

// commandOf names a process by what was executed, or else by its own name for itself.
func commandOf(pid int) string {
	dir := "/proc/" + strconv.Itoa(pid)
	if line, err := os.ReadFile(dir + "/cmdline"); err == nil {
		if first, _, _ := bytes.Cut(line, []byte{0}); len(first) > 0 {
			return printable(filepath.Base(string(first)))
		}
	}
	name, err := os.ReadFile(dir + "/comm")
	if err != nil {
		return "a process"
	}
	return printable(strings.TrimSpace(string(name)))
}

// printable shows what another user may have chosen to call a process.
func printable(s string) string {
	var out []byte
	for _, r := range s {
		out = visible(out, r)
	}
	return string(out)
}
