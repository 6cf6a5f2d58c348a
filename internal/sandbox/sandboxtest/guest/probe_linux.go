package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A probe tries one way out of the sandbox, and tells in a line what came of it:
// gotten says what it got, any error is a refusal. Nothing it says holds what
// was in a file: a leak must not go on into a log.
type probe func(arg string) (gotten string, err error)

// probeTime bounds one probe.
const probeTime = 20 * time.Second

// probesAtOnce are tried together: many of them wait for what never comes.
const probesAtOnce = 8

// probes tries all that args name, each NAME or NAME:ARGUMENT, in a process of its
// own, and prints a line for each. The first argument says as whom.
func probes(as string, args []string) {
	results := make([]string, len(args))
	turns := make(chan struct{}, probesAtOnce)
	var all sync.WaitGroup
	for i, a := range args {
		turns <- struct{}{}
		all.Go(func() {
			defer func() { <-turns }()
			results[i] = attempt(as, a)
		})
	}
	all.Wait()
	for i, a := range args {
		fmt.Printf("%s\t%s\n", a, results[i])
	}
}

// attempt is one probe in a process of its own, so that what it does to itself does
// not change the next.
func attempt(as, do string) string {
	ctx, cancel := context.WithTimeout(context.Background(), probeTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", "probing", do)
	cmd.SysProcAttr = new(syscall.SysProcAttr)
	maps := func(flags uintptr) {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER | flags
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	switch as {
	case "self":
	case "userns": // all capabilities in a user namespace of its own, nothing else
		maps(0)
	case "allns": // and in all other namespaces of its own
		maps(syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS)
	default:
		return "unknown: " + as
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if ctx.Err() != nil {
		return "refused: it never ends"
	}
	if line := strings.TrimSpace(out.String()); line != "" {
		return line
	}
	if err != nil {
		first, _, _ := strings.Cut(errs.String(), "\n")
		return "died: " + err.Error() + ": " + first
	}
	return "died: it said nothing"
}

// probing runs one probe in this process.
func probing(do string) int {
	name, arg, _ := strings.Cut(do, ":")
	for _, all := range []map[string]probe{fileProbes, mountProbes, kernelProbes, processProbes, wireProbes} {
		p, ok := all[name]
		if !ok {
			continue
		}
		gotten, err := p(arg)
		if err != nil {
			fmt.Println("refused:", plain(err))
		} else {
			fmt.Println("got:", strings.ReplaceAll(gotten, "\n", " "))
		}
		return 0
	}
	fmt.Println("unknown:", name)
	return 0
}

// plain is an error as the kernel named it.
func plain(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return strings.ReplaceAll(reason(err), "\n", " ")
}

// agent serves probes to whoever invokes the program as an agent: what to try, and
// as whom.
func agent(address string) int {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ping", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"status":"Healthy"}`) })
	mux.HandleFunc("POST /invocations", func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			As string
			Do []string
		}
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		all := map[string]string{}
		for _, do := range q.Do {
			all[do] = attempt(q.As, do)
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(all)
	})
	fmt.Fprintln(os.Stderr, "guest:", http.ListenAndServe(address, mux))
	return 1
}
