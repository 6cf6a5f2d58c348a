package isolation

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	data "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/conformance/agent"
	"github.com/outcrop/outcrop/conformance/server"
	"github.com/outcrop/outcrop/internal/sandbox/sandboxtest"
)

const (
	bucket  = "isolation"
	canary  = "canary-7d20ab" // in the server's environment
	key     = "canary-e51f09" // in the agents'
	marker  = "this must stay where it is"
	storage = "/mnt/work"
)

// TestIsolation has a session try everything of probes, each its own test. Each user
// and each network stack has its turn; nightly, and where there is one user alone, each
// with each.
func TestIsolation(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the server needs Linux")
	}
	all := os.Getenv("OUTCROP_NIGHTLY") != "" || os.Geteuid() != 0
	for stack, args := range map[string][]string{"gVisor's TCP": nil, "the host's TCP": {"--passthrough", "*"}} {
		if args == nil || all {
			t.Run("as whoever runs the tests, "+stack, func(t *testing.T) {
				isolated(t, server.Options{DataDir: filepath.Join(server.OpenDir(t), "data"), Args: args})
			})
		}
		if args != nil || all {
			t.Run("as an ordinary user, "+stack, func(t *testing.T) {
				opt := server.AsNobody(t)
				opt.Args = args
				isolated(t, opt)
			})
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// rig is a server with two runtimes of the probing agent.
type rig struct {
	*testing.T
	*server.Server
	spy, other *control.GetAgentRuntimeOutput
}

func isolated(t *testing.T, opt server.Options) {
	opt.Env = append(opt.Env, "OUTCROP_TEST_CANARY="+canary)
	r := &rig{T: t, Server: server.Start(t, opt)}
	r.deploy()
	neighbour := r.begin(r.other, "neighbour")
	r.want(r.other, "neighbour", "leave:/tmp/marker="+marker, "leave:/dev/shm/marker="+marker, "leave:"+storage+"/marker="+marker)
	stopped := r.begin(r.spy, "stopped")
	r.end(r.spy, "stopped")
	self := r.begin(r.spy, "spy")
	values := r.values(self, neighbour, stopped)
	must(t, os.Symlink(r.DataDir, filepath.Join(r.storageOf(r.spy, "spy"), "data")))

	var filled []sandboxtest.Probe
	var do []string
	for _, p := range probes() {
		filled = append(filled, p.With(values))
		do = append(do, filled[len(filled)-1].Do)
	}
	results := r.try(r.spy, "spy", do...)
	for _, p := range filled {
		t.Run(p.Group+"/"+p.Name, func(t *testing.T) {
			t.Logf("%.300s", redacted(results[p.Do], self, neighbour, stopped))
			if err := p.Check("", results[p.Do]); err != nil {
				t.Error(redacted(err.Error(), self, neighbour, stopped))
			}
		})
	}
	t.Run("data/what other users of the machine see", func(t *testing.T) { r.seen(t, self, neighbour) })
	t.Run("data/litter in session storage", r.litter)
}

// seen looks for what sessions know where every user of the machine can look: in the
// command lines of processes, and in a data directory that is not shut.
func (r *rig) seen(t *testing.T, of ...identity) {
	r.want(r.spy, "spy", "environment:"+key) // the session itself has it
	secrets := []string{key, r.SecretAccessKey}
	for _, who := range of {
		secrets = append(secrets, who.Token, who.Keys.SecretAccessKey, who.Keys.SessionToken)
	}
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	must(t, err)
	sandboxes := 0
	for _, path := range lines {
		line, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		if bytes.Contains(line, []byte("runsc-sandbox")) {
			sandboxes++
		}
		for _, s := range secrets {
			if bytes.Contains(line, []byte(s)) {
				t.Errorf("%s holds what a session knows", path)
			}
		}
	}
	if sandboxes == 0 {
		t.Error("no command line is a sandbox's")
	}
	if info, err := os.Stat(r.DataDir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the data directory is %v, %v", info, err)
	}
}

// deploy makes two runtimes of the probing agent, with session storage.
func (r *rig) deploy() {
	r.Helper()
	to := r.Agents()
	must(r.T, to.Store(r.Context(), bucket, agent.Key, code(r.T)))
	for name, made := range map[string]**control.GetAgentRuntimeOutput{"spy": &r.spy, "other": &r.other} {
		in := to.Input(bucket, name, r.Python())
		in.EnvironmentVariables = map[string]string{"API_KEY": key}
		in.FilesystemConfigurations = []types.FilesystemConfiguration{
			&types.FilesystemConfigurationMemberSessionStorage{Value: types.SessionStorageConfiguration{MountPath: aws.String(storage)}},
		}
		var err error
		*made, err = to.Create(r.Context(), in)
		must(r.T, err)
	}
}

// code is a zip whose main.py becomes the suite's guest program.
func code(t *testing.T) []byte {
	t.Helper()
	guest, err := sandboxtest.BuildGuest(t.TempDir())
	must(t, err)
	packed, err := agent.Executable(guest, "agent", "127.0.0.1:8080")
	must(t, err)
	return packed
}

// try has a session try probes.
func (r *rig) try(of *control.GetAgentRuntimeOutput, session string, do ...string) map[string]string {
	r.Helper()
	payload, err := json.Marshal(map[string]any{"As": "self", "Do": do})
	must(r.T, err)
	out, err := data.NewFromConfig(r.AWS()).InvokeAgentRuntime(r.Context(), &data.InvokeAgentRuntimeInput{
		AgentRuntimeArn: of.AgentRuntimeArn, RuntimeSessionId: aws.String(server.SessionID(session)), Payload: payload,
	})
	if err != nil {
		r.Fatalf("%v\n%s", err, r.Log())
	}
	defer out.Response.Close()
	raw, err := io.ReadAll(out.Response)
	must(r.T, err)
	results := map[string]string{}
	if err := json.Unmarshal(raw, &results); err != nil || len(results) == 0 {
		r.Fatalf("%v: %.300s", err, raw)
	}
	return results
}

// want has a session do what it may.
func (r *rig) want(of *control.GetAgentRuntimeOutput, session string, do ...string) {
	r.Helper()
	for what, result := range r.try(of, session, do...) {
		if !strings.HasPrefix(result, "got: ") {
			r.Fatalf("%s cannot %s: %s", session, what, result)
		}
	}
}

// end stops a session.
func (r *rig) end(of *control.GetAgentRuntimeOutput, session string) {
	r.Helper()
	_, err := data.NewFromConfig(r.AWS()).StopRuntimeSession(r.Context(), &data.StopRuntimeSessionInput{
		AgentRuntimeArn: of.AgentRuntimeArn, RuntimeSessionId: aws.String(server.SessionID(session)),
	})
	must(r.T, err)
}

// storageOf is the directory of a session's storage on the machine.
func (r *rig) storageOf(of *control.GetAgentRuntimeOutput, session string) string {
	r.Helper()
	name := "found-" + session
	r.want(of, session, "leave:"+storage+"/"+name+"=x")
	found, err := filepath.Glob(filepath.Join(r.DataDir, "session-storage", "*", "*", "data", name))
	if err != nil || len(found) != 1 {
		r.Fatalf("the storage of %s is at %q, %v", session, found, err)
	}
	return filepath.Dir(found[0])
}

// litter leaves a nuisance in session storage: it goes with its runtime, and what
// its links name stays.
func (r *rig) litter(t *testing.T) {
	dir := r.storageOf(r.spy, "litterer")
	left := r.try(r.spy, "litterer", "litter:"+storage)["litter:"+storage]
	t.Log(left)
	for _, what := range []string{"setuid: ok", "long path: ok", "shut: ok", "shut below what is not text: ok"} {
		if !strings.Contains(left, what) {
			t.Errorf("it could not make what is to be removed: %s", what)
		}
	}
	credentials := filepath.Join(r.DataDir, "credentials.json")
	before, err := os.ReadFile(credentials)
	must(t, err)
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // shut, or too long a path
		}
		if info, err := d.Info(); err == nil && info.Mode()&(fs.ModeSetuid|fs.ModeDevice|fs.ModeSocket|fs.ModeNamedPipe) != 0 {
			t.Errorf("%s is %v on the machine", path, info.Mode())
		}
		return nil
	}))
	if _, _, err := r.CLI(t.Context(), "sessions", "--json"); err != nil {
		t.Error(err)
	}
	_, err = control.NewFromConfig(r.AWS()).DeleteAgentRuntime(t.Context(), &control.DeleteAgentRuntimeInput{AgentRuntimeId: r.spy.AgentRuntimeId})
	must(t, err)
	r.Until("the storage is gone", func() bool {
		left, err := filepath.Glob(filepath.Join(r.DataDir, "session-storage", "trash", "*"))
		_, gone := os.Lstat(dir)
		return err == nil && len(left) == 0 && os.IsNotExist(gone)
	})
	if after, err := os.ReadFile(credentials); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the server's credentials have changed: %v", err)
	}
}

