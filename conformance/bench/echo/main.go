// Command echo is the agent of the benchmark: a static server that answers
// /ping and echoes /invocations, and says how long that took it.
package main

import (
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"time"
)

func main() {
	addr := "127.0.0.1:8080"
	if len(os.Args) > 1 {
		addr = os.Args[1]
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
	log.Fatal(http.ListenAndServe(addr, nil))
}
