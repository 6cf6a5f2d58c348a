package isolation

import (
	"flag"
	"testing"

	"github.com/outcrop/outcrop/internal/sandbox/sandboxtest"
)

// probes are what a session in network mode PUBLIC tries. {placeholders} are what the
// test knows of the server and of the neighbour.
func probes() []sandboxtest.Probe {
	var out []sandboxtest.Probe
	for _, g := range []struct {
		name   string
		probes []sandboxtest.Probe
	}{{"data", dataTable()}, {"server", serverTable()}, {"reach", reachTable()}, {"credentials", credentialTable()}} {
		for _, p := range g.probes {
			p.Group = g.name
			out = append(out, p)
		}
	}
	return out
}

// own is what any guest may get.
func own(pattern string) map[string]string { return map[string]string{"": pattern} }

func dataTable() []sandboxtest.Probe {
	return []sandboxtest.Probe{
		{Name: "every file of the data directory", Do: "readall:{files}"},
		{Name: "the data directory by magic links", Do: "through-proc:{data}"},
		{Name: "the data directory from descriptors", Do: "through-fd:{data}"},
		{Name: "the data directory by a link in session storage", Do: "read:/mnt/work/data"},
		{Name: "another session's storage", Do: "readall:/mnt/work/marker,/mnt/work/../work/marker"},
		{Name: "another session's files", Do: "readall:/tmp/marker,/dev/shm/marker"},
		{Name: "another session's storage by its path", Do: "read:{marker}"},
		{Name: "the code of another runtime", Do: "read:/var/task/other.txt"},
		{Name: "changes to its own code", Do: "reopen-rw:/var/task/main.py"},
		{Name: "the data directory in mounts", Do: "contains:/proc/self/mountinfo={data}"},
		{Name: "the server's environment", Do: "environment:{canary}"},
		{Name: "the root key in an environment", Do: "environment:{rootkey}"},
		{Name: "names of the host in resolv.conf", Do: "say:/etc/resolv.conf", Own: own(`nameserver 192\.0\.0\.1`)},
		{Name: "names of the host in hosts", Do: "say:/etc/hosts", Own: own(`127\.0\.0\.1 localhost sandbox\s+::1 localhost`)},
	}
}

func serverTable() []sandboxtest.Probe {
	return []sandboxtest.Probe{
		{Name: "sockets of the host", Do: "connect-all:{sockets}"},
		{Name: "the server's process", Do: "proc-of:{pid}"},
		{Name: "a signal to the server", Do: "signal:{pid}"},
		{Name: "the server's memory", Do: "process_vm_readv:{pid}"},
		{Name: "the server's descriptors", Do: "pidfd_getfd:{pid}"},
		{Name: "ptrace of the server", Do: "ptrace:{pid}"},
		{Name: "other processes", Do: "processes"},
		{Name: "descriptors left open", Do: "inherited"},
		{Name: "the server's port on the host's loopback", Do: "dial:tcp {server}"},
		{Name: "the server's port on the guest's loopback", Do: "dial:tcp 127.0.0.1:{serverport}"},
		{Name: "the hook's port: forged answers", Do: "hook:20 restored 1 |safe 1 |unsafe 1 x", Own: own(`20 connections, 0 bytes of answers`)},
		{Name: "the hook's port: a flood", Do: "hook:500 {noise}", Own: own(`\d+ connections, 0 bytes of answers`)},
	}
}

func reachTable() []sandboxtest.Probe {
	dial := func(name, to string) sandboxtest.Probe { return sandboxtest.Probe{Name: name, Do: "dial:" + to} }
	return []sandboxtest.Probe{
		dial("the host's loopback", "tcp {loopback}"),
		dial("the host's loopback over UDP", "udp {loopbackudp}"),
		dial("all of the host's loopback", "tcp 127.8.9.10:{port}"),
		dial("the zero address", "tcp 0.0.0.0:{port}"),
		dial("IPv6 loopback", "tcp [::1]:{port}"),
		dial("IPv4 in IPv6", "tcp [::ffff:127.0.0.1]:{port}"),
		dial("IPv4 in NAT64", "tcp [64:ff9b::7f00:1]:{port}"),
		dial("IPv6", "tcp [2001:db8::1]:80"),
		dial("an address of the host", "tcp {outward}"),
		dial("an address of the host over UDP", "udp {outward}"),
		dial("a container bridge's usual address", "tcp 172.17.0.1:{port}"),
		dial("a private address", "tcp 10.0.0.1:80"),
		dial("another private address", "tcp 192.168.1.1:80"),
		dial("a shared address", "tcp 100.64.0.1:80"),
		dial("Alibaba's metadata", "tcp 100.100.100.200:80"),
		dial("Oracle's metadata", "tcp 192.0.0.192:80"),
		dial("Azure's platform", "tcp 168.63.129.16:80"),
		dial("Azure's host agent", "tcp 168.63.129.16:32526"),
		dial("Amazon's name server", "udp 169.254.169.253:53"),
		dial("a link-local neighbour", "tcp 169.254.1.1:80"),
		dial("an address for benchmarks", "tcp 198.18.0.1:80"),
		dial("a reserved address", "tcp 240.0.0.1:80"),
		dial("multicast", "udp 239.255.255.250:1900"),
		{Name: "broadcast", Do: "broadcast:255.255.255.255:67"},
		{Name: "ping of a neighbour", Do: "ping:192.0.0.3"},
		{Name: "ping of the host", Do: "ping:{outwardip}"},
		{Name: "ports of the gateway", Do: "ports:192.0.0.1 2 1100", Own: own(`53 443`)},
		{Name: "high ports of the gateway", Do: "ports:192.0.0.1 8500 8900", Own: own(`8642`)},
		{Name: "ports of the metadata service", Do: "ports:169.254.169.254 1 1100", Own: own(`80`)},
		{Name: "another session on the wire", Do: "dial:tcp 192.0.0.3:8080"},
		{Name: "the host's name", Do: "lookup:{hostname}.internal.invalid"},
		{Name: "raw packets", Do: "socket:17 3 768"},
		{Name: "another source address", Do: "from:192.0.0.3 udp 192.0.0.1:53"},
	}
}

