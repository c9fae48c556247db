//go:build !unix

package app

import (
	"fmt"
	"os"
	"path/filepath"
)

// lockDir opens the lock file; this system has no lock that ends with the process.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("app: data folder: %w", err)
	}
	return f, nil
}
