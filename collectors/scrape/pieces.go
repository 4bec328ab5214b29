package scrape

import (
	"errors"
	"io"
	"sync"
)

// pieceSize is the size of the pieces in which a page is received: while it grows, nothing is copied, and what is over a limit was not held twice.
const pieceSize = 256 << 10

var spare = sync.Pool{New: func() any { return new([pieceSize]byte) }}

// pieces are what was received of a page.
type pieces struct {
	of   []*[pieceSize]byte
	size int64
}

// read receives more bytes, at most so many.
func (p *pieces) read(from io.Reader, most int64) error {
	for most > 0 {
		used := int(p.size % pieceSize)
		if used == 0 && int64(len(p.of))*pieceSize == p.size {
			p.of = append(p.of, spare.Get().(*[pieceSize]byte))
		}
		room := p.of[len(p.of)-1][used:]
		n, err := from.Read(room[:min(int64(len(room)), most)])
		p.size, most = p.size+int64(n), most-int64(n)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// joined is the page in one piece.
func (p *pieces) joined() []byte {
	page := make([]byte, 0, p.size)
	for _, piece := range p.of {
		page = append(page, piece[:min(pieceSize, p.size-int64(len(page)))]...)
	}
	return page
}

// release gives the pieces back.
func (p *pieces) release() {
	for _, piece := range p.of {
		spare.Put(piece)
	}
	p.of = nil
}
