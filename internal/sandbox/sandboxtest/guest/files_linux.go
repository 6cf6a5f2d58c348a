package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// remove tells what becomes of each path.
func remove(paths []string) {
	for _, p := range paths {
		fmt.Printf("%s: %s\n", p, reason(os.Remove(p)))
	}
}

// stat tells of each path its mode as the kernel has it, and its owner.
func stat(paths []string) {
	for _, p := range paths {
		var st syscall.Stat_t
		err := syscall.Lstat(p, &st)
		fmt.Printf("%s: %s %o %d:%d\n", p, reason(err), st.Mode, st.Uid, st.Gid)
	}
}

// chown gives paths to an id and says what they are then.
func chown(id int, paths []string) {
	for _, p := range paths {
		if err := os.Chown(p, id, id); err != nil {
			fmt.Printf("%s: %s\n", p, reason(err))
			continue
		}
		stat([]string{p})
	}
}

// execute runs a program with our own output.
func execute(args []string) int {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
		return 1
	}
	return 0
}

// relocate copies this program and lets the copy say so.
func relocate(path string) int {
	data, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(path, data, 0o700)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
		return 1
	}
	return execute([]string{path, "say", "ran\n", ""})
}

// refill fills the first path and removes it; then the others can be written.
func refill(path string, others []string) {
	file, err := os.Create(path)
	if err != nil {
		fmt.Println("refill:", err)
		return
	}
	block := make([]byte, 64<<10)
	for err == nil {
		_, err = file.Write(block)
	}
	file.Close()
	if os.WriteFile(filepath.Dir(path)+"/more", block, 0o600) != nil {
		fmt.Println("full")
	}
	os.Remove(filepath.Dir(path) + "/more")
	os.Remove(path)
	write(others)
}

// swap writes a text into a file, says so, and tells what is in it later, when
// somebody has connected or the program is asked to end.
func swap(address, path, text string) int {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		fmt.Println(reason(err))
		return 1
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
		return 1
	}
	fmt.Println("wrote")
	c, err := listener.Accept()
	if err != nil {
		return 1
	}
	data, err := os.ReadFile(path)
	fmt.Printf("%s\n", data)
	c.Close()
	if err != nil {
		return 1
	}
	return 0
}
