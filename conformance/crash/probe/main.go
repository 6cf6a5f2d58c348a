// Command probe is the agent of the crash tests: a static server that streams as
// long as it is told to, and looks around in its sandbox.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
)

// question is the payload of an invocation.
type question struct {
	// Stream answers that many lines, one every Every milliseconds.
	Stream, Every int
	// Write makes files with a text.
	Write []string
	Text  string
	// Read looks at paths, List walks them, Dial connects.
	Read, List, Dial []string
	// Env asks for the environment.
	Env bool
	// Keep is a line for the session storage, where it is before the answer; Say
	// is remembered.
	Keep, Say string
	// Die ends the program instead of an answer.
	Die bool
}

// answer tells for each path or address what came of it.
type answer struct {
	Write, Read, Dial map[string]string
	List              []string
	Env               []string
	// Kept are the lines of the session storage, Said is what the program
	// remembers.
	Kept, Said []string
}

// kept is where lines are kept.
const kept = "/mnt/work/kept"

// memory is what the program was told since it began.
type memory struct {
	mu   sync.Mutex
	said []string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ping", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, `{"status":"Healthy"}`)
	})
	mux.HandleFunc("POST /invocations", new(memory).invoke)
	mux.HandleFunc("GET /ws", echo)
	server := &http.Server{Addr: "127.0.0.1:8080", Handler: mux}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.ListenAndServe(); err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}

func (m *memory) invoke(w http.ResponseWriter, r *http.Request) {
	var q question
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	switch {
	case q.Die:
		os.Exit(3)
	case q.Stream > 0:
		stream(w, r, q)
		return
	}
	a := answer{Write: map[string]string{}, Read: map[string]string{}, Dial: map[string]string{}}
	for _, p := range q.Write {
		a.Write[p] = result(os.WriteFile(p, []byte(q.Text), 0o666))
	}
	for _, p := range q.Read {
		a.Read[p] = read(p)
	}
	for _, p := range q.List {
		a.List = append(a.List, list(p)...)
	}
	for _, address := range q.Dial {
		a.Dial[address] = dial(address)
	}
	if q.Env {
		a.Env = os.Environ()
	}
	if q.Keep != "" {
		var err error
		if a.Kept, err = keep(q.Keep); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	m.mu.Lock()
	if q.Say != "" {
		m.said = append(m.said, q.Say)
	}
	a.Said = slices.Clone(m.said)
	m.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(a)
}

// echo says on a WebSocket what it hears, until it is closed.
func echo(w http.ResponseWriter, r *http.Request) {
	c, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
	if err != nil {
		return // the caller was told
	}
	defer c.Close()
	for {
		kind, text, err := c.ReadMessage()
		if err != nil || c.WriteMessage(kind, text) != nil {
			return
		}
	}
}

// keep writes a line to the disk and returns all that are there.
func keep(line string) ([]string, error) {
	f, err := os.OpenFile(kept, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = f.WriteString(line + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(kept)
	return strings.Fields(string(text)), err
}

func stream(w http.ResponseWriter, r *http.Request, q question) {
	w.Header().Set("Content-Type", "text/event-stream")
	for i := range q.Stream {
		if _, err := fmt.Fprintf(w, "data: %d\n\n", i); err != nil {
			return
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
		select {
		case <-time.After(time.Duration(q.Every) * time.Millisecond):
		case <-r.Context().Done():
			return
		}
	}
}

func result(err error) string {
	if err != nil {
		return "error: " + err.Error()
	}
	return "ok"
}

// read tells what is in a file or directory.
func read(path string) string {
	if entries, err := os.ReadDir(path); err == nil {
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return "directory: " + strings.Join(names, " ")
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return result(err)
	}
	return "file: " + string(b)
}

// list names everything below a path.
func list(root string) []string {
	var out []string
	_ = filepath.WalkDir(root, func(path string, _ fs.DirEntry, _ error) error {
		out = append(out, path) // what cannot be read is named and left
		return nil
	})
	return out
}

// dial connects to NETWORK:ADDRESS and says something.
func dial(address string) string {
	network, rest, _ := strings.Cut(address, ":")
	conn, err := net.DialTimeout(network, rest, 2*time.Second)
	if err != nil {
		return result(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET / HTTP/1.0\r\n\r\n")); err != nil {
		return result(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return result(err)
	}
	buf := make([]byte, 256)
	n, err := conn.Read(buf)
	if err != nil {
		return result(err)
	}
	return "answered: " + string(buf[:n])
}
