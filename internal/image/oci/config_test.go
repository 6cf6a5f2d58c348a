package oci

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/outcrop/outcrop/internal/fault"
)

func TestLaunch(t *testing.T) {
	i := &Image{Reference: "r", Config: Config{
		Entrypoint: []string{"/entry"}, Cmd: []string{"a", "b"}, Env: []string{"PATH=/x", "junk", "=y", "N=\x00"}, WorkingDir: "app//./src/",
	}, User: User{UID: 7, GID: 8, Home: "/home/app"}}
	got, err := i.Launch(nil)
	want := Launch{Args: []string{"/entry", "a", "b"}, Env: []string{"PATH=/x", "HOME=/home/app"}, Dir: "/app/src", UID: 7, GID: 8}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Launch() = %+v, %v, want %+v", got, err, want)
	}
	if got, err = i.Launch([]string{"c"}); err != nil || fmt.Sprint(got.Args) != "[/entry c]" {
		t.Errorf("with other arguments: %v, %v", got.Args, err)
	}
	i.Config.Env, i.Config.WorkingDir = []string{"HOME=/own"}, "/"
	if got, err = i.Launch(nil); err != nil || fmt.Sprint(got.Env) != "[HOME=/own]" || got.Dir != "" {
		t.Errorf("with a home of its own: %+v, %v", got, err)
	}
	i.Config.Entrypoint, i.Config.Cmd = nil, nil
	if _, err = i.Launch(nil); !fault.Is(err, "ValidationException") || !strings.Contains(err.Error(), "says no command") {
		t.Errorf("with no command: %v", err)
	}
}

func TestUser(t *testing.T) {
	passwd := "root:x:0:0:root:/root:/bin/sh\n# comment\nbroken:x:1\nbad:x:x:1::/:\napp:x:1000:1001:App:/home/app:/bin/sh\nodd:x:5:6::relative:\n"
	layers := [][]byte{
		archive(t, member{name: "usr/share/passwd", body: passwd}, link("etc/passwd", "../usr/share/passwd"), member{name: "etc/group", body: "root:x:0:\nstaff:x:50:app\n"}),
	}
	s, srv := open(t, nil), serve(t, nil)
	for user, want := range map[string]string{
		"": "0:0 /root", "root": "0:0 /root", "app": "1000:1001 /home/app", "1000": "1000:1001 /home/app", "app:staff": "1000:50 /home/app",
		"app:77": "1000:77 /home/app", "4000": "4000:0 /", "4000:50": "4000:50 /", "odd": "5:6 /", "app:": "1000:1001 /home/app",
		"nobody": `user "nobody", which its /etc/passwd`, "app:nobody": `group "nobody", which its /etc/group`, "-1": `user "-1"`, "4294967295": `user "4294967295"`, "../x": `user "../x"`,
	} {
		i, err := s.Pull(t.Context(), srv.push(t, "a", imageOf(t, v1.Config{User: user}, layers...)), PullOptions{})
		got := fmt.Sprint(err)
		if err == nil {
			got = fmt.Sprintf("%d:%d %s", i.User.UID, i.User.GID, i.User.Home)
			i.Release()
		}
		if err == nil && got != want || err != nil && !strings.Contains(got, want) {
			t.Errorf("%q is %s, want %s", user, got, want)
		}
	}
}

// TestUserLinks: an account file that is a link out is the image's own, or none.
func TestUserLinks(t *testing.T) {
	s, srv := open(t, nil), serve(t, nil)
	for _, target := range []string{"/etc/../../../../../../../../etc/passwd", "../../../../../../../../etc/passwd", "passwd", "/proc/self/root/etc/passwd"} {
		i := pull(t, s, srv.push(t, "a", imageOf(t, v1.Config{User: "0"}, archive(t, link("etc/passwd", target), file(strings.Repeat("x", len(target)))))))
		if i.User.Home != "/" { // the machine's root lives in /root
			t.Errorf("through %s the user is %+v", target, i.User)
		}
	}
}

func TestConfig(t *testing.T) {
	s, srv := open(t, nil), serve(t, nil)
	i := pull(t, s, srv.push(t, "a", imageOf(t, v1.Config{
		ExposedPorts: map[string]struct{}{"8080/tcp": {}, "53/udp": {}, "80": {}, "0/tcp": {}, "x/tcp": {}, "70000/tcp": {}}, Labels: map[string]string{"a": "b"},
	}, archive(t, file("a")))))
	if fmt.Sprint(i.Config.Ports) != "[80 8080]" || i.Config.Labels["a"] != "b" || !strings.HasPrefix(i.Config.Platform, "linux/") {
		t.Errorf("the configuration is %+v", i.Config)
	}
	for _, c := range []v1.Config{{Cmd: []string{"a\x00"}}, {User: "\x00"}} {
		if _, err := s.Pull(t.Context(), srv.push(t, "nul", imageOf(t, c)), PullOptions{}); !fault.Is(err, "ValidationException") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
