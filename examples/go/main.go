// An agent in Go: one static program, an image FROM scratch, no SDK. It serves
// GET /ping and POST /invocations on port 8080, which is all that an agent is.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"sync/atomic"
)

// turns counts this session's: every session has a sandbox of its own.
var turns atomic.Int64

func main() {
	http.HandleFunc("GET /ping", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"status":"Healthy"}`)
	})
	http.HandleFunc("POST /invocations", invoke)
	log.Fatal(http.ListenAndServe(":8080", nil))
}

// invoke streams the answer, one event for each word.
func invoke(w http.ResponseWriter, r *http.Request) {
	var ask struct{ Prompt string }
	if err := json.NewDecoder(r.Body).Decode(&ask); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	log.Printf("turn %d of session %s", turns.Add(1), r.Header.Get("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"))
	w.Header().Set("Content-Type", "text/event-stream")
	for _, word := range []string{"Turn ", fmt.Sprint(turns.Load()), ": you ", "said ", ask.Prompt} {
		event, _ := json.Marshal(word) // a string always can
		fmt.Fprintf(w, "data: %s\n\n", event)
		w.(http.Flusher).Flush()
	}
}
