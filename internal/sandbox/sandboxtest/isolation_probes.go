package sandboxtest

// Probes are what TestContract has guests try against an engine.
func Probes() []Probe {
	var out []Probe
	for _, g := range []struct {
		name   string
		probes []Probe
	}{
		{"files", fileTable()}, {"mounts", mountTable()}, {"kernel", kernelTable()}, {"processes", processTable()}, {"network", wireTable()},
	} {
		for _, p := range g.probes {
			p.Group = g.name
			out = append(out, p)
		}
	}
	return out
}

func fileTable() []Probe {
	return []Probe{
		{Name: "a file of the host by its path", Do: "read:{secret}"},
		{Name: "users' and system's files", Do: "readall:/etc/shadow,/etc/gshadow,/etc/sudoers,/root/.ssh,/root/.bashrc,/var/lib/dpkg,/var/log,/etc/machine-id,/etc/ssh,/etc/cron.d,/run/docker.sock,/boot,/lost+found,/srv"},
		{Name: "the supervisor's directories", Do: "readall:/host,/layer,/empty,/state,/bundles,/hooks,/disks,/volumes"},
		{Name: "by magic links of all processes", Do: "through-proc:{secret}"},
		{Name: "up from descriptors of all mounts", Do: "through-fd:{secret}"},
		{Name: "out of a chroot", Do: "through-chroot:{secret}"},
		{Name: "by a symbolic link", Do: "through-link:{secret}"},
		{Name: "by a symbolic link in a volume", Do: "read:/mnt/data/absolute"},
		{Name: "by a relative link in a volume", Do: "read:/mnt/data/relative"},
		{Name: "by a file handle", Do: "through-handle:{secret}"},
		{Name: "descriptors left open", Do: "inherited"},
		{Name: "a read-only file opened again for writing", Do: "reopen-rw:/opt/shown/public"},
		{Name: "writes to everything mounted", Do: "write-mounts", Own: map[string]string{roleRoot: `([a-z]+ (/|/mnt/data) ?)+`, "": `([a-z]+ /mnt/data ?)+`}},
		{Name: "a hard link to a read-only file", Do: "hardlink:/opt/shown/public"},
		{Name: "another user's file in a mount", Do: "private:/opt/shown/private", Own: map[string]string{roleRoot: "7 bytes"}},
		{Name: "a socket in a mount", Do: "connect:/opt/shown/socket"},
		{Name: "a pipe in a mount", Do: "fifo:/opt/shown/pipe"},
		{Name: "a socket of the host", Do: "connect:{socket}"},
		{Name: "an abstract socket of the host", Do: "connect:@{abstract}"},
		{Name: "a file in the host's /dev/shm", Do: "read:{shm}"},
		{Name: "System V shared memory of the host", Do: "shm:{shmkey}"},
		{Name: "devices in /dev", Do: "devices", Own: all(`full fuse (net/tun )?null pts/ptmx random tty urandom zero`)},
		{Name: "dangerous devices", Do: "open:kvm,net/tun,mem,kmem,port,kmsg,fuse,loop-control,loop0,sda,vda,xvda,nvme0,nvme0n1,vhost-net,vhost-vsock,vfio/vfio,dri/card0,nvidia0,nvidiactl,input/event0,uinput,ttyS0,tty0,console,mapper/control,btrfs-control,autofs,cuse,watchdog,rtc0,vsock,userfaultfd,cpu/0/msr,hpet,nvram,snapshot,sgx_enclave,sev,tdx_guest", Own: all(`(net/tun )?fuse`)},
		{Name: "memory made a device", Do: "mknod:c 1 1"},
		{Name: "a disk made a device", Do: "mknod:b 8 0"},
		{Name: "TUN made a device", Do: "mknod:c 10 200"},
		{Name: "KVM made a device", Do: "mknod:c 10 232"},
		{Name: "FUSE made a device", Do: "mknod:c 10 229"},
	}
}

