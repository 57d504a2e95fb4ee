#!/bin/sh
# Builds the wheel, installs it into a new Scipion in a temporary folder, and runs `scipion3 tests cryoresdl` there.
#
#   tools/fresh_scipion.sh [FOLDER]
#
# Nothing of this checkout is on the new Scipion's path: what the wheel lacks is missing. FOLDER, when given, is kept.
set -eu

root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd -P)
say() { printf '%s\n' "$*" >&2; }

if [ $# -gt 0 ]; then
    mkdir -p "$1"
    work=$(CDPATH= cd -- "$1" && pwd -P)
else
    work=$(mktemp -d "${TMPDIR:-/tmp}/cryoresdl-fresh-XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' HUP INT TERM
fi

CRYORESDL_GPU=${CRYORESDL_GPU:-0}
PIP_CONSTRAINT="$root/constraints.txt"
export CRYORESDL_GPU PIP_CONSTRAINT PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
export PIP_CACHE_DIR="${PIP_CACHE_DIR:-$work/cache}" VIRTUALENV_OVERRIDE_APP_DATA="$work/virtualenv"
# A Scipion that a user has must neither be found nor touched.
export HOME="$work/home" SCIPION_USER_DATA="$work/data" SCIPION_LOCAL_CONFIG="$work/scipion.conf" SCIPION_NOTIFY=False
export MPLCONFIGDIR="$work/matplotlib"
unset PYTHONPATH PYTHONHOME VIRTUAL_ENV SCIPION_HOME SCIPION_DOMAIN 2>/dev/null || true
mkdir -p "$HOME" "$SCIPION_USER_DATA"

check='import sys, ensurepip, tkinter, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))'
python=
for candidate in ${PYTHON:-python3.11 python3.12 python3.10 python3}; do
    if "$candidate" -c "$check" >/dev/null 2>&1; then python=$(command -v "$candidate"); break; fi
done
[ -n "$python" ] || { say "No Python 3.10, 3.11 or 3.12 with venv and tkinter."; exit 1; }

start=$(date +%s)
"$python" -m venv "$work/boot"
"$work/boot/bin/python3" -m pip install -qq scipion-installer
# Built from a copy of what git would hand out: stray files of the checkout do not slip into the wheel.
mkdir -p "$work/source" "$work/dist"
if git -C "$root" rev-parse --git-dir >/dev/null 2>&1; then
    (cd "$root" && git ls-files -z --cached --others --exclude-standard | xargs -0 sh -c '
        for name; do [ ! -e "$name" ] || printf "%s\0" "$name"; done' sh | tar --null -T - -cf -) | tar -C "$work/source" -xf -
else
    (cd "$root" && tar --exclude=./.scipion --exclude=./build -cf - .) | tar -C "$work/source" -xf -
fi
"$work/boot/bin/python3" -m pip wheel -qq --no-deps -w "$work/dist" "$work/source"
rm -rf "$work/source"
wheel=$(ls "$work/dist"/*.whl)
say "Built $(basename "$wheel"), $(($(wc -c <"$wheel") / 1024)) kB."

"$work/boot/bin/python3" -m scipioninstaller -venv -noAsk -python "$python" "$work/scipion" >"$work/installer.log" 2>&1 ||
    { tail -n 30 "$work/installer.log" >&2; say "Scipion's installer failed."; exit 1; }
"$work/scipion/.scipion3/bin/python" -m pip install -qq "$wheel[test]"
"$work/scipion/.scipion3/bin/python" -m pip check
say "Installed the wheel into a fresh Scipion in $(($(date +%s) - start)) s."

# From a folder of its own, so that Python cannot find the checkout by chance.
cd "$work/home"
place=$("$work/scipion/.scipion3/bin/python" -c 'import cryoresdl; print(cryoresdl.__file__)')
case $place in
"$work"/*) ;;
*) say "cryoresdl was imported from $place, not from the wheel."; exit 1 ;;
esac
"$work/scipion/.scipion3/bin/cryoresdl" models >/dev/null
# The queue is configured by an example of the guide, which only a checkout has.
chosen="--grep cryoresdl --skip slurm"
plain() { sed 's/\x1b\[[0-9;]*m//g' "$1"; }
classes=$("$work/scipion/scipion3" tests $chosen 2>/dev/null | sed 's/\x1b\[[0-9;]*m//g' | grep -cE '^ +scipion3 tests .*\.Test[A-Za-z]+')
"$work/scipion/scipion3" tests $chosen --run >"$work/tests.log" 2>&1 || true
plain "$work/tests.log" >"$work/tests.txt"
# Scipion's exit code does not tell; its report does, one for every class that came to its end.
ended=$(grep -cE '^\[=+\] run [0-9]+ tests' "$work/tests.txt" || true)
passed=$(awk '/\[  PASSED  \]/ {n += $4} END {print n + 0}' "$work/tests.txt")
grep -E '^\[ +FAILED' "$work/tests.txt" || true
say "scipion3 tests cryoresdl: $passed tests passed in $ended of $classes classes."
if [ "$passed" = 0 ] || [ "$ended" != "$classes" ] || grep -qE '^\[ +FAILED' "$work/tests.txt"; then
    tail -n 60 "$work/tests.txt" >&2
    say "scipion3 tests cryoresdl failed."
    exit 1
fi
say "The wheel in a fresh Scipion: done in $(($(date +%s) - start)) s."
