package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// limits does what concerns what a guest may use.
func limits(what string, args []string) int {
	switch what {
	case "devour": // BYTES: takes memory in pieces of that size and never ends
		return devour(number(args[0]))
	case "devourtmpfs": // takes memory in file systems that it mounts in namespaces of its own
		return devourFiles()
	case "devourtables": // BYTES: shares memory of that size with as many processes as can be
		return devourTables(number(args[0]))
	case "forks": // tells how many processes can be, and that there is room again afterwards
		return forks()
	case "forksofusers": // the same, while another user has some
		return forksOfUsers()
	case "threads": // tells how many threads can be
		return threads()
	case "forkbomb": // makes processes that make processes, for ever
		fmt.Println("ready")
		forkBomb()
	case "opens": // PATH: opens it until that fails, and tells how often it went well
		opens(args[0])
	case "hoard": // DIR COUNT: makes files and keeps them open, as many as it can
		return hoard(args[0], number(args[1]))
	case "spin": // THREADS MILLISECONDS: computes, and tells how much
		fmt.Println(spin(number(args[0]), time.Duration(number(args[1]))*time.Millisecond))
	case "gush": // writes to standard output for ever, and tells on standard error how much was taken
		gush()
	case "processors":
		fmt.Println(runtime.NumCPU())
	case "memory": // how much there is, in bytes
		var info syscall.Sysinfo_t
		_ = syscall.Sysinfo(&info)
		fmt.Println(info.Totalram * uint64(info.Unit))
	case "links": // DIR: makes what a directory may hold besides files
		links(args[0])
	default:
		return network(what, args)
	}
	return 0
}

func devour(piece int) int {
	fmt.Println("ready")
	for {
		b, err := syscall.Mmap(-1, 0, piece, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
		if err != nil {
			fmt.Println(reason(err))
			return 1
		}
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
	}
}

func devourFiles() int {
	runtime.LockOSThread()
	// A process with threads may not make itself a user namespace: a child does.
	if len(os.Args) < 4 {
		cmd := &syscall.ProcAttr{Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		}}
		pid, err := syscall.ForkExec("/proc/self/exe", []string{"guest", "devourtmpfs", "inside", "it"}, cmd)
		if err != nil {
			fmt.Println("namespaces:", reason(err))
			return 1
		}
		var status syscall.WaitStatus
		_, _ = syscall.Wait4(pid, &status, 0, nil)
		return status.ExitStatus()
	}
	if err := syscall.Mount("x", "/tmp", "tmpfs", 0, "size=100g"); err != nil {
		fmt.Println("mount:", reason(err))
		return 1
	}
	fmt.Println("ready")
	fill("/tmp/big")
	return 0
}

// devourTables has every process look at every page, so that each has page tables
// of its own. A child that has looked says so and waits.
func devourTables(size int) int {
	runtime.LockOSThread()
	shared, err := syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_SHARED)
	if err != nil {
		fmt.Println(reason(err))
		return 1
	}
	for i := 0; i < len(shared); i += 4096 {
		shared[i] = 1
	}
	fmt.Println("ready")
	for {
		_, _, e := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
		if e != 0 {
			fmt.Println(e.Error())
			forever()
		}
		// Parent and child go on alike; the child's look is what costs.
		for i := 0; i < len(shared); i += 4096 {
			if shared[i] != 1 {
				return 1
			}
		}
	}
}

// fork is a process that shares nothing and runs no Go: it waits for ever.
func fork() (int, syscall.Errno) {
	pid, _, e := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if e == 0 && pid == 0 {
		for {
			_, _, _ = syscall.RawSyscall6(syscall.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
		}
	}
	return int(pid), e
}

func forks() int {
	runtime.LockOSThread()
	var all []int
	for {
		pid, e := fork()
		if e != 0 {
			fmt.Println(len(all), e.Error())
			break
		}
		all = append(all, pid)
	}
	for _, pid := range all {
		_ = syscall.Kill(pid, syscall.SIGKILL)
		_, _ = syscall.Wait4(pid, nil, 0, nil)
	}
	if _, e := fork(); e != 0 {
		fmt.Println("there is no room:", e.Error())
		return 1
	}
	return 0
}

// forksOfUsers has this user hold some processes while another one counts.
func forksOfUsers() int {
	runtime.LockOSThread()
	for range 20 {
		if _, e := fork(); e != 0 {
			fmt.Println(e.Error())
			return 1
		}
	}
	cmd := exec.Command("/proc/self/exe", "forks")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 4321, Gid: 4321}}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		fmt.Println(reason(err))
		return 1
	}
	return 0
}

