-- +goose Up

-- SQLite does not compress; both databases count their versions alike.
