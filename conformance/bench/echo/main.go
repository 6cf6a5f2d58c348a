// Command echo is the agent of the benchmark: a static server that answers
// /ping and echoes /invocations, and says how long that took it, and messages on
// /ws. Its arguments
// are the address and how many MiB of noise it holds.
package main

import (
	"crypto/rand"
	"io"
	"log"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"time"

	"github.com/gorilla/websocket"
)

func main() {
	addr := "127.0.0.1:8080"
	if len(os.Args) > 1 {
		addr = os.Args[1]
	}
	var held []byte // until the end
	if len(os.Args) > 2 {
		mib, err := strconv.Atoi(os.Args[2])
		if err != nil {
			log.Fatal(err)
		}
		held = make([]byte, mib<<20)
		_, _ = rand.Read(held) // never fails (crypto/rand)
	}
	http.HandleFunc("GET /ping", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"status":"Healthy"}`)
	})
	http.HandleFunc("POST /invocations", func(w http.ResponseWriter, r *http.Request) {
		begun := time.Now()
		body := make([]byte, r.ContentLength)
		if _, err := io.ReadFull(r.Body, body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "application/octet-stream")
		h.Set("Content-Length", strconv.Itoa(len(body)))
		// The time goes where the answer's headers that pass through are.
		h.Set("Baggage", "echo="+strconv.FormatInt(int64(time.Since(begun)), 10))
		_, _ = w.Write(body)
	})
	http.HandleFunc("GET /ws", func(w http.ResponseWriter, r *http.Request) {
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
	})
	err := http.ListenAndServe(addr, nil)
	runtime.KeepAlive(held)
	log.Fatal(err)
}
