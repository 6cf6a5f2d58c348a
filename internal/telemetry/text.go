package telemetry

import (
	"strings"
	"unicode/utf8"
)

// safeText cuts s to limit bytes, not within a character, and puts U+FFFD in the
// place of NUL and of what is not UTF-8.
func safeText(s string, limit int) string {
	if len(s) > limit {
		s = s[:cut([]byte(s[:min(len(s), limit+utf8.UTFMax)]), limit)]
	}
	if utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 {
		return s
	}
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\x00", "\ufffd")
	if len(s) > limit {
		return safeText(s, limit)
	}
	return s
}

// cut is the largest n of at most limit at which b[:n] does not end within a
// character. What is not UTF-8 may be cut anywhere.
func cut(b []byte, limit int) int {
	if len(b) <= limit {
		return len(b)
	}
	for n := limit; n > limit-utf8.UTFMax && n > 0; n-- {
		if utf8.RuneStart(b[n]) {
			return n
		}
	}
	return limit
}
