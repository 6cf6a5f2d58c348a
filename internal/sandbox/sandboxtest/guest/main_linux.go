// Command guest is the program that the contract suite runs inside sandboxes: a
// static executable, so that it needs nothing of the sandbox's file system. Its
// first argument says what to do.
package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "guest: what to do?")
		os.Exit(2)
	}
	os.Exit(run(os.Args[1], os.Args[2:]))
}

func run(what string, args []string) int {
	switch what {
	case "exit": // CODE
		return number(args[0])
	case "die": // SIGNAL, by its default action
		_ = syscall.Kill(os.Getpid(), syscall.Signal(number(args[0])))
		forever()
	case "say": // STDOUT STDERR, without newlines
		fmt.Fprint(os.Stdout, args[0])
		fmt.Fprint(os.Stderr, args[1])
	case "burst": // BYTES to each
		return burst(number(args[0]))
	case "raw": // BYTES to standard output by one write, as a program without a runtime does it
		return raw(number(args[0]))
	case "env": // everything a guest may ask about itself
		self()
	case "serve": // ADDRESS
		return serve(args[0])
	case "term": // ends with 7 on SIGTERM
		return term(7)
	case "stubborn": // does not end on SIGTERM
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("ready")
		forever()
	case "half": // ADDRESS: answers with the length once the client has half-closed
		return half(args[0])
	case "read": // PATH...: tells what becomes of each
		read(args)
	case "write": // PATH...
		write(args)
	case "fill": // PATH: tells how many bytes fit
		fill(args[0])
	case "redial": // ADDRESS
		return redial(args[0])
	case "draw": // ADDRESS
		return draw(args[0])
	case "keep": // ADDRESS: accepts, and never reads, writes or closes
		return keep(args[0])
	case "relocate": // PATH: copies this program there and runs it
		return relocate(args[0])
	case "remove": // PATH...
		remove(args)
	case "stat": // PATH...
		stat(args)
	case "chown": // ID PATH...
		chown(number(args[0]), args[1:])
	case "exec": // PROGRAM ARGUMENT...
		return execute(args)
	case "refill": // PATH OTHER...
		refill(args[0], args[1:])
	case "swap": // ADDRESS PATH TEXT
		return swap(args[0], args[1], args[2])
	case "dial": // ADDRESS...
		dial(args)
	case "deaf": // ADDRESS: listens and never accepts
		return deaf(args[0])
	case "probe": // WHO PROBE...: tries ways out of the sandbox
		probes(args[0], args[1:])
	case "probing": // PROBE: one of them
		return probing(args[0])
	case "agent": // ADDRESS: tries them for whoever invokes it
		return agent(args[0])
	case "litter": // DIR
		fmt.Println(strings.Join(litter(args[0]), "\n"))
	case "difficult": // HOW
		return difficult(args[0])
	default:
		return limits(what, args)
	}
	return 0
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
		os.Exit(2)
	}
	return n
}

func burst(size int) int {
	line := append(bytes.Repeat([]byte("x"), 99), '\n')
	for ; size > 0; size -= len(line) {
		if _, err := os.Stdout.Write(line[:min(size, len(line))]); err != nil {
			return 1
		}
		if _, err := os.Stderr.Write(line[:min(size, len(line))]); err != nil {
			return 1
		}
	}
	return 0
}

func self() {
	dir, _ := os.Getwd()
	host, _ := os.Hostname()
	fmt.Printf("uid=%d gid=%d dir=%s host=%s\n", os.Getuid(), os.Getgid(), dir, host)
	fmt.Printf("effective uid=%d gid=%d\n", os.Geteuid(), os.Getegid())
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		if strings.HasPrefix(line, "Cap") {
			fmt.Print(strings.ReplaceAll(line, "\t", ""))
		}
	}
	for _, v := range os.Environ() {
		fmt.Println("env:" + v)
	}
	interfaces, _ := net.Interfaces()
	for _, i := range interfaces {
		fmt.Println("interface:"+i.Name, i.Flags&net.FlagUp != 0)
	}
}