func mountTable() []Probe {
	return []Probe{
		{Name: "types of file systems", Do: "mountable", Own: inNamespaces(`tmpfs proc sysfs devtmpfs devpts mqueue`)},
		{Name: "the file server's protocol over an own descriptor", Do: "mount:9p trans=fd,rfdno=0,wfdno=0"},
		{Name: "the sandbox's own file system type", Do: "mount:gofer rfdno=3,wfdno=3"},
		{Name: "an image over a host descriptor", Do: "mount:erofs ifd=3"},
		{Name: "the host's disks by devtmpfs", Do: "mounted:devtmpfs /[hsvx]d*"},
		{Name: "the host's kernel by sysfs", Do: "mounted:sysfs /kernel/*"},
		{Name: "the host's control groups", Do: "mounted:cgroup /*/release_agent"},
		{Name: "the host's processes by proc", Do: "mounted:proc /{pid}"},
		{Name: "a bind mount of the root", Do: "bind:{secret}"},
		{Name: "read-only mounts made writable", Do: "remount", Own: inNamespaces(`([a-z]+ /mnt/data ?)+`)},
		{Name: "what is below mounts", Do: "umount:{secret}"},
		{Name: "a new root", Do: "pivot:{secret}"},
		{Name: "an overlay over what is read-only", Do: "overlay:/opt/shown"},
		{Name: "the new mount calls", Do: "mount-api", Own: inNamespaces("fsopen")},
		{Name: "mounts that propagate", Do: "propagation", Own: inNamespaces("a shared mount")},
		{Name: "a whiteout in a volume", Do: "whiteout:/mnt/data"},
	}
}

func kernelTable() []Probe {
	own := map[string]map[string]string{
		"syslog": all("the sandbox's own"),
		"nice":   all("a higher priority"), // among its own processes
		// Of a namespace of its own, and for programs in its own user namespace.
		"sethostname": inNamespaces("its own"), "setdomainname": inNamespaces("its own"), "file-capabilities": withCapabilities("all capabilities"),
	}
	plain := func(names ...string) (out []Probe) {
		for _, n := range names {
			out = append(out, Probe{Name: n, Do: n, Own: own[n]})
		}
		return out
	}
	return append(plain("bpf", "perf", "userfaultfd", "io_uring", "add_key", "keyctl", "kexec", "init_module", "finit_module", "delete_module",
		"reboot", "settimeofday", "clock_settime", "adjtimex", "sethostname", "setdomainname", "quotactl", "swapon", "swapoff", "acct", "iopl", "syslog", "clear-syslog",
		"vhangup", "fanotify", "lookup_dcookie", "memfd_secret", "nice", "realtime", "rlimit", "mlock", "exec-setuid", "file-capabilities", "int80", "x32"), []Probe{
		{Name: "unshare of a mount namespace", Do: "unshare:00020000", Own: withCapabilities("its own")},
		{Name: "unshare of a control group namespace", Do: "unshare:02000000", Own: withCapabilities("its own")},
		{Name: "unshare of a host name namespace", Do: "unshare:04000000", Own: withCapabilities("its own")},
		{Name: "unshare of an IPC namespace", Do: "unshare:08000000", Own: withCapabilities("its own")},
		{Name: "unshare of a user namespace", Do: "unshare:10000000", Own: withCapabilities("its own")},
		{Name: "unshare of a process namespace", Do: "unshare:20000000", Own: withCapabilities("its own")},
		{Name: "unshare of a network namespace", Do: "unshare:40000000", Own: withCapabilities("its own")},
		{Name: "unshare of a time namespace", Do: "unshare:00000080", Own: all("its own")},
		{Name: "setns to a mount namespace", Do: "setns:mnt"},
		{Name: "setns to a network namespace", Do: "setns:net"},
		{Name: "setns to a user namespace", Do: "setns:user"},
		{Name: "setns to a process namespace", Do: "setns:pid"},
		{Name: "root by a mapping of users", Do: "unmapped-user:0", Own: withCapabilities(`uid=0 .*`)},
		{Name: "another user by a mapping of users", Do: "unmapped-user:1000", Own: map[string]string{roleRoot: `uid=.*`}},
		{Name: "the host's kernel in /proc", Do: "readall:/proc/kcore,/proc/kallsyms,/proc/modules,/proc/sched_debug,/proc/timer_list,/proc/keys,/proc/key-users,/proc/config.gz,/proc/kmsg,/proc/iomem,/proc/ioports,/proc/interrupts,/proc/slabinfo,/proc/vmallocinfo,/proc/pagetypeinfo,/proc/bus/pci/devices,/proc/acpi,/proc/scsi/scsi,/proc/diskstats,/proc/partitions,/proc/swaps,/proc/locks,/proc/softirqs,/proc/buddyinfo,/proc/zoneinfo,/proc/crypto,/proc/misc,/proc/driver,/proc/fs,/proc/tty/drivers,/proc/self/pagemap,/proc/self/stack,/proc/1/stack"},
		{Name: "sysrq", Do: "fifo:/proc/sysrq-trigger"},
		{Name: "settings that can be written", Do: "writable:/proc/sys", Own: map[string]string{roleRoot: `((fs|kernel|net)/[a-z0-9_/-]+ ?)+`}},
		{Name: "what of /sys can be written", Do: "writable:/sys"},
		{Name: "hardware in /sys", Do: "sys", Own: all(`fs\(1\)`)},
		{Name: "the kernel's command line", Do: "contains:/proc/cmdline={cmdline}"},
		{Name: "the kernel's version", Do: "contains:/proc/version={release}"},
		{Name: "the host's name", Do: "contains:/proc/sys/kernel/hostname={hostname}"},
		{Name: "the host's boot id", Do: "contains:/proc/sys/kernel/random/boot_id={boot}"},
		{Name: "names of the host in mounts", Do: "contains:/proc/self/mountinfo={dir}"},
		{Name: "the host's search domains", Do: "contains:/etc/resolv.conf=search"},
		{Name: "environment of the host's processes", Do: "environment:{canary}"},
		{Name: "uname", Do: "uname", Own: all(`sandbox 4\.19\.0-gvisor`)},
		{Name: "uptime", Do: "uptime", Own: all("the sandbox's own")},
	}...)
}

