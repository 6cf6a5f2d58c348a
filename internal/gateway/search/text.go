package search

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// The bounds of a text, so that nobody's description costs much.
const (
	// maxText is how much of a text is read, in bytes, before and after it is normalised.
	maxText = 16 << 10
	// maxWord is how much of a word counts, in bytes.
	maxWord = 64
)

// token is a word in lower case, or a run of characters of a script that has no
// spaces between its words.
type token struct {
	text string
	run  bool
}

// tokens splits a text: at what is no letter, mark or digit, where lower case turns to upper
// case, and between scripts. Full and half width are one (Unicode's NFKC). A word that
// consists of parts is followed by them: "GitHub" is "github", "git" and "hub".
func tokens(text string) []token {
	text = clip(norm.NFKC.String(clip(text, maxText)), maxText)
	var out []token
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case unspaced(r):
			n := prefix(text, unspaced)
			if run := trimMarks(text[:n]); run != "" {
				out = append(out, token{run, true})
			}
			text = text[n:]
		case worded(r):
			n := prefix(text, func(r rune) bool { return worded(r) && !unspaced(r) })
			out = appendWord(out, text[:n])
			text = skipEnding(text[n:])
		default:
			text = text[size:]
		}
	}
	return out
}

// clip shortens a text to so many bytes at most, between characters.
func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}

// prefix is how many bytes at the beginning of a text are of characters that fit.
func prefix(text string, fits func(rune) bool) int {
	if n := strings.IndexFunc(text, func(r rune) bool { return !fits(r) }); n >= 0 {
		return n
	}
	return len(text)
}

func worded(r rune) bool { return unicode.In(r, unicode.L, unicode.M, unicode.N) }

// long is the mark of a long vowel in katakana, of which Unicode says no script.
const long = 'ー'

// unspaced reports whether a character is of Chinese, Japanese or Korean.
func unspaced(r rune) bool {
	return r > unicode.MaxLatin1 && (r == long || unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul))
}

// trimMarks drops long marks that end a word of katakana, which are a matter of house
// styles: サーバー and サーバ are one.
func trimMarks(run string) string {
	if !strings.ContainsRune(run, long) {
		return run
	}
	chars := []rune(run)
	out := chars[:0:0]
	for i, r := range chars {
		if r == long && (i+1 == len(chars) || !unicode.Is(unicode.Katakana, chars[i+1]) && chars[i+1] != long) {
			continue
		}
		out = append(out, r)
	}
	return string(out)
}

// skipEnding drops what an apostrophe adds to a word: 's, 't, 're, 'll.
func skipEnding(text string) string {
	r, size := utf8.DecodeRuneInString(text)
	if r != '\'' && r != '’' {
		return text
	}
	n := prefix(text[size:], worded)
	if n == 0 || n > 2 {
		return text
	}
	return text[size+n:]
}

// appendWord adds a word and its parts.
func appendWord(out []token, word string) []token {
	if whole := folded(word); whole != "" { // marks alone are no word
		out = append(out, token{text: whole})
	}
	begin := 0
	add := func(end int) {
		// One letter of several parts is a word to nobody: the i of iOS.
		if part := folded(word[begin:end]); utf8.RuneCountInString(part) > 1 {
			out = append(out, token{text: part})
		}
		begin = end
	}
	var before rune
	for i, r := range word {
		next, _ := utf8.DecodeRuneInString(word[i+utf8.RuneLen(r):])
		switch {
		case i == 0:
		case unicode.IsUpper(r) && !unicode.IsUpper(before), // createUser, base64Encode
			unicode.IsUpper(r) && unicode.IsLower(next),                                                        // HTTPServer
			unicode.IsNumber(r) != unicode.IsNumber(before) && unicode.IsLetter(r) != unicode.IsLetter(before): // s3bucket
			add(i)
		}
		before = r
	}
	if begin > 0 {
		add(len(word))
	}
	return out
}

// folded is a word in lower case, without accents on letters of European scripts.
func folded(word string) string {
	word = clip(strings.ToLower(word), maxWord)
	if prefix(word, func(r rune) bool { return r < utf8.RuneSelf }) == len(word) {
		return word
	}
	word = strings.Map(func(r rune) rune {
		if r >= 0x300 && r <= 0x36f { // combining diacritical marks
			return -1
		}
		return r
	}, norm.NFD.String(word))
	return clip(norm.NFC.String(word), maxWord)
}