func credentialTable() []sandboxtest.Probe {
	http := func(name, method, url, headers string) sandboxtest.Probe {
		return sandboxtest.Probe{Name: name, Do: `http:{"Method":"` + method + `","URL":"` + url + `","Header":{` + headers + `}}`}
	}
	const api, imds = "http://192.0.0.1:8642", "http://169.254.169.254"
	health := http("health, which is open", "GET", api+"/_outcrop/health", "")
	health.Own = own(`200 {"status":"ok"}\s*`)
	front := http("the front page, which is open", "GET", api+"/", "")
	front.Own = own(`200 Outcrop .*`)
	return []sandboxtest.Probe{
		health,
		http("the operator's API", "GET", api+"/_outcrop/v1/sessions", ""),
		http("the list of runtimes", "POST", api+"/runtimes/", ""),
		http("another runtime", "POST", api+"/runtimes/{otherarn}/invocations", ""),
		http("a new runtime", "PUT", api+"/runtimes/", ""),
		front,
		http("a new bucket", "PUT", api+"/outcrop-probe", ""),
		http("another's code", "GET", api+"/{bucket}/agent.zip", ""),
		http("profiling", "GET", api+"/debug/pprof/", ""),
		http("metrics", "GET", api+"/metrics", ""),
		http("a path out of the API", "GET", api+"/..%2f..%2f..%2f..%2fetc%2fpasswd", ""),
		http("the host's own name for it", "GET", api+"/_outcrop/v1/sessions", `"X-Forwarded-For":"127.0.0.1","X-Forwarded-Host":"127.0.0.1:8642","Forwarded":"for=127.0.0.1"`),
		http("the root key without its secret", "GET", api+"/_outcrop/v1/sessions", `"X-Amz-Date":"{date}","Authorization":"AWS4-HMAC-SHA256 Credential={rootid}/{day}/us-east-1/outcrop/aws4_request, SignedHeaders=host;x-amz-date, Signature={zeros}"`),
		http("an unknown token", "GET", api+"/_outcrop/v1/sessions", `"Authorization":"Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJyb290In0."`),
		http("metadata without a token", "GET", imds+"/latest/meta-data/iam/security-credentials/", ""),
		http("metadata with another session's token", "GET", imds+"/latest/meta-data/iam/security-credentials/execution_role", `"X-aws-ec2-metadata-token":"{othertoken}"`),
		http("a metadata token through a proxy", "PUT", imds+"/latest/api/token", `"X-aws-ec2-metadata-token-ttl-seconds":"60","X-Forwarded-For":"10.0.0.1"`),
		http("user data", "GET", imds+"/latest/user-data", `"X-aws-ec2-metadata-token":"{owntoken}"`),
		http("another method's metadata token", "POST", imds+"/latest/api/token", `"X-aws-ec2-metadata-token-ttl-seconds":"60"`),
		http("a metadata token that lives too long", "PUT", imds+"/latest/api/token", `"X-aws-ec2-metadata-token-ttl-seconds":"99999999"`),
		http("container credentials without a token", "GET", "http://169.254.170.2/v2/credentials", ""),
		{Name: "its own identity", Do: "http:{own-identity}", Own: own(`200 .*{ownarn}.*`)},
		{Name: "the list of runtimes, with its own credentials", Do: "http:{own-runtimes}"},
		{Name: "sessions, with its own credentials", Do: "http:{own-sessions}"},
		{Name: "another's code, with its own credentials", Do: "http:{own-code}"},
		{Name: "an invocation of another, with its own credentials", Do: "http:{own-invoke}"},
		{Name: "the identity of another session's credentials, which is that session's", Do: "http:{other-identity}", Own: own(`200 .*{otherarn-sts}.*`)},
		{Name: "sessions, with another session's credentials", Do: "http:{other-sessions}"},
		{Name: "another's code, with another session's credentials", Do: "http:{other-code}"},
		{Name: "a stopped session's credentials", Do: "http:{stale-identity}"},
	}
}

var update = flag.Bool("update", false, "write what is probed into the page")

func TestDocs(t *testing.T) {
	sandboxtest.CheckDocs(t, "../../docs/sandbox.md", "product", *update, probes())
}
