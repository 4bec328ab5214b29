package chdb

import (
	"errors"
	"io"
	"net/http"
)

// insertChunk is how much of an INSERT's data is handed over at once, in bytes.
const insertChunk = 256 << 10

// insert streams a request's data into the engine and answers when all of it is
// written. A body that breaks off is not: the insert is cancelled.
func (h *handler) insert(w http.ResponseWriter, c *conn, req *request) error {
	into, err := c.insertInto(query{sql: req.sql, format: req.format, params: req.params})
	if err != nil {
		return err
	}
	defer into.close()
	if err := copyRows(into, req.rows); err != nil {
		into.cancel()
		return err
	}
	r, err := into.finish()
	if err != nil {
		return err
	}
	defer r.close()
	h.header(w, req, r)
	return nil
}

// copyRows appends data to an insertion in chunks. A fault of the data is the
// engine's error; a fault in reading it is the client's, and nothing that came
// with it is appended.
func copyRows(into io.Writer, data io.Reader) error {
	chunk := make([]byte, insertChunk)
	for ended := false; !ended; {
		n := 0
		for n < len(chunk) && !ended {
			more, err := data.Read(chunk[n:])
			n += more
			if ended = errors.Is(err, io.EOF); err != nil && !ended {
				return bodyError(err)
			}
		}
		if _, err := into.Write(chunk[:n]); err != nil {
			return err
		}
	}
	return nil
}
