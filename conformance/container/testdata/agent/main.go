// Command agent is an agent of nothing but itself: a static program for an image
// from scratch. It says where it finds itself.
package main

import (
	"encoding/json"
	"log"
	"net/http"
	"os"
	"strings"
)

// found is what it says.
type found struct {
	UID, GID  int
	Dir       string
	Arguments []string
	Env       map[string]string
	// Error is of what it was asked to do.
	Error string
}

// deed is what it is asked to do.
type deed struct {
	Write string // a file
	Stat  string // a file
	Text  string
}

func main() {
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	http.HandleFunc("/ping", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"status":"Healthy"}`)) // whoever asks may be gone
	})
	http.HandleFunc("/", invoke)
	log.Fatal(http.ListenAndServe("0.0.0.0:"+port, nil))
}

func invoke(w http.ResponseWriter, r *http.Request) {
	var d deed
	if err := json.NewDecoder(r.Body).Decode(&d); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	out := found{UID: os.Getuid(), GID: os.Getgid(), Arguments: os.Args, Env: map[string]string{}}
	for _, v := range os.Environ() {
		name, value, _ := strings.Cut(v, "=")
		out.Env[name] = value
	}
	var err error
	out.Dir, err = os.Getwd()
	if d.Stat != "" {
		_, err = os.Stat(d.Stat)
	}
	if d.Write != "" {
		err = os.WriteFile(d.Write, []byte(d.Text), 0o600)
	}
	if err != nil {
		out.Error = err.Error()
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(out); err != nil {
		log.Print(err)
	}
}
