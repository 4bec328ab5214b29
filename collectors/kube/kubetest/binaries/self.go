package binaries

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
)

// AddSelf copies the running program beside the others and returns the copy's path. The
// name tells its content, so that work trees with different sources share the folder.
func (s Set) AddSelf() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find the running program: %w", err)
	}
	self, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("open the running program: %w", err)
	}
	defer self.Close()
	h := sha256.New()
	if _, err := io.Copy(h, self); err != nil {
		return "", fmt.Errorf("read the running program: %w", err)
	}
	target := s.Path(fmt.Sprintf("kubetest-%.8x", h.Sum(nil)))
	if _, err := os.Stat(target); err == nil {
		return target, nil
	}
	if _, err := self.Seek(0, io.SeekStart); err != nil {
		return "", fmt.Errorf("read the running program again: %w", err)
	}
	copied, err := os.CreateTemp(s.Dir, "kubetest-copy-")
	if err != nil {
		return "", fmt.Errorf("create a copy of the running program: %w", err)
	}
	defer os.Remove(copied.Name())
	_, err = io.Copy(copied, self)
	if err = errors.Join(err, copied.Chmod(0o755), copied.Close()); err != nil {
		return "", fmt.Errorf("copy the running program: %w", err)
	}
	if err := os.Rename(copied.Name(), target); err != nil {
		return "", fmt.Errorf("put the copy of the running program in place: %w", err)
	}
	return target, nil
}
