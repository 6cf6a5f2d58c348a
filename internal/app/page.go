package app

import (
	"fmt"
	"net/http"
)

// page is what a browser sees at "/" until the console is there.
func page(version string) http.Handler {
	text := fmt.Sprintf(`Outcrop %s

This is the API of an Outcrop server, compatible with Amazon Bedrock AgentCore.

Next, in a shell on this machine:

  eval "$(outcrop env)"                        point every AWS client of the shell here
  outcrop deploy FOLDER                        deploy an agent
  outcrop invoke NAME '{"prompt":"hi"}'        and talk to it
  outcrop doctor                               see what this host allows
`, version)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/plain; charset=utf-8")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		if r.Method == http.MethodGet {
			_, _ = w.Write([]byte(text)) // a client that has left
		}
	})
}

// health answers while the server does.
func health() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"status":"ok"}` + "\n")) // a client that has left
	})
}
