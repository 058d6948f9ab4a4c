#!/usr/bin/env bash
# Judges what systemd/ and scripts/install put on a host, in a folder in the host's place.
# Needs systemd-analyze; VESTIBULE_BIN names the program to install.
set -euo pipefail
cd "$(dirname "$0")/.."

host=$(mktemp -d)
trap 'rm -rf "$host"' EXIT
passed=0
failed=0

# expect NAME COMMAND...
expect() {
  local name=$1
  shift
  if "$@" >"$host/said" 2>&1; then
    passed=$((passed + 1))
    echo "ok      $name"
  else
    failed=$((failed + 1))
    echo "failed  $name"
    cat "$host/said"
  fi
}

exposure_is_at_most() {
  local level
  level=$(systemd-analyze security --offline=true "$2" | sed -n 's/.*exposure level[^:]*: \([0-9.]*\).*/\1/p')
  echo "exposure $level, at most $1"
  awk -v level="$level" -v most="$1" 'BEGIN { exit !(level != "" && level <= most) }'
}

# The programs that a unit starts are looked for on this host: only complaints of ours count.
verifies() {
  local said
  said=$(SYSTEMD_UNIT_PATH="$host/usr/lib/systemd/system:" systemd-analyze verify "$@" 2>&1 | grep -i vestibule |
    grep -v "/usr/bin/vestibule is not executable" || true)
  echo "$said"
  [ -z "$said" ]
}

put() { DESTDIR=$host scripts/install; }
is_private() { [ "$(stat -c %a "$1")" = 600 ] && [ "$(wc -c <"$1")" -ge 32 ]; }
differ() { ! cmp "$1" "$2"; }
are_handed_over() {
  local name names
  names=$(sed -n 's|.*"/run/credentials/vestibule.service/\(.*\)".*|\1|p' "$host/etc/vestibule/vestibule.toml")
  [ "$(wc -w <<<"$names")" = 2 ] || return 1
  for name in $names; do
    grep -qx "LoadCredential=$name:/etc/vestibule/$name" "$units/vestibule.service" || return 1
    [ -e "$host/etc/vestibule/$name" ] || return 1
  done
}
is_kept() { echo '# mine' >>"$1" && sum=$(sha256sum "$1") && put && [ "$sum" = "$(sha256sum "$1")" ]; }
is_accepted() {
  VESTIBULE_AUTH__HS256_SECRET_FILE="$host/etc/vestibule/jwt.key" \
    VESTIBULE_ADMIN__KEYS_FILE="$host/etc/vestibule/api.keys" "$host/usr/bin/vestibule" check "$1"
}
is_gone() {
  DESTDIR=$host scripts/uninstall && [ -e "$host/etc/vestibule/jwt.key" ] && [ -e "$host/etc/vestibule/api.keys" ] &&
    DESTDIR=$host scripts/uninstall --purge && [ -z "$(find "$host" -type f ! -name said)" ]
}

units="$host/usr/lib/systemd/system"
expect "the service's exposure is at most 1.5" exposure_is_at_most 1.5 systemd/vestibule.service
expect "everything can be put into a folder" put
expect "the units verify" verifies "$units/vestibule.service" "$units/vestibule.socket" "$units/vestibule-admin.socket"
expect "the key of tokens is long and for root alone" is_private "$host/etc/vestibule/jwt.key"
expect "the key of the API is long and for root alone" is_private "$host/etc/vestibule/api.keys"
expect "and the two differ" differ "$host/etc/vestibule/jwt.key" "$host/etc/vestibule/api.keys"
expect "the unit hands over every file that the configuration names" are_handed_over
expect "the configuration is accepted" is_accepted "$host/etc/vestibule/vestibule.toml"
expect "a second time keeps the configuration" is_kept "$host/etc/vestibule/vestibule.toml"
expect "a second time keeps the key of tokens" is_kept "$host/etc/vestibule/jwt.key"
expect "a second time keeps the keys of the API" is_kept "$host/etc/vestibule/api.keys"
expect "uninstalling keeps /etc/vestibule, and purging nothing" is_gone

echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
