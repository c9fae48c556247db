-- Runs once, as the superuser, when the volume is empty. The processes' role owns
-- its database and nothing else.
\getenv password MAGPIE_PASSWORD
CREATE ROLE magpie LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS PASSWORD :'password';
CREATE DATABASE magpie OWNER magpie;
