package audit

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

// importBatch is how many usage events go into one batch, at least.
const importBatch = 2000

// ImportConfig says what Import reads, and where it puts what it finds.
type ImportConfig struct {
	// Files are read in their order, unpacked when they are gzip or zstd; Reader is read when there are none.
	Files  []string
	Reader io.Reader
	// Cluster is where the events come from; empty: what the format says of it, which json-lines does not.
	Cluster string
	// Format is FormatAuto when empty.
	Format   Format
	Sink     collectors.Sink
	Validate collectors.Validate
	// IgnoreUsers are left out, as in Config.
	IgnoreUsers []string
	// OffsetFile remembers how far each file has been read, so that another run goes on from there; empty: nothing does.
	// Without it, the ids of the events keep a second run from counting twice, but for 7 days only.
	OffsetFile string
	// Progress is told how far it is, every few thousand records; nil: nobody wants to know.
	Progress func(Progress)
	// Now is time.Now when nil.
	Now func() time.Time
}

// Progress is how far an import has come.
type Progress struct {
	File string
	// Read and Size are bytes of the file as it is stored; Size is 0 when nobody knows it.
	Read, Size int64
	// Records and Taken count over all files.
	Records, Taken int
}

// Import reads audit log files and hands over the usage events in them. The summary is valid, as far as it goes, together
// with an error: what was handed over stays, and another run repeats nothing of it. A full sink is waited for.
func Import(ctx context.Context, cfg ImportConfig) (Summary, error) {
	i, err := newImporter(cfg)
	if err != nil {
		return Summary{}, err
	}
	if len(cfg.Files) == 0 {
		return i.summary, i.stream(ctx, &source{name: "standard input", r: cfg.Reader})
	}
	for _, name := range cfg.Files {
		if err := i.file(ctx, name); err != nil {
			return i.summary, err
		}
	}
	return i.summary, nil
}

// importer is one run of Import.
type importer struct {
	cfg      ImportConfig
	offsets  *offsets
	mapper   mapper
	pending  []schema.Event
	summary  Summary
	reported int
}

func newImporter(cfg ImportConfig) (*importer, error) {
	if cfg.Sink == nil || cfg.Validate == nil || cfg.Reader == nil && len(cfg.Files) == 0 {
		return nil, errors.New("import audit events: a sink, a validator, and files or a reader are required")
	}
	if cfg.Format == "" {
		cfg.Format = FormatAuto
	}
	if !slices.Contains(Formats(), cfg.Format) {
		return nil, fmt.Errorf("import audit events: format %q: want one of %v", cfg.Format, Formats())
	}
	cfg.Now = collectors.Clock(cfg.Now)
	if cfg.Cluster != "" {
		if err := checkCluster(cfg.Cluster); err != nil {
			return nil, fmt.Errorf("import audit events: %w", err)
		}
	}
	known, err := openOffsets(cfg.OffsetFile)
	if err != nil {
		return nil, err
	}
	return &importer{
		cfg: cfg, offsets: known, summary: Summary{LeftOut: map[LeftOut]int{}},
		mapper: mapper{cluster: cfg.Cluster, ignored: cfg.IgnoreUsers},
	}, nil
}

// source is one file, or the standard input.
type source struct {
	name string
	r    io.Reader
	// read counts the bytes of the file as it is stored.
	read *countingReader
	size int64
	// reported are the bytes that Progress has been told of.
	reported int64
	// mark remembers how far the file was read; nil: nobody does. taken and what the import has taken make what the file has given.
	mark  *offset
	taken int
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

func (i *importer) file(ctx context.Context, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("import audit events: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("import audit events: %w", err)
	}
	return i.stream(ctx, &source{name: name, r: f, size: info.Size()})
}

// stream reads one source to its end, from where the last run stopped.
func (i *importer) stream(ctx context.Context, src *source) error {
	i.summary.Files++
	src.read = &countingReader{r: src.r}
	plain, err := unpack(src.read)
	if err != nil {
		return fmt.Errorf("import %s: %w", src.name, err)
	}
	defer plain.close()
	split := newSplitter(plain)
	if src.size > 0 && i.offsets != nil {
		if err := i.resume(src, split); err != nil {
			return fmt.Errorf("import %s: %w", src.name, err)
		}
	}
	for {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("import %s: %w", src.name, err)
		}
		chunk, err := split.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err := i.chunk(ctx, src, split, chunk, err); err != nil {
			return fmt.Errorf("import %s: line %d: %w", src.name, split.first, err)
		}
	}
	if err := i.flush(ctx, src, split); err != nil {
		return fmt.Errorf("import %s: %w", src.name, err)
	}
	i.report(src)
	return nil
}

