package main

import (
	crypto "crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// A drawing is what the suite asks of a program that was copied; agent.py and
// agent.js answer alike.
type drawing struct {
	Started float64           `json:"started"` // seconds since 1970, as the program saw it
	Now     float64           `json:"now"`
	Unique  map[string]string `json:"unique"` // differ from copy to copy
	Cloned  map[string]string `json:"cloned"` // are the same in all of them
	Env     map[string]string `json:"env"`
	Same    map[string]string `json:"same"` // are as in a program that was not copied
}

// draw serves drawings, prints what is posted to /say, and keeps what is posted
// to /tmp/kept in that file.
func draw(address string) int {
	started := seconds()
	generator := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		random := make([]byte, 16)
		_, _ = crypto.Read(random)
		d := drawing{
			Started: started, Now: seconds(),
			Unique: map[string]string{"crypto/rand": hex.EncodeToString(random)},
			Cloned: map[string]string{"math/rand": fmt.Sprint(generator.Uint64())},
			Env:    map[string]string{}, Same: map[string]string{},
		}
		for _, v := range os.Environ() {
			name, value, _ := strings.Cut(v, "=")
			d.Env[name] = value
		}
		d.Same["directory"], _ = os.Getwd()
		d.Same["host"], _ = os.Hostname()
		d.Same["user"] = fmt.Sprint(os.Getuid(), os.Getgid())
		_ = json.NewEncoder(w).Encode(d)
	})
	mux.HandleFunc("/say", func(w http.ResponseWriter, r *http.Request) { fmt.Println(r.URL.RawQuery) })
	mux.HandleFunc("/keep", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, reason(os.WriteFile("/tmp/kept", []byte(r.URL.RawQuery), 0o600)))
	})
	mux.HandleFunc("/kept", func(w http.ResponseWriter, r *http.Request) {
		data, err := os.ReadFile("/tmp/kept")
		fmt.Fprint(w, string(data), " ", reason(err))
	})
	// hold takes memory that cannot be compressed or shared, for benchmarks.
	var held [][]byte
	mux.HandleFunc("/hold", func(w http.ResponseWriter, r *http.Request) {
		noise := rand.NewChaCha8([32]byte{})
		for range number(r.URL.RawQuery) {
			block := make([]byte, 1<<20)
			_, _ = noise.Read(block)
			held = append(held, block)
		}
		fmt.Fprint(w, len(held))
	})
	return answer(address, mux)
}

// redial connects and prints what it is told, again and again.
func redial(address string) int {
	for {
		c, err := net.Dial("tcp", address)
		if err != nil {
			fmt.Println(reason(err))
			time.Sleep(10 * time.Millisecond) // the network may just be coming back
			continue
		}
		_, _ = io.Copy(os.Stdout, c)
		c.Close()
		fmt.Println("ended")
	}
}

func seconds() float64 { return float64(time.Now().UnixNano()) / 1e9 }
