package chat

// formats are Converse's names of media types.
var formats = [...]struct{ name, mediaType string }{
	{"png", "image/png"}, {"jpeg", "image/jpeg"}, {"gif", "image/gif"}, {"webp", "image/webp"},
	{"pdf", "application/pdf"}, {"csv", "text/csv"}, {"html", "text/html"}, {"txt", "text/plain"}, {"md", "text/markdown"},
	{"doc", "application/msword"}, {"docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
	{"xls", "application/vnd.ms-excel"}, {"xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"},
}

// MediaType is the media type of Converse's format of an image or a document, or
// empty.
func MediaType(format string) string {
	for _, f := range formats {
		if f.name == format {
			return f.mediaType
		}
	}
	return ""
}

// Format is Converse's name of a media type, or empty.
func Format(mediaType string) string {
	for _, f := range formats {
		if f.mediaType == mediaType {
			return f.name
		}
	}
	return ""
}
