// Package render turns a report into what people read: a mail, one HTML file, and plain text, with charts as PNG. The same
// report always gives the same bytes.
package render

// Mail is a report as a mail: what a mail program shows, without addresses.
type Mail struct {
	Subject string
	// HTML refers to Images by "cid:" and their ContentID; Text says the same without them.
	HTML, Text string
	Images     []Image
}

// Image is a picture inside a mail or beside a file.
type Image struct {
	// ContentID is unique within the mail.
	ContentID string
	// Name is the file name, with its extension.
	Name string
	PNG  []byte
}