// serve echoes bodies, tells the length of those sent to /length, and says when
// the client of /stream leaves.
func serve(address string) int {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		// Or the server throws away what it has not read at the first write.
		_ = http.NewResponseController(w).EnableFullDuplex()
		if n := r.ContentLength; n >= 0 {
			w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
		}
		_, _ = io.Copy(w, r.Body)
	})
	mux.HandleFunc("/length", func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, err)
	})
	mux.HandleFunc("/make", func(w http.ResponseWriter, r *http.Request) {
		b := make([]byte, 64<<10)
		w.Header().Set("Content-Length", r.URL.RawQuery)
		for n := number(r.URL.RawQuery); n > 0; n -= len(b) {
			w.Write(b)
		}
	})
	mux.HandleFunc("/stream", func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		fmt.Println("client left")
	})
	return answer(address, mux)
}

// answer serves HTTP and prints "ready" once it listens.
func answer(address string, handler http.Handler) int {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
		return 1
	}
	fmt.Println("ready")
	fmt.Fprintln(os.Stderr, "guest:", http.Serve(listener, handler))
	return 1
}

func term(code int) int {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM)
	fmt.Println("ready")
	<-c
	fmt.Println("terminating")
	return code
}

func half(address string) int {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
		return 1
	}
	fmt.Println("ready")
	c, err := listener.Accept()
	if err != nil {
		return 1
	}
	n, _ := io.Copy(io.Discard, c)
	fmt.Fprint(c, n)
	c.Close()
	return 0
}

func keep(address string) int {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
		return 1
	}
	fmt.Println("ready")
	open := map[net.Conn]bool{} // what is referred to is not closed by the collector
	for {
		c, err := listener.Accept()
		if err != nil {
			return 1
		}
		open[c] = true
	}
}

// raw ends with 1 when a write that should wait did not.
func raw(size int) int {
	n, err := syscall.Write(1, bytes.Repeat([]byte{'x'}, size))
	if n != size || err != nil {
		fmt.Fprintf(os.Stderr, "guest: wrote %d of %d: %v\n", n, size, err)
		return 1
	}
	return 0
}

func deaf(address string) int {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
		return 1
	}
	defer listener.Close()
	fmt.Println("ready")
	forever()
	return 0
}

// forever does not return. An empty select would be a deadlock that Go ends.
func forever() {
	for {
		time.Sleep(time.Hour)
	}
}

func read(paths []string) {
	for _, p := range paths {
		if entries, err := os.ReadDir(p); err == nil {
			var names []string
			for _, e := range entries {
				names = append(names, e.Name())
			}
			fmt.Printf("%s: directory %s\n", p, strings.Join(names, ","))
			continue
		}
		data, err := os.ReadFile(p)
		fmt.Printf("%s: %q %s\n", p, data, reason(err))
	}
}

func write(paths []string) {
	for _, p := range paths {
		fmt.Printf("%s: %s\n", p, reason(os.WriteFile(p, []byte("x"), 0o600)))
	}
}

func fill(path string) {
	file, err := os.Create(path)
	if err != nil {
		fmt.Println("fill:", err)
		return
	}
	total, block := 0, make([]byte, 64<<10)
	for err == nil {
		var n int
		n, err = file.Write(block)
		total += n
	}
	fmt.Println(total, reason(err))
}

func dial(addresses []string) {
	for _, a := range addresses {
		c, err := net.DialTimeout("tcp", a, 2*time.Second)
		if err == nil {
			c.Close()
		}
		fmt.Printf("%s: %s\n", a, reason(err))
	}
}

// reason is an error without the operation and the path.
func reason(err error) string {
	if err == nil {
		return "ok"
	}
	text := err.Error()
	return strings.TrimSpace(text[strings.LastIndex(text, ": ")+1:])
}
