package binaries

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
)

// AddSelf copies the running program beside the others and returns the copy's path. The
// name tells its content, so that work trees with different sources share the folder.
func (s Set) AddSelf() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find the running program: %w", err)
	}
	self, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the running program: %w", err)
	}
	target := s.Path(fmt.Sprintf("kubetest-%.8x", sha256.Sum256(self)))
	if _, err := os.Stat(target); err == nil {
		return target, nil
	}
	copied, err := os.CreateTemp(s.Dir, "kubetest-copy-")
	if err != nil {
		return "", fmt.Errorf("create a copy of the running program: %w", err)
	}
	_, err = copied.Write(self)
	if err = errors.Join(err, copied.Chmod(0o755), copied.Close()); err == nil {
		err = os.Rename(copied.Name(), target)
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("copy the running program: %w", err), os.Remove(copied.Name()))
	}
	return target, nil
}
