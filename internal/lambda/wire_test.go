package lambda

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/telemetry"
)

func TestParseName(t *testing.T) {
	for text, want := range map[string]string{
		"f":                                 "us-west-2 111122223333 f ",
		"f:$LATEST":                         "us-west-2 111122223333 f $LATEST",
		"function:f":                        "us-west-2 111122223333 f ",
		"444455556666:function:f":           "us-west-2 444455556666 f ",
		"us-east-1:444455556666:function:f": "us-east-1 444455556666 f ",
		"arn:aws:lambda:us-east-1:444455556666:function:f":         "us-east-1 444455556666 f ",
		"arn:aws:lambda:us-east-1:444455556666:function:f:live":    "us-east-1 444455556666 f live",
		"arn:aws-cn:lambda:cn-north-1:444455556666:function:f-g_h": "cn-north-1 444455556666 f-g_h ",
		"":                                      "",
		"f g":                                   "",
		"../f":                                  "",
		"arn:aws:s3:::f":                        "",
		"arn:aws:iam::444455556666:role/f":      "",
		"f:a:b":                                 "",
		"arn:aws:lambda:us-east-1:44:function:": "",
	} {
		n, err := ParseName(here, text, "")
		got := ""
		if err == nil {
			got = n.Scope.Region + " " + n.Scope.Account + " " + n.Function + " " + n.Qualifier
		}
		if got != want {
			t.Errorf("%q is %q, want %q (%v)", text, got, want, err)
		}
	}
	if _, err := ParseName(here, "f:one", "two"); err == nil {
		t.Error("two qualifiers that differ")
	}
	if n, err := ParseName(here, "f:one", "one"); err != nil || n.ARN() != "arn:aws:lambda:us-west-2:111122223333:function:f:one" {
		t.Errorf("%v, %v", n, err)
	}
}

func FuzzParseName(f *testing.F) {
	for _, s := range []string{"f", "f:$LATEST", "arn:aws:lambda:us-east-1:444455556666:function:f:live", "function:f", "a:b:c:d"} {
		f.Add(s, "")
	}
	f.Fuzz(func(t *testing.T, text, qualifier string) {
		n, err := ParseName(here, text, qualifier)
		if err != nil {
			return
		}
		// Its ARN names the same function, whoever reads it.
		m, err := ParseName(store.Scope{}, n.ARN(), "")
		if strings.ContainsAny(qualifier, ":/ ") || strings.Trim(qualifier, "$_-abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != "" || strings.Contains(qualifier, "$") && qualifier != Latest {
			return // the model refuses it before
		}
		if err != nil || m != n {
			t.Fatalf("%q %q is %+v, and %s is %+v (%v)", text, qualifier, n, n.ARN(), m, err)
		}
	})
}

func TestContext(t *testing.T) {
	code := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	for text, ok := range map[string]bool{
		"": true, code(`{}`): true, code(`{"custom":{"a":1},"env":{},"client":{"app_title":"t"}}`): true, code(`{"x":[1]}`): true, code(`{"custom":null}`): true,
		"%": false, code(`[]`): false, code(`null`): false, code(`{`): false, code(`{"custom":"x"}`): false, code(`{"client":[]}`): false,
		code(`{"custom":{"a":"` + strings.Repeat("x", 4000) + `"}}`): false,
	} {
		if err := checkContext(text); (err == nil) != ok {
			t.Errorf("%.80s: %v", text, err)
		}
	}
}

func FuzzContext(f *testing.F) {
	f.Add("eyJjdXN0b20iOnt9fQ==")
	f.Add("bnVsbA==")
	f.Fuzz(func(t *testing.T, text string) {
		if checkContext(text) == nil && strings.ContainsAny(text, "\x00\x7f") {
			t.Fatalf("%q would be no header", text)
		}
	})
}

// FuzzOutput cuts what a guest says anywhere: what is kept does not depend on it.
func FuzzOutput(f *testing.F) {
	f.Add("one\ntwo", "after", 3, 9)
	f.Add("", "", 0, 0)
	f.Add("\x1e\x1emark\x1e", "x\n", 2, 4)
	f.Fuzz(func(t *testing.T, before, after string, i, j int) {
		const mark = "\x1emark\x1e"
		if strings.Contains(before+after, "mark") || len(before) > 1000 || len(after) > 1000 {
			return
		}
		all := before + mark + after
		i, j = min(max(i, 0), len(all)), min(max(j, 0), len(all))
		if i > j {
			i, j = j, i
		}
		logs := &memoryLog{}
		o := &output{logs: logs, now: time.Now, closed: make(chan struct{}), sink: telemetry.NewSink(logs, telemetry.Group{}, "s", nil), stderr: telemetry.NewSink(logs, telemetry.Group{}, "s", nil)}
		o.begin("id", mark)
		for _, part := range []string{all[:i], all[i:j], all[j:]} {
			if n, err := o.Write([]byte(part)); n != len(part) || err != nil {
				t.Fatal(n, err)
			}
		}
		select {
		case <-o.seen:
		default:
			t.Fatalf("%q: the mark was not seen, cut at %d and %d", all, i, j)
		}
		_ = o.sink.Close()
		got := o.cut("END")
		if bytes.Contains(got, []byte(mark)) || !strings.Contains(string(got), before) || !strings.HasSuffix(string(got), "END\n") {
			t.Fatalf("%q cut at %d and %d is kept as %q", all, i, j, got)
		}
	})
}

// BenchmarkOutput is what an invocation's log costs on its way.
func BenchmarkOutput(b *testing.B) {
	logs := nothing{}
	line := []byte(strings.Repeat("x", 200) + "\n")
	o := &output{logs: logs, now: time.Now, closed: make(chan struct{}), sink: telemetry.NewSink(logs, telemetry.Group{}, "s", nil)}
	for b.Loop() {
		o.begin("id", "\x1e0123456789\x1e")
		for range 10 {
			_, _ = o.Write(line)
		}
		_, _ = o.Write([]byte("\x1e0123456789\x1e"))
		o.end("END")
	}
}

type nothing struct{}

func (nothing) Append(telemetry.Group, string, time.Time, string) {}