// threads counts as many as there can be. They share memory and are the same
// process, so that none of them may ever return from the kernel.
func threads() int {
	runtime.LockOSThread()
	for n := 0; ; n++ {
		hold := make(chan error)
		go func() {
			runtime.LockOSThread() // a thread of its own
			hold <- nil
			forever()
		}()
		<-hold
		fmt.Println(n)
	}
}

func forkBomb() {
	runtime.LockOSThread()
	for {
		pid, _, e := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
		_, _ = pid, e // parent and child go on alike, whether it went well or not
	}
}

func opens(path string) {
	n := 0
	for {
		if _, err := syscall.Open(path, syscall.O_RDONLY, 0); err != nil {
			fmt.Println(n, err.Error())
			return
		}
		n++
	}
}

func hoard(dir string, count int) int {
	for i := range count {
		_, err := syscall.Open(fmt.Sprintf("%s/%d", dir, i), syscall.O_RDWR|syscall.O_CREAT, 0o600)
		if err != nil {
			fmt.Println(i, err.Error())
			return 0
		}
	}
	fmt.Println(count, "ok")
	return 0
}

// spin computes with so many threads for a while, and returns how much.
func spin(threads int, d time.Duration) int64 {
	var wg sync.WaitGroup
	var total atomic.Int64
	end := time.Now().Add(d)
	for range threads {
		wg.Go(func() {
			var n int64
			x := uint64(1)
			for time.Now().Before(end) {
				for range 100_000 {
					x ^= x << 13
					x ^= x >> 7
					x ^= x << 17
				}
				n += 100_000
			}
			if x != 0 {
				total.Add(n)
			}
		})
	}
	wg.Wait()
	return total.Load()
}

func gush() {
	var taken atomic.Int64
	go func() {
		for {
			fmt.Fprintln(os.Stderr, taken.Load())
			time.Sleep(100 * time.Millisecond) // a report now and then
		}
	}()
	piece := []byte(strings.Repeat("x", 4095) + "\n")
	for {
		n, err := os.Stdout.Write(piece)
		taken.Add(int64(n))
		if err != nil {
			return
		}
	}
}

func links(dir string) {
	try := func(what string, err error) { fmt.Printf("%s: %s\n", what, reason(err)) }
	at := func(name string) string { return filepath.Join(dir, name) }
	try("file", os.WriteFile(at("file"), []byte("mine"), 0o600))
	try("chmod", os.Chmod(at("file"), fs.ModeSetuid|0o755))
	try("reread", func() error { _, err := os.ReadFile(at("file")); return err }())
	try("directory", os.Mkdir(at("dir"), 0o700))
	try("below", os.WriteFile(at("dir/below"), []byte("x"), 0o600))
	try("symlink", os.Symlink("/etc/passwd", at("symlink")))
	try("dirlink", os.Symlink("/", at("dirlink")))
	try("hardlink", os.Link(at("file"), at("hardlink")))
	try("fifo", syscall.Mkfifo(at("fifo"), 0o600))
	try("device", syscall.Mknod(at("device"), syscall.S_IFCHR|0o666, 1<<8|3))
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		err = syscall.Bind(fd, &syscall.SockaddrUnix{Name: at("socket")})
	}
	try("socket", err)
	try("outside", errors.Join(os.Link("/etc/passwd", at("passwd"))))
	try("rename", os.Rename(at("dir/below"), at("moved")))
	var st syscall.Stat_t
	_ = syscall.Stat(at("file"), &st)
	fmt.Printf("owner: %t\n", int(st.Uid) == os.Getuid() && int(st.Gid) == os.Getgid())
}