func processTable() []Probe {
	return []Probe{
		{Name: "processes seen", Do: "processes"},
		{Name: "/proc of a process of the host", Do: "proc-of:{pid}"},
		{Name: "a signal to a process of the host", Do: "signal:{pid}"},
		{Name: "a signal to everybody", Do: "signal-all"},
		{Name: "ptrace of a process of the host", Do: "ptrace:{pid}"},
		{Name: "process_vm_readv of a process of the host", Do: "process_vm_readv:{pid}"},
		{Name: "pidfd of a process of the host", Do: "process_madvise:{pid}"},
		{Name: "pidfd_getfd of a process of the host", Do: "pidfd_getfd:{pid}"},
		{Name: "kcmp with a process of the host", Do: "kcmp:{pid}"},
		{Name: "limits of a process of the host", Do: "prlimit:{pid}"},
		{Name: "priority of a process of the host", Do: "priority:{pid}"},
		{Name: "processors of a process of the host", Do: "affinity:{pid}"},
		{Name: "migrate_pages of a process of the host", Do: "migrate_pages:{pid}"},
		{Name: "move_pages of a process of the host", Do: "move_pages:{pid}"},
		{Name: "robust list of a process of the host", Do: "get_robust_list:{pid}"},
		{Name: "memory of others", Do: "memory-of-others"},
		{Name: "a terminal of the host", Do: "signal-by-terminal"},
	}
}

