package llmtest

import (
	"io"
	"iter"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/llm/chat"
)

// Decode reads a provider's stream; failed words an error that it tells there.
type Decode func(r io.Reader, failed func(status int, text string) *fault.Error) iter.Seq2[chat.Event, error]

// FuzzDecode wants of a decoder: whatever a provider streams, blocks begin before they go
// on, and the stream ends once, with its usage or an error. Of a decoder that says itself
// where blocks end it wants that each ends once.
func FuzzDecode(f *testing.F, decode Decode, ends bool, replies ...Reply) {
	for _, r := range replies {
		f.Add(stream(r.Events))
		f.Add(stream(r.Events[:2]))
	}
	f.Add("data: {\"error\":{\"message\":\"x\",\"code\":\"429\"}}\n\n")
	f.Add("event: x\r\ndata: {}\r\n\r\n")
	f.Fuzz(func(t *testing.T, in string) {
		open := map[int]bool{}
		var last chat.Event
		var failure error
		for e, err := range decode(strings.NewReader(in), failed) {
			if failure != nil || last.Kind == chat.Finished {
				t.Fatal("it goes on after its end")
			}
			if failure = err; err != nil {
				continue
			}
			last = e
			switch e.Kind {
			case chat.BlockStart:
				open[e.Index] = true
			case chat.BlockStop:
				if ends && !open[e.Index] {
					t.Fatalf("block %d ends and is not open", e.Index)
				}
				if ends {
					delete(open, e.Index)
				}
			case chat.Stopped, chat.Finished:
			default:
				if !open[e.Index] {
					t.Fatalf("block %d goes on and has not begun", e.Index)
				}
			}
		}
		if failure == nil && last.Kind != chat.Finished {
			t.Fatal("it ends without usage or error")
		}
		_, _ = chat.Collect(decode(strings.NewReader(in), failed)) // no panic
	})
}

func stream(events []string) string {
	var b strings.Builder
	for _, e := range events {
		b.WriteString("data: " + e + "\n\n")
	}
	return b.String()
}

func failed(status int, text string) *fault.Error { return fault.New("Failed", status, "%s", text) }

// FuzzParse wants that whatever callers send is a request or refused, and that one that
// is can be asked of a provider of the same kind.
func FuzzParse(f *testing.F, parse func([]byte) (*chat.Request, error), encode func(*chat.Request) ([]byte, error)) {
	f.Add([]byte(`{"messages":[{"role":"user","content":"hi"}],"max_tokens":3,"stop":"x","stop_sequences":["x"]}`))
	f.Add([]byte(`{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"eA=="}},{"type":"image_url","image_url":{"url":"data:image/png;base64,eA=="}}]}]}`))
	f.Add([]byte(`{"messages":[{"role":"assistant","content":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"n","arguments":"{}"}}]},{"role":"tool","tool_call_id":"a","content":"x"}],"tool_choice":{"type":"tool","name":"x"}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		req, err := parse(in)
		if err != nil {
			if fault.From(err).Status != 400 {
				t.Fatalf("refused with %v", err)
			}
			return
		}
		_, _ = encode(req) // no panic
	})
}