// values are what the probes' places hold.
func (r *rig) values(self, neighbour, stopped identity) map[string]string {
	r.Helper()
	now := time.Now().UTC()
	server, err := url.Parse(r.URL)
	must(r.T, err)
	host, _ := os.Hostname()
	values := map[string]string{
		"data": r.DataDir, "files": strings.Join(filesBelow(r.T, r.DataDir), ","), "marker": filepath.Join(r.storageOf(r.other, "neighbour"), "marker"),
		"canary": canary, "rootkey": r.SecretAccessKey, "rootid": r.AccessKeyID, "sockets": strings.Join(sockets(r.T, r.DataDir), ","),
		"pid": fmt.Sprint(r.Cmd.Process.Pid), "server": server.Host, "serverport": server.Port(), "hostname": host, "noise": strings.Repeat("x", 300),
		"otherarn": url.PathEscape(*r.other.AgentRuntimeArn), "bucket": bucket, "date": now.Format("20060102T150405Z"), "day": now.Format("20060102"), "zeros": strings.Repeat("0", 64),
		"owntoken": self.Token, "othertoken": neighbour.Token, "ownarn": self.arn(r), "otherarn-sts": neighbour.arn(r),
	}
	for name, who := range map[string]identity{"own": self, "other": neighbour, "stale": stopped} {
		for what, request := range r.requests(who) {
			values[name+"-"+what] = request
		}
	}
	listen(r.T, values)
	return values
}