func wireTable() []Probe {
	return []Probe{
		{Name: "packet sockets", Do: "socket:17 3 768", Own: inNamespaces("a socket")},
		{Name: "packet datagrams", Do: "socket:17 2 768", Own: inNamespaces("a socket")},
		{Name: "raw IP", Do: "socket:2 3 255", Own: inNamespaces("a socket")},
		{Name: "raw ICMP", Do: "socket:2 3 1", Own: inNamespaces("a socket")},
		{Name: "raw IPv6", Do: "socket:10 3 255", Own: inNamespaces("a socket")},
		{Name: "vsock", Do: "socket:40 1 0"},
		{Name: "the host by vsock", Do: "vsock:2 22"},
		{Name: "Bluetooth", Do: "socket:31 3 1"},
		{Name: "CAN", Do: "socket:29 3 1"},
		{Name: "TIPC", Do: "socket:30 1 0"},
		{Name: "RDS", Do: "socket:21 5 0"},
		{Name: "XDP", Do: "socket:44 3 0"},
		{Name: "the kernel's ciphers", Do: "socket:38 5 0"},
		{Name: "key management", Do: "socket:15 3 2"},
		{Name: "SMC", Do: "socket:43 1 0"},
		{Name: "SCTP", Do: "socket:2 1 132"},
		{Name: "DCCP", Do: "socket:2 6 33"},
		{Name: "MPTCP", Do: "socket:2 1 262"},
		{Name: "netlink: audit", Do: "socket:16 3 9"},
		{Name: "netlink: firewall", Do: "socket:16 3 12"},
		{Name: "netlink: generic", Do: "socket:16 3 16"},
		{Name: "netlink: device events", Do: "socket:16 3 15", Own: all("a socket")},
		{Name: "netlink: sockets of others", Do: "socket:16 3 4"},
		{Name: "another's source address, UDP", Do: "from:192.0.0.3 udp 198.51.100.7:9"},
		{Name: "the gateway's source address", Do: "from:192.0.0.1 udp 198.51.100.7:9"},
		{Name: "another's source address, TCP", Do: "from:10.0.0.1 tcp 198.51.100.7:9"},
		{Name: "another's source address in a datagram's ancillary data", Do: "claim:10.0.0.1 198.51.100.7:9"},
		{Name: "other interfaces", Do: "interfaces", Own: all("lo( eth0)?")},
		{Name: "the far end of its wire", Do: "device:far0 198.51.100.7:9"},
		{Name: "another address by ioctl", Do: "interface:address"},
		{Name: "promiscuous mode", Do: "interface:flags"},
		{Name: "another hardware address", Do: "interface:hardware"},
		{Name: "another MTU", Do: "interface:mtu"},
		{Name: "another address by netlink", Do: "netlink:address", Own: inNamespaces("address")},
		{Name: "another route", Do: "netlink:route", Own: inNamespaces("route")},
		{Name: "a forged neighbour", Do: "netlink:neighbour"},
		{Name: "another interface", Do: "netlink:link"},
		{Name: "an interface of its own making", Do: "tap", Own: inNamespaces("an interface")},
		{Name: "a firewall of its own", Do: "firewall"},
		{Name: "ICMP to others", Do: "ping:198.51.100.7"},
		{Name: "ICMP to another sandbox's address", Do: "ping:192.0.0.3"},
		{Name: "multicast", Do: "broadcast:224.0.0.251:5353"},
		{Name: "broadcast", Do: "broadcast:255.255.255.255:67"},
		{Name: "broadcast on the wire", Do: "broadcast:192.0.0.7:67"},
		{Name: "the host's loopback", Do: "dial:tcp {loopback}"},
		{Name: "the host's addresses", Do: "dial:tcp {outward}"},
		{Name: "another sandbox on the wire", Do: "dial:tcp 192.0.0.3:8080"},
		{Name: "another sandbox's port", Do: "dial:tcp 127.0.0.1:8080"},
		{Name: "IPv6 loopback", Do: "dial:tcp [::1]:{port}"},
		{Name: "IPv6", Do: "dial:tcp [2001:db8::1]:80"},
		{Name: "IPv6 link-local", Do: "dial:udp [fe80::1%2]:53"},
		{Name: "IPv4 in IPv6", Do: "dial:tcp [::ffff:127.0.0.1]:{port}"},
		{Name: "the zero address", Do: "dial:tcp 0.0.0.0:{port}"},
		{Name: "the hook's port, of a guest that is not savable", Do: "dial:tcp 192.0.0.1:1"},
		{Name: "the hook's port over UDP", Do: "dial:udp 192.0.0.1:1"},
		{Name: "addresses of its own", Do: "addresses", Own: map[string]string{"": `127\.0\.0\.1/8 ::1/128( 192\.0\.0\.2/29)?`}},
	}
}