// resume passes over what an earlier run has handed over.
func (i *importer) resume(src *source, split *splitter) error {
	head, err := split.r.Peek(fingerprintBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	mark, err := i.offsets.find(src.name, i.cfg.Cluster, i.cfg.Format, head)
	if err != nil {
		return err
	}
	src.mark, src.taken = mark, mark.Taken-i.summary.Taken
	if _, err := io.CopyN(io.Discard, split.r, mark.Bytes); err != nil {
		return fmt.Errorf("go on at byte %d: %w: take the file out of the offset file to read it from its beginning", mark.Bytes, err)
	}
	split.offset, split.line = mark.Bytes, mark.Line
	i.summary.Resumed += mark.Bytes
	return nil
}

// chunk takes the records of a chunk, or counts it as malformed when it could not be read.
func (i *importer) chunk(ctx context.Context, src *source, split *splitter, chunk []byte, err error) error {
	fault := LineFault{File: src.name, Line: split.first}
	switch {
	case errors.Is(err, errTooLong), errors.Is(err, errCut):
		i.leave(LeftOutMalformed, fault)
		return nil
	case err != nil:
		return err
	}
	if !utf8.Valid(chunk) {
		chunk = bytes.ToValidUTF8(chunk, []byte("\ufffd"))
	}
	unwrap := unwrapper{
		format: i.cfg.Format,
		leave:  func(why LeftOut) { i.leave(why, fault) },
		each: func(u unwrapped) error {
			if err := i.take(u, fault); err != nil {
				return err
			}
			if len(i.pending) >= 4*importBatch { // a document with very many records
				return i.append(ctx)
			}
			return nil
		},
	}
	if err := i.values(&unwrap, chunk, fault); err != nil {
		return err
	}
	if len(i.pending) < importBatch && i.summary.Records-i.reported < 5*importBatch {
		return nil
	}
	defer i.report(src)
	return i.flush(ctx, src, split)
}

// values unwraps all values of a chunk; what is no JSON ends it.
func (i *importer) values(unwrap *unwrapper, chunk []byte, fault LineFault) error {
	chunk, stamped := withoutTime(chunk)
	if len(chunk) == 0 || chunk[0] != '{' && chunk[0] != '[' {
		why := LeftOutMalformed
		if stamped || i.cfg.Format == FormatEKS {
			why = LeftOutOtherLogEntry // another component's line
		}
		i.leave(why, fault)
		return nil
	}
	var syntax *collectors.SyntaxError
	if stamped {
		return unwrap.text(chunk, "")
	}
	cursor := collectors.NewJSONCursor(collectors.WithSpare(chunk))
	for cursor.Peek() != 0 {
		err := unwrap.value(cursor)
		if errors.As(err, &syntax) {
			i.leave(LeftOutMalformed, fault)
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// take maps one audit event.
func (i *importer) take(u unwrapped, fault LineFault) error {
	i.mapper.received = i.cfg.Now().UTC()
	if i.cfg.Cluster == "" {
		if u.cluster == "" {
			return errors.New("the log does not name its cluster: say which it is")
		}
		if err := checkCluster(u.cluster); err != nil {
			return fmt.Errorf("the log names a cluster that cannot be one: say which it is: %w", err)
		}
		i.mapper.cluster = u.cluster
	}
	i.mapper.source = Source(i.mapper.cluster)
	e, why := i.mapper.event(u.event)
	if why == Taken && i.cfg.Validate(&e) != nil {
		why = LeftOutInvalid
	}
	if why != Taken {
		i.leave(why, fault)
		return nil
	}
	i.summary.Records++
	i.summary.Taken++
	i.pending = append(i.pending, e)
	return nil
}

func (i *importer) leave(why LeftOut, fault LineFault) {
	i.summary.Records++
	i.summary.LeftOut[why]++
	if why == LeftOutMalformed && len(i.summary.Malformed) < shownFaults {
		i.summary.Malformed = append(i.summary.Malformed, fault)
	}
}

// flush hands over what is pending and remembers that everything in front of the splitter's place is done.
func (i *importer) flush(ctx context.Context, src *source, split *splitter) error {
	if err := i.append(ctx); err != nil {
		return err
	}
	if src.mark == nil {
		return nil
	}
	src.mark.Bytes, src.mark.Line, src.mark.Taken = split.offset, split.line, src.taken+i.summary.Taken
	return i.offsets.save()
}

// append hands over what is pending, and waits for a sink that is full.
func (i *importer) append(ctx context.Context) error {
	const pause = time.Second
	for len(i.pending) > 0 {
		err := i.cfg.Sink.Append(ctx, schema.Batch{Events: i.pending, Backfill: true})
		if err == nil {
			i.pending = nil
			return nil
		}
		if !errors.Is(err, collectors.ErrFull) && !errors.Is(err, collectors.ErrRateLimited) {
			return fmt.Errorf("hand over %d events: %w", len(i.pending), err)
		}
		if !collectors.Sleep(ctx, pause) {
			return fmt.Errorf("hand over %d events: %w", len(i.pending), errors.Join(ctx.Err(), err))
		}
	}
	return nil
}

func (i *importer) report(src *source) {
	i.reported = i.summary.Records
	i.summary.Bytes += src.read.n
	read := src.read.n
	src.read.n = 0
	src.reported += read
	if i.cfg.Progress != nil {
		i.cfg.Progress(Progress{File: src.name, Read: src.reported, Size: src.size, Records: i.summary.Records, Taken: i.summary.Taken})
	}
}

// unpacked is a reader of what is in a file, whether it is packed or not.
type unpacked struct {
	io.Reader
	close func()
}

func unpack(r io.Reader) (unpacked, error) {
	buffered := bufio.NewReader(r)
	head, err := buffered.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return unpacked{}, err
	}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(buffered)
		if err != nil {
			return unpacked{}, fmt.Errorf("gzip: %w", err)
		}
		return unpacked{z, func() {}}, nil
	case bytes.Equal(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return unpacked{}, fmt.Errorf("zstd: %w", err)
		}
		return unpacked{z, z.Close}, nil
	}
	return unpacked{buffered, func() {}}, nil
}
