#!/bin/sh
# Builds the wheel, installs it into a new Scipion in a temporary folder, and tries it there.
#
#   tools/fresh_scipion.sh [FOLDER]
#
# Nothing of this checkout is on the new Scipion's path: what the wheel lacks is missing. FOLDER, when given, is kept.
# `make test` runs all tests of the protocols from the checkout. Here some of them show that the wheel is whole: every
# module imports, Scipion lists every protocol, one run of each kind gives its outputs, a workflow template loads, and
# the viewers open. `scipion3 tests --grep cryoresdl --run` runs the rest as well.
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
"$work/scipion/.scipion3/bin/python" - <<'PYTHON'
import importlib
import pkgutil

import cryoresdl

def failed(name):
    raise ImportError(name)

names = [found.name for found in pkgutil.walk_packages(cryoresdl.__path__, "cryoresdl.", failed)]
names = [name for name in names if not name.endswith("__main__") and ".tests." not in name]
for name in names:
    importlib.import_module(name)
print("Imported %d modules of the wheel." % len(names))
PYTHON
"$work/scipion/.scipion3/bin/cryoresdl" models >/dev/null
"$work/scipion/.scipion3/bin/cryoresdl" make default --help >/dev/null

# Whole classes, and of those that train networks one test each.
chosen="
test_protocols_validate.TestScipionShowsThePlugin
test_protocols_validate.TestValidateOneVolume
test_protocols_others.TestImportModel
test_protocols_others.TestCompare
test_protocols_others.TestSimulate.test_realistic_maps_come_with_halves_mask_and_truth
test_protocols_train.TestTrain.test_a_local_network_is_trained_and_registered
test_protocols_train.TestTrain.test_the_recommended_global_network_learns_from_maps_with_truth
test_protocols_others.TestTemplates.test_there_are_three
test_protocols_others.TestTemplates.test_validate_runs
test_protocols_others.TestResidues
"
result=0
# shellcheck disable=SC2046
"$work/scipion/scipion3" tests $(printf 'cryoresdl.tests.%s ' $chosen) >"$work/tests.log" 2>&1 || result=$?
sed 's/\x1b\[[0-9;]*m//g' "$work/tests.log" >"$work/tests.txt"
passed=$(awk '/\[  PASSED  \]/ {n += $4} END {print n + 0}' "$work/tests.txt")
say "scipion3 tests: $passed tests passed."
# A name that Scipion cannot load is only logged.
if [ "$result" != 0 ] || grep -q 'Cannot load test' "$work/tests.txt"; then
    grep -E '^\[ +FAILED|Cannot load test' "$work/tests.txt" >&2 || true
    tail -n 60 "$work/tests.txt" >&2
    say "scipion3 tests failed."
    exit 1
fi
"$work/scipion/.scipion3/bin/python" -m pytest -q -p no:cacheprovider -W ignore --pyargs cryoresdl.tests.test_viewers \
    -k "every_protocol_has_its_viewer or validation_shows_the_numbers" || { say "The viewers failed."; exit 1; }
say "The wheel in a fresh Scipion: done in $(($(date +%s) - start)) s."
