package smithy

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The values of the trait timestampFormat.
const (
	dateTime     = "date-time"
	httpDate     = "http-date"
	epochSeconds = "epoch-seconds"
)

// timeFormat is how a time is written: as its trait says, or as the part of the message
// has it (Smithy's HTTP protocol bindings, restJson1's default of epoch-seconds).
func timeFormat(trait string, in location) string {
	switch {
	case trait != "":
		return trait
	case in == inHeader || in == inPrefixHeaders:
		return httpDate
	case in == inQuery || in == inLabel || in == inQueryParams:
		return dateTime
	}
	return epochSeconds
}

// parseTime reads an argument: RFC 3339, or a number of seconds since 1970.
func parseTime(v any) (time.Time, bool) {
	switch v := v.(type) {
	case string:
		t, err := time.Parse(time.RFC3339Nano, v)
		return t.UTC(), err == nil
	case json.Number:
		return fromEpoch(v.String())
	}
	return time.Time{}, false
}

// fromEpoch reads seconds since 1970 in the years that RFC 3339 can write.
func fromEpoch(text string) (time.Time, bool) {
	const first, last = -62167219200, 253402300799
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(f) || f < first || f > last {
		return time.Time{}, false
	}
	// Of the text and not of the float, which has no thousandths at some whole seconds.
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return time.Time{}, false
	}
	ms := new(big.Int).Div(new(big.Int).Mul(r.Num(), big.NewInt(1000)), r.Denom())
	return time.UnixMilli(ms.Int64()).UTC(), true
}

// writeTime writes a time to the thousandth of a second.
func writeTime(t time.Time, format string) string {
	t = t.Truncate(time.Millisecond)
	switch format {
	case httpDate:
		return t.Format(http.TimeFormat)
	case epochSeconds:
		whole := strconv.FormatInt(t.Unix(), 10)
		if ms := t.Nanosecond() / 1e6; ms > 0 {
			if t.Unix() < 0 {
				return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', -1, 64)
			}
			return strings.TrimRight(fmt.Sprintf("%s.%03d", whole, ms), "0")
		}
		return whole
	}
	return t.Format("2006-01-02T15:04:05.999Z")
}

// readTime reads what a message has in a format, and gives it in RFC 3339. A text that is
// none is left as it is.
func readTime(text, format string) string {
	var t time.Time
	var err error
	switch format {
	case httpDate:
		t, err = http.ParseTime(text)
		if err != nil { // with a fraction of a second, as Smithy lets services write it
			t, err = time.Parse("Mon, 02 Jan 2006 15:04:05.999999999 GMT", text)
		}
	case epochSeconds:
		var ok bool
		if t, ok = fromEpoch(text); !ok {
			return text
		}
	default:
		t, err = time.Parse(time.RFC3339Nano, text)
	}
	if err != nil {
		return text
	}
	return writeTime(t.UTC(), dateTime)
}
