package collectors

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrDamaged is wrapped by errors about state that can be read, but is not what was written.
var ErrDamaged = errors.New("what was kept is damaged")

// ReadState reads what WriteState has left at path; where there is nothing, into stays as it is. The error says to remove a file that is damaged,
// and wraps ErrDamaged then.
func ReadState(path string, into any) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read state: %w", err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("read state: %w: %s: %w; remove the file to start anew", ErrDamaged, path, err)
	}
	return nil
}

// WriteState writes a value as JSON to path. A reader, even one after a crash, sees the old or the new file whole.
func WriteState(path string, value any) error {
	data, err := json.Marshal(value)
	if err == nil {
		err = replaceFile(path, data)
	}
	if err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	return nil
}

// replaceFile writes data beside path, syncs it and renames it.
func replaceFile(path string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Sync()
	}
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