// filesBelow are all paths of a directory.
func filesBelow(t *testing.T, dir string) (paths []string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		paths = append(paths, path)
		return err
	}))
	return paths
}

// sockets are the names of the machine's Unix sockets, with one more of the test's.
func sockets(t *testing.T, dir string) []string {
	t.Helper()
	abstract := fmt.Sprintf("@outcrop-isolation-%d", os.Getpid())
	names := []string{abstract}
	l, err := net.Listen("unix", abstract)
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	for _, list := range []string{"/proc/net/unix", "/proc/1/net/unix"} {
		text, _ := os.ReadFile(list) // of another namespace, maybe
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) == 8 && !strings.Contains(f[7], ",") {
				names = append(names, f[7])
			}
		}
	}
	return names
}

// listen has the machine listen where a guest must not reach it.
func listen(t *testing.T, values map[string]string) {
	t.Helper()
	loopback, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	everywhere, err := net.Listen("tcp", ":0")
	must(t, err)
	packets, err := net.ListenPacket("udp", ":0")
	must(t, err)
	t.Cleanup(func() { _ = loopback.Close(); _ = everywhere.Close(); _ = packets.Close() })
	go func() { // ends with Close
		buf := make([]byte, 2048)
		for {
			n, from, err := packets.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = packets.WriteTo(buf[:n], from)
		}
	}()
	port := everywhere.Addr().(*net.TCPAddr).Port
	values["loopback"], values["port"] = loopback.Addr().String(), fmt.Sprint(port)
	values["loopbackudp"] = fmt.Sprintf("127.0.0.1:%d", packets.LocalAddr().(*net.UDPAddr).Port)
	values["outwardip"], values["outward"] = "127.0.0.1", fmt.Sprintf("127.0.0.1:%d", port)
	all, err := net.InterfaceAddrs()
	must(t, err)
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
			values["outwardip"], values["outward"] = n.IP.String(), fmt.Sprintf("%s:%d", n.IP, port)
		}
	}
}
