package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// result is one run of the generator.
type result struct {
	perSecond float64
	p50       time.Duration
	handler   time.Duration // the agent's own time, at p50
}

// load sends the same bytes over n kept connections for a while.
func load(addr string, request []byte, size, n int) (result, error) {
	var mu sync.Mutex
	var all, own []time.Duration
	var failed error
	var wg sync.WaitGroup
	begun := time.Now()
	for range n {
		wg.Go(func() {
			took, handler, err := connection(addr, request, size, begun.Add(duration))
			mu.Lock()
			defer mu.Unlock()
			all, own = append(all, took...), append(own, handler...)
			if err != nil {
				failed = err
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(begun)
	if failed != nil {
		return result{}, failed
	}
	slices.Sort(all)
	slices.Sort(own)
	return result{float64(len(all)) / elapsed.Seconds(), all[len(all)/2], own[len(own)/2]}, nil
}

func connection(addr string, request []byte, size int, until time.Time) (took, handler []time.Duration, err error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(until.Add(30 * time.Second)); err != nil { // nothing hangs for ever
		return nil, nil, err
	}
	r := bufio.NewReaderSize(conn, 128<<10)
	buf := make([]byte, size)
	for time.Now().Before(until) {
		begun := time.Now()
		if _, err := conn.Write(request); err != nil {
			return nil, nil, err
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return nil, nil, err
		}
		if resp.StatusCode != http.StatusOK {
			text, _ := io.ReadAll(resp.Body) // for the error alone
			return nil, nil, fmt.Errorf("%s answered %s: %s", addr, resp.Status, text)
		}
		if _, err := io.ReadFull(resp.Body, buf); err != nil {
			return nil, nil, err
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return nil, nil, err
		}
		took = append(took, time.Since(begun))
		ns, err := strconv.ParseInt(strings.TrimPrefix(resp.Header.Get("Baggage"), "echo="), 10, 64)
		if err != nil {
			return nil, nil, fmt.Errorf("the echo did not tell its time: %w", err)
		}
		handler = append(handler, time.Duration(ns))
	}
	if len(took) > 0 && !bytes.HasPrefix(buf, payload(min(size, 8))) {
		return nil, nil, fmt.Errorf("the echo answered something else than was sent")
	}
	return took, handler, nil
}

// payload is what is echoed.
func payload(size int) []byte { return bytes.Repeat([]byte("outcrop."), size/8) }
