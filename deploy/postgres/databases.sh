#!/bin/sh
# A database and an account for each service, which may connect to its own database only. Run once, by the image of
# PostgreSQL, when it makes its files.
set -eu
for service in $SERVICES; do
  eval "password=\$PASSWORD_$(echo "$service" | tr '[:lower:]' '[:upper:]')"
  psql -v ON_ERROR_STOP=1 -v name="$service" -v password="$password" --username "$POSTGRES_USER" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE CONNECT ON DATABASE :"name" FROM PUBLIC;
SQL
done
