-- +goose Up

-- SQLite has no row-level security; both databases count their versions alike.
