package smithy

import (
	"html"
	"strings"
	"unicode/utf8"
)

// The bounds of descriptions, in bytes: models read all of them at every turn.
const (
	maxOperationText = 8 << 10
	maxMemberText    = 1 << 10
)

// plainText is documentation without its markup: AWS writes HTML, which Smithy's CommonMark
// lets through. Paragraphs are lines, items of lists begin with a dash.
func plainText(doc string, limit int) string {
	var b strings.Builder
	// What ends nowhere is looked for once, not for each of its beginnings.
	afterTags, afterComments := len(doc)-strings.LastIndexByte(doc, '>'), len(doc)-strings.LastIndex(doc, "-->")
	for doc != "" {
		at := strings.IndexByte(doc, '<')
		if at < 0 || len(doc) < afterTags {
			b.WriteString(doc)
			break
		}
		b.WriteString(doc[:at])
		doc = doc[at:]
		end := -1
		if len(doc) >= afterComments || !strings.HasPrefix(doc, comment) {
			end = tagEnd(doc)
		}
		if end < 0 {
			b.WriteByte('<')
			doc = doc[1:]
			continue
		}
		b.WriteString(inPlaceOf(doc[1:end]))
		doc = doc[end+1:]
	}
	var lines []string
	dash := ""
	for line := range strings.SplitSeq(html.UnescapeString(b.String()), "\n") {
		switch line = strings.Join(strings.Fields(line), " "); line {
		case "":
		case "-": // of an item that begins with a paragraph
			dash = "- "
		default:
			if !strings.HasPrefix(line, "- ") {
				line = dash + line
			}
			lines = append(lines, line)
			dash = ""
		}
	}
	return shorten(strings.ToValidUTF8(strings.Join(lines, "\n"), "\uFFFD"), limit)
}

const comment = "<!--"

// tagEnd is where the tag at the beginning of a text ends, -1 where there is none.
func tagEnd(text string) int {
	if strings.HasPrefix(text, comment) {
		if end := strings.Index(text, "-->"); end >= 0 {
			return end + 2
		}
		return -1
	}
	name := strings.TrimPrefix(text[1:], "/")
	if name == "" || (name[0]|0x20) < 'a' || (name[0]|0x20) > 'z' {
		return -1
	}
	return strings.IndexByte(text, '>')
}

// inPlaceOf is what stands for a tag.
func inPlaceOf(tag string) string {
	tag = strings.ToLower(strings.Trim(tag, "/ "))
	name, _, _ := strings.Cut(tag, " ")
	switch name {
	case "li", "dt":
		return "\n- "
	case "p", "br", "ul", "ol", "dl", "dd", "div", "note", "important", "h1", "h2", "h3", "h4", "pre", "tr", "table", "fullname":
		return "\n"
	}
	return ""
}

// shorten cuts a text at the end of a sentence or of a word.
func shorten(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	text = text[:limit]
	if at := strings.LastIndexAny(text, ".\n"); at > limit/2 {
		return strings.TrimSpace(text[:at+1])
	}
	if at := strings.LastIndexByte(text, ' '); at > 0 {
		text = text[:at]
	}
	return text + " …"
}
