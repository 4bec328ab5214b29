package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// fingerprintBytes of a file's beginning tell it from another file of the same name.
const fingerprintBytes = 4096

// offset is how far one file has been handed over.
type offset struct {
	Path    string `json:"path"`
	Cluster string `json:"cluster"`
	// Format is how the file was read, Taken how many usage events that has given.
	Format Format `json:"format,omitempty"`
	Taken  int    `json:"taken,omitempty"`
	// HeadBytes and Head are the length and the hash of the beginning of what the file holds.
	HeadBytes int    `json:"head_bytes"`
	Head      string `json:"head"`
	// Bytes, after unpacking, and lines in front of Line, from 1, have been handed over.
	Bytes int64 `json:"bytes"`
	Line  int   `json:"line"`
}

// offsets is an offset file.
type offsets struct {
	path string
	all  []*offset
}

// openOffsets reads an offset file, which need not exist; nil: the path is empty.
func openOffsets(path string) (*offsets, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // no file, nothing remembered
	}
	o := &offsets{path: path}
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return o, nil
	}
	if err != nil {
		return nil, fmt.Errorf("offset file: %w", err)
	}
	if err := json.Unmarshal(content, &o.all); err != nil {
		return nil, fmt.Errorf("offset file %s: %w: remove it to read all files from their beginning", path, err)
	}
	return o, nil
}

// find gives the offset of a file for a cluster: the beginning when the file is new, or not the one that it was, or when it was read as
// another format and that has given nothing.
func (o *offsets) find(path, cluster string, format Format, head []byte) (*offset, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("offset file: %w", err)
	}
	for _, known := range o.all {
		if known.Path != absolute || known.Cluster != cluster {
			continue
		}
		if known.HeadBytes > len(head) || fingerprint(head[:known.HeadBytes]) != known.Head {
			known.Bytes, known.Line, known.Taken, known.Format = 0, 1, 0, format
		}
		if known.Taken == 0 && known.Format != "" && known.Format != format {
			known.Bytes, known.Line, known.Format = 0, 1, format
		}
		known.HeadBytes, known.Head = len(head), fingerprint(head)
		return known, nil
	}
	fresh := &offset{Path: absolute, Cluster: cluster, Format: format, HeadBytes: len(head), Head: fingerprint(head), Line: 1}
	o.all = append(o.all, fresh)
	return fresh, nil
}

func fingerprint(head []byte) string {
	sum := sha256.Sum256(head)
	return hex.EncodeToString(sum[:])
}

// save writes the offset file as a whole or not at all.
func (o *offsets) save() error {
	content, err := json.MarshalIndent(o.all, "", "  ")
	if err != nil {
		return fmt.Errorf("offset file: %w", err)
	}
	temporary := o.path + ".new"
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("offset file: %w", err)
	}
	_, err = f.Write(append(content, '\n'))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("offset file: %w", err)
	}
	if err := os.Rename(temporary, o.path); err != nil {
		return fmt.Errorf("offset file: %w", err)
	}
	return nil
}
