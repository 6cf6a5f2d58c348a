package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// limit is how long a guest waits for anything on its network.
const limit = 50 * time.Second

// network does what concerns the guest's network.
func network(what string, args []string) int {
	switch what {
	case "get": // URL...: tells the bodies
		get(args)
	case "lookup": // NAME...
		lookup(args)
	case "exchange": // ADDRESS BYTES: sends noise, half-closes, and tells what comes back
		return exchange(args[0], number(args[1]))
	case "datagrams": // ADDRESS BYTES...: tells how each came back
		datagrams(args[0], args[1:])
	case "flood": // ADDRESS COUNT: opens and keeps as many as it can
		flood(args[0], number(args[1]))
	case "hold": // ADDRESS: connects, and keeps that until it is told to stop
		return hold(args[0])
	case "push": // ADDRESS BYTES: sends zeros
		return push(args[0], number(args[1]))
	case "pull": // ADDRESS: reads to the end
		return pull(args[0])
	case "connects": // ADDRESS COUNT: opens and closes them one after the other
		return connects(args[0], number(args[1]))
	case "rawsockets":
		rawSockets()
	default:
		fmt.Fprintln(os.Stderr, "guest: unknown:", what)
		return 2
	}
	return 0
}

func get(urls []string) {
	client := &http.Client{Timeout: limit, Transport: &http.Transport{DisableKeepAlives: true}}
	for _, u := range urls {
		resp, err := client.Get(u)
		if err != nil {
			fmt.Printf("%s: %s\n", u, reason(err))
			continue
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		fmt.Printf("%s: %d %q %s\n", u, resp.StatusCode, body, reason(err))
	}
}

func lookup(names []string) {
	for _, n := range names {
		addresses, err := net.DefaultResolver.LookupHost(context.Background(), n)
		slices.Sort(addresses)
		fmt.Printf("%s: %s %s\n", n, strings.Join(addresses, ","), reason(err))
	}
}

// exchange ends with 1 when it could not connect.
func exchange(address string, size int) int {
	c, err := net.DialTimeout("tcp", address, limit)
	if err != nil {
		fmt.Println(reason(err))
		return 1
	}
	defer c.Close()
	sent, got := sha256.New(), sha256.New()
	go func() {
		noise := io.LimitReader(rand.NewChaCha8([32]byte{7}), int64(size))
		_, _ = io.CopyBuffer(c, io.TeeReader(noise, sent), make([]byte, 256<<10))
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	begin := time.Now()
	n, err := io.CopyBuffer(got, struct{ io.Reader }{c}, make([]byte, 256<<10))
	seconds := time.Since(begin).Seconds()
	fmt.Printf("%d bytes, equal %t, %s\n", n, bytes.Equal(sent.Sum(nil), got.Sum(nil)), reason(err))
	fmt.Fprintf(os.Stderr, "%.0f MB/s\n", float64(n)/1e6/seconds)
	return 0
}

func datagrams(address string, sizes []string) {
	c, err := net.Dial("udp", address)
	if err != nil {
		fmt.Println(reason(err))
		return
	}
	defer c.Close()
	buf := make([]byte, 64<<10)
	for _, s := range sizes {
		want := bytes.Repeat([]byte{'d'}, number(s))
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		_, err := c.Write(want)
		var n int
		if err == nil {
			n, err = c.Read(buf)
		}
		fmt.Printf("%s: %t %s\n", s, bytes.Equal(buf[:n], want), reason(err))
	}
}

// flood tells what became of the connections. Those that were made are open all
// at once.
func flood(address string, count int) {
	var mu sync.Mutex
	results := map[string]int{}
	var open []net.Conn
	var wg sync.WaitGroup
	turns := make(chan struct{}, 128)
	begin := time.Now()
	for range count {
		turns <- struct{}{}
		wg.Go(func() {
			defer func() { <-turns }()
			c, err := net.DialTimeout("tcp", address, limit)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				open = append(open, c)
			}
			results[reason(err)]++
		})
	}
	wg.Wait()
	for _, r := range []string{"ok", "connection refused"} {
		fmt.Printf("%s: %d\n", r, results[r])
		delete(results, r)
	}
	for r, n := range results {
		fmt.Printf("other: %s: %d\n", r, n)
	}
	fmt.Fprintf(os.Stderr, "%d connections in %v\n", count, time.Since(begin).Round(time.Millisecond))
	for _, c := range open {
		c.Close()
	}
}

func hold(address string) int {
	c, err := net.DialTimeout("tcp", address, limit)
	if err != nil {
		fmt.Println(reason(err))
		return 1
	}
	defer c.Close()
	fmt.Println("ready")
	forever()
	return 0
}

const blockBytes = 256 << 10

func push(address string, size int) int {
	c, err := net.DialTimeout("tcp", address, limit)
	if err != nil {
		fmt.Println(reason(err))
		return 1
	}
	defer c.Close()
	for block := make([]byte, blockBytes); size > 0; size -= len(block) {
		if _, err := c.Write(block[:min(size, len(block))]); err != nil {
			fmt.Println(reason(err))
			return 1
		}
	}
	_ = c.(*net.TCPConn).CloseWrite()
	_, err = c.Read(make([]byte, 1)) // the other side has everything
	fmt.Println(reason(err))
	return 0
}

func pull(address string) int {
	c, err := net.DialTimeout("tcp", address, limit)
	if err != nil {
		fmt.Println(reason(err))
		return 1
	}
	defer c.Close()
	n, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{c}, make([]byte, blockBytes))
	fmt.Println(n, reason(err))
	return 0
}

func connects(address string, count int) int {
	for range count {
		c, err := net.DialTimeout("tcp", address, limit)
		if err != nil {
			fmt.Println(reason(err))
			return 1
		}
		c.Close()
	}
	fmt.Println("ok")
	return 0
}

// rawSockets tells which sockets that would put frames of the guest's own making
// on the wire can be had.
func rawSockets() {
	for _, s := range []struct {
		name                   string
		domain, kind, protocol int
	}{
		{"packet", syscall.AF_PACKET, syscall.SOCK_RAW, 0x0300},
		{"packet datagram", syscall.AF_PACKET, syscall.SOCK_DGRAM, 0x0300},
		{"raw IP", syscall.AF_INET, syscall.SOCK_RAW, syscall.IPPROTO_RAW},
		{"raw TCP", syscall.AF_INET, syscall.SOCK_RAW, syscall.IPPROTO_TCP},
		{"raw ICMP", syscall.AF_INET, syscall.SOCK_RAW, syscall.IPPROTO_ICMP},
	} {
		fd, err := syscall.Socket(s.domain, s.kind, s.protocol)
		if err == nil {
			syscall.Close(fd)
		}
		fmt.Printf("%s: %s\n", s.name, reason(err))
	}
	// Another's address cannot be bound to either.
	_, err := (&net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(192, 0, 0, 3)}}).Dial("udp", "192.0.0.1:53")
	var errno syscall.Errno
	if errors.As(err, &errno) {
		err = errno
	}
	fmt.Printf("another's address: %s\n", reason(err))
}
