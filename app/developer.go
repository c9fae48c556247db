package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/magpie-hq/magpie/books"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
)

// Keys are the secrets of a developer's installation. They are kept in its data
// folder, readable by its owner alone, so that they stay the same.
type Keys struct {
	Admin string `json:"admin_key"`
	API   string `json:"api_key"`
}

// LoadKeys returns the keys of a data folder, making them the first time.
func LoadKeys(dir string) (Keys, error) {
	file := filepath.Join(dir, "keys.json")
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return makeKeys(dir, file)
	}
	var keys Keys
	if err == nil {
		err = json.Unmarshal(text, &keys)
	}
	if err != nil {
		return Keys{}, fmt.Errorf("app: keys: %w (delete the file to get new ones)", err)
	}
	if keys.Admin == "" || keys.API == "" {
		return Keys{}, fmt.Errorf("app: %s lacks a key; delete the file to get new ones", file)
	}
	return keys, nil
}

func makeKeys(dir, file string) (Keys, error) {
	keys := Keys{Admin: store.NewSecret("mga_"), API: store.NewSecret("mgp_")}
	text, err := json.MarshalIndent(keys, "", "  ") //nolint:gosec // a file of the owner's alone is where they are kept
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err == nil {
		err = os.WriteFile(file, append(text, '\n'), 0o600)
	}
	if err != nil {
		return Keys{}, fmt.Errorf("app: keys: %w", err)
	}
	return keys, nil
}

// developerOrg is the organization of a developer's installation.
const developerOrg = "org_developer"

// SeedDeveloper makes sure that the developer's organization exists, has the
// API key, and was granted its first credits once. It returns its id.
func (a *App) SeedDeveloper(ctx context.Context, apiKey string, credits lookup.Credits) (string, error) {
	_, err := a.db.CreateOrg(ctx, developerOrg, "Developer", time.Now())
	if err != nil && !errors.Is(err, store.ErrConflict) {
		return "", err
	}
	if _, err := a.db.CreateKey(ctx, developerOrg, "developer", apiKey, 0, time.Now()); err != nil {
		return "", err
	}
	_, _, err = a.books.Grant(ctx, books.Grant{Org: developerOrg, Source: books.Adjustment, Amount: credits, Reference: "first credits"})
	return developerOrg, err
}
